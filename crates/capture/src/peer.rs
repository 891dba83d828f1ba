//! The groups of whoever is at the other end of a local socket, as the kernel noted them when the connection was made.
//! The control role holds them against the groups of its configuration. Reading them from `/proc` instead would ask
//! what the process is now, and that may be another program, with other groups.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How many groups are asked for at first; most people have fewer.
const FIRST_GUESS: usize = 64;
/// Most groups that a process can have (NGROUPS_MAX).
const MOST: usize = 65_536;

/// The supplementary groups of the peer of a connected Unix socket (`SO_PEERGROUPS`). Its own group is not one of them
/// by right: that comes with `SO_PEERCRED`.
///
/// # Errors
/// When the socket has no peer, or is no Unix socket.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; FIRST_GUESS];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: `groups` is `bytes` long and lives through the call; the kernel writes no more than that, whole group
        // ids, and says in `bytes` how much it wrote, or would have written.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = usize::try_from(bytes).map_err(io::Error::other)? / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MOST {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_peer_in_the_same_process_has_its_groups() {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut known: Vec<u32> =
            rustix::process::getgroups().unwrap().into_iter().map(|group| group.as_raw()).collect();
        let mut found = peer_groups(&here).unwrap();
        known.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn a_file_has_no_peer() {
        assert!(peer_groups(tempfile::tempfile().unwrap()).is_err());
    }
}
