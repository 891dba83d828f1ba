//! What hosts on the path say of datagrams that were sent: that nobody listens, that there is no way.
//!
//! The kernel keeps each such answer (ICMP) in the socket's error queue until it is read. A pending error alone would not
//! do: `sendmmsg` takes it from the socket between two datagrams of a batch, and tells nobody.

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr, SetStruct};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SetSockOpt, SockaddrStorage, recvmsg};
use rustix::net::sockopt;
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Room for one answer: the kernel's words about it and the address of who gave it.
const ANSWER: usize = 256;

// The system calls are written by nix.
#[derive(Clone, Copy)]
struct PathMtuV4;
nix::setsockopt_impl!(PathMtuV4, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::c_int, SetStruct<libc::c_int>);
#[derive(Clone, Copy)]
struct PathMtuV6;
nix::setsockopt_impl!(PathMtuV6, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::c_int, SetStruct<libc::c_int>);

/// Has the kernel keep answers for a connected socket. Datagrams may be cut into fragments on their way: a mirrored packet
/// with a header before it is often longer than a tunnel on the path takes.
pub(crate) fn keep(socket: &UdpSocket) -> io::Result<()> {
    if socket.peer_addr()?.is_ipv4() {
        PathMtuV4.set(socket, &libc::IP_PMTUDISC_DONT)?;
        Ipv4RecvErr.set(socket, &true)?;
    } else {
        PathMtuV6.set(socket, &libc::IPV6_PMTUDISC_DONT)?;
        Ipv6RecvErr.set(socket, &true)?;
    }
    Ok(())
}

/// Fails if somebody said that datagrams do not arrive.
pub(crate) fn check(socket: &UdpSocket) -> io::Result<()> {
    let mut room = [0; ANSWER];
    loop {
        // Of the datagram itself nothing is wanted.
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut nothing = [IoSliceMut::new(&mut [])];
        match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut nothing, Some(&mut room), flags) {
            Ok(answer) => match answer.cmsgs()?.find_map(|said| refusal(&said)) {
                Some(error) => return Err(error),
                None => continue,
            },
            Err(nix::Error::EAGAIN) => break,
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
    match sockopt::socket_error(socket)? {
        Err(error) if error != rustix::io::Errno::MSGSIZE => Err(error.into()),
        _ => Ok(()),
    }
}

/// The error, if another host gave it and it means that datagrams are lost. Of one that was too long for the path the
/// kernel has taken note, and cuts the next ones.
fn refusal(said: &ControlMessageOwned) -> Option<io::Error> {
    let error = match said {
        ControlMessageOwned::Ipv4RecvErr(error, _) => error,
        ControlMessageOwned::Ipv6RecvErr(error, _) => error,
        _ => return None,
    };
    let is_answer = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
    let number = i32::try_from(error.ee_errno).ok()?;
    (is_answer && number != libc::EMSGSIZE).then(|| io::Error::from_raw_os_error(number))
}
