//! What the program counts, per CPU, in memory that user space maps: reading costs no system call, and what was
//! counted is still there after the process that loaded the program has died, for whoever holds the map.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Counters of one slot on one CPU. User space sums over the CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SlotCounters {
    /// Packets that the intercept is to get. Counted once also where both sides of the packet hit the slot.
    pub matched: u64,
    /// Their bytes on the wire, link layer included.
    pub matched_bytes: u64,
    /// Packets of a target that came before the start.
    pub early: u64,
    /// Packets of a target that came after the stop.
    pub expired: u64,
    /// References to an owner of the slot that is gone.
    pub stale: u64,
    /// Of `matched`: lost because no socket is bound to the queue.
    pub no_socket: u64,
    /// Of `matched`: destroyed because the cut or the header could not be made.
    pub cut_failed: u64,
    /// Packets of a target in a direction that the intercept does not want.
    pub other_direction: u64,
    /// Packets of a target that do not meet what it asks besides: VLAN, MAC address, kind of traffic.
    pub other_traffic: u64,
    /// Packets of a target of which cannot be known whether they are of the kind of traffic that is wanted: later fragments
    /// whose first was not seen or not taken, transport headers that are not whole. Not taken.
    pub unknown_traffic: u64,
    /// Always 0: an account fills two cache lines, so that no two CPUs share one.
    pub reserved: [u64; 6],
}

/// Counters of the whole program on one CPU, indexed by [`ProbeCounter`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ProbeCounters(pub [u64; ProbeCounters::PLACES]);

impl ProbeCounters {
    /// Room for counters to come; the size is part of the ABI.
    pub const PLACES: usize = 32;
}

macro_rules! probe_counters {
    ($($(#[$doc:meta])+ $name:ident = $label:literal),+ $(,)?) => {
        /// What [`ProbeCounters`] counts.
        ///
        /// Every frame is exactly one of hit, miss, not IP, too short, too deep in VLAN tags or in MPLS labels, of a
        /// bad version, or (on a mirror port) not a tunnel, a fragment of one, or a tunnel too deep. Of the hits, those go to user space that are not counted as destroyed: cut failed, no
        /// headroom, no socket, no port.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProbeCounter { $($(#[$doc])+ $name),+ }

        impl ProbeCounter {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that `status` and metrics use.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

probe_counters! {
    /// Frames that the program saw. Its place stays 0: every frame is counted once by what became of it, and the sum of those
    /// counters ([`ProbeCounter::OUTCOMES`]) is this one.
    Frames = "frames",
    /// Their bytes on the wire.
    Bytes = "bytes",
    /// Frames that a live intercept wants.
    Hits = "hits",
    /// IP packets of which no live intercept wants a copy: dropped or passed on.
    Misses = "misses",
    /// Frames that carry no IP in a form that is understood: dropped or passed on.
    NotIp = "not_ip",
    /// Frames that end before the base IP header does.
    TooShort = "too_short",
    /// More VLAN tags than are walked.
    VlanDepth = "vlan_depth",
    /// More MPLS labels than are walked, or labels again in an Ethernet frame that labels carry.
    MplsDepth = "mpls_depth",
    /// EtherType and IP version disagree.
    BadVersion = "bad_version",
    /// IPv4 header length or total length impossible; decided by the base header, cut behind it.
    BadIpHeader = "bad_ip_header",
    /// Of the hits: more IPv6 extension headers than are walked; cut behind the last one read.
    ExtensionDepth = "extension_depth",
    /// Of the hits: an IPv6 extension header that runs past the packet; cut before it.
    BadExtension = "bad_extension",
    /// Of the hits: fragments after the first, which have no transport header.
    LaterFragments = "later_fragments",
    /// Of the hits: a transport protocol whose header is not known.
    UnknownTransport = "unknown_transport",
    /// Of the hits: a transport header that is damaged or not wholly there.
    BadTransport = "bad_transport",
    /// On a mirror port: frames that are not of its tunnel: dropped or passed on.
    NotTunnel = "not_tunnel",
    /// On a mirror port: fragments of a tunnel's packets, which cannot be put together here.
    TunnelFragment = "tunnel_fragment",
    /// On a mirror port: more TZSP tags than are walked.
    TunnelDepth = "tunnel_depth",
    /// Of the misses: not looked into further. A packet within a packet within a packet, or one behind more extension
    /// headers than are walked.
    InnerDepth = "inner_depth",
    /// Of the hits: cut to their headers in the kernel.
    Cut = "cut",
    /// Of the hits: destroyed because the cut failed.
    CutFailed = "cut_failed",
    /// Of the hits: destroyed because there was no room for the FrameHeader.
    NoHeadroom = "no_headroom",
    /// Of the hits: destroyed because no socket is bound to the queue.
    NoSocket = "no_socket",
    /// Of the hits: destroyed because the interface is not in the port table.
    NoPort = "no_port",
    /// Look-ups of a MAC address or a VLAN of which not all intercepts found a place, because one side has more than eight
    /// of address, MAC address and VLAN together. Cannot be: warrants are refused before.
    Crowded = "crowded",
    /// Entries that were rewritten while they were read, and were looked up again.
    Torn = "torn",
}

impl ProbeCounter {
    /// What can become of a frame: each is counted by exactly one of these.
    pub const OUTCOMES: [Self; 10] = [
        Self::Hits,
        Self::Misses,
        Self::NotIp,
        Self::TooShort,
        Self::VlanDepth,
        Self::MplsDepth,
        Self::BadVersion,
        Self::NotTunnel,
        Self::TunnelFragment,
        Self::TunnelDepth,
    ];
}

const _: () = assert!(size_of::<SlotCounters>() == 128);
const _: () = assert!(ProbeCounter::ALL.len() <= ProbeCounters::PLACES);
const _: () = assert!(size_of::<ProbeCounters>() == 256);

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C), Copy, 'static, u64 only.
    unsafe impl aya::Pod for super::SlotCounters {}
    // SAFETY: repr(C), Copy, 'static, u64 only.
    unsafe impl aya::Pod for super::ProbeCounters {}
}
