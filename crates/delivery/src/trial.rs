//! A trial of a destination: made-up packets over the very way that an intercept's would go.
//!
//! It needs no order and takes nothing from a tap: the packets are composed here, between addresses that belong to
//! nobody (RFC 5737, RFC 3849), and say in words what they are. A case id that begins with `TEST-` stands in every
//! record of a format that has room for one; numbers that stand for an intercept are 0. They are encoded as any packet is, go through streams, a ledger and sessions of the trial's own, and leave
//! what is delivered beside them alone.

use crate::failure::FailureKind;
use crate::files::Predecessor;
use crate::peer::Peer;
use crate::route::Route;
use crate::session::{Notice, Session, SessionHandle, SessionSetup, Timing};
use etherparse::PacketBuilder;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use writ_digests::Stream as StreamKind;
use writ_encoder::handover::{Handover, HandoverError, Information, Moment, Names, News, Scratch, Terms, WriteContent};
use writ_encoder::t1_ias::{
    Allocation, Assignment, CaseId, Direction, Flow, IapSystemId, IdentifierError, Reason, SessionId,
};
use writ_encoder::{UtcMicros, handover};
use writ_spool::{
    AppendError, Consumer, Ledger, MapError, Producer, Record, RecordKind, StreamError, Wake, create_stream,
};

/// Most packets of one trial.
pub const MOST_PACKETS: u32 = 1000;
/// How long a trial takes at most: connecting, handshake and acknowledgement.
pub const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// How long a session may take to close in order once all is acknowledged.
const GOODBYE: Duration = Duration::from_millis(500);
/// How often the trial looks at its sessions.
const TICK: Duration = Duration::from_millis(5);
/// Bytes of a segment of a trial's stream: all its records fit into one.
const SEGMENT_BYTES: usize = 1 << 20;
/// The discard port, at both ends (RFC 863).
const PORT: u16 = 9;
/// The IP protocol number of UDP.
const UDP: u8 = 17;
/// The one slot of a trial's ledger.
const SLOT: u16 = 0;
const GENERATION: u16 = 1;

/// What the packets say.
const WORDS: &str = "TEST. Writ made this packet up to try the way to this destination. It is nobody's traffic, and no \
                     interception is behind it.";

/// A trial that is to be made.
#[derive(Debug)]
pub struct Trial {
    /// What logs call the destination.
    pub destination: String,
    /// The ways of its CmII and of its CmC stream.
    pub routes: [Route; 2],
    /// What is agreed on with it.
    pub terms: Terms,
    /// Begins with `TEST-`.
    pub case_id: CaseId,
    /// The probe.
    pub iap: IapSystemId,
    /// How many packets: 1 to [`MOST_PACKETS`].
    pub packets: u32,
}

/// What became of one stream of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTrial {
    /// Which.
    pub stream: StreamKind,
    /// Where it was to go.
    pub to: String,
    /// Whether it goes over UDP, where nobody acknowledges anything.
    pub in_datagrams: bool,
    /// Who answered; none over no connection.
    pub peer: Option<Peer>,
    /// Milliseconds until the way was open, TLS handshake included; none if it never was.
    pub open_ms: Option<u64>,
    /// Records made.
    pub records: u64,
    /// Of these, handed to the connection or written.
    pub sent: u64,
    /// Of these, acknowledged by the agency's side, or on disk.
    pub acknowledged: u64,
    /// Milliseconds until the last acknowledgement, or until the failure.
    pub done_ms: u64,
    /// What went wrong, if anything did.
    pub failure: Option<TrialFailure>,
}

/// Why a stream's trial failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialFailure {
    /// [`FailureKind::label`].
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// In the words of whoever reported it.
    pub detail: String,
}

impl TrialFailure {
    fn new(kind: FailureKind, detail: String) -> Self {
        Self { reason: kind.label().to_owned(), message: kind.message().to_owned(), detail }
    }
}

