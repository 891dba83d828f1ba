//! From the first byte of a frame that a mirror sent to the frame or packet that it mirrors.
//!
//! Sources: RFC 2784 and 2890 (GRE); draft-foschiano-erspan-03 (ERSPAN types I to III); RFC 7348 (VXLAN); the TZSP draft of
//! its authors, as Wireshark reads it.

use std::ops::Range;
use writ_abi::ProbeCounter;
use writ_capture::Tunnel;

/// The probe's limit, from the operator's manual.
const MOST_TZSP_TAGS: usize = 8;

/// What is mirrored.
pub(super) enum Mirrored {
    /// An Ethernet frame.
    Frame(Range<usize>),
    /// An IP packet of this version.
    Packet(u8, Range<usize>),
}

/// Takes a tunnel apart. The error says why it is none.
pub(super) fn open(frame: &[u8], tunnel: Tunnel) -> Result<Mirrored, ProbeCounter> {
    let (protocol, payload) = outer(frame)?;
    let bytes = &frame[payload.clone()];
    // From here on counted from the payload's first byte, until the end.
    let inner = match (tunnel, protocol) {
        (Tunnel::Gre, 47) => gre(bytes, |kind, at, _| match kind {
            0x6558 => Some((at, None)),
            0x0800 => Some((at, Some(4))),
            0x86dd => Some((at, Some(6))),
            _ => None,
        }),
        (Tunnel::Erspan, 47) => gre(bytes, |kind, at, numbered| match (kind, numbered) {
            (0x88be, false) => Some((at, None)),
            (0x88be, true) => bytes.get(at..at + 8).filter(|header| header[0] / 16 == 1).map(|_| (at + 8, None)),
            (0x22eb, _) => erspan_iii(bytes, at),
            _ => None,
        }),
        (Tunnel::Vxlan, 17) => match (bytes.get(2..4), bytes.get(8..16)) {
            (Some([0x12, 0xb5]), Some(vxlan)) if vxlan[0] & 8 != 0 => Some((16, None)),
            _ => None,
        },
        (Tunnel::Tzsp, 17) => match (bytes.get(2..4), bytes.get(8..12)) {
            (Some([0x90, 0x90]), Some([1, 0 | 1, 0, 1])) => Some((tzsp(&bytes[12..])? + 12, None)),
            _ => None,
        },
        _ => None,
    };
    let (start, version) = inner.ok_or(ProbeCounter::NotTunnel)?;
    // A start behind the end is an empty frame; ranges do not like it.
    let inner = (payload.start + start).min(payload.end)..payload.end;
    Ok(version.map_or(Mirrored::Frame(inner.clone()), |version| Mirrored::Packet(version, inner)))
}

/// Protocol and payload of the packet that the mirror sent.
fn outer(frame: &[u8]) -> Result<(u8, Range<usize>), ProbeCounter> {
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8] | [0x91, 0]));
    let tags = (0..4).take_while(|tag| is_tag(12 + 4 * tag)).count();
    let start = 14 + 4 * tags;
    let packet = frame.get(start..).ok_or(ProbeCounter::NotTunnel)?;
    let (protocol, fragment, payload) = match (tags, &frame[start - 2..start]) {
        (0..=3, [0x08, 0x00]) if packet.len() >= 20 && packet[0] / 16 == 4 && packet[0] % 16 >= 5 => {
            let total = usize::from(packet[2]) * 256 + usize::from(packet[3]);
            let fragment = packet[6] & 0x3f != 0 || packet[7] != 0;
            (packet[9], fragment, usize::from(packet[0] % 16) * 4..total)
        }
        // The two addresses need not be there for it to be seen that this is no tunnel, so all may be missing that follows.
        (0..=3, [0x86, 0xdd]) if packet.len() >= 8 && packet[0] / 16 == 6 => {
            let length = usize::from(packet[4]) * 256 + usize::from(packet[5]);
            (packet[6], packet[6] == 44, 40..40 + length)
        }
        _ => return Err(ProbeCounter::NotTunnel),
    };
    if fragment {
        return Err(ProbeCounter::TunnelFragment);
    }
    let payload = start + payload.start..(start + payload.end).min(frame.len());
    if payload.start > payload.end { Err(ProbeCounter::NotTunnel) } else { Ok((protocol, payload)) }
}

/// What a tunnel carries begins here, and is a packet of this version if it is no frame.
type Inner = Option<(usize, Option<u8>)>;

fn gre(bytes: &[u8], carried: impl Fn(u16, usize, bool) -> Inner) -> Inner {
    let [f0, f1, k0, k1] = *bytes.first_chunk()?;
    let bit = |number: u8| f0 >> (7 - number) & 1 == 1;
    let (checksum, routing, key, sequence) = (bit(0), bit(1), bit(2), bit(3));
    // Bits 1 to 5 other than key and sequence number must be zero, and so must the version.
    if routing || bit(4) || bit(5) || f1 % 8 != 0 {
        return None;
    }
    let optional = [checksum, key, sequence].iter().filter(|there| **there).count();
    carried(u16::from(k0) << 8 | u16::from(k1), 4 + 4 * optional, sequence)
}

fn erspan_iii(bytes: &[u8], at: usize) -> Inner {
    let header = bytes.get(at..at + 12).filter(|header| header[0] / 16 == 2)?;
    let more = usize::from(header[11] % 2) * 8;
    let frame_type = header[10] / 4 % 32;
    let start = at + 12 + more;
    match frame_type {
        0 => Some((start, None)),
        2 => Some((start, Some(if bytes.get(start)? / 16 == 4 { 4 } else { 6 }))),
        _ => None,
    }
}

/// Where the tags end.
fn tzsp(tags: &[u8]) -> Result<usize, ProbeCounter> {
    let mut at = 0;
    for _ in 0..MOST_TZSP_TAGS {
        match (tags.get(at), tags.get(at + 1)) {
            (None, _) => return Err(ProbeCounter::NotTunnel),
            (Some(0), _) => at += 1,
            (Some(1), _) => return Ok(at + 1),
            (Some(_), None) => return Err(ProbeCounter::NotTunnel),
            (Some(_), Some(length)) => at += 2 + usize::from(*length),
        }
    }
    Err(ProbeCounter::TunnelDepth)
}
