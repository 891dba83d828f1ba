//! Asks for memory that another processor wrote before it is read: to wait for one cache line after the other costs more
//! than all else that is done for a frame.

/// So many bytes at a frame's beginning, with the FrameHeader, are asked for when a batch is taken: as much as is looked at
/// of every frame, and all of a short one. The rest is asked for while the frames before it are worked on, so that the
/// work goes on while it comes.
pub(crate) const HEAD: usize = 256;

/// Asks for the cache lines of these bytes.
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        for line in bytes.chunks(LINE) {
            // SAFETY: a prefetch is no access, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _no_stable_way = bytes;
}
