//! From the first byte of a frame to the IP packet in it.
//!
//! Sources: IEEE 802.3 (length or type), 802.2 and RFC 1042 (LLC and SNAP); IEEE 802.1Q and 802.1ad; RFC 3032 (MPLS labels),
//! 4385 and 4448 (control word, Ethernet behind labels), 4928 (how to tell what labels carry); RFC 2516 (PPPoE), 1332 and
//! 5072 (IP over PPP).

use std::ops::Range;
use writ_abi::ProbeCounter;

/// The probe's limits, from the operator's manual.
const MOST_TAGS: usize = 3;
const MOST_LABELS: usize = 4;

/// What may be an IP packet: from its base header, which is whole and of the right version, to the end of what carries it.
pub(super) type Found = Result<Range<usize>, ProbeCounter>;

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
    let types: Vec<usize> = (start + 12..).step_by(4).map_while(|at| be16(frame, at)).collect();
    let tags = types.iter().take_while(|kind| [0x8100, 0x88a8, 0x9100].contains(*kind)).count();
    if tags > MOST_TAGS {
        return Err(ProbeCounter::VlanDepth);
    }
    let kind = *types.get(tags).ok_or(ProbeCounter::TooShort)?;
    let payload = start + 14 + 4 * tags;
    match kind {
        0x0800 => internet(frame, payload, 4),
        0x86dd => internet(frame, payload, 6),
        0x8847 | 0x8848 if labels_allowed => labels(frame, payload),
        0x8847 | 0x8848 => Err(ProbeCounter::MplsDepth),
        0x8864 => pppoe(frame, payload),
        length if length <= 1500 => snap(frame, payload, length),
        _ => Err(ProbeCounter::NotIp),
    }
}

/// A packet of this version from `start`.
pub(super) fn internet(frame: &[u8], start: usize, version: u8) -> Found {
    let base = if version == 4 { 20 } else { 40 };
    match frame.get(start..start + base) {
        None => Err(ProbeCounter::TooShort),
        Some(header) if header[0] >> 4 == version => Ok(start..frame.len()),
        Some(_) => Err(ProbeCounter::BadVersion),
    }
}

fn labels(frame: &[u8], start: usize) -> Found {
    let stack: Vec<&[u8]> = frame[start..].chunks_exact(4).take(MOST_LABELS).collect();
    let bottom = stack.iter().position(|label| label[2] & 1 == 1);
    let Some(bottom) = bottom else {
        return Err(if stack.len() == MOST_LABELS { ProbeCounter::MplsDepth } else { ProbeCounter::TooShort });
    };
    let payload = start + 4 * (bottom + 1);
    match frame.get(payload).map(|first| first >> 4) {
        None => Err(ProbeCounter::TooShort),
        Some(version @ (4 | 6)) => internet(frame, payload, version),
        Some(0) => match ethernet(frame, payload + 4, false) {
            // No control word, then, but a MAC address that begins as one does.
            Err(ProbeCounter::NotIp | ProbeCounter::TooShort | ProbeCounter::BadVersion) => {
                ethernet(frame, payload, false)
            }
            found => found,
        },
        Some(_) => ethernet(frame, payload, false),
    }
}

fn pppoe(frame: &[u8], start: usize) -> Found {
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

fn snap(frame: &[u8], start: usize, length: usize) -> Found {
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
