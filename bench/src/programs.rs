//! The XDP programs of the bench (`bench/ebpf`), loaded.

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};

/// The object, built from source with this crate.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp.o"));

/// The probe's own object, but for its filter: the tables are asked about every address.
pub(crate) static WITHOUT_FILTER: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/writ-xdp-no-filter.o"));

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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Globals {
    /// Length of the frame that [`ENTRY`] gets.
    pub(crate) length: u32,
    /// Of a thousand frames of [`GENERATE`], so many go to a target.
    pub(crate) hits: u32,
    /// The first target's address as a number.
    pub(crate) first: u32,
    /// How many targets follow each other.
    pub(crate) targets: u32,
    /// Whether lengths are mixed.
    pub(crate) imix: bool,
    /// Whether hits carry the time of sending.
    pub(crate) stamp: bool,
}

/// Loads the object and these of its programs.
pub(crate) fn load(globals: Globals, programs: &[&str]) -> Result<Ebpf> {
    let (imix, stamp) = (u32::from(globals.imix), u32::from(globals.stamp));
    let mut ebpf = EbpfLoader::new()
        .override_global("BENCH_LENGTH", &globals.length, true)
        .override_global("BENCH_HITS", &globals.hits, true)
        .override_global("BENCH_FIRST", &globals.first, true)
        .override_global("BENCH_TARGETS", &globals.targets, true)
        .override_global("BENCH_IMIX", &imix, true)
        .override_global("BENCH_STAMP", &stamp, true)
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
