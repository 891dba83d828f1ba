//! The program's own memory: per CPU, of a packet whose address belongs to an intercept.

use writ_abi::{FrameHeader, SLOTS_PER_ADDRESS};

/// What is known of the packet so far. Kept in a map and not on the stack: the verifier then forgets the values
/// between the steps, and what it has to follow is the sum of the steps and not their product.
#[repr(C)]
pub struct Scratch {
    /// What user space will read.
    pub header: FrameHeader,
    /// What became of each reference: of the source side, then of the destination side.
    pub outcome: [[u8; SLOTS_PER_ADDRESS]; 2],
}

impl Scratch {
    /// Rounded up from (255 + 1) * 8 - 2 bytes, the most that an option header can hold.
    pub const LONGEST_OPTIONS: usize = 2048;
}
