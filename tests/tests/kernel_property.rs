//! The XDP program against the reference model, over random and mutated frames: no false hit, no miss, the same cut,
//! the same bytes, the same counters. Needs root.
//!
//! `WRIT_SEED` repeats a run, `WRIT_FRAMES` makes it longer.

use std::collections::BTreeMap;
use std::env;
use writ_abi::{ABI_VERSION, FrameHeader};
use writ_capture::{OnMiss, boot_now_ns};
use writ_tests::cast::{self, Party};
use writ_tests::kernel::{Counts, Outcome, Trial};
use writ_tests::reference::{Judgement, Taken};
use writ_tests::stack::{self, protocol};

#[test]
#[expect(clippy::print_stdout, reason = "how often each corner was reached is worth reading")]
fn program_and_model_agree_on_every_frame() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seed = number("WRIT_SEED").unwrap_or_else(boot_now_ns);
    let frames = number("WRIT_FRAMES").unwrap_or(100_000);
    let world = cast::world();
    let mut trial = Trial::load(&world);
    let mut dice = Dice(seed);
    let mut expected = Counts::zero();
    let mut handed_over = 0;

    for round in 0..frames {
        let frame = dice.frame();
        let on_miss = if dice.one_in(2) { OnMiss::Drop } else { OnMiss::Pass };
        let from = boot_now_ns();
        let judgement = world.judge(&frame, from);
        let outcome = trial.run(on_miss, &frame);
        let to = boot_now_ns();
        if let Err(difference) = compare(&judgement, &outcome, on_miss, &frame, from..=to, handed_over) {
            panic!(
                "seed {seed}, frame {round}: {difference}\nframe: {}\nmodel: {judgement:#?}\nprogram: {outcome:#?}",
                hex(&frame)
            );
        }
        expected.add_frame(&judgement.counted, frame.len());
        for (slot, entry) in judgement.accounts {
            if usize::from(slot) < world.slots.len() {
                expected.add_entry(slot, entry, frame.len());
            }
        }
        handed_over += u64::from(judgement.taken.is_some());
        if round % 1000 == 0 {
            assert_eq!(trial.counts(), expected, "seed {seed}, counters after frame {round}");
        }
    }
    assert_eq!(trial.counts(), expected, "seed {seed}, counters at the end");
    println!("seed {seed}: {frames} frames, of which {handed_over} handed over: {:?}", expected.probe);

    // A generator that makes only misses, or never reaches a corner, would prove nothing.
    let seen: BTreeMap<_, _> = trial.counts().probe;
    for (counter, share) in [
        ("hits", 4),
        ("misses", 20),
        ("cut", 20),
        ("later_fragments", 500),
        ("bad_transport", 500),
        ("bad_ip_header", 500),
        ("bad_extension", 500),
        ("extension_depth", 500),
        ("unknown_transport", 500),
        ("too_short", 500),
        ("vlan_depth", 500),
        ("bad_version", 500),
        ("not_ip", 500),
    ] {
        assert!(seen.get(counter).is_some_and(|count| *count >= frames / share), "{counter} is too rare: {seen:?}");
    }
}

fn compare(
    judgement: &Judgement,
    outcome: &Outcome,
    on_miss: OnMiss,
    frame: &[u8],
    time: std::ops::RangeInclusive<u64>,
    number: u64,
) -> Result<(), String> {
    match (&judgement.taken, outcome) {
        (None, Outcome::Dropped) if on_miss == OnMiss::Drop => Ok(()),
        (None, Outcome::Passed) if on_miss == OnMiss::Pass => Ok(()),
        (None, Outcome::HandedOver(..)) => Err("a false hit".into()),
        (Some(_), Outcome::Dropped | Outcome::Passed) => Err("a miss".into()),
        (Some(taken), Outcome::HandedOver(header, bytes)) => {
            if !time.contains(&header.time_ns) {
                return Err(format!("time {} is not in {time:?}", header.time_ns));
            }
            let wanted = header_of(taken, frame.len(), header.time_ns, number);
            if **header != wanted {
                return Err(format!("header, wanted {wanted:#?}"));
            }
            if *bytes != taken.bytes {
                return Err("other bytes".into());
            }
            Ok(())
        }
        _ => Err("the wrong verdict over a miss".into()),
    }
}

