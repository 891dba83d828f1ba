//! An endpoint that receives datagrams: every sender's, in one thread, many with one system call.
//!
//! Nobody sends a datagram again, so the kernel gets as large a buffer as it gives, and what it threw away all the same is
//! counted. A datagram that is none of the format is counted and passed over: there is no connection to end.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt::RxqOvfl,
    },
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt,
};

use crate::{
    Stream,
    cases::Cases,
    formats::{Format, Reader as FormatReader, Terms},
    intake::{Desk, Reader},
    status::DatagramStatus,
};

/// Datagrams that one system call takes at most.
const BATCH: usize = 64;
/// Octets of the longest datagram.
const LONGEST: usize = 1 << 16;
/// Octets that the kernel is asked to hold. Without the capability it gives what `net.core.rmem_max` allows.
const KERNEL_BUFFER: usize = 64 << 20;
/// How often an endpoint looks whether the collector stops.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// How long a collector that stops goes on filing what still comes.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// After a receive that failed.
const BREATH: Duration = Duration::from_millis(200);

/// An endpoint of datagrams, as others see it.
pub(crate) struct Datagrams {
    stream: Stream,
    format: Format,
    socket: UdpSocket,
    arrived: AtomicU64,
    bytes: AtomicU64,
    unread: AtomicU64,
    dropped: AtomicU64,
}

impl Datagrams {
    /// An endpoint on a socket that is bound.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn new(stream: Stream, format: Format, socket: UdpSocket) -> io::Result<Self> {
        if sockopt::set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
        }
        setsockopt(&socket, RxqOvfl, &1)?;
        let [arrived, bytes, unread, dropped] = [0; 4].map(AtomicU64::new);
        Ok(Self { stream, format, socket, arrived, bytes, unread, dropped })
    }

    /// Which one it is.
    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    /// What came so far.
    pub(crate) fn status(&self) -> DatagramStatus {
        DatagramStatus {
            stream: self.stream,
            datagrams: self.arrived.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            unread: self.unread.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Files what comes until the collector stops, and then what the kernel still holds.
    pub(crate) fn serve(&self, terms: &Terms, cases: &Arc<Cases>, stop: &AtomicBool) {
        let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut reader = FormatReader::new(self.format, Some(self.stream), nobody, terms);
        let mut desk = Desk::new(Arc::clone(cases), Arc::new(Reader::default()));
        let mut buffers = vec![[0; LONGEST]; BATCH];
        let mut give_up = None;
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && Instant::now() >= *give_up.get_or_insert_with(|| Instant::now() + LAST_WORDS) {
                return;
            }
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            let wait = if stopping { Timespec::default() } else { WAIT };
            match poll(&mut ready, Some(&wait)) {
                Ok(0) if stopping => return,
                Ok(1..) => {}
                // A poll that fails (interrupted) is as good as one that waited.
                Ok(0) | Err(_) => continue,
            }
            let mut is_filed = true;
            let taken = self.receive(&mut buffers, |from, datagram| match reader.read(datagram, from) {
                Ok(said) => {
                    if let Err(error) = desk.file(&said, datagram) {
                        is_filed = false;
                        self.is_unread(from, &error.to_string());
                    }
                }
                Err(error) => self.is_unread(from, &error.to_string()),
            });
            if let Err(error) = desk.flush() {
                is_filed = false;
                tracing::error!("{} endpoint: what arrived cannot be filed: {error}", self.stream.name());
            }
            if !is_filed {
                // A case whose files were closed after a fault is opened anew.
                desk = Desk::new(Arc::clone(cases), Arc::new(Reader::default()));
            }
            if let Err(error) = taken {
                tracing::error!("{} endpoint: nothing received: {error}", self.stream.name());
                thread::sleep(BREATH);
            }
        }
    }

    /// Hands over what the kernel holds, one batch.
    fn receive(&self, buffers: &mut [[u8; LONGEST]], mut take: impl FnMut(SocketAddr, &[u8])) -> io::Result<()> {
        // Made anew each time: the kernel writes lengths into them that would be bounds the next time.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(cmsg_space!(u32)));
        let mut places: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let received =
            match recvmmsg(self.socket.as_raw_fd(), &mut headers, places.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
                Ok(received) => received,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
        for message in received {
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(dropped) = control {
                    self.has_dropped(dropped.into());
                }
            }
            let Some(from) = message.address.as_ref().and_then(sender) else { continue };
            let datagram = message.iovs().next().and_then(|place| place.get(..message.bytes)).unwrap_or_default();
            self.arrived.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(datagram.len() as u64, Ordering::Relaxed);
            take(from, datagram);
        }
        Ok(())
    }

    /// Says so the first time and each time it has doubled: whoever can send datagrams must not fill the log.
    fn is_unread(&self, from: SocketAddr, error: &str) {
        let unread = self.unread.fetch_add(1, Ordering::Relaxed) + 1;
        if unread.is_power_of_two() {
            tracing::error!(
                "{} endpoint: {unread} datagrams left out; the last, from {from}: {error}",
                self.stream.name()
            );
        }
    }

    /// The kernel counts all that it ever threw away.
    fn has_dropped(&self, dropped: u64) {
        if self.dropped.swap(dropped, Ordering::Relaxed) < dropped {
            tracing::warn!(
                "{} endpoint: the kernel has thrown {dropped} datagrams away: raise net.core.rmem_max",
                self.stream.name()
            );
        }
    }
}

fn sender(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4(SocketAddrV4::from(*address)));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6(SocketAddrV6::from(*address))))
}