/// A trial could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// No memory, no thread.
    #[error("the system refused memory or a thread: {0}")]
    System(#[from] io::Error),
    /// The trial's own memory.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The trial's own stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A name does not fit the handover.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// The same.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// A packet does not fit.
    #[error("a made-up packet cannot be put into a record: {0}")]
    Packet(String),
}

/// The PDUs of one stream, in order.
type Records = Vec<(RecordKind, Vec<u8>)>;

/// A stream of a trial that runs.
struct Course {
    report: StreamTrial,
    /// Bytes of the stream up to the end of each record.
    ends: Vec<u64>,
    stream: usize,
    session: SessionHandle,
    notices: Receiver<Notice>,
    done: bool,
}

impl Trial {
    /// Makes the trial: both streams at once. Takes [`TRIAL_LIMIT`] and a moment at most.
    ///
    /// # Errors
    /// When there is nothing to try it with. What is wrong with the way stands in the report.
    pub fn run(self) -> Result<[StreamTrial; 2], TrialError> {
        let begun = Instant::now();
        let ledger = Arc::new(Ledger::open(Ledger::create(1, StreamKind::ALL.len())?)?);
        if let Some(account) = ledger.slot(SLOT) {
            account.reset(GENERATION, 1);
        }
        let records = self.records()?;
        let Self { destination, routes, .. } = self;
        let mut courses = Vec::new();
        for (stream, ((kind, route), records)) in StreamKind::ALL.into_iter().zip(routes).zip(records).enumerate() {
            courses.push(Course::begin(&destination, kind, route, &records, stream, &ledger)?);
        }
        while courses.iter().any(|course| !course.done) && begun.elapsed() < TRIAL_LIMIT {
            thread::sleep(TICK);
            for course in courses.iter_mut().filter(|course| !course.done) {
                course.look(&ledger, begun);
            }
        }
        for course in courses.iter_mut().filter(|course| !course.done) {
            course.fail(FailureKind::Timeout, "not everything was acknowledged in time".to_owned(), begun);
        }
        let mut reports = courses.into_iter().map(Course::end);
        match (reports.next(), reports.next()) {
            (Some(cmii), Some(cmc)) => Ok([cmii, cmc]),
            _ => Err(io::Error::other("a stream is missing").into()),
        }
    }

    /// The records of both streams. A format without identifying information has none in the first.
    fn records(&self) -> Result<[Records; 2], TrialError> {
        let names = Names {
            case_id: self.case_id.as_str(),
            content_identifier: if self.terms.name_content_by_number() { "0" } else { self.case_id.as_str() },
            probe: self.iap.as_str(),
            subscriber: "TEST: nobody",
            warrant: 0,
        };
        let handover = Handover::new(&self.terms, &names)?;
        let time = UtcMicros::from(SystemTime::now());
        let made: Vec<_> = (1..=self.packets.min(MOST_PACKETS))
            .map(|number| MadeUp::new(number, self.packets))
            .collect::<Result<_, _>>()?;
        let mut scratch = Scratch::default();
        let cmii = match handover.information() {
            Some(information) => self.told(information, &mut scratch, time, &made)?,
            None => Vec::new(),
        };
        let mut cmc = Vec::new();
        for (sequence, made) in (1..).zip(&made) {
            let content = handover.content();
            let mut pdu = vec![0; content.bound(made.packet.len())];
            let copy = |to: &mut [u8]| to.copy_from_slice(&made.packet);
            let moment = made.moment(time, sequence);
            let length = content.write(&mut pdu, &mut scratch, &moment, made.packet.len(), copy).map_err(unfit)?;
            pdu.truncate(length);
            cmc.push((RecordKind::Content, pdu));
        }
        Ok([cmii, cmc])
    }

