//! The steps, in order. Each tells what has to hold and looks whether it does.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use super::stage::{
    CONTENT_AGENCY, FAMILIES, HEADER_AGENCY, Stage, hold_packets, hold_reports, marker, now_ns, ns, second_ahead,
    wait_for, within,
};
use super::{Check, Report, Settings, Tally, Watcher, memory};
use crate::documents::Order;
use crate::{Comparison, Counts, IpPacket, LabError, contains, rebuild_http_bodies, until};

/// Subscribers by what they are in the story.
const TARGET: usize = 0;
const BYSTANDER: usize = 1;
const PEN_TRAP_TARGET: usize = 2;
/// Kilobytes of a download over each IP version.
const KILOBYTES: usize = 2048;

/// The report under way, and who looks on.
struct Log<'a> {
    report: Report,
    watcher: &'a mut dyn Watcher,
    step: u8,
}

impl Log<'_> {
    fn doing(&mut self, what: &str) {
        self.watcher.doing(what);
    }

    fn check(&mut self, what: &'static str, passed: bool, found: impl Into<String>) {
        let check = Check { step: self.step, what, passed, found: found.into() };
        self.watcher.checked(&check);
        self.report.checks.push(check);
    }

    fn tally(&mut self, order: &Order, counts: Counts, comparison: &Comparison) {
        self.report.tallies.push(Tally {
            order: order.case_id,
            // Without those so close to a border of the window that either side is right for them.
            on_the_tap: comparison.equal + comparison.missing.len(),
            matched: counts.matched,
            delivered: counts.delivered,
            missing: comparison.missing.len(),
        });
    }
}

pub(super) fn all(settings: &Settings, watcher: &mut dyn Watcher) -> Result<Report, LabError> {
    let mut stage = Stage::build(settings, watcher)?;
    let mut log = Log { report: Report::default(), watcher, step: 1 };
    let content = one_signature_is_not_enough(&stage, &mut log)?;
    log.step = 2;
    let truth = two_signatures_arm_it(&stage, &mut log, &content)?;
    log.step = 3;
    let (target_marker, from_ns) = (marker("target")?, ns(content.start));
    download_is_rebuilt(&stage, &mut log, &content, truth, &target_marker, from_ns)?;
    log.step = 4;
    bystander_is_nowhere(&stage, &mut log, &target_marker)?;
    log.step = 5;
    pen_trap_has_no_content(&stage, &mut log)?;
    log.step = 6;
    stop_holds_without_the_daemon(&stage, &mut log, &content)?;
    log.step = 7;
    changed_audit_log_is_found(&stage, &mut log)?;
    log.step = 8;
    end(&mut stage, &mut log)?;
    Ok(log.report)
}

fn audit_log(stage: &Stage) -> PathBuf {
    stage.evidence.join("state").join("audit.jsonl")
}

/// (1) An order with one signature is kept and waits; it takes nothing.
fn one_signature_is_not_enough(stage: &Stage, log: &mut Log<'_>) -> Result<Order, LabError> {
    log.doing("an order with one signature is handed in");
    let order = Order {
        uuid: "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a1101",
        authority: "title-iii",
        scope: "content",
        targets: stage.addresses(TARGET),
        // Time for three commands, on a slow machine too.
        start: second_ahead(8),
        stop: second_ahead(1800),
        agency: CONTENT_AGENCY.name,
        case_id: "LAB-CONTENT-1",
    };
    let [ada, ..] = &stage.officers;
    let answer = stage.probe.submit(&order, &[ada])?;
    let waits = answer.words.contains("not in force") && answer.words.contains("still missing");
    log.check("an order with one signature is kept, and not in force", waits, answer.words);
    let answer = stage.probe.approve(&order, &[ada, ada])?;
    let waits = answer.words.contains("not in force") && answer.words.contains("still missing");
    log.check("the same officer's signature again changes nothing", waits, answer.words);
    let audit = audit_log(stage);
    let text = fs::read_to_string(&audit).map_err(LabError::io(audit.display().to_string()))?;
    let records = text.lines().filter(|line| line.contains("waits_for") && line.contains(order.uuid)).count();
    log.check("both times are in the audit log", records == 2, format!("{records} records name it"));
    let slot = stage.probe.slot(&order)?;
    log.check("nothing was armed", slot.is_none(), "no slot in the kernel");
    Ok(order)
}

