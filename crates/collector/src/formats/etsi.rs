//! ETSI TS 102 232: a case is a LIID, a series of numbers a session of its target (CIN), content and IRI apart.
//!
//! Containers are opened with the key of the case; integrity checks are held against what arrived. Both need PDUs as they
//! came, so both happen here, before anything is filed. A hash can be over PDUs of a connection that broke meanwhile:
//! what was seen of a sender is kept from one of its connections to the next ([`Verifiers`]).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use serde::Serialize;
use writ_encoder::{
    UtcMicros,
    etsi::{
        CaseKeys, Cc, CcContents, CountryCode, DataType, DeliveryOption, Direction, Edition, Identity, Intercept, Iri,
        IriContents, Label, Liid, NetworkElementId, OperatorId, Payload, Pdu, PsHeader, PublicKey, Tri, Verdict,
        Verifier, decode,
    },
    t1_ias,
};

use super::{
    Check, Format, Item, Unreadable,
    about::{About, End, Ends, Text},
    arrival_us, unix_us,
};
use crate::{
    Stream,
    cases::lock,
    pcapng::{Around, Link, Packet, Source},
};

/// Octets of a sender's PDUs that are kept until a hash is over them.
const KEPT: usize = 128 << 20;
/// Senders whose PDUs are remembered from one connection to the next.
const MOST_SENDERS: usize = 256;
/// What is accepted when the sender asks.
const OPTIONS: [DeliveryOption; 1] = [DeliveryOption::PduAcknowledgement];

/// What has arrived of each sender on each endpoint and waits for a check to be over it.
pub(crate) struct Verifiers {
    key: Option<PublicKey>,
    senders: Mutex<HashMap<(Option<Stream>, IpAddr), SharedVerifier>>,
}

/// The verifier of a sender, as its connections share it.
type SharedVerifier = Arc<Mutex<Verifier>>;

impl Verifiers {
    /// Nothing has arrived. Without a key signatures are not checked.
    pub(crate) fn new(key: Option<PublicKey>) -> Self {
        Self { key, senders: Mutex::default() }
    }

    fn of(&self, endpoint: Option<Stream>, sender: IpAddr) -> SharedVerifier {
        let fresh = || Arc::new(Mutex::new(Verifier::new(self.key.clone(), KEPT)));
        let mut senders = lock(&self.senders);
        if senders.len() >= MOST_SENDERS && !senders.contains_key(&(endpoint, sender)) {
            // Those that no connection uses now.
            senders.retain(|_, verifier| Arc::strong_count(verifier) > 1);
        }
        if senders.len() >= MOST_SENDERS {
            return fresh();
        }
        Arc::clone(senders.entry((endpoint, sender)).or_insert_with(fresh))
    }
}

/// Reads the PS-PDUs of one connection.
pub(crate) struct Reader {
    endpoint: Option<Stream>,
    keys: Arc<CaseKeys>,
    verifier: SharedVerifier,
}

/// A PS-PDU, its payload opened if there was a key.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    header: PsHeader,
    payload: Payload,
    /// byteCounter of the container it was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    byte_counter: Option<u64>,
    /// Why it is not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'static str>,
    /// Of an integrity check: what it is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip)]
    endpoint: Option<Stream>,
}

impl Reader {
    pub(super) fn new(endpoint: Option<Stream>, from: SocketAddr, keys: &Arc<CaseKeys>, verifiers: &Verifiers) -> Self {
        Self { endpoint, keys: Arc::clone(keys), verifier: verifiers.of(endpoint, from.ip()) }
    }

    pub(super) fn read(&mut self, octets: &[u8]) -> Result<Read, Unreadable> {
        let (pdu, _) = decode(octets)?;
        let mut verifier = lock(&self.verifier);
        let mut verdict = verifier.arrived(octets, &pdu);
        let (mut byte_counter, mut sealed) = (None, None);
        let Pdu { header, payload } = pdu;
        let payload = match payload {
            Payload::Encrypted(container) => match self.keys.of(&header.liid.0) {
                None => {
                    sealed = Some("there is no key for it");
                    Payload::Encrypted(container)
                }
                Some(key) => match key.open(header.sequence, &container) {
                    Ok((counter, payload)) => {
                        byte_counter = Some(counter);
                        let opened = Pdu { header: header.clone(), payload };
                        if let Payload::Tri(_) = &opened.payload {
                            verdict = verifier.arrived(octets, &opened);
                        }
                        opened.payload
                    }
                    Err(_) => {
                        sealed = Some("the key of the case does not open it");
                        Payload::Encrypted(container)
                    }
                },
            },
            open => open,
        };
        Ok(Read { header, payload, byte_counter, sealed, verdict, endpoint: self.endpoint })
    }
}

impl Read {
    /// Where it belongs. A message about the delivery belongs to its endpoint.
    pub(super) fn stream(&self) -> Stream {
        match &self.payload {
            Payload::Cc(_) => Stream::Cmc,
            Payload::Iri(_) | Payload::Hi1(_) => Stream::Cmii,
            Payload::Tri(_) | Payload::Encrypted(_) | Payload::Unsupported(_) => self.endpoint.unwrap_or(Stream::Cmii),
        }
    }

