//! The reference model of the XDP program: what the standards and the intercepts say about a frame, written down
//! plainly and apart from the program. Slow, sure, and without any table of the kernel.
//!
//! `link` finds the IP packet in a frame, `packet` takes it apart, `traffic` says of what kind it is, and here the
//! intercepts are asked. Which of it is
//! header and which content is the law's; the rule is told in the FrameHeader's documentation.

mod link;
mod mirror;
mod packet;
mod traffic;

use ipnet::IpNet;
use link::{Link, Located};
use mirror::Mirrored;
use packet::Anatomy;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use traffic::Fit;
use writ_abi::{
    Claim, Condition, FrameFlags, FrameHeader, PolicyFlags, ProbeCounter, SLOTS_PER_ADDRESS, Selector, SlotPolicy,
    SlotRef, VlanMatch,
};
use writ_capture::Tunnel;

pub use traffic::Fragments;

/// Who is a target, and of what.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// By what each target is found, and who wants it; at most [`SLOTS_PER_ADDRESS`] want one side of a packet.
    pub targets: BTreeMap<Selector, Vec<Claim>>,
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
    /// Not what the target asks for besides: VLAN, MAC address, kind of traffic.
    OtherTraffic,
    /// It cannot be known whether it is.
    UnknownTraffic,
}

impl Entry {
    /// How much an entry says, beside the others of the same slot.
    fn weight(self) -> u8 {
        match self {
            Self::Stale => 1,
            Self::Early => 2,
            Self::Expired => 3,
            Self::OtherDirection => 4,
            Self::OtherTraffic => 5,
            Self::UnknownTraffic => 6,
            Self::Matched => 7,
        }
    }
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
    /// Where the Ethernet header in front of the packet starts, if it has one of its own.
    pub link: Option<usize>,
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
    /// The intercepts that have the address, the MAC address or the VLAN.
    pub slots: Vec<SlotRef>,
    /// Bit i: the i-th of them wants the packet.
    pub live: u8,
    /// Bit i: the i-th of them has the VLAN.
    pub undirected: u8,
}

/// A packet on its way to the intercepts.
struct Scene<'a> {
    packet: &'a [u8],
    anatomy: Anatomy,
    /// The Ethernet header in front of it.
    link: Option<Link>,
    now: u64,
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
    let Located { ip, .. } = found(frame, tunnel).ok()?.ok()?;
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
        Mirrored::Packet(version, inner) => link::bare(&frame[..inner.end], inner.start, version),
    })
}

impl World {
    /// Judges a frame that comes in at `now` (`CLOCK_BOOTTIME`, nanoseconds), after those that left `fragments` behind.
    pub fn judge(&self, frame: &[u8], now: u64, fragments: &mut Fragments) -> Judgement {
        match found(frame, self.tunnel) {
            Err(reason) => self.judge_found(frame, Err(reason), 0, now, fragments),
            Ok(found) if self.tunnel == Tunnel::None => self.judge_found(frame, found, 0, now, fragments),
            Ok(found) => {
                let judgement = self.judge_found(frame, found, FrameFlags::MIRRORED, now, fragments);
                Judgement { withheld: true, ..judgement }
            }
        }
    }

    /// The claims on a prefix, in the order of their prefixes from wide to narrow.
    fn wanting(&self, prefix: IpNet) -> Vec<Claim> {
        let mut holders: Vec<_> = Vec::new();
        for (selector, claims) in &self.targets {
            match selector {
                Selector::Prefix(target) if target.contains(&prefix) => holders.push((target.prefix_len(), claims)),
                _ => {}
            }
        }
        holders.sort_by_key(|(length, _)| *length);
        holders.into_iter().flat_map(|(_, claims)| claims).copied().collect()
    }

    fn claims(&self, selector: Selector) -> impl Iterator<Item = Claim> {
        self.targets.get(&selector).into_iter().flatten().copied()
    }

