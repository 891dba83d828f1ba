//! Live frames: one system call for a whole run (`BPF_F_TEST_XDP_LIVE_FRAMES`). Every such call costs some 15 ms before
//! the first frame, so there is one with a huge count, and a signal ends it.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use aya::maps::Array;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, XdpMode};

use super::{Order, Sent};
use crate::frame;
use crate::programs::{self, Globals};

/// Frames that go out at once; the kernel's own default.
const BATCH: u32 = 64;
/// The longest frame of the mix; as in `bench/ebpf`.
const LONGEST: usize = 1514;

pub(super) fn send(order: &Order, ended: &AtomicBool, begin: impl FnOnce() -> Result<()>) -> Result<Sent> {
    let globals = Globals {
        length: 0,
        hits: order.hits,
        first: order.first.to_bits(),
        targets: order.targets,
        imix: order.length.is_none(),
        stamp: order.stamp,
    };
    let mut ebpf = programs::load(globals, &[programs::PASS, programs::GENERATE])?;
    // The kernel makes frames only for a queue that XDP is set up for.
    if !order.second {
        let attached = programs::program_mut(&mut ebpf, programs::PASS)?.attach(&order.interface, XdpMode::Driver);
        attached.with_context(|| format!("XDP on {}", order.interface))?;
    }
    let index = format!("/sys/class/net/{}/ifindex", order.interface);
    let index: u32 = std::fs::read_to_string(&index).context(index)?.trim().parse()?;

    // The addresses are the program's to set.
    let frame = frame::udp_v4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, order.length.unwrap_or(LONGEST));
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context: Vec<u8> =
        [0, u32::try_from(frame.len())?, 0, index, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let options = TestRunOptions {
        data_in: Some(&frame),
        ctx_in: Some(&context),
        repeat: order.at_most,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::default()
    };
    begin()?;
    let begun = Instant::now();
    let result = programs::program(&ebpf, programs::GENERATE)?.test_run(options);
    let seconds = begun.elapsed().as_secs_f64();
    // A signal makes it an interrupted system call; what was sent is in the map.
    if let Err(error) = result
        && !ended.load(Ordering::Relaxed)
    {
        return Err(error).context("the kernel does not send live frames (Linux 5.18 or later does)");
    }
    let sent = Array::<_, u64>::try_from(ebpf.map("BENCH_SENT").context("no map BENCH_SENT")?)?;
    Ok(Sent { frames: sent.get(&0, 0)?, seconds })
}