/// (2) With two signatures it is armed; it takes nothing before its start and is in force at its time.
///
/// Gives the recorder of the ground truth, which runs on.
fn two_signatures_arm_it(stage: &Stage, log: &mut Log<'_>, order: &Order) -> Result<crate::Recorder, LabError> {
    log.doing("a second officer signs the order");
    let truth = stage.record(TARGET, "truth-target.pcap")?;
    let pings = stage.ping(TARGET, 10)?;
    let [_, ben, _] = &stage.officers;
    let answer = stage.probe.approve(order, &[ben])?;
    log.check("with two signatures it is armed", answer.accepted, answer.words);
    if !answer.accepted {
        return Ok(truth);
    }
    log.doing("its start comes while the subscriber sends");
    // Long enough before it that a slow machine has the answer in time.
    wait_for("the moment before the start", ns(order.start).saturating_sub(1_000_000_000))?;
    let counts = stage.probe.counts(order)?;
    let seen = format!("{} packets seen too early, {} taken", counts.early, counts.matched);
    log.check("before its start nothing is taken", counts.early > 0 && counts.matched == 0, seen);
    wait_for("the start", ns(order.start) + 1_000_000_000)?;
    drop(pings);
    let counts = stage.probe.settled(order)?;
    let first = until("the first packet at the agency", Duration::from_secs(5), || {
        let packets = agency_packets(stage, order, counts.delivered)?;
        Ok(packets.iter().map(|packet| packet.utc_ns).min())
    });
    let (held, found) = match first {
        // A header's time is cut to microseconds, as the handover has it.
        Ok(first) if first + 1_000 >= ns(order.start) => {
            let after_ms = first.saturating_sub(ns(order.start)) as f64 / 1e6;
            (after_ms <= 100.0, format!("first packet {after_ms:.1} ms after the start; {} taken", counts.matched))
        }
        Ok(first) => (false, format!("a packet from {} ms before the start", (ns(order.start) - first) / 1_000_000)),
        Err(LabError::TimedOut { .. }) => (false, format!("no packet; {counts:?}")),
        Err(error) => return Err(error),
    };
    log.check("at its start it is in force", held, found);
    Ok(truth)
}

/// (3) The agency rebuilds the file that the subscriber downloads, and has every packet.
fn download_is_rebuilt(
    stage: &Stage,
    log: &mut Log<'_>,
    order: &Order,
    truth: crate::Recorder,
    marker: &str,
    from_ns: u64,
) -> Result<(), LabError> {
    log.doing("the target downloads a file over HTTP");
    for (family, name) in FAMILIES.into_iter().zip(["target-4", "target-6"]) {
        let original = stage.publish(name, KILOBYTES, marker)?;
        let received = stage.download(TARGET, family, name)?;
        log.check("the target has his file", received == original, format!("{family:?}: {}", hexadecimal(&original)));
    }
    let truth = truth.stop()?;
    let to_ns = now_ns();
    let counts = stage.probe.settled(order)?;
    let truth = within(&truth, &order.targets, from_ns, to_ns);
    let delivered = agency_packets(stage, order, counts.delivered)?;
    for (family, name) in FAMILIES.into_iter().zip(["target-4", "target-6"]) {
        let original = fs::read(stage.web.root().join(name)).map_err(LabError::io(name))?;
        let bodies = rebuild_http_bodies(&delivered, stage.server(family));
        let digest =
            bodies.first().map_or_else(|| "nothing rebuilt".into(), |body| hexadecimal(&super::stage::sha256(body)));
        log.check("the agency rebuilds the file", bodies == [original], format!("{family:?}: {digest}"));
    }
    let comparison = hold_packets(&truth, &delivered, from_ns, to_ns);
    log.check("the agency has every packet, byte for byte", comparison.holds(), comparison.to_string());
    log.check("the books are closed", counts.settled() && counts.lost == 0, format!("{counts:?}"));
    log.tally(order, counts, &comparison);
    Ok(())
}

