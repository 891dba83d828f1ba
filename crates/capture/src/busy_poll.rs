//! Busy polling: the worker itself runs the driver's receive routine (NAPI) for its queue, in its own context, instead of
//! an interrupt that does so on the same or another CPU. It costs a core, and saves the interrupt, the wake-up and the
//! change of context where hits come closely.
//!
//! Two ends have to agree. The socket prefers busy polling ([`BusyPoll`], set by the capture role when it binds), and the
//! interface holds its interrupts back as long as somebody polls ([`Deferral`], set by the supervisor among the port's
//! other settings, and put back at the end). When nobody has polled for `gro_flush_timeout`, a timer does, so a worker
//! that sleeps or is stopped costs latency and no frames.

use crate::settings::RingSettings;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

/// Whether a worker runs its queue's receive routine itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Polling {
    /// It is not asked for.
    #[default]
    Off,
    /// It is asked for, and the kernel knows no NAPI of this queue, so that interrupts or a timer still run it. Up to Linux
    /// 6.12 it learns that from the first frame; later it has to be told by the driver (`netif_queue_set_napi`).
    Unlinked,
    /// It does.
    On,
}

/// A socket that drives its queue itself.
pub(crate) struct BusyPoll;

impl BusyPoll {
    /// Makes a socket prefer busy polling, if the settings ask for it. Needs Linux 5.11 and CAP_NET_ADMIN.
    ///
    /// # Errors
    /// With the setting that the kernel refused.
    pub(crate) fn set(socket: &impl AsRawFd, ring: &RingSettings) -> Result<Option<Self>, (&'static str, io::Error)> {
        if ring.busy_poll_us == 0 {
            return Ok(None);
        }
        let socket = socket.as_raw_fd();
        let time = |error| ("ring.busy_poll_us", error);
        set_option(socket, libc::SO_PREFER_BUSY_POLL, 1).map_err(time)?;
        set_option(socket, libc::SO_BUSY_POLL, ring.busy_poll_us).map_err(time)?;
        set_option(socket, libc::SO_BUSY_POLL_BUDGET, ring.busy_poll_budget)
            .map_err(|error| ("ring.busy_poll_budget", error))?;
        Ok(Some(Self))
    }

    /// Runs the driver's receive routine once, over at most `busy_poll_budget` frames; what hits is in the ring after.
    /// Does nothing while the kernel runs it elsewhere, or knows none for this queue.
    pub(crate) fn run(&self, socket: &impl AsRawFd) -> io::Result<()> {
        // SAFETY: no byte is asked for, so none is written. An AF_XDP socket hands no data over here: the call is there
        // to be busy in.
        let result = unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A link that is down for a moment is no fault of the ring.
            Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN) => Ok(()),
            _ => Err(error),
        }
    }
}

/// Whether the kernel knows the NAPI that a socket is to run.
pub(crate) fn polling(busy_poll: Option<&BusyPoll>, socket: &impl AsRawFd) -> Polling {
    let (mut napi, mut length) = (0_u32, size_of::<u32>() as libc::socklen_t);
    if busy_poll.is_none() {
        return Polling::Off;
    }
    // SAFETY: this option is an unsigned int, which the kernel writes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_INCOMING_NAPI_ID,
            (&raw mut napi).cast(),
            &raw mut length,
        )
    };
    if result == 0 && napi != 0 { Polling::On } else { Polling::Unlinked }
}

fn set_option(socket: RawFd, option: libc::c_int, value: u32) -> io::Result<()> {
    // SAFETY: these options take an int, which the kernel reads.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How an interface holds its interrupts back while somebody polls: `napi_defer_hard_irqs` and `gro_flush_timeout` under
/// `/sys/class/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// Empty polls after which interrupts come back.
    pub polls: u32,
    /// How long nobody may poll before a timer does, in nanoseconds.
    pub timeout_ns: u64,
}

impl Deferral {
    /// What busy polling needs, by the kernel's own example (Documentation/networking/napi.rst): 2 polls, 200 µs.
    pub const BUSY_POLL: Self = Self { polls: 2, timeout_ns: 200_000 };

    /// What an interface has; `None` if it cannot be seen: before Linux 5.8, or where `/sys` shows another namespace's
    /// interfaces.
    pub(crate) fn read(interface: &str, ifindex: u32) -> Option<Self> {
        let number = |file| fs::read_to_string(path(interface, file)).ok()?.trim().parse::<u64>().ok();
        if number("ifindex") != Some(ifindex.into()) {
            return None;
        }
        Some(Self { polls: number(POLLS)?.try_into().ok()?, timeout_ns: number(TIMEOUT)? })
    }

    /// Gives it to an interface.
    ///
    /// # Errors
    /// With the file that could not be written.
    pub(crate) fn apply(self, interface: &str) -> Result<(), (PathBuf, io::Error)> {
        // The time first: polls without one would hold interrupts back for nobody.
        for (file, value) in [(TIMEOUT, self.timeout_ns), (POLLS, self.polls.into())] {
            let path = path(interface, file);
            fs::write(&path, value.to_string()).map_err(|error| (path, error))?;
        }
        Ok(())
    }
}

const POLLS: &str = "napi_defer_hard_irqs";
const TIMEOUT: &str = "gro_flush_timeout";

fn path(interface: &str, file: &str) -> PathBuf {
    PathBuf::from(format!("/sys/class/net/{interface}/{file}"))
}
