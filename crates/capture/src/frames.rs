//! The frames of one queue's memory, and who owns each of them: free, with the kernel (in the fill ring or on its way
//! to the receive ring), or with the worker. Frames move between the owners through [`FramePool`] only, in batches;
//! none is ever in two places and none gets lost. A jumbo packet takes several frames, which stay together.

use std::io;
use writ_abi::FrameHeader;
use xsk_rs::FrameDesc;

/// What AF_XDP keeps free in front of each frame, in bytes (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;

/// What a frame needs besides the packet: the headroom, the FrameHeader, Ethernet and two VLAN tags.
pub(crate) const FRAME_ROOM: u32 = HEADROOM + FrameHeader::SIZE as u32 + 14 + 8;

/// The most frames that one packet takes: the first, and one for each buffer that the kernel can chain to a packet's
/// first (`MAX_SKB_FRAGS`). A jumbo frame of 9,216 bytes takes 6 frames of 2,048.
pub(crate) const MAX_PIECES: u32 = 18;

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
    /// Of `held`, up to the end of the last packet that is whole. What is behind waits for the rest of its packet.
    whole: usize,
    with_kernel: usize,
    /// At most so many are with the kernel.
    stock: usize,
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
    /// Takes over all frames of a queue's memory. At most `batch` of them are with the worker at once, at most `stock` with
    /// the kernel.
    pub(crate) fn new(frames: Vec<FrameDesc>, frame_size: u32, batch: usize, stock: u32) -> Self {
        Self {
            batch: vec![FrameDesc::default(); batch],
            held: 0,
            whole: 0,
            with_kernel: 0,
            stock: stock as usize,
            frame_size: frame_size as usize,
            #[cfg(debug_assertions)]
            owners: vec![Owner::Free; frames.len()],
            free: frames,
        }
    }

    /// The batch that the worker holds. All of its packets are whole, but for one that is longer than the batch.
    pub(crate) fn batch(&self) -> &[FrameDesc] {
        self.batch.get(..self.whole).unwrap_or_default()
    }

    /// Whether more may have been waiting than the batch took: it has no room left, or ends within a packet.
    pub(crate) fn left_some(&self) -> bool {
        self.held == self.batch.len() || self.whole < self.held
    }

    /// Takes the batch back from the worker and gives the kernel as many free frames as it may have, those first that were
    /// used last: they are still in a cache. The beginning of a packet stays, as the beginning of the next batch.
    pub(crate) fn refill(&mut self, rings: &mut impl Rings) {
        for frame in self.batch.iter().take(self.whole) {
            self.free.push(*frame);
        }
        #[cfg(debug_assertions)]
        for index in 0..self.whole {
            self.pass(self.batch[index], Owner::Worker, Owner::Free);
        }
        self.batch.copy_within(self.whole..self.held, 0);
        self.held -= self.whole;
        self.whole = 0;
        // The fill ring has a place for every frame, so it takes all of them; if it ever did not, they stay free.
        let wanted = self.stock.saturating_sub(self.with_kernel).min(self.free.len());
        let last = self.free.get(self.free.len() - wanted..).unwrap_or_default();
        let filled = rings.fill(last).min(last.len());
        #[cfg(debug_assertions)]
        for index in self.free.len() - filled..self.free.len() {
            self.pass(self.free[index], Owner::Free, Owner::Kernel);
        }
        self.free.truncate(self.free.len() - filled);
        self.with_kernel += filled;
    }

    /// Takes a batch from the kernel for the worker. The batch before has to be given back first, by `refill`. Returns how
    /// many frames came.
    pub(crate) fn receive(&mut self, rings: &mut impl Rings) -> io::Result<usize> {
        debug_assert_eq!(self.whole, 0, "a batch was taken before the last one was given back");
        let before = self.held;
        let received = rings.receive(self.batch.get_mut(before..).unwrap_or_default());
        self.held += received;
        #[cfg(debug_assertions)]
        for index in before..self.held {
            self.pass(self.batch[index], Owner::Kernel, Owner::Worker);
        }
        self.with_kernel = self
            .with_kernel
            .checked_sub(received)
            .ok_or_else(|| io::Error::other("the kernel returned more frames than it was given"))?;
        let held = self.batch.get(..self.held).unwrap_or_default();
        // A descriptor that leaves its frame would let the worker read another frame.
        for frame in held.iter().skip(before) {
            if frame.addr() % self.frame_size + frame.lengths().data() > self.frame_size {
                return Err(io::Error::other("the kernel returned a descriptor that leaves its frame"));
            }
        }
        self.whole = match held.iter().rposition(|frame| !frame.has_more_frames()) {
            Some(last) => last + 1,
            // One packet and no room for its end: it will never be whole.
            None if self.held == self.batch.len() => self.held,
            None => 0,
        };
        Ok(received)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::num::NonZeroU32;
    use xsk_rs::Umem;
    use xsk_rs::config::UmemConfig;

    const FRAMES: usize = 32;
    const SIZE: u32 = 2048;

    /// A kernel that takes frames from a fill ring and brings them back in another order.
    #[derive(Default)]
    struct Model {
        fill: Vec<FrameDesc>,
        room: usize,
        received: VecDeque<FrameDesc>,
    }

    impl Rings for Model {
        fn fill(&mut self, frames: &[FrameDesc]) -> usize {
            if self.fill.len() + frames.len() > self.room {
                return 0;
            }
            self.fill.extend_from_slice(frames);
            frames.len()
        }

        fn receive(&mut self, frames: &mut [FrameDesc]) -> usize {
            let count = frames.len().min(self.received.len());
            for (place, frame) in frames.iter_mut().zip(self.received.drain(..count)) {
                *place = frame;
            }
            count
        }
    }

    impl Model {
        /// A packet arrives: some frames of the fill ring get it, if there are as many as it needs.
        fn arrive(&mut self, which: usize, pieces: usize) {
            if self.fill.len() < pieces {
                return;
            }
            for piece in 1..=pieces {
                let mut frame = self.fill.swap_remove(which % self.fill.len());
                frame.set_options(u32::from(piece < pieces));
                self.received.push_back(frame);
            }
        }
    }

    fn frames() -> Vec<FrameDesc> {
        let config = UmemConfig::builder().frame_size(SIZE.try_into().unwrap()).build().unwrap();
        Umem::new(config, NonZeroU32::new(FRAMES as u32).unwrap(), false).unwrap().1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever arrives and however the worker takes it, every frame stays with exactly one owner.
        #[test]
        fn no_frame_is_lost_or_doubled(
            batch in 1usize..FRAMES,
            room in FRAMES / 2..=FRAMES,
            stock in 1..=FRAMES as u32,
            loops in prop::collection::vec(prop::collection::vec((0usize..FRAMES, 1usize..8), 0..FRAMES), 1..100),
        ) {
            let all = frames();
            let mut pool = FramePool::new(all.clone(), SIZE, batch, stock);
            let mut rings = Model { room, ..Model::default() };
            for arrivals in loops {
                pool.refill(&mut rings);
                for (which, pieces) in arrivals {
                    rings.arrive(which, pieces);
                }
                pool.receive(&mut rings).unwrap();
                prop_assert!(pool.held <= batch);
                // The batch ends with a packet, unless one packet is all that there is room for.
                let ends = pool.batch().last().is_none_or(|last| !last.has_more_frames());
                let too_long = pool.batch().len() == batch && pool.batch().iter().all(FrameDesc::has_more_frames);
                prop_assert!(ends || too_long);
                if !pool.left_some() {
                    prop_assert!(rings.received.is_empty());
                }
                prop_assert_eq!(pool.census().iter().sum::<usize>(), FRAMES);

                let worker = &pool.batch[..pool.held];
                let mut everywhere: Vec<usize> = [&pool.free, worker, &rings.fill, rings.received.make_contiguous()]
                    .into_iter()
                    .flatten()
                    .map(FrameDesc::addr)
                    .collect();
                everywhere.sort_unstable();
                prop_assert_eq!(everywhere, all.iter().map(FrameDesc::addr).collect::<Vec<_>>());
            }
        }
    }

    /// The pieces of a packet that a batch cuts in two stay together, and in order.
    #[test]
    fn a_packet_across_the_end_of_a_batch_comes_whole_with_the_next() {
        let mut pool = FramePool::new(frames(), SIZE, 4, FRAMES as u32);
        let mut rings = Model { room: FRAMES, ..Model::default() };
        pool.refill(&mut rings);
        rings.arrive(0, 3);
        rings.arrive(0, 3);
        let sent: Vec<usize> = rings.received.iter().map(FrameDesc::addr).collect();
        let mut came = Vec::new();
        for counts in [(4, 3, true), (2, 3, false), (0, 0, false)] {
            let received = pool.receive(&mut rings).unwrap();
            assert_eq!((received, pool.batch().len(), pool.left_some()), counts);
            came.extend(pool.batch().iter().map(FrameDesc::addr));
            pool.refill(&mut rings);
        }
        assert_eq!(came, sent);
    }

    #[test]
    fn a_frame_that_the_kernel_was_not_given_is_an_error() {
        let all = frames();
        let mut pool = FramePool::new(all[1..].to_vec(), SIZE, 4, FRAMES as u32);
        let mut rings = Model { room: FRAMES, received: VecDeque::from([all[1]]), ..Model::default() };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.receive(&mut rings).is_err()));
        // Debug builds stop at once, release builds report it.
        assert!(outcome.unwrap_or(true));
    }
}