fn header_of(taken: &Taken, length: usize, time_ns: u64, number: u64) -> FrameHeader {
    let mut options = [writ_abi::OptionSpan::default(); writ_abi::MAX_OPTION_SPANS];
    for (place, span) in options.iter_mut().zip(&taken.options) {
        *place = writ_abi::OptionSpan { offset: span.start as u16, length: span.len() as u16 };
    }
    FrameHeader {
        abi: ABI_VERSION,
        flags: taken.flags,
        time_ns,
        number,
        wire_length: length as u32,
        ifindex: 1,
        ip_offset: taken.ip.start as u16,
        ip_end: taken.ip.end as u16,
        header_end: taken.header_end as u16,
        transport_offset: taken.transport.unwrap_or(0) as u16,
        protocol: taken.protocol,
        source_live: taken.source.live,
        destination_live: taken.destination.live,
        reserved: 0,
        queue: 0,
        source: taken.source.padded(),
        destination: taken.destination.padded(),
        options,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random numbers (splitmix64), and frames made with them.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }

    /// A frame between 14 bytes and what the kernel takes in a test run.
    fn frame(&mut self) -> Vec<u8> {
        let mut frame = if self.one_in(50) { self.noise() } else { self.stack() };
        while self.one_in(3) {
            self.mutate(&mut frame);
        }
        let length = frame.len().clamp(14, 3000);
        frame.resize(length, 0);
        frame
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = 14 + self.below(120);
        let mut noise = self.bytes(length);
        let kind = self.pick(&[stack::IPV4, stack::IPV6, stack::VLAN, 0x0806, 0x0045]);
        noise[12..14].copy_from_slice(&kind.to_be_bytes());
        noise
    }

    /// Headers as they should be, more or less.
    fn stack(&mut self) -> Vec<u8> {
        let v4 = self.one_in(2);
        let packet = if v4 { self.ipv4() } else { self.ipv6() };
        let mut kind = if v4 { stack::IPV4 } else { stack::IPV6 };
        if self.one_in(40) {
            kind = self.pick(&[stack::IPV4, stack::IPV6, 0x0806, 0x8847, 0x8864, 0x9100]);
        }
        let mut payload = packet;
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2, 2, 3]) {
            let vlan = self.roll() as u16;
            payload = stack::tag(vlan, kind, &payload);
            kind = self.pick(&[stack::VLAN, stack::SERVICE_VLAN]);
        }
        let mut frame = stack::ethernet(kind, &payload);
        if frame.len() < 60 && self.one_in(2) {
            let padding = self.bytes(60 - frame.len());
            frame.extend(padding);
        }
        frame
    }

    /// A party of the play, or one whose address differs from such a one in a bit.
    fn ends(&mut self) -> (Party, Party) {
        let (a, b) = (self.pick(&cast::ALL), self.pick(&cast::ALL));
        if self.one_in(2) { (a, cast::BYSTANDER) } else { (a, b) }
    }

    fn ipv4(&mut self) -> Vec<u8> {
        let (a, b) = self.ends();
        let (a, b) = if self.one_in(2) { (a, b) } else { (b, a) };
        let protocol = self.pick(&[6, 6, 6, 17, 17, 1, 58, 50, 51, 47, 132, 4, 41]);
        let payload = self.transport(protocol);
        let options = 4 * self.pick(&[0, 0, 0, 1, 2, 5, 10]);
        let options = self.bytes(options);
        let mut packet = stack::ipv4_with_options(a.v4(), b.v4(), protocol, &options, &payload);
        if self.one_in(8) {
            let place = self.pick(&[0x2000u16, 0x2001, 0x1000, 0x0001, 0x1fff, 0x4000, 0x8000]);
            packet = stack::patched(packet, 6, &place.to_be_bytes());
        }
        self.near_miss(packet, 12, 8)
    }

    fn ipv6(&mut self) -> Vec<u8> {
        let (a, b) = self.ends();
        let (a, b) = if self.one_in(2) { (a, b) } else { (b, a) };
        let mut next = self.pick(&[6, 6, 6, 17, 17, 58, 1, 50, 59, 47, 132, 4, 41]);
        let mut payload = self.transport(next);
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 6, 9]) {
            let kind = self.pick(&[
                protocol::HOP_BY_HOP,
                protocol::ROUTING,
                protocol::DESTINATION,
                protocol::DESTINATION,
                protocol::FRAGMENT,
                protocol::AUTHENTICATION,
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
        let packet = stack::ipv6(a.v6(), b.v6(), next, &payload);
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
            protocol::ICMP | protocol::ICMPV6 => stack::icmp(self.pick(&[0, 3, 8, 128, 135]), 0, &payload),
            _ => payload,
        }
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        // The headers are where it matters.
        let reach = frame.len().min(120);
        match self.below(6) {
            0 => frame.truncate(14 + self.below(frame.len())),
            1 => frame.truncate(14 + self.below(reach)),
            2 => {
                let at = self.below(reach);
                frame[at] ^= 1 << self.below(8);
            }
            3 => {
                let at = 12 + self.below(reach.saturating_sub(12));
                if let Some(byte) = frame.get_mut(at) {
                    *byte = self.roll() as u8;
                }
            }
            // The length fields of an IP header that follows at once.
            4 if frame.len() > 20 => {
                let value = self.pick(&[0u16, 1, 19, 20, 28, 40, 60, 0x7fff, 0xffff]);
                let at = self.pick(&[16, 18]);
                frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
            }
            // Version and header length.
            5 if frame.len() > 14 => frame[14] = self.pick(&[0x40, 0x44, 0x45, 0x46, 0x4f, 0x55, 0x60, 0x65]),
            _ => {}
        }
    }
}
