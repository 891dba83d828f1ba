//! The XDP programs of the bench (`bench/ebpf`), loaded.

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};

/// The object, built from source with this crate.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp.o"));

/// Drops everything.
pub(crate) const DROP: &str = "bench_drop";
/// Passes everything on to the network stack.
pub(crate) const PASS: &str = "bench_pass";
/// Reads the addresses and drops.
pub(crate) const PARSE: &str = "bench_parse";
/// Makes room for a FrameHeader and drops.
pub(crate) const SHIFT: &str = "bench_shift";
/// Runs another program over one frame again and again.
pub(crate) const ENTRY: &str = "bench_entry";
/// Makes traffic.
pub(crate) const GENERATE: &str = "bench_generate";

/// What is set before the programs are loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Globals {
    /// Length of the frame that [`ENTRY`] gets.
    pub(crate) length: u32,
    /// Of a hundred frames of [`GENERATE`], so many go to the target.
    pub(crate) hits: u32,
    /// The target's address, as it stands in the packet.
    pub(crate) target: [u8; 4],
}

/// Loads the object and these of its programs.
pub(crate) fn load(globals: Globals, programs: &[&str]) -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new()
        .override_global("BENCH_LENGTH", &globals.length, true)
        .override_global("BENCH_HITS", &globals.hits, true)
        .override_global("BENCH_TARGET", &globals.target, true)
        .load(OBJECT)
        .context("the bench's eBPF object does not load (root?)")?;
    for name in programs {
        program_mut(&mut ebpf, name)?.load().with_context(|| format!("the kernel refuses {name}"))?;
    }
    Ok(ebpf)
}

/// A program of the object.
pub(crate) fn program<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

/// A program of the object, to be loaded or attached.
pub(crate) fn program_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
