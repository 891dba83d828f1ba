//! The formats that put a short header in front of each packet, over UDP: CCC, Juniper's mirror, TZSP. Content alone.

use std::net::SocketAddr;

use serde::Serialize;
use writ_encoder::{
    ccc, jmirror,
    tzsp::{self, Encapsulation, Tag},
};

use super::{Format, Item, arrival_us, unix_us};
use crate::pcapng::{Around, Link, Packet, Source};

/// A type of TZSP that carries a frame: one that was received, one to send.
const FRAMES: [u8; 2] = [0, 1];
/// LINKTYPE_IEEE802_11 by its number in TZSP.
const WIRELESS: Encapsulation = Encapsulation(18);

/// A datagram of TZSP. It names no case: its sender does.
#[derive(Debug, Serialize)]
pub(crate) struct Sniffed<'a> {
    pub(super) from: SocketAddr,
    #[serde(flatten)]
    pub(super) datagram: tzsp::Datagram<'a>,
}

pub(super) fn ccc<E>(
    content: &ccc::Content<'_>,
    datagram: &[u8],
    take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let channel = format!("ccc-{}", content.ccc_id);
    let time_us = content.timestamp.map_or_else(arrival_us, unix_us);
    let packet = Packet { time_us, ..packet(datagram, content.payload) };
    let case = content.case_id.map_or_else(|| channel.clone(), |case| case.to_string());
    let source = Source::of(Format::Ccc, String::new(), channel);
    take(Item::Packets { case: Some(case), source, sequence: None, packets: &[packet] })
}

pub(super) fn jmirror<E>(
    content: &jmirror::Content<'_>,
    datagram: &[u8],
    take: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let case = format!("mirror-{}", content.mirror_id.get());
    let source = Source::of(Format::Jmirror, String::new(), format!("session {}", content.session_id));
    let packet = packet(datagram, content.payload);
    take(Item::Packets { case: Some(case), source, sequence: None, packets: &[packet] })
}

impl Sniffed<'_> {
    pub(super) fn items<E>(&self, octets: &[u8], take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        let Self { from, datagram } = self;
        if !FRAMES.contains(&datagram.kind) {
            return Ok(());
        }
        let (mut sequence, mut original_length) = (None, None);
        for tag in datagram.tags.iter() {
            match tag {
                Tag::PacketId(number) => sequence = Some(u64::from(number)),
                Tag::OriginalLength(length) => original_length = Some(u32::from(length)),
                Tag::Other { .. } => {}
            }
        }
        let link = match datagram.encapsulation {
            Encapsulation::RAW_IP => Link::Ip,
            Encapsulation::ETHERNET => Link::Ethernet,
            WIRELESS => Link::Wireless,
            _ => Link::Other,
        };
        let packet = Packet { link, sequence, original_length, ..packet(octets, datagram.payload) };
        let case = from.ip().to_canonical().to_string();
        let source = Source::of(Format::Tzsp, case.clone(), "packets".to_owned());
        take(Item::Packets { case: Some(case), source, sequence, packets: &[packet] })
    }
}

/// An IP packet of which nothing more is told.
fn packet<'a>(datagram: &'a [u8], payload: &'a [u8]) -> Packet<'a> {
    Packet { around: Around::of(datagram, payload), ..Packet::bare(arrival_us(), Link::Ip, payload) }
}