    pub(super) fn items<E>(&self, pdu: &[u8], take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        let sequence = self.header.sequence;
        match &self.payload {
            Payload::Cc(members) => self.content(members, pdu, take),
            Payload::Iri(reports) => take(self.message(iri(&self.header, reports), Some(sequence))),
            Payload::Hi1(notification) => {
                let about = About {
                    message: format!("hi1-{}", word(&notification.change)),
                    timestamp: Some(notification.time),
                    subscriber_identity: notification.target.as_ref().map(text),
                    ..About::default()
                };
                take(self.message(about, None))
            }
            Payload::Tri(tri) => self.about_delivery(tri, take),
            Payload::Encrypted(_) => take(Item::Sealed {
                case: self.case(),
                source: self.source(format!("{}, sealed", self.session())),
                sequence,
                why: self.sealed.unwrap_or_default(),
            }),
            Payload::Unsupported(_) => take(self.message(self.named("unsupported"), None)),
        }
    }

    /// The packets of a PDU, which may bear times of their own. What is content of another service is filed as a message.
    fn content<E>(
        &self,
        members: &[Cc],
        pdu: &[u8],
        take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sequence = Some(u64::from(self.header.sequence));
        let mut packets: Vec<Packet<'_>> = Vec::with_capacity(members.len());
        let mut is_whole = true;
        for member in members {
            let (octets, original_length) = match &member.contents {
                CcContents::Packet(octets) => (octets, None),
                CcContents::Truncated { packet, original_length } => (packet, *original_length),
                CcContents::Unsupported(_) => {
                    is_whole = false;
                    continue;
                }
            };
            let time_us = member.time.or(self.header.time).map_or_else(arrival_us, unix_us);
            packets.push(Packet {
                direction: match member.direction {
                    Some(Direction::FromTarget) => Some(t1_ias::Direction::FromSubject),
                    Some(Direction::ToTarget) => Some(t1_ias::Direction::ToSubject),
                    _ => None,
                },
                sequence,
                original_length: original_length.and_then(|length| u32::try_from(length).ok()),
                around: if members.len() == 1 { Around::of(pdu, &octets.0) } else { Around::default() },
                ..Packet::bare(time_us, Link::Ip, &octets.0)
            });
        }
        // A PDU has room for some ten thousand.
        for (following, packet) in (0..=u16::MAX).zip(packets.iter_mut().rev()) {
            packet.following = following;
        }
        if !is_whole {
            take(self.message(self.named("unsupported-content"), None))?;
        }
        if packets.is_empty() {
            return Ok(());
        }
        take(Item::Packets {
            case: Some(self.case()),
            source: self.source(self.session()),
            sequence,
            packets: &packets,
        })
    }

    fn about_delivery<E>(&self, tri: &Tri, take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        match tri {
            Tri::IntegrityCheck(check) => {
                let Some(verdict) = &self.verdict else { return Ok(()) };
                take(Item::Check {
                    case: self.case(),
                    source: self.source(self.session()),
                    over: match check.data {
                        Some(DataType::Iri) => Some(Stream::Cmii),
                        Some(DataType::Cc) => Some(Stream::Cmc),
                        Some(DataType::Ilhi) | None => None,
                    },
                    check: Check {
                        number: self.header.sequence,
                        check: check.check,
                        over: check.included.len(),
                        verdict,
                    },
                })
            }
            // Nothing that belongs to a case.
            Tri::KeepAlive | Tri::AcknowledgementRequest | Tri::OptionRequest { .. } => {
                let answer = tri.answer(&OPTIONS).and_then(|answer| answered(&self.header, &answer));
                answer.map_or(Ok(()), |answer| take(Item::Answer(answer)))
            }
            Tri::Test
            | Tri::Padding(_)
            | Tri::KeepAliveResponse
            | Tri::AcknowledgementResponse
            | Tri::OptionResponse { .. }
            | Tri::OptionComplete => Ok(()),
            Tri::FirstSegment | Tri::LastSegment | Tri::CinReset | Tri::OperatorMessage { .. } => {
                take(self.message(self.named(&word(tri)), None))
            }
        }
    }

    fn case(&self) -> String {
        name(&self.header.liid)
    }

    fn session(&self) -> String {
        self.header.cin.map_or_else(|| "no session".to_owned(), |cin| format!("session {cin}"))
    }

    fn source(&self, series: String) -> Source {
        let PsHeader { operator, network_element, .. } = &self.header;
        let operator = name(operator);
        let iap = match network_element {
            Some(element) => format!("{operator}/{}", name(element)),
            None => operator,
        };
        Source::of(Format::Etsi, iap, series)
    }

    fn named(&self, message: &str) -> About {
        About { message: message.to_owned(), timestamp: self.header.time, ..About::default() }
    }

