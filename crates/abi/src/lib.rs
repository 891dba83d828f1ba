//! The border between the kernel and user space: every type that crosses it, and nothing else.
//!
//! `probe-ebpf` writes these types, `crates/capture` reads them, and the other way round for policies and keys. Both
//! halves are compiled from this one source, so a layout or a key can only change on both sides at once; halves that
//! were built from different versions of it refuse each other by [`ABI_VERSION`].
#![no_std]

mod claim;
mod condition;
mod counters;
mod filter;
mod frame;
mod key;
mod link;
mod policy;
mod port;
mod survey;

pub use claim::Claim;
#[cfg(feature = "selector")]
pub use claim::Selector;
pub use condition::{
    Condition, ConditionFlags, FragmentEntry, FragmentKey, MOST_TRAFFIC_RULES, PortSide, TooManyRules, TrafficRule,
};
pub use counters::{ProbeCounter, ProbeCounters, SlotCounters};
pub use filter::{FilterMark, Front, MOST_LENGTHS, PrefixLengths};
pub use frame::{FrameFlags, FrameHeader, MAX_OPTION_SPANS, OptionSpan};
pub use key::{
    Intercepts, NO_SLOT, Prefix4, Prefix6, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6, SLOTS_PER_ADDRESS,
    SlotRef,
};
pub use link::{LinkTargets, MacAddress, MacEntry, MacKey, VlanEntry, VlanMatch};
pub use policy::{PolicyFlags, SlotPolicy};
pub use port::{Port, Tunnel};
pub use survey::{SurveyCounter, SurveyCounters, SurveyDirection, SurveyFlow, SurveyedPacket};

/// Version of everything in this crate. Raised with any change of a layout, a map, a name or a meaning.
///
/// The eBPF object carries it in its section [`ABI_SECTION`] (little-endian `u16`), and in every [`FrameHeader`].
pub const ABI_VERSION: u16 = 5;

/// ELF section of the eBPF object that holds [`ABI_VERSION`].
pub const ABI_SECTION: &str = "writ_abi";

/// The program for a tap port: a frame that hits no target is dropped.
pub const PROGRAM_DROP: &str = "writ_drop";
/// The program for a shared port: a frame that hits no target goes on to the host's network stack.
pub const PROGRAM_PASS: &str = "writ_pass";
/// The program for a port that mirrors send to in tunnels: what is no such tunnel is dropped.
pub const PROGRAM_TUNNEL_DROP: &str = "writ_tun_drop";
/// The same, on a port that the host uses too: what is no such tunnel goes on to the host's network stack.
pub const PROGRAM_TUNNEL_PASS: &str = "writ_tun_pass";
/// [`PROGRAM_DROP`] for a port with jumbo frames: the kernel gives it frames of several buffers too. So are the next three.
pub const PROGRAM_JUMBO_DROP: &str = "writ_jumbo_drop";
/// [`PROGRAM_PASS`] for a port with jumbo frames.
pub const PROGRAM_JUMBO_PASS: &str = "writ_jumbo_pass";
/// [`PROGRAM_TUNNEL_DROP`] for a port with jumbo frames.
pub const PROGRAM_JUMBO_TUNNEL_DROP: &str = "writ_jtun_drop";
/// [`PROGRAM_TUNNEL_PASS`] for a port with jumbo frames.
pub const PROGRAM_JUMBO_TUNNEL_PASS: &str = "writ_jtun_pass";
/// The program of `writ tap survey` for a tap port: counts, and drops every frame.
pub const PROGRAM_SURVEY_DROP: &str = "writ_srv_drop";
/// The same for a shared port: every frame goes on to the host's network stack.
pub const PROGRAM_SURVEY_PASS: &str = "writ_srv_pass";

