//! What the program says of a frame that it hands over: put in front of the frame, in place of metadata, which is not
//! reachable from every AF_XDP library.

use crate::key::{SLOTS_PER_ADDRESS, SlotRef};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many IPv6 extension headers of one packet can be blanked. A packet with more is cut before the one too many.
pub const MAX_OPTION_SPANS: usize = 4;

/// A stretch of the frame that holds what an IPv6 extension header can carry of anything: options (hop-by-hop,
/// destination) and the messages of mobility, host identity and shim6. Content to a headers-only intercept, which sees
/// it zeroed. The two bytes that lead the extension header (next header, length) are outside it. Options that are
/// zeroed read as so many Pad1 options.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OptionSpan {
    /// From the first byte of the frame.
    pub offset: u16,
    /// In bytes; 0: unused.
    pub length: u16,
}

/// Precedes every frame in the ring. All offsets count from the first byte of the frame, behind this header.
///
/// A headers-only intercept is entitled to `frame[ip_offset..header_end]` with every [`OptionSpan`] zeroed; any other
/// to `frame[ip_offset..ip_end]`. If only headers-only intercepts hit, the kernel has already made it so, and
/// `header_end` is the frame's end. User space applies the same two numbers and never walks the headers again.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FrameHeader {
    /// [`ABI_VERSION`](crate::ABI_VERSION) of the program.
    pub abi: u16,
    /// Where the Ethernet header starts whose tags and MAC addresses count: the one directly in front of the packet;
    /// [`FrameHeader::NO_LINK`] where a mirror has sent the bare packet.
    pub link_offset: u16,
    /// [`FrameFlags`].
    pub flags: u32,
    /// When the program saw the frame: `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// Running number of the hits of this queue, from 0. A gap is a loss between the program and the reader.
    pub number: u64,
    /// Length of the frame on the wire, before any cut.
    pub wire_length: u32,
    /// Interface it came in on.
    pub ifindex: u32,
    /// Where the IP header starts.
    pub ip_offset: u16,
    /// Where the IP packet ends: the length in its header, bounded by the frame as it came in. Ethernet padding lies
    /// behind it. In a frame that is [`FrameFlags::CUT`] this is still the whole packet's, behind the frame's end.
    pub ip_end: u16,
    /// Where the headers end: behind the transport header, or where walking it had to stop.
    pub header_end: u16,
    /// Where the transport header starts; 0 unless [`FrameFlags::TRANSPORT`] is set.
    pub transport_offset: u16,
    /// Transport protocol: the last next-header value read.
    pub protocol: u8,
    /// Bit i: `source[i]` wants this packet (in force, direction wanted).
    pub source_live: u8,
    /// Bit i: `destination[i]` wants this packet.
    pub destination_live: u8,
    /// Bit i: `source[i]` was found by the VLAN, which says nothing of who sends: the direction is not known.
    pub undirected: u8,
    /// Receive queue.
    pub queue: u32,
    /// The intercepts of the source: of its address, then of its MAC address, then of the VLAN. The same slot can be there
    /// several times.
    pub source: [SlotRef; SLOTS_PER_ADDRESS],
    /// The intercepts of the destination: of its address, then of its MAC address.
    pub destination: [SlotRef; SLOTS_PER_ADDRESS],
    /// Option headers to blank for headers-only intercepts.
    pub options: [OptionSpan; MAX_OPTION_SPANS],
}

/// Bits of [`FrameHeader::flags`].
pub struct FrameFlags;

impl FrameFlags {
    /// The packet is IPv6 (else IPv4).
    pub const IPV6: u32 = 1;
    /// Cut to its headers, options zeroed: every live intercept is headers-only.
    pub const CUT: u32 = 2;
    /// A TCP, UDP, SCTP or ICMP header was read whole: `transport_offset` and the ports are good.
    pub const TRANSPORT: u32 = 4;
    /// A fragment, first or later. (An IPv6 packet that is whole behind its fragment header is none.)
    pub const FRAGMENT: u32 = 8;
    /// The packet was found within another packet, which is nobody's: `ip_offset` is the inner one's.
    pub const INNER: u32 = 16;
    /// The frame was found within another, which a mirror has sent here: all offsets still count from the outer's start.
    pub const MIRRORED: u32 = 32;
}

impl FrameHeader {
    /// Bytes that the program puts in front of a frame.
    pub const SIZE: usize = size_of::<Self>();

    /// In [`FrameHeader::link_offset`]: the packet has no Ethernet header of its own, and so no MAC address and no VLAN.
    pub const NO_LINK: u16 = u16::MAX;
}

// XDP gives 256 bytes of headroom, of which the kernel keeps 40 for its xdp_frame; some drivers leave 192 in all.
const _: () = assert!(size_of::<FrameHeader>() == 128);
const _: () = assert!(size_of::<OptionSpan>() == 4);

#[cfg(feature = "user")]
// SAFETY: repr(C), Copy, 'static, integers without padding (size asserted above).
unsafe impl aya::Pod for FrameHeader {}