/// The packets of an order, once the agency has written down as many as were acknowledged.
fn agency_packets(stage: &Stage, order: &Order, acknowledged: u64) -> Result<Vec<IpPacket>, LabError> {
    let mut packets = Vec::new();
    let enough = until("the agency's file", Duration::from_secs(5), || {
        packets = match stage.content_agency.packets(order.case_id) {
            // The file ends in a packet that is being written.
            Err(LabError::Malformed { .. }) => return Ok(None),
            read => read?,
        };
        Ok((packets.len() as u64 >= acknowledged).then_some(()))
    });
    match enough {
        Ok(()) | Err(LabError::TimedOut { .. }) => Ok(packets),
        Err(error) => Err(error),
    }
}

/// (4) A bystander's bytes are in no process and in no file.
fn bystander_is_nowhere(stage: &Stage, log: &mut Log<'_>, target_marker: &str) -> Result<(), LabError> {
    log.doing("a bystander downloads beside the target");
    let marker = marker("bystander")?;
    stage.publish("bystander", KILOBYTES, &marker)?;
    for family in FAMILIES {
        stage.download(BYSTANDER, family, "bystander")?;
        stage.download(TARGET, family, "target-4")?;
    }
    log.doing("the memory of every process is searched");
    let holders = |marker: &str| -> Result<usize, LabError> {
        let probe = memory::holders(&stage.network.probe, marker.as_bytes())?;
        let agency = memory::holders(&stage.network.agency, marker.as_bytes())?;
        Ok(probe.len() + agency.len())
    };
    let target = holders(target_marker)?;
    log.check(
        "the search works: the target's marker is found in user space",
        target > 0,
        format!("{target} processes"),
    );
    let bystander = holders(&marker)?;
    log.report.bystanders_in_user_space += bystander;
    log.check("a bystander's marker is in no process", bystander == 0, format!("{bystander} processes"));
    let found = in_agencies(stage, &marker)?;
    let words = found.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string());
    log.check("a bystander's marker is in no file of an agency", found.is_none(), words);
    let target = in_agencies(stage, target_marker)?.is_some();
    log.check("the search works: the target's marker is in the agency's files", target, "");
    Ok(())
}

