//! The interfaces that the program is attached to.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An interface that the program is attached to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Port {
    /// Place of the interface's queue 0 in the socket map; its other queues follow.
    pub first_socket: u32,
    /// How many queues have a socket.
    pub queues: u32,
    /// [`Tunnel`]. Read by the programs for mirror ports only.
    pub tunnel: u32,
}

/// In what a mirror wraps the frames that it sends to the probe.
pub struct Tunnel;

impl Tunnel {
    /// In nothing: the frames are on the wire as they are.
    pub const NONE: u32 = 0;
    /// GRE with Ethernet, IPv4 or IPv6 in it (RFC 2784, 2890).
    pub const GRE: u32 = 1;
    /// ERSPAN type I, II or III, over GRE.
    pub const ERSPAN: u32 = 2;
    /// VXLAN over UDP port 4789 (RFC 7348).
    pub const VXLAN: u32 = 3;
    /// TZSP over UDP port 37008, with Ethernet in it.
    pub const TZSP: u32 = 4;
}

const _: () = assert!(size_of::<Port>() == 12);

#[cfg(feature = "user")]
// SAFETY: repr(C), Copy, 'static, u32 without padding (size asserted above).
unsafe impl aya::Pod for Port {}
