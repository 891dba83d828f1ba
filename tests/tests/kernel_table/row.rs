//! A row of the table, and the words to write one with.

use std::ops::Range;
use writ_abi::{ABI_VERSION, FrameFlags, FrameHeader, OptionSpan, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef};
use writ_capture::{OnMiss, Tunnel};
use writ_tests::cast::{self, Party};
use writ_tests::reference::Entry;
use writ_tests::stack::{IPV4, IPV6, ethernet, ipv4, ipv6};

/// A row: what it is, the packet in, what is to become of it.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) frame: Vec<u8>,
    pub(crate) wanted: Wanted,
    /// What the port is set up for.
    pub(crate) tunnel: Tunnel,
}

/// What is to become of a packet, told in the words of the standards and not in those of the reference model.
pub(crate) struct Wanted {
    pub(crate) counted: Vec<ProbeCounter>,
    pub(crate) accounts: Vec<(u16, Entry)>,
    pub(crate) taken: Option<Taken>,
}

pub(crate) struct Taken {
    pub(crate) flags: u32,
    /// Where the Ethernet header starts that counts.
    pub(crate) link: u16,
    pub(crate) ip: Range<u16>,
    pub(crate) header_end: u16,
    pub(crate) transport: u16,
    pub(crate) protocol: u8,
    pub(crate) source: Vec<u16>,
    pub(crate) source_live: u8,
    /// Those of the source that were found by the VLAN.
    pub(crate) undirected: u8,
    pub(crate) destination: Vec<u16>,
    pub(crate) destination_live: u8,
    pub(crate) blank: Vec<Range<u16>>,
}

/// Not taken, and counted for this reason.
pub(crate) fn not_taken(reason: ProbeCounter) -> Wanted {
    Wanted { counted: vec![reason], accounts: vec![], taken: None }
}

/// Taken: from `ip.start` to `ip.end` it is the IP packet.
pub(crate) fn taken(ip: Range<u16>) -> Wanted {
    let taken = Taken {
        flags: 0,
        link: 0,
        header_end: ip.end,
        ip,
        transport: 0,
        protocol: 0,
        source: vec![],
        source_live: 0,
        undirected: 0,
        destination: vec![],
        destination_live: 0,
        blank: vec![],
    };
    Wanted { counted: vec![ProbeCounter::Hits], accounts: vec![], taken: Some(taken) }
}

impl Row {
    /// Whether the host gets the frame, if nobody else does.
    pub(crate) fn passes(&self, on_miss: OnMiss) -> bool {
        const NO_TUNNEL: [ProbeCounter; 3] =
            [ProbeCounter::NotTunnel, ProbeCounter::TunnelFragment, ProbeCounter::TunnelDepth];
        // What a mirror has sent is not for the host.
        let mirrored = self.tunnel != Tunnel::None && !NO_TUNNEL.contains(&self.wanted.counted[0]);
        on_miss == OnMiss::Pass && !mirrored
    }
}