fn in_agencies(stage: &Stage, marker: &str) -> Result<Option<PathBuf>, LabError> {
    for directory in [&stage.content_agency.directory, &stage.header_agency.directory, &stage.evidence.join("state")] {
        if let Some(path) = contains(directory, marker.as_bytes())? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// (5) A pen-trap order gets every header report and no content, alone and beside a title-iii order of another agency.
fn pen_trap_has_no_content(stage: &Stage, log: &mut Log<'_>) -> Result<(), LabError> {
    log.doing("a pen-trap order of another agency");
    let pen_trap = Order {
        uuid: "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a1102",
        authority: "pen-trap",
        scope: "headers",
        targets: stage.addresses(PEN_TRAP_TARGET),
        start: second_ahead(1),
        stop: second_ahead(1800),
        agency: HEADER_AGENCY.name,
        case_id: "LAB-PENTRAP-1",
    };
    let truth = stage.record(PEN_TRAP_TARGET, "truth-pen-trap.pcap")?;
    arm(stage, log, &pen_trap)?;
    let alone = marker("pentrap-alone")?;
    stage.publish("pen-trap-alone", KILOBYTES / 4, &alone)?;
    for family in FAMILIES {
        stage.download(PEN_TRAP_TARGET, family, "pen-trap-alone")?;
    }
    stage.probe.settled(&pen_trap)?;
    let holders = memory::holders(&stage.network.probe, alone.as_bytes())?.len();
    let found = format!("{holders} processes of the probe hold it");
    log.check("under a pen-trap order alone content does not leave the kernel", holders == 0, found);

    log.doing("a title-iii order of the first agency covers the same packets");
    let both = Order {
        uuid: "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a1103",
        authority: "title-iii",
        scope: "content",
        start: second_ahead(1),
        agency: CONTENT_AGENCY.name,
        case_id: "LAB-CONTENT-2",
        ..pen_trap.clone()
    };
    arm(stage, log, &both)?;
    let beside = marker("pentrap-beside")?;
    stage.publish("pen-trap-beside", KILOBYTES / 4, &beside)?;
    for family in FAMILIES {
        stage.download(PEN_TRAP_TARGET, family, "pen-trap-beside")?;
    }
    let truth = truth.stop()?;
    let to_ns = now_ns();

    let counts = stage.probe.settled(&pen_trap)?;
    let on_tap = within(&truth, &pen_trap.targets, ns(pen_trap.start), to_ns);
    let mut reports = Vec::new();
    let enough = until("the agency's reports", Duration::from_secs(5), || {
        reports = stage.header_agency.header_reports(pen_trap.case_id)?;
        Ok((reports.len() as u64 >= counts.delivered).then_some(()))
    });
    if let Err(error @ LabError::Interrupted) = enough {
        return Err(error);
    }
    let comparison = hold_reports(&on_tap, &reports, ns(pen_trap.start), to_ns);
    log.check("the pen-trap agency has a report of every packet", comparison.holds(), comparison.to_string());
    log.tally(&pen_trap, counts, &comparison);
    let packets = stage.header_agency.packets(pen_trap.case_id)?.len();
    log.check("the pen-trap agency has no packet", packets == 0, format!("{packets} packets"));
    for (what, marker) in [("alone", &alone), ("beside a title-iii order", &beside)] {
        let file = contains(&stage.header_agency.directory, marker.as_bytes())?;
        let words = file.as_ref().map_or_else(|| what.to_owned(), |path| format!("{what}: {}", path.display()));
        log.check("the pen-trap agency has no byte of content", file.is_none(), words);
    }

    let counts = stage.probe.settled(&both)?;
    let on_tap = within(&truth, &both.targets, ns(both.start), to_ns);
    let delivered = agency_packets(stage, &both, counts.delivered)?;
    let comparison = hold_packets(&on_tap, &delivered, ns(both.start), to_ns);
    log.check("the title-iii agency has the same packets whole", comparison.holds(), comparison.to_string());
    let file = contains(&stage.content_agency.directory, beside.as_bytes())?.is_some();
    log.check("the search works: the title-iii agency has the content", file, "");
    let early = contains(&stage.content_agency.directory, alone.as_bytes())?.is_some();
    log.check("the title-iii agency has nothing from before its own start", !early, "");
    log.tally(&both, counts, &comparison);
    Ok(())
}

/// Hands an order in with two signatures and waits until it is in force.
fn arm(stage: &Stage, log: &mut Log<'_>, order: &Order) -> Result<(), LabError> {
    let [ada, _, cleo] = &stage.officers;
    let answer = stage.probe.submit(order, &[ada, cleo])?;
    log.check("an order with two signatures is armed", answer.accepted, answer.words);
    wait_for("the start", ns(order.start) + 50_000_000)
}

/// (6) With control and deliver stopped, an order ends at its stop all the same.
fn stop_holds_without_the_daemon(stage: &Stage, log: &mut Log<'_>, running: &Order) -> Result<(), LabError> {
    log.doing("an order that is about to run out");
    let short = Order {
        uuid: "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a1104",
        start: second_ahead(1),
        stop: second_ahead(4),
        case_id: "LAB-CONTENT-3",
        ..running.clone()
    };
    let truth = stage.record(TARGET, "truth-short.pcap")?;
    arm(stage, log, &short)?;
    // It ends earlier by what the clock may be off.
    let doubt_us = stage.probe.status()?["clock"]["doubt_us"].as_u64().unwrap_or_default();
    let stop_ns = ns(short.stop).saturating_sub(doubt_us * 1000);
    let slots = (stage.probe.slot(&short)?, stage.probe.slot(running)?);
    let (Some(short_slot), Some(running_slot)) = slots else {
        log.check("the order has a slot", false, format!("{slots:?}"));
        return Ok(());
    };
    let pings = stage.ping(TARGET, 20)?;
    log.doing("control and deliver are stopped, the order's stop passes");
    for role in ["control", "deliver"] {
        stage.probe.signal_role(&stage.network.probe, role, Signal::STOP)?;
    }
    let count = || -> Result<(u64, u64), LabError> {
        Ok((stage.probe.kernel_matched(&short_slot)?, stage.probe.kernel_matched(&running_slot)?))
    };
    wait_for("the moment before the stop", ns(short.stop).saturating_sub(500_000_000))?;
    let before = count()?;
    wait_for("the stop", ns(short.stop) + 100_000_000)?;
    let at_stop = count()?;
    wait_for("a while after the stop", ns(short.stop) + 1_500_000_000)?;
    let after = count()?;
    drop(pings);
    for role in ["control", "deliver"] {
        stage.probe.signal_role(&stage.network.probe, role, Signal::CONT)?;
    }
    log.check(
        "up to its stop it counts",
        before.0 > 0 && at_stop.0 > before.0,
        format!("{} to {}", before.0, at_stop.0),
    );
    let found = format!("{} and {}", at_stop.0, after.0);
    log.check("after its stop the kernel's count stands still", at_stop.0 == after.0, found);
    let found = format!("{} to {}", at_stop.1, after.1);
    log.check("another order of the same subscriber goes on", after.1 > at_stop.1, found);
    let truth = truth.stop()?;
    let counts = stage.probe.settled(&short)?;
    let on_tap = within(&truth, &short.targets, ns(short.start), stop_ns);
    let delivered = agency_packets(stage, &short, counts.delivered)?;
    let last = delivered.iter().map(|packet| packet.utc_ns).max();
    let late = last.is_some_and(|last| last >= ns(short.stop));
    log.check(
        "no packet from after the stop is with the agency",
        last.is_some() && !late,
        format!("last {}", moment(last)),
    );
    let comparison = hold_packets(&on_tap, &delivered, ns(short.start), stop_ns);
    log.check("what came while deliver stood still is delivered after all", comparison.holds(), comparison.to_string());
    log.tally(&short, counts, &comparison);
    Ok(())
}

fn moment(utc_ns: Option<u64>) -> String {
    let timestamp = utc_ns.and_then(|utc_ns| Timestamp::from_nanosecond(i128::from(utc_ns)).ok());
    timestamp.map_or_else(|| "never".into(), |timestamp| timestamp.to_string())
}

/// (7) One byte of the audit log changed: the record is named.
fn changed_audit_log_is_found(stage: &Stage, log: &mut Log<'_>) -> Result<(), LabError> {
    log.doing("a byte of the audit log is changed");
    let original = audit_log(stage);
    let mut bytes = fs::read(&original).map_err(LabError::io(original.display().to_string()))?;
    // The running log may end in a record that is being written: only whole records are copied.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(whole);
    let copy = stage.evidence.join("audit-copy.jsonl");
    fs::write(&copy, &bytes).map_err(LabError::io(copy.display().to_string()))?;
    let (verified, words) = stage.verify_audit(&copy)?;
    log.check("the audit log as it is verifies", verified, words);

    // A digit within the third record's time becomes another digit: still JSON, only not what was written.
    let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).nth(1);
    let digit = third.and_then(|third| {
        let time = third + bytes[third..].windows(8).position(|window| window.starts_with(b"\"time\""))?;
        let digit = bytes[time..].iter().position(u8::is_ascii_digit)?;
        Some(time + digit + 3)
    });
    let Some(byte) = digit.and_then(|digit| bytes.get_mut(digit)) else {
        log.check("the audit log has three records with a time", false, original.display().to_string());
        return Ok(());
    };
    *byte = if *byte == b'0' { b'1' } else { b'0' };
    let changed = stage.evidence.join("audit-changed.jsonl");
    fs::write(&changed, &bytes).map_err(LabError::io(changed.display().to_string()))?;
    let (verified, words) = stage.verify_audit(&changed)?;
    let named = words.contains("record 3");
    log.check("with one byte changed, verify names the record", !verified && named, words);
    Ok(())
}

/// Everything ends in an orderly way, and the tap has never sent a frame.
fn end(stage: &mut Stage, log: &mut Log<'_>) -> Result<(), LabError> {
    log.doing("the probe is stopped");
    let status = stage.probe.status()?;
    log.report.frames_on_the_tap = status["program"]["frames"].as_u64().unwrap_or_default();
    let violations = &status["capture"]["isolation_violations"];
    log.check("no packet was handed over that was no target's", *violations == 0, format!("{violations} violations"));
    let clean = stage.probe.stop()?;
    log.check("the probe ends in an orderly way", clean, "SIGTERM");
    stage.content_agency.stop()?;
    stage.header_agency.stop()?;
    let sent = stage.sent_by_tap.bytes_recorded()?;
    log.check("the tap port has sent not one frame", sent == 0, format!("{sent} bytes recorded at its peer"));
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().take(8).fold("sha256 ".to_owned(), |text, byte| format!("{text}{byte:02x}")) + "..."
}
