//! One connection, plain or TLS, non-blocking: bytes in, and how many of them the agency has acknowledged.

use crate::acknowledgement::acknowledged_bytes;
use crate::credentials::Transport;
use crate::failure::{Failure, FailureKind};
use rustls::{ClientConnection, ProtocolVersion};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// What goes into one write, and at most lies sealed for TLS but unsent: four TLS records.
pub(crate) const CHUNK: usize = 64 * 1024;

/// What the agency did with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The connection is open.
    Open,
    /// The agency closed it in order.
    Closed,
}

/// An open connection.
pub(crate) struct Link {
    socket: TcpStream,
    /// What the kernel counts as acknowledged before our first byte.
    base: u64,
    /// Bytes written to the socket.
    written: u64,
    finishing: bool,
    /// What the agency said and nobody has taken yet; none where nobody listens.
    heard: Option<Vec<u8>>,
    tls: Option<Tls>,
}

struct Tls {
    connection: Box<ClientConnection>,
    /// PDU bytes handed to the connection.
    accepted: u64,
    /// For each flush, in order: socket bytes written by then, PDU bytes that lie wholly in them.
    marks: VecDeque<(u64, u64)>,
    /// PDU bytes up to the last mark whose socket bytes are acknowledged.
    acknowledged: u64,
}

/// At most so much of what the agency said, and one read more, waits to be taken.
const MOST_HEARD: usize = 64 * 1024;

/// More marks than the kernel ever holds chunks unacknowledged; past it, marks get coarser instead of more.
const MAX_MARKS: usize = 4096;

impl Link {
    pub(crate) fn new(socket: TcpStream, transport: &Transport) -> Result<Self, Failure> {
        let base = acknowledged_bytes(&socket)?;
        let tls = match transport {
            Transport::Plain => None,
            Transport::Tls { config, server_name } => {
                let mut connection = ClientConnection::new(config.clone(), server_name.clone())?;
                connection.set_buffer_limit(Some(CHUNK));
                let connection = Box::new(connection);
                Some(Tls { connection, accepted: 0, marks: VecDeque::new(), acknowledged: 0 })
            }
        };
        Ok(Self { socket, base, written: 0, finishing: false, heard: None, tls })
    }

    /// From now on what the agency says is kept, for [`Link::take_heard`].
    pub(crate) fn listen(&mut self) {
        self.heard.get_or_insert_default();
    }

    /// What the agency said since the last time.
    pub(crate) fn take_heard(&mut self) -> Vec<u8> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the agency has shown that it takes us.
    ///
    /// In TLS 1.3 our side of the handshake is over before the agency has looked at our certificate, and its kernel
    /// acknowledges what its program will refuse. A session ticket comes after that look; an agency that sends none
    /// is given time by the caller.
    pub(crate) fn is_accepted(&self) -> bool {
        match &self.tls {
            None => true,
            Some(tls) => !tls.connection.is_handshaking() && tls.connection.tls13_tickets_received() > 0,
        }
    }

    /// Whether our side of the handshake is over.
    pub(crate) fn is_handshaken(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.connection.is_handshaking())
    }

    /// Hands over bytes of PDUs; returns how many were taken, 0 if the connection takes none now.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if !self.flush()? {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else {
            let taken = match self.socket.write(bytes) {
                Ok(taken) => taken,
                Err(error) if is_later(&error) => 0,
                Err(error) => return Err(error.into()),
            };
            self.written += taken as u64;
            return Ok(taken);
        };
        let taken = tls.connection.writer().write(bytes)?;
        tls.accepted += taken as u64;
        self.flush()?;
        Ok(taken)
    }

    /// Writes what TLS has sealed; says whether all of it is out.
    pub(crate) fn flush(&mut self) -> Result<bool, Failure> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.connection.wants_write() {
            match tls.connection.write_tls(&mut self.socket) {
                Ok(written) => self.written += written as u64,
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        let marked = tls.marks.back().map_or(tls.acknowledged, |(_, pdus)| *pdus);
        if marked < tls.accepted {
            if tls.marks.len() == MAX_MARKS {
                tls.marks.pop_back();
            }
            tls.marks.push_back((self.written, tls.accepted));
        }
        Ok(true)
    }

    /// Whether there are sealed bytes that wait for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.wants_write())
    }

    /// PDU bytes that the agency's TCP has acknowledged.
    pub(crate) fn acknowledged(&mut self) -> Result<u64, Failure> {
        let counted = acknowledged_bytes(&self.socket)?.saturating_sub(self.base);
        // Our FIN would count as one more.
        let acknowledged = counted.min(self.written);
        let Some(tls) = &mut self.tls else { return Ok(acknowledged) };
        while let Some((_, pdus)) = tls.marks.pop_front_if(|(socket, _)| *socket <= acknowledged) {
            tls.acknowledged = pdus;
        }
        Ok(tls.acknowledged)
    }

    /// Takes in whatever the agency sent. Where nobody listens, the handover knows no answers: it is discarded.
    pub(crate) fn hear(&mut self) -> Result<Heard, Failure> {
        let mut scrap = [0; 4096];
        // Bounded, so that an agency that never stops talking cannot keep us from sending.
        for _ in 0..16 {
            if self.heard.as_ref().is_some_and(|heard| heard.len() >= MOST_HEARD) {
                break;
            }
            let received = match &mut self.tls {
                None => self.socket.read(&mut scrap),
                Some(tls) => tls.connection.read_tls(&mut self.socket),
            };
            let received = match received {
                Ok(received) => received,
                Err(error) if is_later(&error) => return Ok(Heard::Open),
                Err(error) => return Err(error.into()),
            };
            if let Some(tls) = &mut self.tls {
                let state = tls.connection.process_new_packets().inspect_err(|_| {
                    // The alert that tells the agency why; if it does not get out, our own log still says.
                    let _unsent = tls.connection.write_tls(&mut self.socket);
                })?;
                let mut plain = state.plaintext_bytes_to_read();
                while plain > 0 {
                    let most = plain.min(scrap.len());
                    let read = tls.connection.reader().read(&mut scrap[..most])?;
                    keep(&mut self.heard, &scrap[..read]);
                    plain -= read.max(1);
                }
                // After our own end, many programs close without a word of theirs.
                if state.peer_has_closed() || (received == 0 && self.finishing) {
                    return Ok(Heard::Closed);
                }
                if received == 0 {
                    let told =
                        if tls.connection.is_handshaking() { "in the handshake" } else { "without close_notify" };
                    return Err(Failure::new(FailureKind::Closed, told));
                }
            } else if received == 0 {
                return Ok(Heard::Closed);
            } else {
                keep(&mut self.heard, &scrap[..received]);
            }
        }
        Ok(Heard::Open)
    }

    /// Who is at the other end.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The protocol's version and the agency's certificate (DER); none over plain TCP.
    pub(crate) fn certificate(&self) -> Option<(Option<ProtocolVersion>, &[u8])> {
        let connection = &self.tls.as_ref()?.connection;
        Some((connection.protocol_version(), connection.peer_certificates()?.first()?))
    }

    /// Says that nothing more comes. To be called again until it says that this is out.
    pub(crate) fn finish(&mut self) -> Result<bool, Failure> {
        if !std::mem::replace(&mut self.finishing, true)
            && let Some(tls) = &mut self.tls
        {
            tls.connection.send_close_notify();
        }
        let out = self.flush()?;
        if out {
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(out)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn keep(heard: &mut Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(heard) = heard {
        heard.extend_from_slice(bytes);
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
