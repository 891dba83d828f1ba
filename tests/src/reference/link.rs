//! From the first byte of a frame to the IP packet in it.
//!
//! Sources: IEEE 802.3 (length or type), 802.2 and RFC 1042 (LLC and SNAP); IEEE 802.1Q and 802.1ad; RFC 3032 (MPLS labels),
//! 4385 and 4448 (control word, Ethernet behind labels), 4928 (how to tell what labels carry); RFC 2516 (PPPoE), 1332 and
//! 5072 (IP over PPP).

use std::ops::Range;
use writ_abi::{MacAddress, ProbeCounter, VlanMatch};

/// The probe's limits, from the operator's manual.
const MOST_TAGS: usize = 3;
const MOST_LABELS: usize = 4;

/// What may be an IP packet, and what it is in.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// Where the Ethernet header directly in front of it starts, if it has one of its own.
    pub(super) link: Option<usize>,
    /// From its base header, which is whole and of the right version, to the end of what carries it.
    pub(super) ip: Range<usize>,
}

pub(super) type Found = Result<Located, ProbeCounter>;

/// What an Ethernet header says of who sends to whom, and where.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Source and destination.
    pub(super) macs: [MacAddress; 2],
    /// The VLANs of its tags, the outermost first. A tag of VLAN 0 only carries a priority (IEEE 802.1Q).
    pub(super) vlans: Vec<u16>,
}

impl Link {
    /// Of the header that starts here.
    pub(super) fn of(frame: &[u8], start: usize) -> Self {
        let mac = |at: usize| MacAddress(frame[at..at + 6].try_into().expect("six bytes"));
        let control = |tag: usize| be16(frame, start + 14 + 4 * tag).expect("the tag is there");
        let vlans = (0..tags(frame, start)).map(|tag| control(tag) as u16 % 4096).filter(|vlan| *vlan != 0);
        Self { macs: [mac(start + 6), mac(start)], vlans: vlans.collect() }
    }

    /// Whether the header is in a VLAN that a target names: in one VLAN only, in one within another, or in whatever within
    /// one.
    pub(super) fn is_in(&self, wanted: VlanMatch) -> bool {
        match (&self.vlans[..], wanted.inner) {
            ([outer, ..], VlanMatch::ANY) => *outer == wanted.outer,
            ([outer], inner) => *outer == wanted.outer && inner == VlanMatch::NONE,
            ([outer, inner], wanted_inner) => [*outer, *inner] == [wanted.outer, wanted_inner],
            _ => false,
        }
    }
}

/// How many tags are behind the MAC addresses of a header.
fn tags(frame: &[u8], start: usize) -> usize {
    let types = (start + 12..).step_by(4).map_while(|at| be16(frame, at));
    types.take_while(|kind| [0x8100, 0x88a8, 0x9100].contains(kind)).count()
}

/// The IP packet in an Ethernet frame, or why there is none.
pub(super) fn packet(frame: &[u8]) -> Found {
    packet_from(frame, 0)
}

/// The same in a frame that begins at `start`.
pub(super) fn packet_from(frame: &[u8], start: usize) -> Found {
    ethernet(frame, start, true)
}

/// In the Ethernet frame that begins at `start`. Labels are not looked for within labels.
fn ethernet(frame: &[u8], start: usize, labels_allowed: bool) -> Found {
    let tags = tags(frame, start);
    if tags > MOST_TAGS {
        return Err(ProbeCounter::VlanDepth);
    }
    let kind = be16(frame, start + 12 + 4 * tags).ok_or(ProbeCounter::TooShort)?;
    let payload = start + 14 + 4 * tags;
    let ip = match kind {
        0x0800 => internet(frame, payload, 4),
        0x86dd => internet(frame, payload, 6),
        0x8847 | 0x8848 if labels_allowed => return labels(frame, start, payload),
        0x8847 | 0x8848 => Err(ProbeCounter::MplsDepth),
        0x8864 => pppoe(frame, payload),
        length if length <= 1500 => snap(frame, payload, length),
        _ => Err(ProbeCounter::NotIp),
    };
    ip.map(|ip| Located { link: Some(start), ip })
}

/// A packet that has no Ethernet header of its own.
pub(super) fn bare(frame: &[u8], start: usize, version: u8) -> Found {
    internet(frame, start, version).map(|ip| Located { link: None, ip })
}

/// A packet of this version from `start`.
fn internet(frame: &[u8], start: usize, version: u8) -> Result<Range<usize>, ProbeCounter> {
    let base = if version == 4 { 20 } else { 40 };
    match frame.get(start..start + base) {
        None => Err(ProbeCounter::TooShort),
        Some(header) if header[0] >> 4 == version => Ok(start..frame.len()),
        Some(_) => Err(ProbeCounter::BadVersion),
    }
}

/// Behind the labels that begin at `start`, in the frame that begins at `link`.
fn labels(frame: &[u8], link: usize, start: usize) -> Found {
    let stack: Vec<&[u8]> = frame[start..].chunks_exact(4).take(MOST_LABELS).collect();
    let bottom = stack.iter().position(|label| label[2] & 1 == 1);
    let Some(bottom) = bottom else {
        return Err(if stack.len() == MOST_LABELS { ProbeCounter::MplsDepth } else { ProbeCounter::TooShort });
    };
    let payload = start + 4 * (bottom + 1);
    match frame.get(payload).map(|first| first >> 4) {
        None => Err(ProbeCounter::TooShort),
        Some(version @ (4 | 6)) => internet(frame, payload, version).map(|ip| Located { link: Some(link), ip }),
        Some(0) => {
            // A control word, or a MAC address that begins as one does. Tags tell: a frame with tags, read as if a control
            // word were in front, is a frame with a tag less.
            let guesses = if tags(frame, payload) > 0 { [payload, payload + 4] } else { [payload + 4, payload] };
            match ethernet(frame, guesses[0], false) {
                Err(ProbeCounter::NotIp | ProbeCounter::TooShort | ProbeCounter::BadVersion) => {
                    ethernet(frame, guesses[1], false)
                }
                found => found,
            }
        }
        Some(_) => ethernet(frame, payload, false),
    }
}

fn pppoe(frame: &[u8], start: usize) -> Result<Range<usize>, ProbeCounter> {
    let Some(header) = frame.get(start..start + 8) else { return Err(ProbeCounter::TooShort) };
    let (version_and_type, code) = (header[0], header[1]);
    let version = match be16(header, 6) {
        Some(0x0021) => 4,
        Some(0x0057) => 6,
        _ => return Err(ProbeCounter::NotIp),
    };
    if version_and_type != 0x11 || code != 0 {
        return Err(ProbeCounter::NotIp);
    }
    let end = start + 6 + usize::from(header[4]) * 256 + usize::from(header[5]);
    internet(until(frame, end), start + 8, version)
}

fn snap(frame: &[u8], start: usize, length: usize) -> Result<Range<usize>, ProbeCounter> {
    if length < 8 {
        return Err(ProbeCounter::NotIp);
    }
    let Some(header) = frame.get(start..start + 8) else { return Err(ProbeCounter::TooShort) };
    let version = match header {
        [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00] => 4,
        [0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd] => 6,
        _ => return Err(ProbeCounter::NotIp),
    };
    internet(until(frame, start + length), start + 8, version)
}

/// The frame without what lies behind `end`.
fn until(frame: &[u8], end: usize) -> &[u8] {
    frame.get(..end).unwrap_or(frame)
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}
