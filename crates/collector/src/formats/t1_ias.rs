//! T1.IAS (ATIS-1000013): messages on CmII, which bear no number, and packets on CmC.

use std::fmt::Write;

use writ_encoder::t1_ias::{Cmcc, Cmii, Content, Message, decode_cmcc, decode_cmii};

use super::{Format, Item, Said, Unreadable, arrival_us, unix_us};
use crate::{
    Stream,
    pcapng::{Around, Link, Packet, Source},
};

/// Reads a PDU of one stream, or of whichever it is.
pub(super) fn read(pdu: &[u8], stream: Option<Stream>) -> Result<Said<'static>, Unreadable> {
    let cmii = || decode_cmii(pdu).map(|(message, _)| Said::Cmii(Box::new(message)));
    let cmc = || decode_cmcc(pdu).map(|(content, _)| Said::Cmcc(content));
    match stream {
        Some(Stream::Cmii) => Ok(cmii()?),
        Some(Stream::Cmc) => Ok(cmc()?),
        None => cmii().or_else(|cmii| cmc().map_err(|cmc| Unreadable::Neither { cmii, cmc })),
    }
}

pub(super) fn message<E>(message: &Cmii, take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
    take(Item::Message {
        case: message.case_id.clone(),
        source: Source::of(Format::T1Ias, message.iap_system_id.clone(), String::new()),
        sequence: None,
        about: None,
        is_header_report: matches!(message.message, Message::HeaderReport(_) | Message::SummaryReport(_)),
        begins_anew: false,
    })
}

pub(super) fn content<E>(
    content: &Cmcc,
    pdu: &[u8],
    take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let time_us = content.timestamp.map_or_else(arrival_us, unix_us);
    let packet = Packet {
        direction: content.direction,
        sequence: content.sequence,
        around: Around::of(pdu, &content.payload),
        ..Packet::bare(time_us, Link::Ip, &content.payload)
    };
    let (case, source) = (content.case_id.clone(), name_source(content));
    take(Item::Packets { case, source, sequence: content.sequence, packets: &[packet] })
}

/// The names under which content is filed.
pub(crate) fn name_source(content: &Cmcc) -> Source {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match &content.content_identifier {
        None => Ok(()),
        Some(Content::Correlation(octets)) => octets.iter().try_for_each(|octet| write!(text, "{octet:02x}")),
        Some(Content::Call(call)) => match &call.leg {
            None => write!(text, "call {}", call.main),
            Some(leg) => write!(text, "call {} leg {leg}", call.main),
        },
    };
    Source::of(Format::T1Ias, content.iap_system_id.clone().unwrap_or_default(), text)
}
