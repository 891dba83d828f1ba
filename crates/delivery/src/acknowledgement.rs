//! How much the agency's TCP has acknowledged.

use nix::sys::socket::GetSockOpt;
use nix::sys::socket::sockopt::GetStruct;
use std::io;
use std::os::fd::AsFd;

/// Where `tcpi_bytes_acked` lies in the kernel's `struct tcp_info` (since Linux 4.1). The struct only ever grows at its
/// end, and the kernel copies as much as is asked for.
const BYTES_ACKED: usize = 120;

/// `TCP_INFO` up to and with `tcpi_bytes_acked`, as bytes: any of them are valid, whatever the kernel puts there.
type Info = [u8; BYTES_ACKED + 8];

#[derive(Clone, Copy)]
struct TcpInfo;

// The system call is written by nix.
nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Info, GetStruct<Info>);

/// Bytes that the peer of a TCP socket has acknowledged since the connection began. The SYN counts as one, so take the
/// difference from what a fresh connection shows.
pub(crate) fn acknowledged_bytes(socket: impl AsFd) -> io::Result<u64> {
    let info = TcpInfo.get(&socket.as_fd())?;
    let [.., a, b, c, d, e, f, g, h] = info;
    Ok(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn counts_exactly_what_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let base = acknowledged_bytes(&socket).unwrap();
        socket.write_all(&[7; 1234]).unwrap();
        peer.read_exact(&mut [0; 1234]).unwrap();
        // The acknowledgement may be delayed, but data back carries it.
        peer.write_all(b"x").unwrap();
        socket.read_exact(&mut [0]).unwrap();
        assert_eq!(acknowledged_bytes(&socket).unwrap() - base, 1234);
    }
}
