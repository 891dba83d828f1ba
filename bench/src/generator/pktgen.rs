//! pktgen, the kernel's packet generator, through its files under /proc/net/pktgen (the kernel's own
//! Documentation/networking/pktgen.rst). A kernel thread sends; the process only waits for it.
//!
//! pktgen counts destinations up within a range. So hits are made by the range: of a thousand addresses one is the
//! target's, or of a hundred, or of ten. It knows no other shares, no second target and no time of our clock.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Order, Sent};

const DIRECTORY: &str = "/proc/net/pktgen";
/// A range in which nobody is a target.
const BYSTANDERS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// Whether the kernel has it.
pub(super) fn check() -> Result<()> {
    ensure!(
        Path::new(DIRECTORY).exists(),
        "--generator pktgen: this kernel has no {DIRECTORY}; `modprobe pktgen`, or take --generator live"
    );
    Ok(())
}

pub(super) fn send(order: &Order, ended: &AtomicBool, begin: impl FnOnce() -> Result<()>) -> Result<Sent> {
    check()?;
    // A thread for each processor, named by its number.
    let cpu = rustix::thread::sched_getcpu();
    let thread = PathBuf::from(DIRECTORY).join(format!("kpktgend_{cpu}"));
    let device = format!("{}@{cpu}", order.interface);
    tell(&thread, "rem_device_all")?;
    tell(&thread, &format!("add_device {device}"))?;
    let file = PathBuf::from(DIRECTORY).join(&device);
    for command in commands(order)? {
        tell(&file, &command)?;
    }
    begin()?;
    // Returns when all threads have sent their count, or after a signal, which stops them.
    let started = tell(&PathBuf::from(DIRECTORY).join("pgctrl"), "start");
    let said = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    if !ended.load(Ordering::Relaxed) {
        started?;
    }
    tell(&thread, "rem_device_all")?;
    result(&said)
}

/// One command. The file's answer is in what it says afterwards, and in the error of the write.
fn tell(file: &Path, command: &str) -> Result<()> {
    fs::write(file, format!("{command}\n")).with_context(|| format!("{}: {command}", file.display()))
}

/// What the device is told.
fn commands(order: &Order) -> Result<Vec<String>> {
    ensure!(!order.stamp, "pktgen's frames carry no time of our clock; take --generator live");
    ensure!(order.targets == 1, "pktgen sends to one target; take --generator live");
    let range = match order.hits {
        0 => None,
        hits if 1000 % hits == 0 => Some(1000 / hits),
        hits => bail!("pktgen cannot make {hits} of a thousand frames hits; take --generator live"),
    };
    let (lowest, count) = range.map_or((BYSTANDERS, 1 << 16), |count| (order.first, count));
    let highest = Ipv4Addr::from_bits(lowest.to_bits().saturating_add(count - 1));
    let mut commands = vec![
        format!("count {}", order.at_most),
        "delay 0".into(),
        "clone_skb 0".into(),
        "flag NO_TIMESTAMP".into(),
        "flag IPSRC_RND".into(),
        "src_min 10.0.0.0".into(),
        "src_max 10.255.255.255".into(),
        format!("dst_min {lowest}"),
        format!("dst_max {highest}"),
        "dst_mac 02:00:00:00:00:02".into(),
    ];
    match order.length {
        Some(length) => commands.push(format!("pkt_size {length}")),
        None => commands.push("imix_weights 60,7 594,4 1514,1".into()),
    }
    Ok(commands)
}

/// From "Result: OK: 10000135(c9998923+d1212) usec, 60000000 (60byte,0frags)" and "pkts-sofar: 60000000  errors: 0".
fn result(said: &str) -> Result<Sent> {
    let word_behind = |label: &str| {
        let rest = said.split_once(label).map(|(_, rest)| rest.trim_start());
        let digits = rest.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
        digits.and_then(|digits| digits.parse::<u64>().ok())
    };
    let (frames, micros) = (word_behind("pkts-sofar:"), word_behind("Result: OK:"));
    let (Some(frames), Some(micros)) = (frames, micros) else { bail!("pktgen says no result: {said}") };
    Ok(Sent { frames, seconds: micros as f64 / 1e6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Kind;

    fn order(hits: u32) -> Order {
        Order {
            kind: Kind::Pktgen,
            interface: "to-tap".into(),
            length: Some(60),
            hits,
            first: Ipv4Addr::new(192, 0, 2, 10),
            targets: 1,
            stamp: false,
            cpu: 0,
            second: false,
            at_most: 1000,
        }
    }

    #[test]
    fn one_of_so_many_addresses_is_the_target() {
        for (hits, highest) in [(1000, "192.0.2.10"), (100, "192.0.2.19"), (10, "192.0.2.109"), (1, "192.0.5.241")] {
            let commands = commands(&order(hits)).unwrap();
            assert!(commands.contains(&"dst_min 192.0.2.10".to_owned()), "{hits}: {commands:?}");
            assert!(commands.contains(&format!("dst_max {highest}")), "{hits}: {commands:?}");
        }
        assert!(commands(&order(0)).unwrap().contains(&"dst_min 100.64.0.0".to_owned()));
        commands(&order(7)).unwrap_err();
    }

    #[test]
    fn what_it_cannot_send_is_refused() {
        commands(&Order { stamp: true, ..order(10) }).unwrap_err();
        commands(&Order { targets: 2, ..order(10) }).unwrap_err();
    }

    #[test]
    fn its_result_is_read() {
        let said = "Params: count 1000  min_pkt_size: 60\nCurrent:\n     pkts-sofar: 61000000  errors: 12\n     \
                    started: 1us  stopped: 2us\nResult: OK: 10000135(c9998923+d1212) usec, 61000000 (60byte,0frags)\n";
        let sent = result(said).unwrap();
        assert_eq!((sent.frames, sent.seconds), (61_000_000, 10.000_135));
        result("Result: Idle\n").unwrap_err();
    }
}
