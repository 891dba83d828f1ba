//! X2 and X3 (ETSI TS 103 221-2): a case is a task, by its XID; a series of numbers is a session of it, X2 and X3 apart.

use std::net::IpAddr;

use writ_encoder::{
    UtcMicros,
    t1_ias::Direction,
    x2x3::{self, Attribute, Format as Payload, HEADER, Kind, Pdu, keep_alive_answer},
};

use super::{
    Format, Item,
    about::{About, End, Ends, Text},
    arrival_us, unix_us,
};
use crate::{
    Stream,
    pcapng::{Around, Link, Packet, Source},
};

/// Octets of an answer to a keep-alive: a header and a number.
const ANSWER: usize = HEADER + 8;

/// Where a PDU belongs, whichever endpoint it came to.
pub(super) fn stream(pdu: &Pdu<'_>) -> Stream {
    if pdu.kind == Kind::X3 { Stream::Cmc } else { Stream::Cmii }
}

pub(super) fn items<E>(
    pdu: &Pdu<'_>,
    octets: &[u8],
    take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let attributes = Told::of(pdu);
    let case = uuid::Uuid::from_bytes(pdu.xid).to_string();
    let session = format!("session {}", pdu.correlation_id);
    let source = Source::of(Format::X3, attributes.iap.unwrap_or_default().to_owned(), session);
    match pdu.kind {
        Kind::X3 => {
            let time_us = attributes.time.map_or_else(arrival_us, unix_us);
            let link = match pdu.format {
                Payload::IPV4 | Payload::IPV6 => Link::Ip,
                Payload::ETHERNET => Link::Ethernet,
                _ => Link::Other,
            };
            let packet = Packet {
                direction: match pdu.direction {
                    x2x3::Direction::ToTarget => Some(Direction::ToSubject),
                    x2x3::Direction::FromTarget => Some(Direction::FromSubject),
                    _ => None,
                },
                sequence: attributes.sequence.map(u64::from),
                around: Around::of(octets, pdu.payload),
                ..Packet::bare(time_us, link, pdu.payload)
            };
            take(Item::Packets { case: Some(case), source, sequence: packet.sequence, packets: &[packet] })
        }
        Kind::X2 => {
            let is_packet = matches!(pdu.format, Payload::IPV4 | Payload::IPV6);
            let ends = attributes.ends().or_else(|| Ends::of_packet(pdu.payload).filter(|_| is_packet));
            let message = match pdu.format {
                Payload::SIP => "sip",
                Payload::DHCP => "dhcp",
                Payload::RADIUS => "radius",
                _ if ends.is_some() => "header-report",
                _ => "event",
            };
            let about = About {
                message: message.to_owned(),
                timestamp: attributes.time,
                subscriber_identity: attributes.target.map(|target| Text { value: target.to_owned() }),
                ends,
                ..About::default()
            };
            take(Item::Message {
                case: Some(case),
                source,
                sequence: attributes.sequence,
                is_header_report: message == "header-report",
                begins_anew: false,
                about: Some(Box::new(about)),
            })
        }
        Kind::KeepAlive => {
            let mut answer = vec![0; ANSWER];
            match keep_alive_answer(&mut answer, attributes.sequence.unwrap_or_default()) {
                Ok(length) => {
                    answer.truncate(length);
                    take(Item::Answer(answer))
                }
                // It has its room: there is nothing in it that differs in length.
                Err(_) => Ok(()),
            }
        }
        Kind::KeepAliveAnswer => Ok(()),
    }
}

/// What attributes say that is filed under a name of its own.
#[derive(Default)]
struct Told<'a> {
    iap: Option<&'a str>,
    sequence: Option<u32>,
    time: Option<UtcMicros>,
    target: Option<&'a str>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
}

impl<'a> Told<'a> {
    fn of(pdu: &Pdu<'a>) -> Self {
        let mut told = Self::default();
        for attribute in pdu.attributes.iter() {
            match attribute {
                Attribute::NetworkFunctionId(name) => told.iap = Some(name),
                Attribute::SequenceNumber(number) => told.sequence = Some(number),
                Attribute::Timestamp(time) => told.time = Some(time),
                Attribute::MatchedTarget(target) => told.target = Some(target),
                Attribute::SourceIpv4(address) => told.source = Some(address.into()),
                Attribute::DestinationIpv4(address) => told.destination = Some(address.into()),
                Attribute::SourceIpv6(address) => told.source = Some(address.into()),
                Attribute::DestinationIpv6(address) => told.destination = Some(address.into()),
                Attribute::SourcePort(port) => told.source_port = Some(port),
                Attribute::DestinationPort(port) => told.destination_port = Some(port),
                _ => {}
            }
        }
        told
    }

    fn ends(&self) -> Option<Ends> {
        Some(Ends {
            source: End { address: self.source? },
            destination: End { address: self.destination? },
            source_port: self.source_port,
            destination_port: self.destination_port,
        })
    }
}
