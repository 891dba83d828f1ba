//! How soon what takes less is in the kernel: from the moment at which a request goes out on the control socket to the
//! sending of the first packet that is not taken any more. Beside it a bare round trip on the same socket.
//!
//! Frames go out one by one and none is lost, so as many as the kernel took were the first ones.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use writ_capture::boot_now_ns;
use writ_lab::documents::{self, Order};
use writ_lab::{FrameSender, until};
use writ_probe::ipc::{NamedSignature, Reply, Request, ask};

use crate::bed::{Bed, Layout, Subject};
use crate::report::{Row, Section, Target, part_of};
use crate::{Effort, frame};

/// This part of the bench.
pub const PART: &str = "orders";

/// How often each is done, for each round of the whole way.
const TIMES: u32 = 6;
/// Between two frames.
const PACE: Duration = Duration::from_micros(100);
/// How long frames come before the request, and after its answer.
const AROUND: Duration = Duration::from_millis(50);
/// What takes less has to be in the kernel within this, in milliseconds.
const LIMIT: f64 = 100.0;

/// Something that takes less.
#[derive(Clone, Copy)]
enum Less {
    Revocation,
    Narrowing,
}

/// Measures; `directory` is an empty directory for the probe's files.
pub fn measure(subject: &Subject, directory: &Path, effort: Effort, doing: &mut dyn FnMut(&str)) -> Result<Section> {
    crate::keep_user_space_off(1)?;
    let title = "From a request on the control socket to the first packet that is not taken, milliseconds";
    let mut section = Section::new(PART, title, ["p50", "most", "times"]);
    let mut bed = Bed::build(subject, directory, Layout::PLAIN)?;
    let times = effort.repeats * TIMES;
    doing("orders, a bare round trip");
    let bare = (0..times).map(|_| bare(&bed)).collect::<Result<Vec<_>>>()?;
    section.rows.push(row("reference: a bare round trip (`status`)", &bare));
    let reference = part_of(bare.iter().copied(), 0.5);
    for (name, less) in [("revocation", Less::Revocation), ("narrowing", Less::Narrowing)] {
        doing(&format!("orders, {name}"));
        let taken = (0..times).map(|time| taken_for(&mut bed, less, time)).collect::<Result<Vec<_>>>()?;
        let ratio = part_of(taken.iter().copied(), 0.5).zip(reference).map(|(taken, bare)| taken / bare);
        section.rows.push(row(name, &taken).beside("a bare round trip, p50", ratio, None));
        let most = taken.iter().copied().fold(0.0, f64::max);
        let within = Row::new(format!("{name}, the longest"), [None, Some(most), None]);
        section.rows.push(within.beside(format!("{LIMIT} ms"), Some(most / LIMIT), Some(Target::AtMost(1.0))));
    }
    bed.take_down()?;
    Ok(section)
}

fn row(name: &str, times: &[f64]) -> Row {
    let most = times.iter().copied().reduce(f64::max);
    Row::new(name, [part_of(times.iter().copied(), 0.5), most, Some(times.len() as f64)])
}

fn bare(bed: &Bed) -> Result<f64> {
    let begun = Instant::now();
    let Reply::Status(_) = ask(&bed.path("run/control.sock"), &Request::Status)? else {
        return Err(anyhow!("no status"));
    };
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds from the request to the sending of the first packet that was not taken.
fn taken_for(bed: &mut Bed, less: Less, time: u32) -> Result<f64> {
    let [_, _, high, low] = time.to_be_bytes();
    let [stays, goes] = [Ipv4Addr::new(10, 77, high, low), Ipv4Addr::new(10, 78, high, low)];
    let order = bed.order([stays, goes].map(|it| IpAddr::from(it).into()).to_vec(), 1)?;
    let request = request(bed, less, &order, stays)?;
    let matched = |bed: &Bed| bed.probe().counts(&order).map(|counts| counts.matched);
    let stop = AtomicBool::new(false);
    let (sent, asked) = scope(|scope| {
        let sending = scope.spawn(|| send(bed, goes, &stop));
        let asked = (|| -> Result<u64> {
            until("the first packet to be taken", Duration::from_secs(10), || Ok((matched(bed)? > 0).then_some(())))?;
            sleep(AROUND);
            let asked = boot_now_ns();
            let reply = ask(&bed.path("run/control.sock"), &request)?;
            ensure!(matches!(reply, Reply::Revoked { .. } | Reply::Submitted { .. }), "it is not taken: {reply:?}");
            sleep(AROUND);
            Ok(asked)
        })();
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().map_err(|_| anyhow!("the sender panicked"));
        Ok::<_, anyhow::Error>((sent??, asked?))
    })?;
    let taken = usize::try_from(bed.probe().settled(&order)?.matched)?;
    let first_not_taken = *sent.get(taken).context("every packet was taken")?;
    ensure!(first_not_taken > asked, "packets were lost before the request");
    Ok((first_not_taken - asked) as f64 / 1e6)
}

/// The request, with its document drafted and signed before the clock runs.
fn request(bed: &Bed, less: Less, order: &Order, stays: Ipv4Addr) -> Result<Request> {
    let [ada, _] = bed.officers();
    let (path, namespace) = match less {
        Less::Revocation => {
            let drafted = bed.probe().draft_revocation(order)?;
            (drafted.map_err(|answer| anyhow!(answer.words))?, "writ-revoke")
        }
        Less::Narrowing => {
            let path = bed.path(&format!("{}.toml", order.case_id));
            let before = fs::read(&path)?;
            let narrower = Order { targets: vec![IpAddr::from(stays).into()], ..order.clone() };
            let text = narrower.warrant(&bed.probe().head()?)?;
            documents::write(&path, &documents::amendment(&text, 2, &before))?;
            (path, "writ-amend")
        }
    };
    let signature = ada.sign(&path, namespace)?;
    let (file, document) = (path.display().to_string(), fs::read_to_string(&path)?);
    let text = fs::read_to_string(&signature)?;
    let signatures = vec![NamedSignature { file: signature.display().to_string(), text }];
    Ok(match less {
        Less::Revocation => Request::WarrantRevoke { file, document, signatures },
        Less::Narrowing => Request::WarrantSubmit { file, document, signatures },
    })
}

/// Sends one frame after the other; gives when each went out, by boot time.
fn send(bed: &Bed, to: Ipv4Addr, stop: &AtomicBool) -> Result<Vec<u64>> {
    let mut sender = FrameSender::open(&bed.sender, Bed::towards_tap())?;
    let frame = frame::udp_v4([10, 0, 0, 1].into(), to, 60);
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        sent.push(boot_now_ns());
        sender.send(&frame)?;
        sleep(PACE);
    }
    Ok(sent)
}
