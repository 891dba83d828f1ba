//! An IP packet taken apart: where it ends, where its headers end, and what in them can carry content.
//!
//! Sources: RFC 791; RFC 8200 with its extension headers; RFC 4302 (authentication header); RFC 6275 (mobility), 7401
//! (host identity), 5533 (shim6), all of the form of RFC 6564; RFC 6946 (atomic fragments); RFC 9293, 768, 9260, 792,
//! 4443.

use std::net::IpAddr;
use std::ops::Range;
use writ_abi::{MAX_OPTION_SPANS, ProbeCounter};

/// The probe's limit, from the operator's manual.
const MOST_EXTENSIONS: usize = 8;

/// Source and destination of a packet that has a whole base header.
pub(super) fn addresses(packet: &[u8]) -> [IpAddr; 2] {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes[..N].try_into().expect("as many as asked for")
    }
    if packet[0] >> 4 == 4 {
        [12, 16].map(|at| array::<4>(&packet[at..]).into())
    } else {
        [8, 24].map(|at| array::<16>(&packet[at..]).into())
    }
}

/// The parts of an IP packet, all offsets from its first byte.
pub(super) struct Anatomy {
    pub(super) length: usize,
    pub(super) headers: usize,
    pub(super) transport: Option<usize>,
    pub(super) protocol: u8,
    pub(super) fragment: bool,
    /// Of a fragment: the number that its packet's fragments share.
    pub(super) identification: u32,
    pub(super) options: Vec<Range<usize>>,
    pub(super) remarks: Vec<ProbeCounter>,
}

fn version_4(packet: &[u8]) -> Anatomy {
    let protocol = packet[9];
    let flags = packet[6] >> 5;
    let fragment_offset = (usize::from(packet[6]) << 8 | usize::from(packet[7])) % 8192;
    let mut anatomy = Anatomy {
        length: packet.len(),
        headers: 20,
        transport: None,
        protocol,
        fragment: flags & 1 != 0 || fragment_offset != 0,
        identification: u32::from(packet[4]) * 256 + u32::from(packet[5]),
        options: Vec::new(),
        remarks: Vec::new(),
    };
    let header = usize::from(packet[0] % 16) * 4;
    let total = usize::from(packet[2]) * 256 + usize::from(packet[3]);
    // 0 is no length: the sender's card was to fill it in.
    let total = if total == 0 { usize::MAX } else { total };
    if header < 20 || total < header {
        anatomy.remarks.push(ProbeCounter::BadIpHeader);
        return anatomy;
    }
    anatomy.length = total.min(packet.len());
    if header > anatomy.length {
        anatomy.remarks.push(ProbeCounter::BadIpHeader);
        return anatomy;
    }
    anatomy.headers = header;
    if fragment_offset != 0 {
        anatomy.remarks.push(ProbeCounter::LaterFragments);
    } else {
        anatomy.walk(packet, &[51], 1);
    }
    anatomy
}

fn version_6(packet: &[u8]) -> Anatomy {
    let mut anatomy = Anatomy {
        length: packet.len(),
        headers: 40,
        transport: None,
        protocol: packet[6],
        fragment: false,
        identification: 0,
        options: Vec::new(),
        remarks: Vec::new(),
    };
    let payload = usize::from(packet[4]) * 256 + usize::from(packet[5]);
    if payload != 0 || packet[6] == 59 {
        anatomy.length = packet.len().min(40 + payload);
    }
    anatomy.walk(packet, &[0, 43, 44, 51, 60, 135, 139, 140], 58);
    anatomy
}

impl Anatomy {
    /// A packet that has a whole base header.
    pub(super) fn of(packet: &[u8]) -> Self {
        if packet[0] >> 4 == 4 { version_4(packet) } else { version_6(packet) }
    }

    /// Whether this is a fragment that begins behind the first.
    pub(super) fn is_later_fragment(&self) -> bool {
        self.remarks.contains(&ProbeCounter::LaterFragments)
    }

