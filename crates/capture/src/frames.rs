//! The frames of one queue's memory, and who owns each of them: free, with the kernel (in the fill ring or on its way
//! to the receive ring), or with the worker. Frames move between the owners through [`FramePool`] only, in batches;
//! none is ever in two places and none gets lost.

use std::io;
use writ_abi::FrameHeader;
use xsk_rs::FrameDesc;

/// What AF_XDP keeps free in front of each frame, in bytes (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;

/// What a frame needs besides the packet: the headroom, the FrameHeader, Ethernet and two VLAN tags.
pub(crate) const FRAME_ROOM: u32 = HEADROOM + FrameHeader::SIZE as u32 + 14 + 8;

/// The kernel's end of the rings, as the pool needs it: real rings, or a model in tests.
pub(crate) trait Rings {
    /// Gives frames to the kernel: all of them or, if the ring has no room, none. Returns how many.
    fn fill(&mut self, frames: &[FrameDesc]) -> usize;

    /// Takes frames that hold a packet, as many as there are and `frames` has room for. Returns how many.
    fn receive(&mut self, frames: &mut [FrameDesc]) -> usize;
}

/// Owner of every frame of a queue.
pub(crate) struct FramePool {
    free: Vec<FrameDesc>,
    /// With the worker: the batch that was received last. `held` of them are; the rest of the vector is room.
    batch: Vec<FrameDesc>,
    held: usize,
    with_kernel: usize,
    frame_size: usize,
    /// In debug builds: whose each frame is, by its number.
    #[cfg(debug_assertions)]
    owners: Vec<Owner>,
}

#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Free,
    Kernel,
    Worker,
}

impl FramePool {
    /// Takes over all frames of a queue's memory. At most `batch` of them are with the worker at once.
    pub(crate) fn new(frames: Vec<FrameDesc>, frame_size: u32, batch: usize) -> Self {
        Self {
            batch: vec![FrameDesc::default(); batch],
            held: 0,
            with_kernel: 0,
            frame_size: frame_size as usize,
            #[cfg(debug_assertions)]
            owners: vec![Owner::Free; frames.len()],
            free: frames,
        }
    }

    /// The batch that the worker holds.
    pub(crate) fn batch(&self) -> &[FrameDesc] {
        self.batch.get(..self.held).unwrap_or_default()
    }

    /// Takes the batch back from the worker and gives every free frame to the kernel.
    pub(crate) fn refill(&mut self, rings: &mut impl Rings) {
        for frame in self.batch.iter().take(self.held) {
            self.free.push(*frame);
        }
        #[cfg(debug_assertions)]
        for index in 0..self.held {
            self.pass(self.batch[index], Owner::Worker, Owner::Free);
        }
        self.held = 0;
        // The fill ring has a place for every frame, so it takes all of them; if it ever did not, they stay free.
        let filled = rings.fill(&self.free).min(self.free.len());
        let rest = self.free.len() - filled;
        #[cfg(debug_assertions)]
        for index in 0..filled {
            self.pass(self.free[index], Owner::Free, Owner::Kernel);
        }
        self.free.copy_within(filled.., 0);
        self.free.truncate(rest);
        self.with_kernel += filled;
    }

    /// Takes a batch from the kernel for the worker. The batch before has to be given back first, by `refill`.
    pub(crate) fn receive(&mut self, rings: &mut impl Rings) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a batch was taken before the last one was given back");
        let held = rings.receive(&mut self.batch);
        #[cfg(debug_assertions)]
        for index in 0..held {
            self.pass(self.batch[index], Owner::Kernel, Owner::Worker);
        }
        self.held = held;
        self.with_kernel = self
            .with_kernel
            .checked_sub(held)
            .ok_or_else(|| io::Error::other("the kernel returned more frames than it was given"))?;
        // A descriptor that leaves its frame would let the worker read another frame.
        for frame in self.batch() {
            if frame.addr() % self.frame_size + frame.lengths().data() > self.frame_size {
                return Err(io::Error::other("the kernel returned a descriptor that leaves its frame"));
            }
        }
        Ok(held)
    }

    /// Frames by owner: free, with the kernel, with the worker. Their sum never changes.
    pub(crate) fn census(&self) -> [usize; 3] {
        [self.free.len(), self.with_kernel, self.held]
    }

    #[cfg(debug_assertions)]
    fn pass(&mut self, frame: FrameDesc, from: Owner, to: Owner) {
        let owner = &mut self.owners[frame.addr() / self.frame_size];
        assert_eq!(*owner, from, "a frame changed hands without its owner");
        *owner = to;
    }
}
