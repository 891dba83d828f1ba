//! The reference model of the XDP program: what the standards and the intercepts say about a frame, written down
//! plainly and apart from the program. Slow, sure, and without any table of the kernel.
//!
//! Sources: IEEE 802.3 and 802.1Q; RFC 791; RFC 8200 with its extension headers; RFC 4302 (authentication header); RFC
//! 6946 (atomic fragments); RFC 9293, 768, 792, 4443. Which of it is header and which content is the law's; the rule
//! is told in the FrameHeader's documentation.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use writ_abi::{FrameFlags, MAX_OPTION_SPANS, PolicyFlags, ProbeCounter, SLOTS_PER_ADDRESS, SlotPolicy, SlotRef};

/// Who is a target, and of what.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Each target's prefix and the intercepts that want it; at most [`SLOTS_PER_ADDRESS`] want one address.
    pub targets: BTreeMap<IpNet, Vec<SlotRef>>,
    /// The slots' policies, by index.
    pub slots: Vec<SlotPolicy>,
}

/// What a slot's account says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// Wanted.
    Matched,
    /// Before the start.
    Early,
    /// After the stop.
    Expired,
    /// The slot has another owner.
    Stale,
    /// The other direction is wanted.
    OtherDirection,
}

/// All that becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The program's counters that go up by one.
    pub counted: Vec<ProbeCounter>,
    /// The slots' accounts.
    pub accounts: Vec<(u16, Entry)>,
    /// What is handed to user space, if anything is.
    pub taken: Option<Taken>,
}

/// A frame that is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// [`FrameFlags`].
    pub flags: u32,
    /// The IP packet, within the frame as it came in.
    pub ip: Range<usize>,
    /// Where the headers end.
    pub header_end: usize,
    /// Where the transport header starts, if it was read.
    pub transport: Option<usize>,
    /// The last next-header value read.
    pub protocol: u8,
    /// Intercepts of the source.
    pub source: Side,
    /// Intercepts of the destination.
    pub destination: Side,
    /// Option data.
    pub options: Vec<Range<usize>>,
    /// The frame as user space sees it.
    pub bytes: Vec<u8>,
}

/// One side of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// The intercepts that have the address.
    pub slots: Vec<SlotRef>,
    /// Bit i: the i-th of them wants the packet.
    pub live: u8,
}

/// The parts of an IP packet, all offsets from its first byte.
struct Anatomy {
    length: usize,
    headers: usize,
    transport: Option<usize>,
    protocol: u8,
    fragment: bool,
    options: Vec<Range<usize>>,
    remarks: Vec<ProbeCounter>,
}

impl World {
    /// Judges a frame that comes in at `now` (`CLOCK_BOOTTIME`, nanoseconds).
    pub fn judge(&self, frame: &[u8], now: u64) -> Judgement {
        match ip_header(frame) {
            Err(reason) => Judgement { counted: vec![reason], accounts: Vec::new(), taken: None },
            Ok((offset, source, destination)) => self.judge_packet(frame, offset, [source, destination], now),
        }
    }

    /// The intercepts that want a prefix, in the order of their prefixes from wide to narrow.
    fn wanting(&self, prefix: IpNet) -> Vec<SlotRef> {
        let mut holders: Vec<_> = self.targets.iter().filter(|(target, _)| target.contains(&prefix)).collect();
        holders.sort_by_key(|(target, _)| target.prefix_len());
        holders.into_iter().flat_map(|(_, slots)| slots).copied().collect()
    }

    /// The prefixes, each with all intercepts that want it: what the program's tables are to hold.
    pub fn entries(&self) -> impl Iterator<Item = (IpNet, Vec<SlotRef>)> {
        self.targets.keys().map(|prefix| (*prefix, self.wanting(*prefix)))
    }

    fn judge_packet(&self, frame: &[u8], offset: usize, addresses: [IpAddr; 2], now: u64) -> Judgement {
        let mut accounts = BTreeMap::new();
        let mut wanting = Vec::new();
        let [source, destination] = [(0, PolicyFlags::SOURCE), (1, PolicyFlags::DESTINATION)].map(|(side, flag)| {
            let slots = self.wanting(addresses[side].into());
            let mut live = 0;
            for (i, reference) in slots.iter().enumerate() {
                let entry = self.ask(*reference, flag, now);
                if entry == Entry::Matched {
                    live |= 1 << i;
                    wanting.push(self.slots[usize::from(reference.slot)]);
                }
                // A packet that either side wants is wanted; else the source's word counts.
                let account = accounts.entry((reference.slot, reference.generation)).or_insert(entry);
                if entry == Entry::Matched {
                    *account = entry;
                }
            }
            Side { slots, live }
        });
        let accounts = accounts.into_iter().map(|((slot, _), entry)| (slot, entry)).collect();
        if wanting.is_empty() {
            return Judgement { counted: vec![ProbeCounter::Misses], accounts, taken: None };
        }

        let packet = &frame[offset..];
        let anatomy = if addresses[0].is_ipv4() { dissect_v4(packet) } else { dissect_v6(packet) };
        let mut counted = vec![ProbeCounter::Hits];
        counted.extend(&anatomy.remarks);
        let options: Vec<_> = anatomy.options.iter().map(|r| r.start + offset..r.end + offset).collect();
        let header_end = offset + anatomy.headers;
        let mut flags = 0;
        let mut bytes = frame.to_vec();
        if addresses[0].is_ipv6() {
            flags |= FrameFlags::IPV6;
        }
        if anatomy.fragment {
            flags |= FrameFlags::FRAGMENT;
        }
        if anatomy.transport.is_some() {
            flags |= FrameFlags::TRANSPORT;
        }
        if wanting.iter().all(|policy| policy.flags & PolicyFlags::HEADERS_ONLY != 0) {
            flags |= FrameFlags::CUT;
            counted.push(ProbeCounter::Cut);
            options.iter().for_each(|span| bytes[span.clone()].fill(0));
            bytes.truncate(header_end);
        }
        let taken = Taken {
            flags,
            ip: offset..offset + anatomy.length,
            header_end,
            transport: anatomy.transport.map(|transport| transport + offset),
            protocol: anatomy.protocol,
            source,
            destination,
            options,
            bytes,
        };
        Judgement { counted, accounts, taken: Some(taken) }
    }

