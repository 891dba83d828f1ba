//! A sealed memfd, or a private file, mapped shared: the only unsafe code of this crate.
//!
//! Control words are reached as atomics only. PDU bytes are reached as slices, which the compiler takes to be
//! unshared; that nobody else writes them is the stream's protocol, not something that types can hold across a process
//! border: bytes behind the committed position belong to the one producer, bytes between released and committed to
//! nobody who writes. Two of our own processes that break it would hand out garbled PDUs; neither can move a bound,
//! because lengths are checked against the mapping and the mapping cannot shrink.

use memmap2::MmapRaw;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why memory was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The kernel refused.
    #[error("shared memory: {0}")]
    Io(#[from] io::Error),
    /// Not memory of ours: it could be cut short under a reader, which would be killed by SIGBUS.
    #[error("shared memory is neither sealed against resizing nor private; it was not made by this program")]
    NotSealed,
    /// The header does not describe this memory.
    #[error("shared memory is not a {expected} of this version; stop every role of the probe and start it again")]
    WrongLayout {
        /// What it was opened as.
        expected: &'static str,
    },
}

impl From<rustix::io::Errno> for MapError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

const NO_RESIZE: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Shared memory, mapped for reading and writing.
pub(crate) struct Map {
    raw: MmapRaw,
}

impl Map {
    /// New zeroed memory of `bytes`, sealed against resizing. All of it is allocated here, where a lack of memory is
    /// an error; later it would be a SIGBUS in the middle of an intercept, and page faults in the hot path.
    pub(crate) fn create(name: &str, bytes: u64) -> io::Result<(OwnedFd, Self)> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, bytes)?;
        rustix::fs::fcntl_add_seals(&fd, NO_RESIZE)?;
        let raw = MmapRaw::map_raw(&fd)?;
        Ok((fd, Self { raw }))
    }

    /// Maps memory that [`Map::create`] made, in whichever process.
    pub(crate) fn open(fd: impl AsFd) -> Result<Self, MapError> {
        let fd = fd.as_fd();
        // A descriptor that cannot be sealed answers EINVAL.
        match rustix::fs::fcntl_get_seals(fd) {
            Ok(seals) if seals.contains(NO_RESIZE) => {}
            Ok(_) | Err(rustix::io::Errno::INVAL) => return Err(MapError::NotSealed),
            Err(error) => return Err(error.into()),
        }
        Ok(Self { raw: MmapRaw::map_raw(&fd)? })
    }

    /// Maps a file that nobody but its owner, who is ours, can open. It cannot be sealed: a process that was given it could
    /// cut it short, and so end the others. That is no more than it can do by writing nonsense.
    pub(crate) fn open_private(fd: impl AsFd) -> Result<Self, MapError> {
        let fd = fd.as_fd();
        let about = rustix::fs::fstat(fd)?;
        let mode = rustix::fs::Mode::from_raw_mode(about.st_mode);
        let is_private = !mode.intersects(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        if !is_private || about.st_uid != rustix::process::geteuid().as_raw() {
            return Err(MapError::NotSealed);
        }
        Ok(Self { raw: MmapRaw::map_raw(&fd)? })
    }

    /// All of it as it is now, word by word: others may write meanwhile.
    pub(crate) fn copy(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len());
        for word in (0..self.len()).step_by(size_of::<AtomicU64>()).filter_map(|at| self.word(at)) {
            copy.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        copy
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The control word at `offset`; none outside the map or off alignment.
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicU64> {
        self.words::<1>(offset).map(|[word]| word)
    }

    /// `COUNT` control words from `offset` on; none outside the map or off alignment.
    #[inline]
    pub(crate) fn words<const COUNT: usize>(&self, offset: usize) -> Option<&[AtomicU64; COUNT]> {
        let bytes = COUNT.checked_mul(size_of::<AtomicU64>())?;
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.raw.len());
        if !inside || !offset.is_multiple_of(align_of::<AtomicU64>()) {
            return None;
        }
        // SAFETY: `offset` lies inside the mapping (checked).
        let place = unsafe { self.raw.as_mut_ptr().add(offset) };
        // SAFETY: all of it inside the mapping and aligned (both checked: a mapping starts on a page), lives as long
        // as `self`, any bits are a u64, and control words are only ever touched as atomics, in every process.
        Some(unsafe { &*place.cast::<[AtomicU64; COUNT]>() })
    }

    /// Bytes that are committed and not yet released: nobody writes them.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        self.check(&range)?;
        // SAFETY: `range` lies inside the mapping (checked).
        let start = unsafe { self.raw.as_ptr().add(range.start) };
        // SAFETY: inside the mapping, which lives as long as `self`; initialised (a memfd is zeroed); not written
        // while the slice lives, by the protocol above: the consumer, who calls this, is also who releases.
        Some(unsafe { std::slice::from_raw_parts(start, range.len()) })
    }

    /// Bytes behind the committed position: only the producer, who calls this, reaches them.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        self.check(&range)?;
        // SAFETY: `range` lies inside the mapping (checked).
        let start = unsafe { self.raw.as_mut_ptr().add(range.start) };
        // SAFETY: inside the mapping, which lives as long as `self`; initialised; unshared: `&mut self` within this
        // handle, and by the protocol above no other handle reads or writes what is not committed.
        Some(unsafe { std::slice::from_raw_parts_mut(start, range.len()) })
    }

    #[inline]
    fn check(&self, range: &Range<usize>) -> Option<()> {
        (range.start <= range.end && range.end <= self.raw.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_map_is_reachable() {
        let (_fd, mut map) = Map::create("test", 4096).unwrap();
        assert!(map.word(4088).is_some());
        assert!(map.word(4096).is_none() && map.word(4).is_none() && map.word(usize::MAX - 7).is_none());
        assert!(map.bytes(0..4096).is_some() && map.bytes(0..4097).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "a damaged pair of offsets")]
        let reversed = 5..4;
        assert!(map.bytes(reversed.clone()).is_none() && map.bytes_mut(reversed).is_none());
    }

    #[test]
    fn memory_that_could_shrink_is_refused() {
        let loose = rustix::fs::memfd_create("loose", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&loose, 4096).unwrap();
        assert!(matches!(Map::open(&loose), Err(MapError::NotSealed)));
        let (fd, _map) = Map::create("ours", 4096).unwrap();
        assert!(Map::open(&fd).is_ok());
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
    }
}