    /// What is not numbered is a series of its endpoint: both may tell the same.
    fn message(&self, about: About, sequence: Option<u32>) -> Item<'static> {
        let series = match (sequence, self.endpoint) {
            (Some(_), _) => self.session(),
            (None, Some(Stream::Cmc)) => "HI3".to_owned(),
            (None, _) => "HI2".to_owned(),
        };
        Item::Message {
            case: Some(self.case()),
            source: self.source(series),
            sequence,
            is_header_report: ["header-report", "summary-report"].contains(&about.message.as_str()),
            begins_anew: matches!(self.payload, Payload::Tri(Tri::CinReset)),
            about: Some(Box::new(about)),
        }
    }
}

/// The first of the reports of a PDU, in the words of the table.
fn iri(header: &PsHeader, reports: &[Iri]) -> About {
    let Some(report) = reports.first() else {
        return About { message: "nothing".to_owned(), timestamp: header.time, ..About::default() };
    };
    let timestamp = report.time.or(header.time);
    match &report.contents {
        IriContents::Access { report, .. } => About {
            message: word(&report.event),
            timestamp,
            subscriber_identity: Some(text(&report.username)),
            address: report.address.map(|address| End { address: address.address }),
            reason: report.end_reason.map(|reason| Text { value: word(&reason) }),
            ..About::default()
        },
        IriContents::Header(headers) => About {
            message: "header-report".to_owned(),
            timestamp,
            ends: Ends::of_packet(&headers.0),
            ..About::default()
        },
        IriContents::Summary(summary) => About {
            message: "summary-report".to_owned(),
            timestamp,
            ends: Ends::of_packet(&summary.header.0),
            packet_count: summary.packets,
            ..About::default()
        },
        IriContents::Unsupported(_) => About { message: "unsupported".to_owned(), timestamp, ..About::default() },
    }
}

fn text(label: &Label) -> Text {
    Text { value: name(label) }
}

/// A name as it is, if it is of printable ASCII without a backslash; else escaped. So no two are alike.
fn name(label: &Label) -> String {
    let is_plain = label.0.iter().all(|octet| matches!(octet, b' '..=b'~') && *octet != b'\\');
    str::from_utf8(&label.0).ok().filter(|_| is_plain).map_or_else(|| label.to_string(), str::to_owned)
}

/// The word that JSON has for a value of an enumeration, or for the alternative that was chosen.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(members)) => members.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The PDU of an answer: it names the intercept and the session of the question, and repeats its number. None where the
/// question bears names that no header can.
fn answered(question: &PsHeader, answer: &Tri) -> Option<Vec<u8>> {
    let edition = u8::try_from(question.version).ok().and_then(|version| Edition::new(version, 20).ok());
    let country = |code: &Option<String>| code.as_ref().and_then(|code| CountryCode::new(code.as_str()).ok());
    let whole = |label: &Label| str::from_utf8(&label.0).unwrap_or_default().to_owned();
    let element = question.network_element.as_ref().map(whole);
    let identity = Identity {
        liid: Liid::new(whole(&question.liid)).ok()?,
        authorization_country: country(&question.authorization_country),
        operator: OperatorId::new(whole(&question.operator)).ok()?,
        network_element: element.and_then(|element| NetworkElementId::new(element).ok()),
        delivery_country: country(&question.delivery_country),
        interception_point: None,
        edition: edition.unwrap_or_default(),
    };
    let now = UtcMicros::new(jiff::Timestamp::now().as_microsecond()).ok()?;
    Intercept::new(&identity, question.cin.unwrap_or_default()).tri(now, question.sequence, answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_they_are_and_no_two_alike() {
        let names =
            [&b"O'Neil"[..], b"\\x00", b"\x00", b"a\"b", b"\xff", b"\\xff"].map(|octets| name(&Label(octets.to_vec())));
        assert_eq!((&*names[0], &*names[3]), ("O'Neil", "a\"b"));
        let count = names.len();
        assert_eq!(names.into_iter().collect::<std::collections::BTreeSet<_>>().len(), count);
    }

    #[test]
    fn an_answer_bears_the_names_of_its_question() {
        let identity = Identity {
            liid: Liid::new("O'Neil \\ 1").expect("fits"),
            authorization_country: CountryCode::new("US").ok(),
            operator: OperatorId::new("\"OP\"").expect("fits"),
            network_element: None,
            delivery_country: None,
            interception_point: None,
            edition: Edition::new(39, 20).expect("fits"),
        };
        let asked = Intercept::new(&identity, 5).tri(UtcMicros::from_unix_nanos(0), 9, &Tri::KeepAlive).expect("fits");
        let (asked, _) = decode(&asked).expect("a PDU");
        let answer = answered(&asked.header, &Tri::KeepAliveResponse).expect("an answer");
        let (answer, _) = decode(&answer).expect("a PDU");
        assert_eq!(answer.payload, Payload::Tri(Tri::KeepAliveResponse));
        let time = asked.header.time;
        assert_eq!(PsHeader { time, ..answer.header }, asked.header);
    }
}