    fn ask(&self, reference: SlotRef, direction: u32, now: u64) -> Entry {
        match self.slots.get(usize::from(reference.slot)) {
            Some(policy) if policy.generation == reference.generation => match policy {
                policy if !(..policy.stop_ns).contains(&now) => Entry::Expired,
                policy if !(policy.start_ns..).contains(&now) => Entry::Early,
                policy if policy.flags & direction == 0 => Entry::OtherDirection,
                _ => Entry::Matched,
            },
            _ => Entry::Stale,
        }
    }
}

impl Side {
    /// The references as the FrameHeader holds them.
    pub fn padded(&self) -> [SlotRef; SLOTS_PER_ADDRESS] {
        std::array::from_fn(|i| self.slots.get(i).copied().unwrap_or(SlotRef::NONE))
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// Finds the IP header and its two addresses, or says why there is none.
fn ip_header(frame: &[u8]) -> Result<(usize, IpAddr, IpAddr), ProbeCounter> {
    let kinds: Vec<usize> = (12..).step_by(4).map_while(|at| be16(frame, at)).collect();
    let tags = kinds.iter().take_while(|kind| matches!(kind, 0x8100 | 0x88a8)).count();
    if tags > 2 {
        return Err(ProbeCounter::VlanDepth);
    }
    let kind = *kinds.get(tags).ok_or(ProbeCounter::TooShort)?;
    let offset = 14 + 4 * tags;
    let (version, length, width) = match kind {
        0x0800 => (4, 20, 4),
        0x86dd => (6, 40, 16),
        _ => return Err(ProbeCounter::NotIp),
    };
    let header = frame.get(offset..offset + length).ok_or(ProbeCounter::TooShort)?;
    if header[0] >> 4 != version {
        return Err(ProbeCounter::BadVersion);
    }
    // In both versions the addresses end the base header.
    let (rest, destination) = header.split_at(length - width);
    Ok((offset, address(&rest[rest.len() - width..]), address(destination)))
}

fn address(bytes: &[u8]) -> IpAddr {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => v4.into(),
        (_, Ok(v6)) => v6.into(),
        _ => unreachable!("addresses have 4 or 16 bytes"),
    }
}

fn dissect_v4(packet: &[u8]) -> Anatomy {
    let protocol = packet[9];
    let flags = packet[6] >> 5;
    let fragment_offset = (usize::from(packet[6]) << 8 | usize::from(packet[7])) % 8192;
    let mut anatomy = Anatomy {
        length: packet.len(),
        headers: 20,
        transport: None,
        protocol,
        fragment: flags & 1 != 0 || fragment_offset != 0,
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
        anatomy.add_transport(packet, [(6, 20), (17, 8), (1, 8)]);
    }
    anatomy
}

fn dissect_v6(packet: &[u8]) -> Anatomy {
    let mut anatomy = Anatomy {
        length: packet.len(),
        headers: 40,
        transport: None,
        protocol: packet[6],
        fragment: false,
        options: Vec::new(),
        remarks: Vec::new(),
    };
    let payload = usize::from(packet[4]) * 256 + usize::from(packet[5]);
    if payload != 0 || packet[6] == 59 {
        anatomy.length = packet.len().min(40 + payload);
    }
    let mut extensions = 0;
    loop {
        let here = anatomy.headers;
        let kind = anatomy.protocol;
        if !matches!(kind, 0 | 43 | 44 | 51 | 60) {
            break;
        }
        let too_many_options = matches!(kind, 0 | 60) && anatomy.options.len() == MAX_OPTION_SPANS;
        if extensions == 8 {
            anatomy.remarks.push(ProbeCounter::ExtensionDepth);
            return anatomy;
        }
        extensions += 1;
        let rest = &packet[here..anatomy.length];
        let length = match (kind, rest.get(1)) {
            (_, None) => usize::MAX,
            (44, _) => 8,
            (51, Some(words)) => 8 + 4 * usize::from(*words),
            (_, Some(units)) => 8 + 8 * usize::from(*units),
        };
        let Some(extension) = rest.get(..length) else {
            anatomy.remarks.push(ProbeCounter::BadExtension);
            return anatomy;
        };
        if too_many_options {
            anatomy.remarks.push(ProbeCounter::ExtensionDepth);
            return anatomy;
        }
        if matches!(kind, 0 | 60) {
            anatomy.options.push(here + 2..here + length);
        }
        anatomy.headers += length;
        anatomy.protocol = extension[0];
        if kind == 44 {
            let offset = be16(extension, 2).unwrap_or_default() / 8;
            anatomy.fragment |= offset != 0 || extension[3] & 1 != 0;
            if offset != 0 {
                anatomy.remarks.push(ProbeCounter::LaterFragments);
                return anatomy;
            }
        }
    }
    if anatomy.protocol != 59 {
        anatomy.add_transport(packet, [(6, 20), (17, 8), (58, 8)]);
    }
    anatomy
}

impl Anatomy {
    /// Adds the transport header behind the others, if it is one of the `known` (number and least length) and whole.
    fn add_transport(&mut self, packet: &[u8], known: [(u8, usize); 3]) {
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
