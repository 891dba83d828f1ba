//! What an intercept may take, as the kernel sees it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The policy of a slot: one intercept in force.
///
/// The slot table is memory shared with user space, so that a revocation is one store and not a request. The order of
/// stores is: to arm, everything else first and `stop_ns` last; to stop, `stop_ns = 0` and nothing before it. Where an owner
/// gets other terms, the policy goes by way of [`SlotPolicy::meet`], so that any mixture of fields is within one of the two.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SlotPolicy {
    /// First moment at which a packet may be taken: `CLOCK_BOOTTIME`, nanoseconds.
    pub start_ns: u64,
    /// First moment at which none may be taken any more: `CLOCK_BOOTTIME`, nanoseconds. 0: the slot is not in force.
    pub stop_ns: u64,
    /// [`PolicyFlags`].
    pub flags: u32,
    /// Which of the slot's owners this is; a [`SlotRef`](crate::SlotRef) must agree.
    pub generation: u16,
    /// Always 0.
    pub reserved: u16,
}

impl SlotPolicy {
    /// What both of two policies of one owner allow: nothing that either does not, and all that both do.
    #[must_use]
    pub const fn meet(&self, other: &Self) -> Self {
        let directions = self.flags & other.flags & (PolicyFlags::SOURCE | PolicyFlags::DESTINATION);
        Self {
            start_ns: if self.start_ns > other.start_ns { self.start_ns } else { other.start_ns },
            stop_ns: if self.stop_ns < other.stop_ns { self.stop_ns } else { other.stop_ns },
            flags: directions | (self.flags | other.flags) & PolicyFlags::HEADERS_ONLY,
            generation: self.generation,
            reserved: 0,
        }
    }
}

/// Bits of [`SlotPolicy::flags`].
pub struct PolicyFlags;

impl PolicyFlags {
    /// Packets whose source is a target are wanted (what the subject sends).
    pub const SOURCE: u32 = 1;
    /// Packets whose destination is a target are wanted (what comes to the subject).
    pub const DESTINATION: u32 = 2;
    /// Headers only: no content may leave the kernel on behalf of this slot.
    pub const HEADERS_ONLY: u32 = 4;
}

const _: () = assert!(size_of::<SlotPolicy>() == 24);

#[cfg(feature = "user")]
// SAFETY: repr(C), Copy, 'static, integers without padding (size asserted above).
unsafe impl aya::Pod for SlotPolicy {}
