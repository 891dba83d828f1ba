//! One connection: handshake, reading, and how it ended.
//!
//! TCP acknowledges what the kernel has taken, so a connection is ended with care. In order (the peer closes, or the
//! collector stops): everything that arrived is read and filed first. After a fault: at once and with a reset, so that
//! the probe does not take for delivered what is not filed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::net::sockopt;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{
    STREAMS, Stream,
    cases::Cases,
    digest::{self, Rolling},
    formats::{Format, Terms},
    intake::{Fault, Intake, Reader},
    now,
    status::ConnectionStatus,
};

/// A read returns after this long with nothing, to look whether the collector stops.
const READ_WAIT: Duration = Duration::from_millis(200);
/// A handshake has to be over by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a collector that stops waits for the peer to close.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A peer that is silent for this long is asked by TCP whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long a peer may take to read what it asked for.
const ANSWERING: Duration = Duration::from_secs(10);
/// Octets a read takes at most.
const READ_SIZE: usize = 256 * 1024;

/// A connection, as others see it.
pub(crate) struct Connection {
    id: u64,
    stream: Stream,
    peer: SocketAddr,
    began: String,
    certificate: OnceLock<String>,
    bytes: AtomicU64,
    pdus: AtomicU64,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ending {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The peer closed it, or it broke, within a PDU. The probe sends that PDU again.
    #[error("{how} within a PDU, {octets} octets of it had come")]
    WithinPdu {
        /// How the connection ended.
        how: Box<Ending>,
        /// Octets of the PDU.
        octets: usize,
    },
    /// The collector stopped.
    #[error("the collector stopped")]
    Stopped,
    /// It never was one: no acceptable certificate, no handshake, one too many.
    #[error("refused: {0}")]
    Refused(String),
    /// The network or the peer broke it.
    #[error("broken: {0}")]
    Broken(io::Error),
    /// The peer does not read the answers to its own questions.
    #[error("the peer does not take the answers that it asks for")]
    Deaf,
    /// What it brought ended it.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What all connections of an endpoint have in common.
pub(crate) struct Service<'a> {
    /// Certificates; none: plain TCP.
    pub tls: Option<&'a Arc<ServerConfig>>,
    /// How the handover is read; none: the first PDU of a connection tells.
    pub format: Option<Format>,
    /// What its readers know beside the octets.
    pub terms: &'a Terms,
    /// Where everything is filed.
    pub cases: &'a Arc<Cases>,
    /// Whether the bytes are kept as they come.
    pub keep: bool,
    /// Set when the collector stops.
    pub stop: &'a AtomicBool,
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new(id: u64, stream: Stream, peer: SocketAddr) -> Self {
        Self {
            id,
            stream,
            peer,
            began: now(),
            certificate: OnceLock::new(),
            bytes: AtomicU64::new(0),
            pdus: AtomicU64::new(0),
        }
    }

    /// Its number in this run.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// `cmii connection 3 from 192.0.2.1:50000`
    pub(crate) fn title(&self) -> String {
        format!("{} connection {} from {}", self.stream.name(), self.id, self.peer)
    }

    /// What it brought so far.
    pub(crate) fn status(&self) -> ConnectionStatus {
        ConnectionStatus {
            id: self.id,
            stream: self.stream,
            peer: self.peer,
            certificate_sha256: self.certificate.get().cloned(),
            began: self.began.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
            pdus: self.pdus.load(Ordering::Relaxed),
        }
    }

    /// Serves the connection to its end. Returns how it ended, and the line for the record of connections.
    pub(crate) fn serve(&self, socket: TcpStream, service: &Service<'_>) -> (Ending, Value) {
        let mut arrived = Rolling::default();
        let ending = self.read_all(socket, service, &mut arrived).unwrap_or_else(|ending| ending);
        let digest = arrived.value();
        let record = json!({
            "id": self.id,
            "stream": self.stream,
            "peer": self.peer,
            "certificate_sha256": self.certificate.get(),
            "began": self.began,
            "ended": now(),
            "ending": ending.to_string(),
            "pdus": self.pdus.load(Ordering::Relaxed),
            "bytes": digest.bytes,
            "sha256": digest.sha256,
        });
        (ending, record)
    }

    fn read_all(&self, socket: TcpStream, service: &Service<'_>, arrived: &mut Rolling) -> Result<Ending, Ending> {
        let Service { tls, format, terms, cases, keep, stop } = *service;
        socket.set_read_timeout(Some(READ_WAIT)).map_err(Ending::Broken)?;
        socket.set_write_timeout(Some(HANDSHAKE)).map_err(Ending::Broken)?;
        let kept_alive =
            sockopt::set_socket_keepalive(&socket, true).and_then(|()| sockopt::set_tcp_keepidle(&socket, KEEPALIVE));
        kept_alive.map_err(|error| Ending::Broken(error.into()))?;
        let mut channel = Channel::open(socket, tls, stop).map_err(Ending::Refused)?;
        if let Some(certificate) = channel.certificate() {
            tracing::info!("{}: accepted, client certificate {certificate}", self.title());
            // Set once only.
            let _ = self.certificate.set(certificate);
        } else {
            tracing::info!("{}: accepted, plain TCP", self.title());
        }
        channel.socket().set_write_timeout(Some(READ_WAIT)).map_err(Ending::Broken)?;
        let mut kept = if keep { Some(self.keep(cases.root()).map_err(Fault::Keep)?) } else { None };

        let reader = Arc::new(Reader::default());
        let mut intake = Intake::new(self.stream, self.peer, format, terms, Arc::clone(cases), Arc::clone(&reader));
        let mut buffer = vec![0; READ_SIZE];
        let mut give_up = None;
        let mut gone = false;
        let ending = loop {
            if stop.load(Ordering::Relaxed) && give_up.is_none() {
                channel.say_goodbye();
                give_up = Some(Instant::now() + LAST_WORDS);
            }
            if give_up.is_some_and(|then| Instant::now() >= then) {
                break Ending::Stopped;
            }
            match channel.read(&mut buffer) {
                Ok(0) if give_up.is_some() => break Ending::Stopped,
                Ok(0) => {
                    channel.say_goodbye();
                    break Ending::Closed;
                }
                Ok(length) => {
                    let piece = buffer.get(..length).unwrap_or_default();
                    arrived.update(piece);
                    self.bytes.store(arrived.bytes(), Ordering::Relaxed);
                    let kept = kept.as_mut().map_or(Ok(()), |file| file.write_all(piece));
                    let taken = kept.map_err(Fault::Keep).and_then(|()| intake.take(piece));
                    self.pdus.store(intake.pdus(), Ordering::Relaxed);
                    match taken {
                        Ok(answers) if answers.is_empty() || give_up.is_some() || gone => {}
                        Ok(answers) => match channel.say(&answers, stop) {
                            Ok(()) => {}
                            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                                channel.reset();
                                break Ending::Deaf;
                            }
                            // The peer is gone. What it had sent is filed all the same.
                            Err(_) => gone = true,
                        },
                        Err(fault) => {
                            channel.reset();
                            break Ending::Fault(fault);
                        }
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => reader.is_idle(),
                    io::ErrorKind::Interrupted => {}
                    // TCP ended without TLS saying so: a probe that was killed.
                    io::ErrorKind::UnexpectedEof => break Ending::Closed,
                    _ => break Ending::Broken(error),
                },
            }
        };
        Ok(match (ending, intake.pending()) {
            (how @ (Ending::Closed | Ending::Broken(_)), octets @ 1..) => {
                Ending::WithinPdu { how: Box::new(how), octets }
            }
            (ending, _) => ending,
        })
    }

    /// The file for the bytes as they come.
    fn keep(&self, root: &Path) -> io::Result<File> {
        let began = self.began.replace(':', "");
        let name = format!("{began}-{}-{}.ber", self.id, self.stream.name());
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(root.join(STREAMS).join(name))
    }
}

/// What the bytes come through.
enum Channel {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Channel {
    /// Does the handshake, if there is one. Errors say why there is no session.
    fn open(mut socket: TcpStream, tls: Option<&Arc<ServerConfig>>, stop: &AtomicBool) -> Result<Self, String> {
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let mut session = ServerConnection::new(Arc::clone(config)).map_err(|error| error.to_string())?;
        let give_up = Instant::now() + HANDSHAKE;
        // Step by step: rustls's own loop would wait for as long as a peer sends a byte now and then.
        loop {
            while session.wants_write() {
                session.write_tls(&mut socket).map_err(|error| error.to_string())?;
            }
            if !session.is_handshaking() {
                return Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))));
            }
            if Instant::now() >= give_up || stop.load(Ordering::Relaxed) {
                return Err("no TLS handshake within 10 seconds".to_owned());
            }
            match session.read_tls(&mut socket) {
                Ok(0) => return Err("the peer closed within the TLS handshake".to_owned()),
                Ok(_) => {}
                Err(error) if is_wait(&error) => continue,
                Err(error) => return Err(error.to_string()),
            }
            if let Err(error) = session.process_new_packets() {
                // The alert tells the peer why; whether it still arrives is not ours to mend.
                let _ = session.write_tls(&mut socket);
                let _ = socket.shutdown(Shutdown::Write);
                drain(&mut socket, give_up);
                return Err(error.to_string());
            }
        }
    }

    /// SHA-256 of the client's certificate.
    fn certificate(&self) -> Option<String> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(channel) => Some(digest::sha256(channel.conn.peer_certificates()?.first()?)),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(channel) => channel.read(buffer),
        }
    }

    /// Says something to the peer, which has some time to take it; a collector that stops waits no longer.
    fn say(&mut self, answers: &[u8], stop: &AtomicBool) -> io::Result<()> {
        let give_up = Instant::now() + ANSWERING;
        let mut rest = answers;
        loop {
            let written = match self {
                Self::Plain(_) if rest.is_empty() => return Ok(()),
                Self::Plain(socket) => socket.write(rest).map(|length| rest = rest.get(length..).unwrap_or_default()),
                Self::Tls(channel) => {
                    // The session takes what it has room for; the rest when that is gone.
                    let length = channel.conn.writer().write(rest)?;
                    rest = rest.get(length..).unwrap_or_default();
                    if rest.is_empty() && !channel.conn.wants_write() {
                        return Ok(());
                    }
                    channel.conn.write_tls(&mut channel.sock).map(drop)
                }
            };
            match written {
                Ok(()) => {}
                Err(error) if !is_wait(&error) => return Err(error),
                Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {}
            }
            if Instant::now() >= give_up {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(channel) => channel.get_ref(),
        }
    }

    /// Closes our direction, so that the peer stops sending. What it has sent is still read. A peer that is gone
    /// already does not hear it, which is no fault.
    fn say_goodbye(&mut self) {
        if let Self::Tls(channel) = self {
            channel.conn.send_close_notify();
            let _ = channel.flush();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Makes the close that follows a reset: the peer learns that not all it sent was taken.
    fn reset(&self) {
        let _ = sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Reads and forgets until the peer has closed: a close with something unread would be a reset, which can overtake the
/// alert.
fn drain(socket: &mut TcpStream, give_up: Instant) {
    let give_up = give_up.min(Instant::now() + LAST_WORDS);
    let mut buffer = [0; 4096];
    while Instant::now() < give_up {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_wait(&error) => {}
            Err(_) => return,
        }
    }
}