impl Wanted {
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Taken)) -> Self {
        edit(self.taken.as_mut().expect("only a packet that is taken has a header"));
        self
    }

    /// The intercepts of the source, all wanting the packet.
    pub(crate) fn from(self, slots: &[u16]) -> Self {
        let wanted = self.edit(|taken| {
            taken.source = slots.to_vec();
            taken.source_live = ((1u16 << slots.len()) - 1) as u8;
        });
        slots.iter().fold(wanted, |wanted, slot| wanted.account(*slot, Entry::Matched))
    }

    /// The intercepts of the destination, all wanting the packet.
    pub(crate) fn to(self, slots: &[u16]) -> Self {
        let wanted = self.edit(|taken| {
            taken.destination = slots.to_vec();
            taken.destination_live = ((1u16 << slots.len()) - 1) as u8;
        });
        slots.iter().fold(wanted, |wanted, slot| wanted.account(*slot, Entry::Matched))
    }

    /// The source's intercepts, if none of them wants the packet.
    pub(crate) fn unwanted_from(self, slots: &[u16]) -> Self {
        self.edit(|taken| taken.source = slots.to_vec())
    }

    /// The intercepts that have the VLAN, all wanting the packet, which has no others on the source's side.
    pub(crate) fn in_vlan(self, slots: &[u16]) -> Self {
        self.from(slots).edit(|taken| taken.undirected = taken.source_live)
    }

    /// The Ethernet header that counts starts here, and not with the frame.
    pub(crate) fn link(self, offset: u16) -> Self {
        self.edit(|taken| taken.link = offset)
    }

    /// The destination's intercepts, if none of them wants the packet.
    pub(crate) fn unwanted_to(self, slots: &[u16]) -> Self {
        self.edit(|taken| taken.destination = slots.to_vec())
    }

    pub(crate) fn account(mut self, slot: u16, entry: Entry) -> Self {
        if !self.accounts.contains(&(slot, entry)) {
            self.accounts.push((slot, entry));
        }
        self
    }

    pub(crate) fn counted(mut self, counter: ProbeCounter) -> Self {
        self.counted.push(counter);
        self
    }

    pub(crate) fn flag(self, flag: u32) -> Self {
        self.edit(|taken| taken.flags |= flag)
    }

    /// A transport header from here to there.
    pub(crate) fn transport(self, protocol: u8, header: Range<u16>) -> Self {
        self.flag(FrameFlags::TRANSPORT).edit(|taken| {
            taken.protocol = protocol;
            taken.transport = header.start;
            taken.header_end = header.end;
        })
    }

    /// No transport header; the headers end here, and this is the protocol that follows.
    pub(crate) fn stops(self, protocol: u8, header_end: u16) -> Self {
        self.edit(|taken| {
            taken.protocol = protocol;
            taken.header_end = header_end;
        })
    }

    /// Option data, blanked for who may not have it.
    pub(crate) fn option(self, span: Range<u16>) -> Self {
        self.edit(|taken| taken.blank.push(span))
    }

    /// Nobody may have the content.
    pub(crate) fn cut(self) -> Self {
        self.flag(FrameFlags::CUT).counted(ProbeCounter::Cut)
    }

    pub(crate) fn v6(self) -> Self {
        self.flag(FrameFlags::IPV6)
    }
}

pub(crate) fn row(what: &'static str, frame: Vec<u8>, wanted: Wanted) -> Row {
    Row { what, frame, wanted, tunnel: Tunnel::None }
}

/// Ethernet and IPv4 between two parties.
pub(crate) fn four(source: Party, destination: Party, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(source.v4(), destination.v4(), protocol, payload))
}

/// Ethernet and IPv6 between two parties.
pub(crate) fn six(source: Party, destination: Party, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV6, &ipv6(source.v6(), destination.v6(), next, payload))
}

/// Ten bytes that no headers-only intercept may ever see.
pub(crate) const SECRET: &[u8] = b"SECRETWORD";

impl Taken {
    pub(crate) fn header(&self, length: usize, time_ns: u64, number: u64) -> FrameHeader {
        let side = |slots: &[u16]| -> [SlotRef; SLOTS_PER_ADDRESS] {
            std::array::from_fn(|i| slots.get(i).map_or(SlotRef::NONE, |slot| cast::reference(*slot)))
        };
        FrameHeader {
            abi: ABI_VERSION,
            link_offset: self.link,
            flags: self.flags,
            time_ns,
            number,
            wire_length: length as u32,
            ifindex: 1,
            ip_offset: self.ip.start,
            ip_end: self.ip.end,
            header_end: self.header_end,
            transport_offset: self.transport,
            protocol: self.protocol,
            source_live: self.source_live,
            destination_live: self.destination_live,
            undirected: self.undirected,
            queue: 0,
            source: side(&self.source),
            destination: side(&self.destination),
            options: std::array::from_fn(|i| {
                let span = self.blank.get(i).cloned().unwrap_or(0..0);
                OptionSpan { offset: span.start, length: span.end - span.start }
            }),
        }
    }

    pub(crate) fn bytes(&self, frame: &[u8]) -> Vec<u8> {
        let mut bytes = frame.to_vec();
        if self.flags & FrameFlags::CUT != 0 {
            for span in &self.blank {
                bytes[usize::from(span.start)..usize::from(span.end)].fill(0);
            }
            bytes.truncate(self.header_end.into());
        }
        bytes
    }
}