    /// A session that begins and ends, and a report of each packet in between, as far as the format has words for them.
    fn told(
        &self,
        information: &Information,
        scratch: &mut Scratch,
        time: UtcMicros,
        made: &[MadeUp],
    ) -> Result<Records, TrialError> {
        let session = handover::Session {
            id: SessionId::new(self.case_id.as_str())?,
            assignment: Assignment::of(Party::V4.subject(), Allocation::NotApplicable),
        };
        let reason = &Reason::new("TEST: end of a trial, there was no interception")?;
        let (session, mut sequence) = (&session, 0);
        let mut told = Records::new();
        let begin = News::Established { session, is_further: false };
        told.extend(information.tell(time, sequence, &begin).map_err(unfit)?.map(|pdu| (RecordKind::Event, pdu)));
        for made in made {
            sequence += 1;
            let mut pdu = vec![0; information.report_bound(made.packet.len())];
            let octets = made.packet.get(..made.headers).unwrap_or_default();
            let headers = handover::Headers { flow: &made.flow, octets, packet_length: made.packet.len() };
            let moment = made.moment(time, sequence);
            // OpenCALEA has no room for IPv6.
            let Ok(length) = information.report(&mut pdu, scratch, &moment, &headers) else { continue };
            pdu.truncate(length);
            told.push((RecordKind::HeaderReport, pdu));
        }
        let end = News::Ended { session, is_partial: false, reason };
        told.extend(information.tell(time, sequence + 1, &end).map_err(unfit)?.map(|pdu| (RecordKind::Event, pdu)));
        Ok(told)
    }
}

fn unfit(error: impl std::error::Error) -> TrialError {
    TrialError::Packet(error.to_string())
}

/// Between which addresses a made-up packet goes.
#[derive(Clone, Copy)]
enum Party {
    V4,
    V6,
}

impl Party {
    fn subject(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    fn peer(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 0, 2, 2).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into(),
        }
    }
}

/// A packet that nobody sent.
struct MadeUp {
    packet: Vec<u8>,
    /// Octets of its headers.
    headers: usize,
    flow: Flow,
    direction: Direction,
}

impl MadeUp {
    /// Both families, both directions, by turns.
    fn new(number: u32, of: u32) -> Result<Self, TrialError> {
        let (party, direction) = match number % 4 {
            1 => (Party::V4, Direction::FromSubject),
            2 => (Party::V4, Direction::ToSubject),
            3 => (Party::V6, Direction::FromSubject),
            _ => (Party::V6, Direction::ToSubject),
        };
        let (source, destination) = match direction {
            Direction::FromSubject => (party.subject(), party.peer()),
            Direction::ToSubject => (party.peer(), party.subject()),
        };
        let builder = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
            }
            (source, destination) => PacketBuilder::ipv6(v6(source), v6(destination), 64),
        };
        let payload = format!("{WORDS} Packet {number} of {of}.");
        let mut packet = Vec::new();
        builder
            .udp(PORT, PORT)
            .write(&mut packet, payload.as_bytes())
            .map_err(|error| TrialError::Packet(error.to_string()))?;
        let flow = Flow { source, destination, protocol: UDP, ports: Some((PORT, PORT)), flow_label: None };
        let headers = packet.len() - payload.len();
        Ok(Self { packet, headers, flow, direction })
    }

    fn moment(&self, time: UtcMicros, sequence: u64) -> Moment<'static> {
        let (direction, is_ipv6) = (Some(self.direction), self.flow.source.is_ipv6());
        Moment { time, direction, sequence, original_length: None, is_ipv6, link: &[] }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

