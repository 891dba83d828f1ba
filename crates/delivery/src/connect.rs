//! From an endpoint to a connected socket, without ever blocking longer than a stop may take.

use crate::destination::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::refusal;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use writ_spool::Wake;

/// How long the peer may leave data or probes unanswered before the kernel gives the connection up.
const UNANSWERED: Duration = Duration::from_secs(60);
/// Quiet connections are probed: a peer that vanished is noticed within a minute.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Why there is no socket.
pub(crate) enum NotConnected {
    /// The caller was told to stop.
    Stopped,
    Failed(Failure),
}

impl From<Failure> for NotConnected {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Tries every address of the endpoint in the resolver's order until `deadline`.
pub(crate) fn connect(
    endpoint: &Endpoint,
    deadline: Instant,
    wake: &Wake,
    stopped: &impl Fn() -> bool,
) -> Result<TcpStream, NotConnected> {
    let addresses = resolve(endpoint, deadline, stopped)?;
    let mut last = Failure::new(FailureKind::Unresolved, "the name has no address");
    for address in addresses {
        match connect_to(address, deadline, wake, stopped) {
            Ok(socket) => return Ok(socket),
            Err(NotConnected::Stopped) => return Err(NotConnected::Stopped),
            Err(NotConnected::Failed(failure)) => last = failure,
        }
    }
    Err(last.into())
}

fn resolve(
    endpoint: &Endpoint,
    deadline: Instant,
    stopped: &impl Fn() -> bool,
) -> Result<Vec<SocketAddr>, NotConnected> {
    const SLICE: Duration = Duration::from_millis(50);
    if let Some(address) = endpoint.address() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    // The C library's resolver cannot be interrupted: it runs beside, and is left behind when it takes too long.
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = (endpoint.host.clone(), endpoint.port);
    thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || sender.send(name.to_socket_addrs().map(Iterator::collect)))
        .map_err(Failure::from)?;
    loop {
        if stopped() {
            return Err(NotConnected::Stopped);
        }
        match receiver.recv_timeout(SLICE) {
            Ok(Ok(addresses)) => return Ok(addresses),
            Ok(Err(error)) => return Err(Failure::new(FailureKind::Unresolved, error.to_string()).into()),
            Err(_) if Instant::now() >= deadline => {
                return Err(Failure::new(FailureKind::Unresolved, "no answer from the resolver in time").into());
            }
            Err(_) => {}
        }
    }
}

/// A socket that sends datagrams to the first address of the endpoint that this machine has a way to.
pub(crate) fn open_datagrams(
    endpoint: &Endpoint,
    deadline: Instant,
    stopped: &impl Fn() -> bool,
) -> Result<UdpSocket, NotConnected> {
    let mut last = Failure::new(FailureKind::Unresolved, "the name has no address");
    for address in resolve(endpoint, deadline, stopped)? {
        let any: IpAddr = match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(address)?;
            refusal::keep(&socket)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error.into(),
        }
    }
    Err(last.into())
}

fn connect_to(
    address: SocketAddr,
    deadline: Instant,
    wake: &Wake,
    stopped: &impl Fn() -> bool,
) -> Result<TcpStream, NotConnected> {
    let failed = |error: Errno| NotConnected::Failed(Failure::from(std::io::Error::from(error)));
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => loop {
            if stopped() {
                return Err(NotConnected::Stopped);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Err(Failure::new(FailureKind::Timeout, "no answer to the connection request").into());
            };
            let mut fds = [PollFd::new(&socket, PollFlags::OUT), PollFd::new(wake, PollFlags::IN)];
            poll(&mut fds, left).map_err(failed)?;
            if !fds[1].revents().is_empty() {
                wake.clear();
            }
            if !fds[0].revents().is_empty() {
                sockopt::socket_error(&socket).map_err(failed)?.map_err(failed)?;
                break;
            }
        },
        Err(error) => return Err(failed(error)),
    }
    // Whole batches are written at once; Nagle would only hold back their ends.
    sockopt::set_tcp_nodelay(&socket, true).map_err(failed)?;
    sockopt::set_socket_keepalive(&socket, true).map_err(failed)?;
    sockopt::set_tcp_keepidle(&socket, PROBE_AFTER).map_err(failed)?;
    sockopt::set_tcp_keepintvl(&socket, PROBE_EVERY).map_err(failed)?;
    sockopt::set_tcp_user_timeout(&socket, UNANSWERED.as_millis() as u32).map_err(failed)?;
    Ok(TcpStream::from(socket))
}

/// Polls for at most `timeout`; an interruption counts as nothing ready.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: Duration) -> Result<(), Errno> {
    let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
    match rustix::event::poll(fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What to poll a socket and a wake for.
pub(crate) fn wait_for(socket: impl AsFd, writable: bool, wake: &Wake, timeout: Duration) -> Result<(), Errno> {
    let mut interest = PollFlags::IN | PollFlags::RDHUP;
    if writable {
        interest |= PollFlags::OUT;
    }
    poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), interest), PollFd::new(wake, PollFlags::IN)], timeout)
}
