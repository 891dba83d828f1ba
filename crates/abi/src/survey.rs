//! What the program of `writ tap survey` keeps: counters, and a little state of flows and packets under keyed digests. No
//! address and no byte of a packet is in any of it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Counters of a survey on one CPU, indexed by [`SurveyCounter`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SurveyCounters(pub [u64; SurveyCounters::PLACES]);

impl SurveyCounters {
    /// Room for counters to come; the size is part of the ABI.
    pub const PLACES: usize = 64;
}

macro_rules! survey_counters {
    ($($(#[$doc:meta])+ $name:ident = $label:literal),+ $(,)?) => {
        /// What [`SurveyCounters`] counts. Frames, unless it says otherwise.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SurveyCounter { $($(#[$doc])+ $name),+ }

        impl SurveyCounter {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that `writ tap survey --json` uses.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

survey_counters! {
    /// All.
    Frames = "frames",
    /// Their bytes on the wire, without the frame check sequence.
    Bytes = "bytes",
    /// Bytes of the longest; of several CPUs the greatest counts, not the sum.
    Longest = "longest",
    /// Of up to 127 bytes.
    UpTo127 = "up_to_127",
    /// Of 128 to 511 bytes.
    UpTo511 = "up_to_511",
    /// Of 512 to 1023 bytes.
    UpTo1023 = "up_to_1023",
    /// Of 1024 to 1526 bytes: an MTU of 1500 and three tags.
    UpTo1526 = "up_to_1526",
    /// Longer.
    Longer = "longer",
    /// With one VLAN tag.
    OneTag = "one_tag",
    /// With two.
    TwoTags = "two_tags",
    /// With three.
    ThreeTags = "three_tags",
    /// With more than are walked.
    MoreTags = "more_tags",
    /// Whose first tag is IEEE 802.1Q's (0x8100).
    CustomerTag = "tag_8100",
    /// Whose first tag is IEEE 802.1ad's (0x88a8).
    ServiceTag = "tag_88a8",
    /// Whose first tag is the older service tag (0x9100).
    OldServiceTag = "tag_9100",
    /// With MPLS labels.
    Mpls = "mpls",
    /// Of a PPPoE session.
    PppoeSession = "pppoe_session",
    /// IEEE 802.3 with an LLC header.
    Llc = "llc",
    /// With an IPv4 packet.
    Ipv4 = "ipv4",
    /// Bytes of these.
    Ipv4Bytes = "ipv4_bytes",
    /// With an IPv6 packet.
    Ipv6 = "ipv6",
    /// Bytes of these.
    Ipv6Bytes = "ipv6_bytes",
    /// Without IP.
    NotIp = "not_ip",
    /// Whose headers end before IP does, contradict each other or are deeper than is walked.
    Unreadable = "unreadable",
    /// Shorter than their IP packet.
    Truncated = "truncated",
    /// With a fragment, first or later.
    Fragments = "fragments",
    /// GRE with Ethernet or IP in it.
    Gre = "gre",
    /// ERSPAN.
    Erspan = "erspan",
    /// VXLAN.
    Vxlan = "vxlan",
    /// TZSP.
    Tzsp = "tzsp",
    /// TCP segments.
    TcpSegments = "tcp_segments",
    /// Of these, in flows of which the other direction was seen before.
    TcpSegmentsBoth = "tcp_segments_both",
    /// TCP flows of at least four segments.
    TcpFlows = "tcp_flows",
    /// Of these, seen in both directions.
    TcpFlowsBoth = "tcp_flows_both",
    /// Payload bytes of TCP in flows seen in both directions.
    TcpBytes = "tcp_bytes",
    /// Bytes that the far side acknowledged before they were seen.
    TcpUnseen = "tcp_unseen",
    /// Of these, seen after all.
    TcpLate = "tcp_late",
    /// Packets that tell themselves apart from all others, and so were held against those before them.
    Compared = "compared",
    /// Of these, seen before within 0.1 ms.
    DuplicateIn100us = "duplicate_in_100us",
    /// Seen before within 1 ms, but not 0.1.
    DuplicateIn1ms = "duplicate_in_1ms",
    /// Seen before within 10 ms, but not 1.
    DuplicateIn10ms = "duplicate_in_10ms",
    /// Seen before within 100 ms, but not 10.
    DuplicateIn100ms = "duplicate_in_100ms",
    /// Of the duplicates, with the same MAC addresses, as many tags and the same time to live.
    DuplicateSame = "duplicate_same",
    /// Of the duplicates, with another time to live: before and behind a router.
    DuplicateRouted = "duplicate_routed",
    /// RADIUS.
    Radius = "radius",
    /// DHCP for IPv4.
    DhcpV4 = "dhcpv4",
    /// DHCP for IPv6.
    DhcpV6 = "dhcpv6",
    /// PPPoE discovery.
    PppoeDiscovery = "pppoe_discovery",
    /// Diameter, by its port.
    Diameter = "diameter",
    /// L2TP.
    L2tp = "l2tp",
    /// GTP's control plane.
    GtpC = "gtp_c",
}

/// What is kept of a TCP flow, under the keyed digest of its two ends. Both directions find the same entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SurveyFlow {
    /// From the end with the greater digest, and to it.
    pub directions: [SurveyDirection; 2],
    /// Segments, of both directions.
    pub segments: u32,
    /// Whether it is counted as seen in both directions.
    pub counted_both: u32,
}

/// One direction of a TCP flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SurveyDirection {
    /// 0: nothing was seen of it.
    pub seen: u32,
    /// The sequence number behind the last byte seen or acknowledged.
    pub end: u32,
    /// Bytes before `end` that were not seen.
    pub missing: u32,
    /// The sequence number behind the last of these.
    pub missing_end: u32,
    /// Bytes before those that were not seen either, and are counted: the far side has acknowledged them.
    pub unseen: u32,
}

/// What is kept of the last packet whose digest has this place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SurveyedPacket {
    /// Keyed digest of what no router changes.
    pub digest: u64,
    /// When it was seen first: `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// Keyed digest of its MAC addresses and where its IP packet began.
    pub link: u32,
    /// Time to live, or hop limit.
    pub hops: u32,
}

const _: () = assert!(SurveyCounter::ALL.len() <= SurveyCounters::PLACES);
const _: () = assert!(size_of::<SurveyCounters>() == 512);
const _: () = assert!(size_of::<SurveyFlow>() == 48);
const _: () = assert!(size_of::<SurveyedPacket>() == 24);
