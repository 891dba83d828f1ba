//! A witness that is a syslog server: RFC 5424 messages, framed by their length (RFC 5425), over TLS.
//!
//! Syslog knows no answer. A message counts as handed over when the server's TCP has acknowledged it and the connection
//! has lived on for a moment: what refuses us, or dies, shows by then.

use super::{NotTaken, WitnessLine};
use crate::connect::{NotConnected, connect, wait_for};
use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::link::{Heard, Link};
use std::fmt;
use std::time::{Duration, Instant};
use writ_spool::Wake;

/// Facility 13 (log audit), severity 5 (notice): RFC 5424, 6.2.1.
const PRIORITY: u8 = 13 * 8 + 5;
/// For a connection, TLS handshake included.
const CONNECT: Duration = Duration::from_secs(10);
/// For a server that has not shown that it takes our certificate.
const ACCEPTANCE: Duration = Duration::from_secs(2);
/// For the acknowledgement of what was sent.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a connection must outlive an acknowledgement.
const HOLD: Duration = Duration::from_millis(500);
/// Between two looks at a connection that something is awaited from.
const LOOK: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Syslog {
    address: Endpoint,
    transport: Transport,
    link: Option<Link>,
    /// Bytes sent over this connection.
    sent: u64,
}

impl fmt::Debug for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Syslog({})", self.address)
    }
}

impl From<Failure> for NotTaken {
    fn from(failure: Failure) -> Self {
        Self::Failed(words(failure.kind).to_owned())
    }
}

impl From<NotConnected> for NotTaken {
    fn from(error: NotConnected) -> Self {
        match error {
            NotConnected::Stopped => Self::Stopped,
            NotConnected::Failed(failure) => failure.into(),
        }
    }
}

impl Syslog {
    pub(super) fn new(address: Endpoint, transport: Transport) -> Self {
        Self { address, transport, link: None, sent: 0 }
    }

    /// Hands lines over. A stop ends it where it waits for a connection, not for an answer.
    pub(super) fn take(&mut self, lines: &[WitnessLine], stopped: &impl Fn() -> bool) -> Result<(), NotTaken> {
        let taken = self.try_to(lines, stopped);
        if taken.is_err() {
            self.link = None;
        }
        taken
    }

    /// Notices a server that closes its connection in between.
    pub(super) fn idle(&mut self) {
        if let Some(link) = &mut self.link
            && !matches!(link.hear(), Ok(Heard::Open))
        {
            self.link = None;
        }
    }

    fn try_to(&mut self, lines: &[WitnessLine], stopped: &impl Fn() -> bool) -> Result<(), NotTaken> {
        let wake = Wake::create().map_err(Failure::from)?;
        let mut link = match self.link.take() {
            Some(link) => link,
            None => {
                self.sent = 0;
                open(&self.address, &self.transport, &wake, stopped)?
            }
        };
        let bytes: Vec<u8> = lines.iter().flat_map(|line| frame(&message(line))).collect();
        let deadline = Instant::now() + ANSWER;
        let mut rest = &bytes[..];
        let mut alive_since = None;
        loop {
            if link.hear()? == Heard::Closed {
                return Err(Failure::new(FailureKind::Closed, "in order").into());
            }
            let out = link.flush()?;
            if out && !rest.is_empty() {
                let taken = link.send(rest)?;
                self.sent += taken as u64;
                rest = &rest[taken..];
            }
            let now = Instant::now();
            if rest.is_empty() && link.acknowledged()? >= self.sent {
                if now.duration_since(*alive_since.get_or_insert(now)) >= HOLD {
                    break;
                }
            } else if now >= deadline {
                return Err(Failure::new(FailureKind::Timeout, "what was sent is not acknowledged").into());
            }
            wait_for(&link, !rest.is_empty() || link.is_blocked(), &wake, LOOK)
                .map_err(|error| Failure::from(std::io::Error::from(error)))?;
            if rest.is_empty() {
                // A socket that has something to read is read above; acknowledgements wake nobody.
                std::thread::sleep(LOOK);
            }
        }
        self.link = Some(link);
        Ok(())
    }
}

fn open(address: &Endpoint, transport: &Transport, wake: &Wake, stopped: &impl Fn() -> bool) -> Result<Link, NotTaken> {
    let begun = Instant::now();
    let mut link = Link::new(connect(address, begun + CONNECT, wake, stopped)?, transport)?;
    let mut shaken = None;
    loop {
        let out = link.flush()?;
        if link.hear()? == Heard::Closed {
            return Err(Failure::new(FailureKind::Closed, "in the handshake").into());
        }
        let now = Instant::now();
        if link.is_handshaken() {
            let waited = now.duration_since(*shaken.get_or_insert(now));
            if out && (link.is_accepted() || waited >= ACCEPTANCE) {
                return Ok(link);
            }
        } else if now.duration_since(begun) >= CONNECT {
            return Err(Failure::new(FailureKind::Timeout, "no end of the TLS handshake").into());
        }
        if stopped() {
            return Err(NotTaken::Stopped);
        }
        wait_for(&link, link.is_blocked(), wake, LOOK).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    }
}

/// RFC 5424: HEADER, no structured data, and the checkpoint as the message.
fn message(line: &WitnessLine) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    format!("<{PRIORITY}>1 {} {host} writ {} checkpoint - {}", line.time, std::process::id(), line.line)
}

/// RFC 5425, 4.3: the length in bytes, a blank, the message.
fn frame(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// What is wrong, in words for a witness.
fn words(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unresolved => "the server's name cannot be resolved; check `address` and this machine's DNS",
        FailureKind::Refused => "connection refused: nobody listens at `address`",
        FailureKind::Unreachable => "the server cannot be reached; check routes and firewalls",
        FailureKind::Timeout => "the server does not answer; check firewalls on the path",
        FailureKind::ServerUnknownIssuer => "the server's certificate is not from an authority in `ca`",
        FailureKind::ServerWrongName => "the server's certificate is for another name; see `server_name`",
        FailureKind::ServerExpired => "the server's certificate is expired or not valid yet; check both clocks",
        FailureKind::ServerCertificate => "the server's certificate is damaged, revoked or not made for a server",
        FailureKind::ClientCertificate => "the server refused this probe's certificate, or asks for one; see `cert`",
        FailureKind::TlsVersion => "the server does not speak TLS 1.3; upgrade it",
        FailureKind::TlsProtocol => "what answers at `address` does not speak TLS properly",
        FailureKind::Closed => "the server closed the connection",
        FailureKind::Reset => "the connection to the server broke",
        _ => "the system refused an operation on the connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_rfc_5424_in_frames_of_rfc_5425() {
        let line = "{\"format\":\"writ-checkpoint-1\"}".to_owned();
        let line = WitnessLine { place: 7, time: "2026-11-20T14:00:00.123456Z".to_owned(), line };
        let message = message(&line);
        let fields: Vec<&str> = message.splitn(8, ' ').collect();
        assert_eq!((fields[0], fields[1], fields[3]), ("<109>1", "2026-11-20T14:00:00.123456Z", "writ"));
        assert_eq!((fields[5], fields[6], fields[7]), ("checkpoint", "-", "{\"format\":\"writ-checkpoint-1\"}"));
        let frame = String::from_utf8(frame(&message)).unwrap();
        let (length, rest) = frame.split_once(' ').unwrap();
        assert_eq!((length.parse(), rest), (Ok(message.len()), &message[..]));
    }
}
