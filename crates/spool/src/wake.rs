//! How a producer wakes a consumer that sleeps: an eventfd beside the stream memory.

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// One eventfd. Made by the supervisor, given to both roles; also good for telling a thread to stop.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// A new one, non-blocking and close-on-exec.
    pub fn create() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// One that another process made and passed on.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// A second handle of the same eventfd.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Wakes whoever polls it. An eventfd that is full already wakes; nothing else can fail on a descriptor of ours.
    pub fn wake(&self) {
        let _full = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Takes back every wake so far.
    pub fn clear(&self) {
        let _empty = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// Sleeps until woken or `timeout` is over, and clears. Says whether it was woken.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = rustix::event::Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) => {
                self.clear();
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Wake> for OwnedFd {
    fn from(wake: Wake) -> Self {
        wake.0
    }
}