    /// What the program's tables are to hold: every selector with all claims on what it finds.
    pub fn entries(&self) -> impl Iterator<Item = (Selector, Vec<Claim>)> {
        self.targets.keys().map(|selector| {
            let claims = match *selector {
                Selector::Prefix(prefix) => self.wanting(prefix),
                Selector::Vlan(vlan) if vlan.inner != VlanMatch::ANY => {
                    let any = VlanMatch { outer: vlan.outer, inner: VlanMatch::ANY };
                    self.claims(Selector::Vlan(any)).chain(self.claims(*selector)).collect()
                }
                _ => self.claims(*selector).collect(),
            };
            (*selector, claims)
        })
    }

    fn judge_found(
        &self,
        frame: &[u8],
        found: link::Found,
        flags: u32,
        now: u64,
        fragments: &mut Fragments,
    ) -> Judgement {
        match found {
            Err(reason) => Judgement { counted: vec![reason], accounts: Vec::new(), taken: None, withheld: false },
            Ok(located) => self.judge_nested(frame, located, flags, now, fragments),
        }
    }

    /// The outer packet decides; the one in it only where nobody wants the outer.
    fn judge_nested(
        &self,
        frame: &[u8],
        located: Located,
        flags: u32,
        now: u64,
        fragments: &mut Fragments,
    ) -> Judgement {
        let ip = located.ip.clone();
        let outer = self.judge_packet(frame, &located, flags, now, fragments);
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
        let inside = Located { link: located.link, ip: ip.start + inside.start..ip.start + inside.end };
        let mut inner = self.judge_packet(frame, &inside, flags | FrameFlags::INNER, now, fragments);
        inner.accounts.extend(outer.accounts);
        inner.counted.extend(outer.counted.into_iter().filter(|counter| *counter == ProbeCounter::Crowded));
        let packet = &frame[inside.ip];
        let carries = if packet[0] >> 4 == 4 { packet[9] } else { packet[6] };
        if inner.taken.is_none() && [4, 41].contains(&carries) {
            inner.counted.push(ProbeCounter::InnerDepth);
        }
        inner
    }

    /// Who claims a side of a packet, and whether by the VLAN only. Within another packet only addresses lead to somebody.
    /// And how often claims did not all find a place: of a MAC address, and of a VLAN.
    fn claimed(&self, scene: &Scene<'_>, side: usize, is_inner: bool) -> (Vec<(Claim, bool)>, usize) {
        let address = packet::addresses(scene.packet)[side];
        let mut claims: Vec<_> = self.wanting(address.into()).into_iter().map(|claim| (claim, false)).collect();
        let mut crowded = 0;
        if let Some(link) = scene.link.as_ref().filter(|_| !is_inner) {
            claims.extend(self.claims(Selector::Mac(link.macs[side])).map(|claim| (claim, false)));
            crowded += usize::from(claims.len() > SLOTS_PER_ADDRESS);
            claims.truncate(SLOTS_PER_ADDRESS);
            // Nobody knows whose end a VLAN is: it stands with the source. What is wanted of the outer as a whole comes first.
            for whole in [true, false] {
                for (selector, wanting) in self.targets.iter().filter(|_| side == 0) {
                    match selector {
                        Selector::Vlan(vlan) if link.is_in(*vlan) && (vlan.inner == VlanMatch::ANY) == whole => {
                            claims.extend(wanting.iter().map(|claim| (*claim, true)));
                        }
                        _ => {}
                    }
                }
            }
            crowded += usize::from(claims.len() > SLOTS_PER_ADDRESS);
            claims.truncate(SLOTS_PER_ADDRESS);
        }
        (claims, crowded)
    }

