//! The reference model of the XDP program: what the standards and the intercepts say about a frame, written down
//! plainly and apart from the program. Slow, sure, and without any table of the kernel.
//!
//! `link` finds the IP packet in a frame, `packet` takes it apart, and here the intercepts are asked. Which of it is
//! header and which content is the law's; the rule is told in the FrameHeader's documentation.

mod link;
mod mirror;
mod packet;

use ipnet::IpNet;
use mirror::Mirrored;
use packet::Anatomy;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use writ_abi::{FrameFlags, PolicyFlags, ProbeCounter, SLOTS_PER_ADDRESS, SlotPolicy, SlotRef};
use writ_capture::Tunnel;

/// Who is a target, and of what.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Each target's prefix and the intercepts that want it; at most [`SLOTS_PER_ADDRESS`] want one address.
    pub targets: BTreeMap<IpNet, Vec<SlotRef>>,
    /// The slots' policies, by index.
    pub slots: Vec<SlotPolicy>,
    /// Whether a packet within a packet that nobody wants is looked at.
    pub look_inside: bool,
    /// In what the port's mirror wraps its frames.
    pub tunnel: Tunnel,
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
    /// Not for the host, whatever it gets of what is not taken: a mirror has sent it.
    pub withheld: bool,
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

/// What the model finds in a frame, whoever it belongs to. For a comparison with other parsers.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The IP packet.
    pub ip: Range<usize>,
    /// Its source and destination.
    pub addresses: [IpAddr; 2],
    /// Where its transport header starts.
    pub transport: Option<usize>,
    /// The last next-header value.
    pub protocol: u8,
    /// Nothing was in the way of a transport header.
    pub complete: bool,
}

/// See [`Outline`]. `None`: there is no IP packet.
pub fn outline(frame: &[u8], tunnel: Tunnel) -> Option<Outline> {
    let ip = found(frame, tunnel).ok()?.ok()?;
    let packet = &frame[ip.clone()];
    let anatomy = Anatomy::of(packet);
    Some(Outline {
        ip: ip.start..ip.start + anatomy.length,
        addresses: packet::addresses(packet),
        transport: anatomy.transport.map(|transport| ip.start + transport),
        protocol: anatomy.protocol,
        complete: anatomy.remarks.is_empty(),
    })
}

/// The IP packet in a frame on a port of this kind. The outer error: the frame is not of the port's tunnel.
fn found(frame: &[u8], tunnel: Tunnel) -> Result<link::Found, ProbeCounter> {
    if tunnel == Tunnel::None {
        return Ok(link::packet(frame));
    }
    Ok(match mirror::open(frame, tunnel)? {
        Mirrored::Frame(inner) => link::packet_from(&frame[..inner.end], inner.start),
        Mirrored::Packet(version, inner) => link::internet(&frame[..inner.end], inner.start, version),
    })
}

impl World {
    /// Judges a frame that comes in at `now` (`CLOCK_BOOTTIME`, nanoseconds).
    pub fn judge(&self, frame: &[u8], now: u64) -> Judgement {
        match found(frame, self.tunnel) {
            Err(reason) => self.judge_found(frame, Err(reason), 0, now),
            Ok(found) if self.tunnel == Tunnel::None => self.judge_found(frame, found, 0, now),
            Ok(found) => Judgement { withheld: true, ..self.judge_found(frame, found, FrameFlags::MIRRORED, now) },
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

    fn judge_found(&self, frame: &[u8], found: link::Found, flags: u32, now: u64) -> Judgement {
        match found {
            Err(reason) => Judgement { counted: vec![reason], accounts: Vec::new(), taken: None, withheld: false },
            Ok(ip) => self.judge_nested(frame, ip, flags, now),
        }
    }

    /// The outer packet decides; the one in it only where nobody wants the outer.
    fn judge_nested(&self, frame: &[u8], ip: Range<usize>, flags: u32, now: u64) -> Judgement {
        let outer = self.judge_packet(frame, ip.clone(), flags, now);
        if outer.taken.is_some() || !self.look_inside {
            return outer;
        }
        let anatomy = Anatomy::of(&frame[ip.clone()]);
        let Some(inside) = anatomy.inside(&frame[ip.clone()]) else {
            let mut judgement = outer;
            if anatomy.remarks.contains(&ProbeCounter::ExtensionDepth) {
                judgement.counted.push(ProbeCounter::InnerDepth);
            }
            return judgement;
        };
        let inside = ip.start + inside.start..ip.start + inside.end;
        let mut inner = self.judge_packet(frame, inside.clone(), flags | FrameFlags::INNER, now);
        inner.accounts.extend(outer.accounts);
        let packet = &frame[inside];
        let carries = if packet[0] >> 4 == 4 { packet[9] } else { packet[6] };
        if inner.taken.is_none() && [4, 41].contains(&carries) {
            inner.counted.push(ProbeCounter::InnerDepth);
        }
        inner
    }

    fn judge_packet(&self, frame: &[u8], ip: Range<usize>, mut flags: u32, now: u64) -> Judgement {
        let packet = &frame[ip.clone()];
        let offset = ip.start;
        let addresses = packet::addresses(packet);
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
            return Judgement { counted: vec![ProbeCounter::Misses], accounts, taken: None, withheld: false };
        }

        let anatomy = Anatomy::of(packet);
        let mut counted = vec![ProbeCounter::Hits];
        counted.extend(&anatomy.remarks);
        let options: Vec<_> = anatomy.options.iter().map(|r| r.start + offset..r.end + offset).collect();
        let header_end = offset + anatomy.headers;
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
        Judgement { counted, accounts, taken: Some(taken), withheld: false }
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
