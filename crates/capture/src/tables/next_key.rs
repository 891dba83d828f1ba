//! `BPF_MAP_GET_NEXT_KEY`, by which a table is walked a piece at a time. The library's own iterators begin at the start
//! each time.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;

/// The part of `union bpf_attr` that the command takes.
#[repr(C)]
struct Attributes {
    map_fd: u32,
    reserved: u32,
    /// Address of the key, or 0: the first one is asked for.
    key: u64,
    /// Address of the room for the next key.
    next_key: u64,
    flags: u64,
}

/// The key behind `key`, or the first one; none behind the last. A key that is not in the table any more has the first
/// one behind it. `K` must be as large as the table's keys.
pub(super) fn next_key<K: FromBytes + IntoBytes + Immutable>(
    map: BorrowedFd<'_>,
    key: Option<&K>,
) -> io::Result<Option<K>> {
    let mut next = K::new_zeroed();
    let attributes = Attributes {
        map_fd: map.as_raw_fd().cast_unsigned(),
        reserved: 0,
        key: key.map_or(0, |key| key.as_bytes().as_ptr() as u64),
        next_key: next.as_mut_bytes().as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the attributes outlive the call and are as long as said; both addresses in them are of a whole key of the
    // table's size, which any bytes that the kernel puts there are a value of.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_GET_NEXT_KEY, &raw const attributes, size_of::<Attributes>()) };
    if done == 0 {
        return Ok(Some(next));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        error => Err(error),
    }
}
