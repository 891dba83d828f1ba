//! Random frames: stacks of headers as they should be, more or less, between the parties of the play, and what becomes of
//! such frames when bytes are lost, changed or mixed up.

use crate::cast::{self, Party};
use crate::stack::{self, protocol};
use writ_capture::Tunnel;

/// Random numbers (splitmix64), and frames made with them.
pub struct Dice {
    state: u64,
    /// Fragments of a packet that are still to come.
    rest: Vec<Vec<u8>>,
}

impl Dice {
    /// The same seed makes the same frames.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, rest: Vec::new() }
    }

    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }

    /// A frame between 14 bytes and what the kernel takes in a test run.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut frame = match self.below(50) {
            0 => self.noise(),
            1..=24 if !self.rest.is_empty() => self.rest.swap_remove(0),
            1 | 2 => self.fragmented(),
            _ => self.stack(),
        };
        while self.one_in(3) {
            self.mutate(&mut frame);
        }
        let length = frame.len().clamp(14, 3000);
        frame.resize(length, 0);
        frame
    }

    /// The same for a port whose mirror wraps its frames.
    pub fn mirrored_frame(&mut self, tunnel: Tunnel) -> Vec<u8> {
        let mut frame = if self.one_in(20) { self.stack() } else { self.mirrored(tunnel) };
        while self.one_in(3) {
            self.mutate(&mut frame);
        }
        let length = frame.len().clamp(14, 3000);
        frame.resize(length, 0);
        frame
    }

    fn mirrored(&mut self, tunnel: Tunnel) -> Vec<u8> {
        let of_port = !self.one_in(20);
        let tunnel =
            if of_port { tunnel } else { self.pick(&[Tunnel::Gre, Tunnel::Erspan, Tunnel::Vxlan, Tunnel::Tzsp]) };
        let v4 = self.one_in(2);
        let packet = if v4 { self.ipv4() } else { self.ipv6() };
        let optional = self.pick(&[0, 0x80, 0x20, 0x10, 0xb0]);
        let kind = if v4 { stack::IPV4 } else { stack::IPV6 };
        let (protocol, payload) = match (tunnel, self.below(4)) {
            (Tunnel::Gre, 0) => (protocol::GRE, stack::gre(optional, kind, &packet)),
            (Tunnel::Gre, _) => (protocol::GRE, stack::gre(optional, stack::BRIDGED, &self.link(v4, packet))),
            (Tunnel::Erspan, 0) => (protocol::GRE, stack::erspan_i(&self.link(v4, packet))),
            (Tunnel::Erspan, 1) => (protocol::GRE, stack::erspan_ii(&self.link(v4, packet))),
            (Tunnel::Erspan, 2) => (protocol::GRE, stack::erspan_iii(2, self.one_in(2), &packet)),
            (Tunnel::Erspan, _) => {
                let platform = self.one_in(2);
                let kind = self.pick(&[0, 0, 0, 1]);
                (protocol::GRE, stack::erspan_iii(kind, platform, &self.link(v4, packet)))
            }
            (Tunnel::Vxlan | Tunnel::None, _) => (protocol::UDP, stack::vxlan(&self.link(v4, packet))),
            (Tunnel::Tzsp, _) => {
                let count = self.pick(&[0, 0, 0, 1, 1, 3, 7, 8]);
                let tags: Vec<u8> = (0..count).flat_map(|_| self.tzsp_tag()).collect();
                (protocol::UDP, stack::tzsp(&tags, &self.link(v4, packet)))
            }
        };
        let (a, b) = (cast::BYSTANDER, self.pick(&cast::ALL));
        let (kind, mut outer) = if self.one_in(3) {
            (stack::IPV6, stack::ipv6(a.v6(), b.v6(), protocol, &payload))
        } else {
            let options = 4 * self.pick(&[0, 0, 0, 1, 10]);
            let options = self.bytes(options);
            (stack::IPV4, stack::ipv4_with_options(a.v4(), b.v4(), protocol, &options, &payload))
        };
        if self.one_in(20) {
            let place = self.pick(&[0x2000u16, 0x0001, 0x4000, 0x1fff]);
            outer = stack::patched(outer, 6, &place.to_be_bytes());
        }
        self.tags(kind, outer)
    }

    fn tzsp_tag(&mut self) -> Vec<u8> {
        let length = self.pick(&[0, 1, 1, 4, 6]);
        match self.below(3) {
            0 => vec![0],
            _ => [vec![self.pick(&[0x0a, 0x29, 0x3c]), length as u8], self.bytes(length)].concat(),
        }
    }

    /// A frame for a port of this kind to which nothing has happened on the way.
    pub fn whole_frame(&mut self, tunnel: Tunnel) -> Vec<u8> {
        if tunnel == Tunnel::None { self.stack() } else { self.mirrored(tunnel) }
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = 14 + self.below(120);
        let mut noise = self.bytes(length);
        let kind = self.pick(&[stack::IPV4, stack::IPV6, stack::VLAN, stack::MPLS, stack::PPPOE, 0x0806, 0x0045]);
        noise[12..14].copy_from_slice(&kind.to_be_bytes());
        noise
    }

    /// Headers as they should be, more or less.
    fn stack(&mut self) -> Vec<u8> {
        let v4 = self.one_in(2);
        let packet = if v4 { self.ipv4() } else { self.ipv6() };
        self.link(v4, packet)
    }

    /// A fragment of a packet whose others are to come, in any order, and one or the other that lies.
    fn fragmented(&mut self) -> Vec<u8> {
        let (a, b) = (self.pick(&cast::ALL), self.pick(&[cast::BYSTANDER, cast::MAILER, cast::SURFER, cast::ASKER]));
        let (a, b) = if self.one_in(2) { (a, b) } else { (b, a) };
        let (v4, protocol) = (self.one_in(2), self.pick(&[6, 6, 17, 17, 132, 1]));
        let identification = self.below(4) as u16;
        let count = self.pick(&[2, 2, 3, 4]);
        for number in 0..count {
            // Overlapping ones and second first ones among them; and all that a fragment can begin with.
            let offset = if self.one_in(10) { self.below(8) as u16 } else { 8 * number };
            let more = number + 1 < count;
            let length = self.pick(&[0, 4, 8, 64]);
            let payload = if offset == 0 { self.transport(protocol) } else { self.bytes(length) };
            let packet = if v4 {
                let packet = stack::ipv4(a.v4(), b.v4(), protocol, &payload);
                stack::fragment_v4(packet, identification, offset, more)
            } else {
                let next = if self.one_in(6) { protocol::DESTINATION } else { protocol };
                let payload = if next == protocol { payload } else { stack::extension(protocol, &[], &payload) };
                let header = stack::fragment(next, offset, more, &payload);
                let header = stack::patched(header, 4, &u32::from(identification).to_be_bytes());
                stack::ipv6(a.v6(), b.v6(), protocol::FRAGMENT, &header)
            };
            let frame = if self.one_in(6) {
                self.link(v4, packet)
            } else {
                stack::ethernet(if v4 { stack::IPV4 } else { stack::IPV6 }, &packet)
            };
            self.rest.push(frame);
        }
        let first = self.pick(&[0, 0, 0, self.rest.len() - 1]);
        self.rest.swap_remove(first)
    }

    /// A frame around a packet.
    fn link(&mut self, v4: bool, packet: Vec<u8>) -> Vec<u8> {
        let mut frame = self.link_of(v4, packet, 6);
        if frame.len() < 60 && self.one_in(2) {
            let padding = self.bytes(60 - frame.len());
            frame.extend(padding);
        }
        frame
    }

    /// Of so many kinds of what can be between the MAC addresses and the packet.
    fn link_of(&mut self, v4: bool, packet: Vec<u8>, kinds: usize) -> Vec<u8> {
        let ether_type = if v4 { stack::IPV4 } else { stack::IPV6 };
        let (kind, payload) = match self.below(2 * kinds) {
            0 => (stack::PPPOE, stack::pppoe(if v4 { stack::PPP_IPV4 } else { stack::PPP_IPV6 }, &packet)),
            1 => {
                let payload = stack::snap(ether_type, &packet);
                (payload.len() as u16, payload)
            }
            2 => (self.pick(&[ether_type, stack::IPV4, stack::IPV6, 0x0806, 0x8863, 1501]), packet),
            8 => self.labels(&packet),
            9 => {
                let inner = self.link_of(v4, packet, 3);
                self.labels(&inner)
            }
            10 => {
                let inner = self.link_of(v4, packet, 3);
                let sequence = self.pick(&[0, 1, 0x0800, 0xffff]);
                self.labels(&stack::control_word(sequence, &inner))
            }
            11 => {
                let inner = self.link_of(v4, packet, 6);
                self.labels(&inner)
            }
            _ => (ether_type, packet),
        };
        let mut frame = self.tags(kind, payload);
        // The first byte of a MAC address, which behind labels can look like a version or a control word.
        if self.one_in(2) {
            frame[0] = self.pick(&[0x00, 0x02, 0x0a, 0x10, 0x40, 0x45, 0x60, 0xf0]);
        }
        if self.one_in(4) {
            let end = self.pick(&[0, 6, 6]);
            let mac = self.pick(&cast::MACS);
            frame = stack::patched(frame, end, &mac.0);
        }
        frame
    }

    fn tags(&mut self, mut kind: u16, mut payload: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.pick(&[0, 0, 0, 0, 1, 1, 2, 2, 3, 4]) {
            let vlan = if self.one_in(4) { self.roll() as u16 } else { self.pick(&cast::VLANS) };
            let vlan = if self.one_in(4) { vlan ^ 0xa000 } else { vlan };
            payload = stack::tag(vlan, kind, &payload);
            kind = self.pick(&[stack::VLAN, stack::SERVICE_VLAN, stack::OLD_SERVICE_VLAN]);
        }
        stack::ethernet(kind, &payload)
    }

    fn labels(&mut self, payload: &[u8]) -> (u16, Vec<u8>) {
        let count = self.pick(&[1, 1, 2, 2, 3, 4, 5]);
        let labels: Vec<u32> = (0..count).map(|_| self.roll() as u32 & 0xf_ffff).collect();
        (self.pick(&[stack::MPLS, stack::MPLS, stack::MPLS_UPSTREAM]), stack::mpls(&labels, payload))
    }

    /// A party of the play, or one whose address differs from such a one in a bit.
    fn ends(&mut self) -> (Party, Party) {
        let (a, b) = (self.pick(&cast::ALL), self.pick(&cast::ALL));
        if self.one_in(2) { (a, cast::BYSTANDER) } else { (a, b) }
    }

    fn ipv4(&mut self) -> Vec<u8> {
        let (a, b) = self.ends();
        let (a, b) = if self.one_in(2) { (a, b) } else { (b, a) };
        let mut protocol = self.pick(&[6, 6, 6, 17, 17, 1, 58, 50, 47, 59, 132, 132, 4, 4, 41, 41]);
        let mut payload = self.transport(protocol);
        for _ in 0..self.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 9]) {
            let icv = 4 * self.pick(&[0, 3, 8]);
            payload = stack::authentication(protocol, icv, &payload);
            protocol = protocol::AUTHENTICATION;
        }
        if self.one_in(40) {
            protocol = self.pick(&[protocol::HOP_BY_HOP, protocol::DESTINATION, protocol::FRAGMENT, protocol::SHIM6]);
        }
        let options = 4 * self.pick(&[0, 0, 0, 1, 2, 5, 10]);
        let options = self.bytes(options);
        let mut packet = stack::ipv4_with_options(a.v4(), b.v4(), protocol, &options, &payload);
        if self.one_in(8) {
            let place = self.pick(&[0x2000u16, 0x2001, 0x1000, 0x0001, 0x1fff, 0x4000, 0x8000]);
            packet = stack::patched(packet, 6, &place.to_be_bytes());
        }
        // Lengths that cannot be.
        if self.one_in(16) {
            let first = self.pick(&[0x40, 0x44, 0x46, 0x4f]);
            packet = stack::patched(packet, 0, &[first]);
        }
        if self.one_in(16) {
            let total = self.pick(&[0u16, 1, 19, 20, 21, 27, 28, 40, 0xffff]);
            packet = stack::patched(packet, 2, &total.to_be_bytes());
        }
        self.near_miss(packet, 12, 8)
    }

    fn ipv6(&mut self) -> Vec<u8> {
        let (a, b) = self.ends();
        let (a, b) = if self.one_in(2) { (a, b) } else { (b, a) };
        let mut next = self.pick(&[6, 6, 6, 17, 17, 58, 1, 50, 59, 47, 132, 132, 4, 4, 41, 41]);
        let mut payload = self.transport(next);
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 6, 9]) {
            let kind = self.pick(&[
                protocol::HOP_BY_HOP,
                protocol::ROUTING,
                protocol::DESTINATION,
                protocol::DESTINATION,
                protocol::FRAGMENT,
                protocol::AUTHENTICATION,
                protocol::AUTHENTICATION,
                protocol::MOBILITY,
                protocol::HOST_IDENTITY,
                protocol::SHIM6,
            ]);
            payload = match kind {
                protocol::FRAGMENT => {
                    let offset = self.pick(&[0, 0, 0, 0, 0, 1, 185, 0x1fff]);
                    let more = self.one_in(2);
                    let header = stack::fragment(next, offset, more, &payload);
                    let reserved = self.pick(&[0, 0, 0, 2, 4, 6]);
                    let place = header[3] | reserved;
                    stack::patched(header, 3, &[place])
                }
                protocol::AUTHENTICATION => {
                    let icv = 4 * self.pick(&[0, 3, 8]);
                    stack::authentication(next, icv, &payload)
                }
                _ => {
                    let length = self.pick(&[0, 6, 6, 14, 30, 254]);
                    let data = self.bytes(length);
                    stack::extension(next, &data, &payload)
                }
            };
            next = kind;
        }
        let mut packet = stack::ipv6(a.v6(), b.v6(), next, &payload);
        if self.one_in(16) {
            let length = self.pick(&[0u16, 1, 7, 8, 9, 20, 28, 40, 0xffff]);
            packet = stack::patched(packet, 4, &length.to_be_bytes());
        }
        self.near_miss(packet, 8, 32)
    }

    /// Now and then flips a bit of an address.
    fn near_miss(&mut self, mut packet: Vec<u8>, addresses: usize, length: usize) -> Vec<u8> {
        if self.one_in(6) {
            packet[addresses + self.below(length)] ^= 1 << self.below(8);
        }
        packet
    }

    fn transport(&mut self, protocol: u8) -> Vec<u8> {
        let mut segment = self.segment(protocol);
        if [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&protocol) && self.one_in(2) {
            const PORTS: [u16; 12] = [24, 25, 26, 53, 80, 586, 587, 590, 591, 2905, 5060, 40000];
            let (source, destination) = (self.pick(&PORTS), self.pick(&PORTS));
            segment = stack::ports(source, destination, segment);
        }
        if self.one_in(12) {
            segment.truncate(self.below(24));
        }
        segment
    }

    fn segment(&mut self, protocol: u8) -> Vec<u8> {
        let length = self.pick(&[0, 1, 7, 8, 20, 64, 200, 1400]);
        let payload = self.bytes(length);
        match protocol {
            protocol::TCP => {
                let options = 4 * self.pick(&[0, 0, 3, 5, 10]);
                let options = self.bytes(options);
                stack::tcp(&options, &payload)
            }
            protocol::UDP => stack::udp(&payload),
            protocol::SCTP => stack::sctp(&payload),
            protocol::IP_IN_IP if self.one_in(2) => self.ipv4(),
            protocol::IPV6_IN_IP if self.one_in(2) => self.ipv6(),
            protocol::ICMP | protocol::ICMPV6 => stack::icmp(self.pick(&[0, 3, 8, 128, 135]), 0, &payload),
            _ => payload,
        }
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        // The headers are where it matters.
        let reach = frame.len().min(160);
        match self.below(8) {
            0 => frame.truncate(14 + self.below(frame.len())),
            1 => frame.truncate(14 + self.below(reach)),
            2 => {
                let at = self.below(reach);
                frame[at] ^= 1 << self.below(8);
            }
            3 => {
                let at = self.below(reach);
                frame[at] = self.roll() as u8;
            }
            // A field of two bytes: lengths, offsets and types are such.
            4 => {
                let at = 2 * self.below(reach / 2);
                let value = self.pick(&[
                    0u16, 1, 7, 8, 19, 20, 28, 40, 60, 1500, 1501, 0x0600, 0x0800, 0x0806, 0x2000, 0x6558, 0x7fff,
                    0x8100, 0x8847, 0x8864, 0x86dd, 0x88a8, 0x88be, 0xaaaa, 0xffff,
                ]);
                if let Some(field) = frame.get_mut(at..at + 2) {
                    field.copy_from_slice(&value.to_be_bytes());
                }
            }
            // Version and header length, where an IP header is most often.
            5 => {
                let at = self.pick(&[14, 14, 18, 22, 26]);
                if let Some(first) = frame.get_mut(at) {
                    *first = self.pick(&[0x00, 0x40, 0x44, 0x45, 0x46, 0x4f, 0x55, 0x60, 0x65]);
                }
            }
            // Bytes lost.
            6 => {
                let at = self.below(reach);
                let end = frame.len().min(at + self.pick(&[1, 2, 4, 8, 14, 20, 40]));
                frame.drain(at..end);
            }
            // Bytes repeated.
            _ => {
                let at = self.below(reach);
                let end = frame.len().min(at + self.pick(&[1, 2, 4, 8, 14, 20, 40]));
                let again = frame[at..end].to_vec();
                frame.splice(at..at, again);
            }
        }
        frame.resize(frame.len().max(14), 0);
    }
}
