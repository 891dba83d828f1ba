//! T1.IAS (ATIS-1000013): messages on CmII, which bear no number, and packets on CmC.
//!
//! The number of the optional module is not public, so it is a setting. A message of a module that was not told is filed as it
//! came, under no case: where in it the case stands is not known.

use std::fmt::Write;

use serde::Serialize;
use writ_encoder::t1_ias::{
    Cmcc, Cmii, Content, DecodeError, Message, OptionalCmii, OptionalModule, decode_cmcc, decode_cmii, decode_optional,
    module_of,
};

use super::{Format, Item, Said, Unreadable, arrival_us, unix_us};
use crate::{
    Stream,
    pcapng::{Around, Link, Packet, Source},
};

/// A message of a module of which nothing is known but its number.
#[derive(Debug, Serialize)]
#[serde(tag = "message", rename = "unknown-module")]
pub(crate) struct UnknownModule {
    /// protocolIdentifier.
    module: OptionalModule,
}

/// A message of the optional module.
#[derive(Debug, Serialize)]
pub(crate) struct Optional {
    #[serde(flatten)]
    message: OptionalCmii,
    /// protocolIdentifier.
    optional_module: OptionalModule,
}

/// Reads a message of CmII. `module` is the optional one, if it is known.
///
/// # Errors
/// Octets that are none.
pub(crate) fn read_message(pdu: &[u8], module: Option<&OptionalModule>) -> Result<Said<'static>, DecodeError> {
    match decode_cmii(pdu) {
        Ok((message, _)) => Ok(Said::Cmii(Box::new(message))),
        Err(DecodeError::NotCmii) => {
            let found = module_of(pdu)?;
            if module != Some(&found) {
                return Ok(Said::UnknownModule(UnknownModule { module: found }));
            }
            let (message, _) = decode_optional(&found, pdu)?;
            Ok(Said::Optional(Box::new(Optional { message, optional_module: found })))
        }
        Err(error) => Err(error),
    }
}

/// Reads a PDU of one stream, or of whichever it is.
pub(super) fn read(
    pdu: &[u8],
    stream: Option<Stream>,
    module: Option<&OptionalModule>,
) -> Result<Said<'static>, Unreadable> {
    let cmii = || read_message(pdu, module);
    let cmc = || decode_cmcc(pdu).map(|(content, _)| Said::Cmcc(content));
    match stream {
        Some(Stream::Cmii) => Ok(cmii()?),
        Some(Stream::Cmc) => Ok(cmc()?),
        None => cmii().or_else(|cmii| cmc().map_err(|cmc| Unreadable::Neither { cmii, cmc })),
    }
}

pub(super) fn message<E>(message: &Cmii, take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
    let is_header_report = matches!(message.message, Message::HeaderReport(_) | Message::SummaryReport(_));
    take(unnumbered(Some(&message.case_id), &message.iap_system_id, is_header_report))
}

pub(super) fn optional<E>(optional: &Optional, take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
    take(unnumbered(Some(&optional.message.case_id), &optional.message.iap_system_id, false))
}

pub(super) fn of_unknown_module<E>(take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
    take(unnumbered(None, "", false))
}

fn unnumbered(case: Option<&str>, iap: &str, is_header_report: bool) -> Item<'static> {
    Item::Message {
        case: case.map(str::to_owned),
        source: Source::of(Format::T1Ias, iap.to_owned(), String::new()),
        sequence: None,
        about: None,
        is_header_report,
        begins_anew: false,
    }
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
