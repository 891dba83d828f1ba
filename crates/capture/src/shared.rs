//! A kernel array map as memory: its elements read and written as atomic 64-bit words, without a system call. The
//! mapping outlives the process that loaded the program, for whoever was given the map's file descriptor.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::AtomicU64;

const WORD: usize = size_of::<u64>();

/// A mapped array whose elements are `stride` words long.
pub(crate) struct SharedWords {
    map: MmapRaw,
    words: usize,
    stride: usize,
}

/// Whether the mapping may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// What the kernel says of a map, from `/proc/self/fdinfo`: asking so needs no capability.
pub(crate) struct Shape {
    pub(crate) entries: usize,
    pub(crate) value_size: usize,
}

impl Shape {
    pub(crate) fn of(map: impl AsFd) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|value| value.trim().parse().ok())
                .ok_or_else(|| io::Error::other(format!("the descriptor is no BPF map: fdinfo has no {name}")))
        };
        Ok(Self { entries: field("max_entries")?, value_size: field("value_size")? })
    }
}

impl SharedWords {
    /// Maps an array whose values are `value_size` bytes long; any other shape is refused.
    pub(crate) fn map(map: impl AsFd, value_size: usize, access: Access) -> io::Result<Self> {
        let shape = Shape::of(&map)?;
        if shape.value_size != value_size || !value_size.is_multiple_of(WORD) {
            return Err(io::Error::other(format!("map values are {} bytes, not {value_size}", shape.value_size)));
        }
        let length = shape.entries * value_size;
        let mut options = MmapOptions::new();
        options.len(length);
        let raw = map.as_fd().as_raw_fd();
        let map = match access {
            Access::Read => options.map_raw_read_only(raw)?,
            Access::Write => options.map_raw(raw)?,
        };
        Ok(Self { map, words: length / WORD, stride: value_size / WORD })
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.words / self.stride
    }

    /// Word `word` of element `index`. A word of a mapping made with [`Access::Read`] may only be loaded, relaxed.
    pub(crate) fn word(&self, index: usize, word: usize) -> Option<&AtomicU64> {
        let place = index.checked_mul(self.stride)?.checked_add(word)?;
        if word >= self.stride || place >= self.words {
            return None;
        }
        // SAFETY: `place` is inside the mapping, as compared above; the mapping is page-aligned, so that every word in
        // it is aligned; it stays in place as long as `self`.
        let pointer = unsafe { self.map.as_ptr().cast::<u64>().add(place) };
        // SAFETY: the pointer is valid and aligned for the lifetime of `self` (above). Everybody who changes the
        // memory, the kernel's program included, does so by whole words; relaxed loads of 64 bits are allowed on
        // read-only memory on x86-64 and aarch64.
        Some(unsafe { AtomicU64::from_ptr(pointer.cast_mut()) })
    }
}
