//! A stream that goes to an agency by UDP: each PDU a datagram of its own, whole.
//!
//! Nothing confirms a datagram. Delivered is what the kernel took and nobody refused for a while: a host on which nobody
//! listens says so (ICMP), and then what was sent shortly before goes again.

use super::hold::Hold;
use super::{Broken, IDLE, Notice, Session};
use crate::connect::{NotConnected, open_datagrams, poll};
use crate::destination::Endpoint;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::refusal;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};
use writ_spool::StreamError;

/// What fits into a datagram over IPv4. Over IPv6 a few octets more do.
const LONGEST: usize = 65_507;
/// Datagrams of one system call at most.
const BATCH: usize = 64;
/// Batches between two looks at refusals and at what is due.
const BURST: usize = 16;

/// What became of a batch.
enum Batch {
    /// So many datagrams went out.
    Sent(usize),
    /// None: the kernel's buffer is full.
    Full,
    /// None: the first one is longer than any datagram.
    TooLong,
}

impl Session {
    /// Sends until somebody refuses or a stop is carried out. Without an error, the stop was asked for.
    pub(super) fn send_datagrams(&mut self, endpoint: &Endpoint, sent_any: &mut bool) -> Result<(), Broken> {
        let deadline = Instant::now() + self.setup.timing.connect;
        let stopped = || super::gives_up(&self.stop, &self.setup.consumer).unwrap_or(true);
        let socket = match open_datagrams(endpoint, deadline, &stopped) {
            Ok(socket) => socket,
            Err(NotConnected::Stopped) => return Ok(()),
            Err(NotConnected::Failed(failure)) => {
                self.account(|account| account.attempt_failed());
                return Err(failure.into());
            }
        };
        let address = socket.peer_addr()?.to_string();
        self.note_open();
        tracing::info!(stream = %self.setup.label, "datagrams go to the agency");
        self.tell(|| Notice::Open(Some(Peer { address, tls: None })));

        let mut hold =
            Hold::new(self.setup.timing.datagram_hold, &self.setup.timing, self.setup.consumer.capacity_bytes());
        loop {
            let mut blocked = false;
            let mut sent = false;
            for _ in 0..BURST {
                match self.send_batch(&socket)? {
                    Batch::Sent(0) => break,
                    Batch::Sent(count) => {
                        let bytes = self.setup.consumer.sent_records(count)?;
                        self.account(|account| account.sent(bytes));
                        sent = true;
                    }
                    Batch::Full => {
                        blocked = true;
                        break;
                    }
                    Batch::TooLong => {
                        // It would stand in the way of all others for ever. Capture makes none.
                        let bytes = self.setup.consumer.sent_records(1)?;
                        tracing::error!(stream = %self.setup.label, bytes, "ALARM: a PDU fits into no datagram and is left out");
                    }
                }
            }
            refusal::check(&socket)?;

            let now = Instant::now();
            hold.acknowledged(self.setup.consumer.sent_bytes(), now);
            *sent_any |= self.release(hold.due(now))? > 0;
            if let Some(deadline) = self.stop.get()
                && (now >= *deadline || self.setup.consumer.is_empty()?)
            {
                self.release(self.setup.consumer.sent_bytes())?;
                return Ok(());
            }

            if !blocked && !self.setup.consumer.may_sleep()? {
                continue;
            }
            let mut timeout = hold.next_due().map_or(IDLE, |due| due.saturating_duration_since(now)).min(IDLE);
            if let Some(deadline) = self.stop.get() {
                timeout = timeout.min(deadline.saturating_duration_since(now));
            }
            let timeout = timeout.max(Duration::from_millis(1));
            // What the agency's side sends is nothing to this socket; errors are told without being asked for.
            let interest = if blocked { PollFlags::OUT } else { PollFlags::empty() };
            let wake = self.setup.consumer.wake();
            let waited = poll(&mut [PollFd::new(&socket, interest), PollFd::new(wake, PollFlags::IN)], timeout);
            self.setup.consumer.awake()?;
            waited.map_err(io::Error::from)?;
            if sent && !blocked && self.stop.get().is_none() && self.setup.consumer.unsent(1)?.is_some() {
                thread::sleep(self.setup.timing.gather);
            }
        }
    }

    /// Hands the kernel the next datagrams.
    fn send_batch(&self, socket: &UdpSocket) -> Result<Batch, Broken> {
        let records = self.setup.consumer.unsent_records()?.take(BATCH);
        let slices = records
            .map(|record| record.map(|(_, pdu)| [IoSlice::new(pdu)]))
            .collect::<Result<Vec<_>, StreamError>>()?;
        if slices.is_empty() {
            return Ok(Batch::Sent(0));
        }
        let mut nothing_beside: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<_> =
            slices.iter().zip(&mut nothing_beside).map(|(slice, beside)| MMsgHdr::new(slice, beside)).collect();
        match rustix::net::sendmmsg(socket, &mut messages, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => Ok(Batch::Sent(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Batch::Full),
            Err(Errno::NOBUFS) => {
                // Of the port, not of the socket: nobody tells when there is room again.
                thread::sleep(Duration::from_millis(1));
                Ok(Batch::Full)
            }
            Err(Errno::MSGSIZE) if slices.first().is_some_and(|[pdu]| pdu.len() > LONGEST) => Ok(Batch::TooLong),
            // An answer to an earlier one that was too long for the path over IPv6: the kernel cuts the next ones.
            Err(Errno::MSGSIZE) => Ok(Batch::Full),
            Err(error) => Err(Failure::from(io::Error::from(error)).into()),
        }
    }
}
