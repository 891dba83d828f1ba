//! The maps that the program and user space share. User space finds them by the names in [`writ_abi::maps`], sets
//! their sizes at load from the configuration (the sizes here are for a single small order), and maps those marked
//! mmapable into its memory.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, XskMap};
use writ_abi::{
    Condition, FragmentEntry, FragmentKey, Front, MacEntry, MacKey, Port, PrefixEntry4, PrefixEntry6, PrefixKey4,
    PrefixKey6, ProbeCounters, SlotCounters, SlotPolicy, VlanEntry, VlanMatch,
};

use crate::scratch::Scratch;

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

#[map]
pub static WRIT_LENGTHS: Array<Front> = Array::with_max_entries(1, MMAPABLE);

#[map]
pub static WRIT_FILTER: Array<u64> = Array::with_max_entries(512, MMAPABLE);

#[map]
pub static WRIT_PREFIX4: HashMap<PrefixKey4, PrefixEntry4> = HashMap::with_max_entries(64, 0);

#[map]
pub static WRIT_PREFIX6: HashMap<PrefixKey6, PrefixEntry6> = HashMap::with_max_entries(64, 0);

#[map]
pub static WRIT_MACS: HashMap<MacKey, MacEntry> = HashMap::with_max_entries(16, 0);

#[map]
pub static WRIT_VLANS: HashMap<VlanMatch, VlanEntry> = HashMap::with_max_entries(16, 0);

#[map]
pub static WRIT_CONDITIONS: Array<Condition> = Array::with_max_entries(16, 0);

#[map]
pub static WRIT_FRAGMENTS: LruHashMap<FragmentKey, FragmentEntry> = LruHashMap::with_max_entries(64, 0);

#[map]
pub static WRIT_SLOTS: Array<SlotPolicy> = Array::with_max_entries(16, MMAPABLE);

#[map]
pub static WRIT_SLOTCNT: Array<SlotCounters> = Array::with_max_entries(16, MMAPABLE);

#[map]
pub static WRIT_PROBECNT: Array<ProbeCounters> = Array::with_max_entries(1, MMAPABLE);

#[map]
pub static WRIT_PORTS: HashMap<u32, Port> = HashMap::with_max_entries(16, 0);

#[map]
pub static WRIT_SOCKETS: XskMap = XskMap::with_max_entries(16, 0);

#[map]
pub static WRIT_QUEUENO: Array<u64> = Array::with_max_entries(16, 0);

#[map]
pub static WRIT_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Zeros to blank options with; nobody writes to it. (A constant would do, but until 2026 the kernel declared the source
/// of `bpf_xdp_store_bytes` as memory that the helper writes, and so refused constants.)
#[map]
pub static WRIT_ZEROS: Array<[u8; Scratch::LONGEST_OPTIONS]> = Array::with_max_entries(1, 0);

/// How many CPUs the counters are laid out for; set at load.
#[unsafe(no_mangle)]
static WRIT_CPUS: u32 = 1;

/// Whether a packet within a packet is looked up; set at load.
#[unsafe(no_mangle)]
static WRIT_LOOK_INSIDE: u32 = 0;

/// [`WRIT_LOOK_INSIDE`], as it is at run time. The kernel knows it when it verifies the program, and removes what is not
/// wanted.
#[inline(always)]
pub fn look_inside() -> bool {
    // SAFETY: a reference to a static is good for a read.
    unsafe { core::ptr::read_volatile(&raw const WRIT_LOOK_INSIDE) != 0 }
}

/// [`WRIT_CPUS`], as it is at run time and not as the compiler sees it.
#[inline(always)]
pub fn cpus() -> u32 {
    // SAFETY: a reference to a static is good for a read.
    unsafe { core::ptr::read_volatile(&raw const WRIT_CPUS) }
}