    /// Source and destination port, if they could be read.
    pub(super) fn ports(&self, packet: &[u8]) -> Option<[u16; 2]> {
        let header = &packet[self.transport.filter(|_| [6, 17, 132].contains(&self.protocol))?..];
        Some([0, 2].map(|at| u16::from(header[at]) << 8 | u16::from(header[at + 1])))
    }

    /// Whether what follows is a header that could stand in front of any transport header.
    pub(super) fn ends_early(&self, packet: &[u8]) -> bool {
        let known: &[u8] = if packet[0] >> 4 == 4 { &[51] } else { &[0, 43, 44, 51, 60, 135, 139, 140] };
        known.contains(&self.protocol)
    }

    /// The packet directly behind the headers of this one, if there is one with a whole base header.
    pub(super) fn inside(&self, packet: &[u8]) -> Option<Range<usize>> {
        let (version, base) = match self.protocol {
            4 => (4, 20),
            41 => (6, 40),
            _ => return None,
        };
        // Any other remark says that the walk did not get as far as this protocol's header.
        let arrived = self.remarks == [ProbeCounter::UnknownTransport];
        let inner = packet[..self.length].get(self.headers..).filter(|inner| arrived && inner.len() >= base)?;
        (inner[0] >> 4 == version).then_some(self.headers..self.length)
    }

    /// Walks the headers that may stand before the transport header, of the kinds that this IP knows, and that one.
    fn walk(&mut self, packet: &[u8], known: &[u8], icmp: u8) {
        for extension in 0.. {
            let kind = self.protocol;
            if !known.contains(&kind) {
                break;
            }
            if extension == MOST_EXTENSIONS {
                return self.remarks.push(ProbeCounter::ExtensionDepth);
            }
            let rest = &packet[self.headers..self.length];
            let length = match (kind, rest.get(1)) {
                (_, None) => usize::MAX,
                (44, _) => 8,
                (51, Some(words)) => 8 + 4 * usize::from(*words),
                (_, Some(units)) => 8 + 8 * usize::from(*units),
            };
            let Some(header) = rest.get(..length) else {
                return self.remarks.push(ProbeCounter::BadExtension);
            };
            // All others say where the packet goes or which part of it this is; these can say anything.
            if !matches!(kind, 43 | 44 | 51) {
                if self.options.len() == MAX_OPTION_SPANS {
                    return self.remarks.push(ProbeCounter::ExtensionDepth);
                }
                self.options.push(self.headers + 2..self.headers + length);
            }
            self.headers += length;
            self.protocol = header[0];
            if kind == 44 {
                let offset = (usize::from(header[2]) << 8 | usize::from(header[3])) / 8;
                if offset != 0 || header[3] & 1 != 0 {
                    self.fragment = true;
                    self.identification = header[4..8].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                }
                if offset != 0 {
                    return self.remarks.push(ProbeCounter::LaterFragments);
                }
            }
        }
        // In IPv4 the number 59 means nothing of the kind.
        if self.protocol != 59 || icmp == 1 {
            self.add_transport(packet, [(6, 20), (17, 8), (132, 12), (icmp, 8)]);
        }
    }

    /// Adds the transport header behind the others, if it is one of the `known` (number and least length) and whole.
    fn add_transport(&mut self, packet: &[u8], known: [(u8, usize); 4]) {
        let Some((protocol, least)) = known.into_iter().find(|(number, _)| *number == self.protocol) else {
            self.remarks.push(ProbeCounter::UnknownTransport);
            return;
        };
        let segment = &packet[self.headers..self.length];
        let length = match segment.get(12) {
            Some(offset) if protocol == 6 => usize::from(offset / 16) * 4,
            _ => least,
        };
        if length < least || segment.len() < length {
            self.remarks.push(ProbeCounter::BadTransport);
            return;
        }
        self.transport = Some(self.headers);
        self.headers += length;
    }
}
