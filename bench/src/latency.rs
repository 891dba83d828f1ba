//! How long a packet takes from the wire to the agency: its frame carries the moment of its sending, the agency's thread
//! looks at the clock when it has read the PDU from its socket. Beside it a packet socket on the same machine, which
//! needs neither encoder nor TCP.
//!
//! At rest a frame comes every millisecond, from a program; under load frames come as fast as they can, and so many of
//! them are hits.

use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use writ_capture::boot_now_ns;
use writ_lab::FrameSender;

use crate::bed::{Bed, Layout, Subject};
use crate::distance::Distance;
use crate::generator::{Length, Traffic};
use crate::inline::{TARGET, percent};
use crate::packet_socket::Reader;
use crate::report::{Row, Section, part_of};
use crate::{Effort, frame};

/// This part of the bench.
pub const PART: &str = "latency";

const LENGTH: usize = 60;
/// Hits of a thousand under load.
const LOADS: [u32; 3] = [1, 10, 100];
/// Where the stamp stands: at the front of UDP's payload.
const STAMP: usize = 14 + 20 + 8;

/// Measures; `directory` is an empty directory for the probe's files.
pub fn measure(
    subject: &Subject,
    directory: &Path,
    effort: Effort,
    distance: &mut Distance,
    doing: &mut dyn FnMut(&str),
) -> Result<Section> {
    crate::keep_user_space_off(1)?;
    let title = format!("From the wire to the agency's socket, {LENGTH}-byte frames, microseconds");
    let mut section = Section::new(PART, title, ["p50", "p99", "p99.9", "packets"]);
    let mut bed = Bed::build(subject, directory, Layout::PLAIN)?;
    bed.order(vec![IpAddr::from(TARGET).into()], 1)?;
    bed.in_force()?;

    doing("latency, at rest");
    let reference = distance.near(|| rest_of_packet_socket(&bed, effort.time)).last.result;
    let writ = distance.near(|| rest_of_writ(&bed, effort.time)).last.result;
    add(&mut section, "at rest, 1,000 hits/s", reference, writ);
    for hits in LOADS {
        doing(&format!("latency, {} hits at full speed", percent(hits)));
        let traffic = Traffic { length: Length::Bytes(LENGTH), hits, first: TARGET, targets: 1, stamp: true };
        let reference = distance.near(|| load_of_packet_socket(&bed, &traffic, effort.time)).last.result;
        let writ = distance.near(|| bed.timed(&traffic, effort.time)).last.result.map(|(_, latencies)| latencies);
        add(&mut section, &format!("at full speed, {} hits", percent(hits)), reference, writ);
    }
    bed.take_down()?;
    Ok(section)
}

/// Two rows: a packet socket, and Writ beside it.
fn add(section: &mut Section, when: &str, reference: Result<Vec<u64>>, writ: Result<Vec<u64>>) {
    let micros = |latencies: &[u64], part| part_of(latencies.iter().map(|ns| *ns as f64 / 1e3), part);
    let row = |name: String, latencies: &Result<Vec<u64>>| match latencies {
        Ok(latencies) if latencies.is_empty() => Row::failed(name, &anyhow::anyhow!("no packet arrived")),
        Ok(latencies) => {
            let parts = [0.5, 0.99, 0.999].map(|part| micros(latencies, part));
            Row::new(name, parts.into_iter().chain([Some(latencies.len() as f64)]))
        }
        Err(error) => Row::failed(name, error),
    };
    let median = |latencies: &Result<Vec<u64>>| micros(latencies.as_ref().ok()?, 0.5);
    let ratio = median(&writ).zip(median(&reference)).map(|(writ, reference)| writ / reference);
    section.rows.push(row(format!("reference: packet socket, {when}"), &reference));
    section.rows.push(row(format!("Writ, {when}"), &writ).beside("a packet socket, p50", ratio, None));
}

/// The kernel's part of the reference: it hands over the target's packets only.
fn filter() -> String {
    format!("dst host {TARGET}")
}

fn rest_of_packet_socket(bed: &Bed, time: Duration) -> Result<Vec<u64>> {
    let reader = Reader::start(&bed.receiver, TARGET, Some(&filter()))?;
    send_slowly(bed, Bed::towards_stack(), time)?;
    sleep(Duration::from_millis(100));
    Ok(reader.stop()?.latencies)
}

fn load_of_packet_socket(bed: &Bed, traffic: &Traffic, time: Duration) -> Result<Vec<u64>> {
    let reader = Reader::start(&bed.receiver, TARGET, Some(&filter()))?;
    bed.send(crate::bed::PASS, traffic, time)?;
    sleep(Duration::from_millis(100));
    Ok(reader.stop()?.latencies)
}

fn rest_of_writ(bed: &Bed, time: Duration) -> Result<Vec<u64>> {
    bed.stamped(true);
    let sent = send_slowly(bed, Bed::towards_tap(), time);
    sleep(Duration::from_millis(100));
    let latencies = bed.stamped(false);
    let sent = sent?;
    ensure!(latencies.len() == sent, "{sent} packets were sent, {} arrived", latencies.len());
    Ok(latencies)
}

/// A hit every millisecond, and how many they were.
fn send_slowly(bed: &Bed, interface: &str, time: Duration) -> Result<usize> {
    let mut sender = FrameSender::open(&bed.sender, interface)?;
    let mut frame = frame::udp_v4([10, 0, 0, 1].into(), TARGET, LENGTH);
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < time {
        if let Some(stamp) = frame.get_mut(STAMP..STAMP + 8) {
            stamp.copy_from_slice(&boot_now_ns().to_be_bytes());
        }
        sender.send(&frame)?;
        sent += 1;
        sleep(Duration::from_millis(1));
    }
    Ok(sent)
}
