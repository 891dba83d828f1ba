//! OpenCALEA: a CmII datagram names the case; a CmC datagram knows the content id alone, and is filed under that.

use writ_encoder::opencalea::{Cmc, Cmii, decode_cmc, decode_cmii};

use super::{
    Format, Item, Said, Unreadable,
    about::{About, End, Ends},
    unix_us,
};
use crate::{
    Stream,
    originals::Original,
    pcapng::{Around, Link, Packet, Source},
};

/// Reads a datagram of one stream, or of whichever it is.
pub(super) fn read(datagram: &[u8], stream: Option<Stream>) -> Result<Said<'_>, Unreadable> {
    Ok(match stream {
        Some(Stream::Cmii) => Said::CaleaCmii(decode_cmii(datagram)?),
        Some(Stream::Cmc) => Said::CaleaCmc(decode_cmc(datagram)?),
        None => match decode_cmc(datagram) {
            Ok(content) => Said::CaleaCmc(content),
            Err(_) => Said::CaleaCmii(decode_cmii(datagram)?),
        },
    })
}

pub(super) fn message<E>(message: &Cmii<'_>, take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
    let about = About {
        message: "header-report".to_owned(),
        timestamp: Some(message.timestamp),
        ends: Some(Ends {
            source: End { address: message.ends.source.into() },
            destination: End { address: message.ends.destination.into() },
            source_port: Some(message.ends.source_port),
            destination_port: Some(message.ends.destination_port),
        }),
        ..About::default()
    };
    take(Item::Original { case: message.case_id.to_owned(), original: Original::Line(message.to_string()) })?;
    take(Item::Message {
        case: Some(message.case_id.to_owned()),
        source: Source::of(Format::Opencalea, message.iap_system_id.to_owned(), message.content_id.to_owned()),
        sequence: None,
        about: Some(Box::new(about)),
        is_header_report: true,
        begins_anew: false,
    })
}

pub(super) fn content<E>(
    content: &Cmc<'_>,
    datagram: &[u8],
    take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let packet = Packet {
        around: Around::of(datagram, content.payload),
        ..Packet::bare(unix_us(content.timestamp), Link::Ethernet, content.payload)
    };
    let case = content.content_id.to_owned();
    let source = Source::of(Format::Opencalea, String::new(), case.clone());
    // pcap cannot tell a time past 2106.
    if let Some(header) = content.pcap_record() {
        let original = Original::Record([&header[..], content.payload].concat());
        take(Item::Original { case: case.clone(), original })?;
    }
    take(Item::Packets { case: Some(case), source, sequence: None, packets: &[packet] })
}