/// Names of the maps in the eBPF object (at most 15 characters: the kernel keeps no more).
pub mod maps {
    /// Array of one, mmapable: [`Front`](crate::Front), what is read before any table.
    pub const PREFIX_LENGTHS: &str = "WRIT_LENGTHS";
    /// Array, mmapable: the words of the filter, as many as a power of two; see [`FilterMark`](crate::FilterMark). Not in use
    /// while it is so small that it is part of [`Front`](crate::Front).
    pub const FILTER: &str = "WRIT_FILTER";
    /// Hash: [`PrefixKey4`](crate::PrefixKey4) to [`PrefixEntry4`](crate::PrefixEntry4).
    pub const PREFIXES_V4: &str = "WRIT_PREFIX4";
    /// Hash: [`PrefixKey6`](crate::PrefixKey6) to [`PrefixEntry6`](crate::PrefixEntry6).
    pub const PREFIXES_V6: &str = "WRIT_PREFIX6";
    /// Hash: [`MacKey`](crate::MacKey) to [`MacEntry`](crate::MacEntry).
    pub const MACS: &str = "WRIT_MACS";
    /// Hash: [`VlanMatch`](crate::VlanMatch) to [`VlanEntry`](crate::VlanEntry).
    pub const VLANS: &str = "WRIT_VLANS";
    /// Array: [`Condition`](crate::Condition), from row 1.
    pub const CONDITIONS: &str = "WRIT_CONDITIONS";
    /// LRU hash: [`FragmentKey`](crate::FragmentKey) to [`FragmentEntry`](crate::FragmentEntry).
    pub const FRAGMENTS: &str = "WRIT_FRAGMENTS";
    /// Array, mmapable, indexed by slot: [`SlotPolicy`](crate::SlotPolicy).
    pub const SLOTS: &str = "WRIT_SLOTS";
    /// Array, mmapable, indexed by `slot * cpus + cpu`: [`SlotCounters`](crate::SlotCounters).
    pub const SLOT_COUNTERS: &str = "WRIT_SLOTCNT";
    /// Array, mmapable, indexed by cpu: [`ProbeCounters`](crate::ProbeCounters).
    pub const PROBE_COUNTERS: &str = "WRIT_PROBECNT";
    /// Hash: interface index (`u32`) to [`Port`](crate::Port).
    pub const PORTS: &str = "WRIT_PORTS";
    /// XSKMAP: one AF_XDP socket per queue and interface, at `Port::first_socket + rx_queue_index`.
    pub const SOCKETS: &str = "WRIT_SOCKETS";
    /// Array indexed like [`SOCKETS`]: `u64`, the running number of the next hit frame of that queue.
    pub const QUEUE_NUMBERS: &str = "WRIT_QUEUENO";
    /// Per-CPU array of one: the program's own memory. User space leaves it alone.
    pub const SCRATCH: &str = "WRIT_SCRATCH";
    /// The object's read-only global: how many CPUs [`SLOT_COUNTERS`] and [`PROBE_COUNTERS`] are laid out for (`u32`).
    pub const CPUS: &str = "WRIT_CPUS";
    /// The object's read-only global: whether a packet within a packet is looked up where the outer is nobody's (`u32`).
    pub const LOOK_INSIDE: &str = "WRIT_LOOK_INSIDE";
    /// Array, mmapable, indexed by cpu: [`SurveyCounters`](crate::SurveyCounters). This and the next three are of a
    /// survey's program; for capture they are as small as they can be.
    pub const SURVEY_COUNTERS: &str = "WRIT_SRVCNT";
    /// LRU hash: keyed digest (`u64`) to [`SurveyFlow`](crate::SurveyFlow).
    pub const SURVEY_FLOWS: &str = "WRIT_SRVFLOWS";
    /// Array, indexed by the low bits of the digest: [`SurveyedPacket`](crate::SurveyedPacket).
    pub const SURVEYED_PACKETS: &str = "WRIT_SRVPACKETS";
    /// The object's read-only global: the key of a survey's digests (`[u64; 2]`).
    pub const SURVEY_KEY: &str = "WRIT_SURVEY_KEY";
    /// The object's read-only global: how many places [`SURVEYED_PACKETS`] has, less one; a power of two less one (`u32`).
    pub const SURVEY_LAST: &str = "WRIT_SURVEY_LAST";
}