    fn judge_packet(
        &self,
        frame: &[u8],
        located: &Located,
        mut flags: u32,
        now: u64,
        fragments: &mut Fragments,
    ) -> Judgement {
        let packet = &frame[located.ip.clone()];
        let offset = located.ip.start;
        let addresses = packet::addresses(packet);
        let link = located.link.map(|start| Link::of(frame, start));
        let scene = Scene { packet, anatomy: Anatomy::of(packet), link, now };
        let mut accounts = BTreeMap::<_, Entry>::new();
        let mut wanting = Vec::new();
        let mut by_ports = [Vec::new(), Vec::new()];
        let mut counted = Vec::new();
        let [source, destination] = [0, 1].map(|side| {
            let mut found = Side::default();
            let (claims, crowded) = self.claimed(&scene, side, flags & FrameFlags::INNER != 0);
            counted.extend(std::iter::repeat_n(ProbeCounter::Crowded, crowded));
            for (i, (claim, undirected)) in claims.into_iter().enumerate() {
                let (entry, has_ports) = self.ask(&claim, &scene, side, undirected, fragments);
                found.slots.push(claim.slot);
                found.undirected |= u8::from(undirected) << i;
                if entry == Entry::Matched {
                    found.live |= 1 << i;
                    wanting.push(self.slots[usize::from(claim.slot.slot)]);
                    by_ports[side].extend(has_ports.then_some(claim.slot));
                }
                // Of several entries for the same intercept that which says most.
                let account = accounts.entry((claim.slot.slot, claim.slot.generation)).or_insert(entry);
                if entry.weight() > account.weight() {
                    *account = entry;
                }
            }
            found
        });
        fragments.remember(&scene.anatomy, packet, now, by_ports);
        let accounts = accounts.into_iter().map(|((slot, _), entry)| (slot, entry)).collect();
        if wanting.is_empty() {
            counted.push(ProbeCounter::Misses);
            return Judgement { counted, accounts, taken: None, withheld: false };
        }

        let anatomy = scene.anatomy;
        counted.push(ProbeCounter::Hits);
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
            link: located.link,
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

    /// What a claim's slot says of a packet, and whether that is for its ports.
    fn ask(
        &self,
        claim: &Claim,
        scene: &Scene<'_>,
        side: usize,
        undirected: bool,
        fragments: &Fragments,
    ) -> (Entry, bool) {
        let sides = [PolicyFlags::SOURCE, PolicyFlags::DESTINATION];
        let needed = if undirected { sides[0] | sides[1] } else { sides[side] };
        let Some(policy) =
            self.slots.get(usize::from(claim.slot.slot)).filter(|policy| policy.generation == claim.slot.generation)
        else {
            return (Entry::Stale, false);
        };
        if !(..policy.stop_ns).contains(&scene.now) {
            (Entry::Expired, false)
        } else if !(policy.start_ns..).contains(&scene.now) {
            (Entry::Early, false)
        } else if policy.flags & needed != needed {
            (Entry::OtherDirection, false)
        } else {
            claim.condition.map_or((Entry::Matched, false), |condition| meet(&condition, claim, scene, side, fragments))
        }
    }
}

fn meet(condition: &Condition, claim: &Claim, scene: &Scene<'_>, side: usize, fragments: &Fragments) -> (Entry, bool) {
    let link = scene.link.as_ref();
    let vlan = condition.vlan().is_none_or(|wanted| link.is_some_and(|link| link.is_in(wanted)));
    let mac = condition.mac().is_none_or(|wanted| link.is_some_and(|link| link.macs[side] == wanted));
    if !vlan || !mac {
        return (Entry::OtherTraffic, false);
    }
    if condition.traffic().is_empty() {
        return (Entry::Matched, false);
    }
    let Scene { packet, anatomy, now, .. } = scene;
    match traffic::fit(condition.traffic(), anatomy, packet, side) {
        Fit::Ports => (Entry::Matched, true),
        Fit::Protocol => (Entry::Matched, false),
        Fit::Unknown if fragments.follows(anatomy, packet, *now, side, claim.slot) => (Entry::Matched, false),
        Fit::Unknown => (Entry::UnknownTraffic, false),
        Fit::No => (Entry::OtherTraffic, false),
    }
}

impl Taken {
    /// Where the Ethernet header starts, as the FrameHeader says it.
    pub fn link_offset(&self) -> u16 {
        self.link.map_or(FrameHeader::NO_LINK, |link| link as u16)
    }
}

impl Side {
    /// The references as the FrameHeader holds them.
    pub fn padded(&self) -> [SlotRef; SLOTS_PER_ADDRESS] {
        std::array::from_fn(|i| self.slots.get(i).copied().unwrap_or(SlotRef::NONE))
    }
}