impl Course {
    /// Puts the records into a stream of their own and sets a session on it.
    fn begin(
        destination: &str,
        kind: StreamKind,
        route: Route,
        records: &[(RecordKind, Vec<u8>)],
        stream: usize,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, TrialError> {
        let memory = create_stream("writ-trial", 2, SEGMENT_BYTES)?;
        let wake = Wake::create()?;
        let mut producer = Producer::open(&memory, wake.try_clone()?, Arc::clone(ledger))?;
        let mut ends = Vec::with_capacity(records.len());
        for (sequence, (kind, pdu)) in (1..).zip(records) {
            let record = Record { slot: SLOT, generation: GENERATION, delivery: 0, kind: *kind, sequence };
            let write = |room: &mut [u8]| {
                room.copy_from_slice(pdu);
                Ok::<_, std::convert::Infallible>(pdu.len())
            };
            producer.append(pdu.len(), record, write).map_err(|error| match error {
                AppendError::Stream(error) => error.into(),
                error => TrialError::Packet(error.to_string()),
            })?;
            ends.push(ends.last().copied().unwrap_or(0) + pdu.len() as u64);
        }
        producer.commit()?;
        let (sender, notices) = channel();
        let report = StreamTrial {
            stream: kind,
            to: route.to_string(),
            in_datagrams: matches!(route, Route::Datagrams(_)),
            peer: None,
            open_ms: None,
            records: records.len() as u64,
            sent: 0,
            acknowledged: 0,
            done_ms: 0,
            failure: None,
        };
        let session = Session::spawn(SessionSetup {
            label: format!("{destination} {} trial", kind.name()),
            route,
            predecessor: Predecessor::AtWork,
            consumer: Consumer::open(&memory, wake, Arc::clone(ledger))?,
            ledger: Arc::clone(ledger),
            stream,
            timing: Timing::default(),
            digests: None,
            notices: Some(sender),
        })?;
        Ok(Self { report, ends, stream, session, notices, done: false })
    }

    /// Takes notice of how far it is. The first failure ends it: a trial is there to show it.
    fn look(&mut self, ledger: &Ledger, begun: Instant) {
        let figures = ledger.stream(self.stream).map(|account| account.snapshot()).unwrap_or_default();
        self.report.sent = self.ends.partition_point(|end| *end <= figures.sent_bytes) as u64;
        self.report.acknowledged = figures.delivered_records;
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Open(peer) => {
                    self.report.peer = peer;
                    self.report.open_ms = Some(milliseconds(begun));
                }
                Notice::Failed { kind, detail } if !self.done => self.fail(kind, detail, begun),
                Notice::Failed { .. } => {}
            }
        }
        if !self.done && self.report.acknowledged == self.report.records {
            self.done = true;
            self.report.done_ms = milliseconds(begun);
            self.session.stop(GOODBYE);
        }
    }

    fn fail(&mut self, kind: FailureKind, detail: String, begun: Instant) {
        self.done = true;
        self.report.failure = Some(TrialFailure::new(kind, detail));
        self.report.done_ms = milliseconds(begun);
        self.session.stop(Duration::ZERO);
    }

    fn end(self) -> StreamTrial {
        if self.session.join().is_err() {
            tracing::error!("the session of a trial panicked");
        }
        self.report
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_encoder::t1_ias::{decode_cmcc, decode_cmii};

    #[test]
    fn every_record_says_that_it_is_a_test() {
        let trial = Trial {
            destination: "lab".to_owned(),
            routes: [(); 2].map(|()| Route::Endpoint {
                endpoint: crate::Endpoint::try_from("127.0.0.1:1".to_owned()).unwrap(),
                transport: crate::Transport::Plain,
            }),
            terms: Terms::T1Ias(handover::T1IasTerms::default()),
            case_id: CaseId::new("TEST-1").unwrap(),
            iap: IapSystemId::new("probe").unwrap(),
            packets: 5,
        };
        let [cmii, cmc] = trial.records().unwrap();
        assert_eq!((cmii.len(), cmc.len()), (7, 5));
        for (_, pdu) in &cmii {
            assert_eq!(decode_cmii(pdu).unwrap().0.case_id, "TEST-1");
        }
        for (_, pdu) in &cmc {
            let content = decode_cmcc(pdu).unwrap().0;
            assert_eq!(content.case_id.as_deref(), Some("TEST-1"));
            let packet = etherparse::SlicedPacket::from_ip(&content.payload).unwrap();
            let Some(etherparse::TransportSlice::Udp(udp)) = &packet.transport else { panic!("{packet:?}") };
            assert!(udp.payload().starts_with(b"TEST."), "{packet:?}");
        }
    }
}
