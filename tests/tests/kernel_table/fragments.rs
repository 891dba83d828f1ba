//! Fragments of packets of which a target wants some ports: only the first has them, and the others follow it.

use crate::row::SECRET;
use aya::maps::{HashMap, Map, MapData, loaded_maps};
use writ_abi::{FragmentEntry, FragmentKey, maps};
use writ_capture::OnMiss;
use writ_tests::cast::{self, ASKER, BYSTANDER, MAIL, MAILER, PINGER, Party};
use writ_tests::kernel::{Outcome, Trial};
use writ_tests::stack::{
    IPV4, IPV6, ethernet, extension, fragment, fragment_v4, icmp, ipv4, ipv6, patched, ports, protocol::*, tcp, udp,
};

/// A fragment of an IPv4 packet of this number.
fn four(ends: (Party, Party), protocol: u8, number: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let packet = ipv4(ends.0.v4(), ends.1.v4(), protocol, payload);
    ethernet(IPV4, &fragment_v4(packet, number, offset, more))
}

/// The same in IPv6.
fn six(ends: (Party, Party), next: u8, number: u32, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let header = patched(fragment(next, offset, more, payload), 4, &number.to_be_bytes());
    ethernet(IPV6, &ipv6(ends.0.v6(), ends.1.v6(), FRAGMENT, &header))
}

/// Shows the program frames in turn, and says of each whether it is taken; counts those of unknown traffic.
fn shown(frames: &[(&'static str, Vec<u8>, bool)]) -> u64 {
    let mut trial = Trial::load(&cast::world());
    for (what, frame, is_taken) in frames {
        let outcome = trial.run(OnMiss::Drop, frame);
        assert_eq!(matches!(outcome, Outcome::HandedOver(..)), *is_taken, "{what}: {outcome:?}");
    }
    trial.counts().slots.get(&MAIL).map_or(0, |counters| counters.unknown_traffic)
}

#[test]
fn later_fragments_follow_the_first() {
    let call = ports(5060, 9, udp(SECRET));
    let out = (MAILER, BYSTANDER);
    let unknown = shown(&[
        ("before its first", four(out, UDP, 1, 2, true, SECRET), false),
        ("the first", four(out, UDP, 1, 0, true, &call), true),
        ("the second", four(out, UDP, 1, 2, true, SECRET), true),
        ("the last", four(out, UDP, 1, 9, false, SECRET), true),
        ("again, and overlapping", four(out, UDP, 1, 1, false, SECRET), true),
        ("of another packet", four(out, UDP, 2, 2, true, SECRET), false),
        ("of another protocol", four(out, TCP, 1, 2, true, SECRET), false),
        ("the other way", four((BYSTANDER, MAILER), UDP, 1, 2, true, SECRET), false),
        ("to somebody else", four((MAILER, PINGER), UDP, 1, 2, true, SECRET), false),
        ("in IPv6", six(out, UDP, 1, 2, true, SECRET), false),
    ]);
    assert_eq!(unknown, 6);
}

#[test]
fn later_fragments_follow_the_first_in_ipv6() {
    let segment = ports(25, 40000, tcp(&[], SECRET));
    let to = (BYSTANDER, MAILER);
    let unknown = shown(&[
        ("before its first", six(to, TCP, 0x1_0001, 4, true, SECRET), false),
        ("the first, behind options", six(to, DESTINATION, 0x1_0001, 0, true, &extension(TCP, &[], &segment)), true),
        ("the second", six(to, DESTINATION, 0x1_0001, 4, true, SECRET), true),
        ("the last, which lies about what follows", six(to, TCP, 0x1_0001, 9, false, SECRET), true),
        ("of another packet", six(to, TCP, 1, 4, true, SECRET), false),
    ]);
    assert_eq!(unknown, 2);
}

#[test]
fn hostile_fragments_gain_nothing() {
    let out = (MAILER, BYSTANDER);
    let call = |port| ports(port, 9, udp(SECRET));
    let unknown = shown(&[
        ("a first one of other ports", four(out, UDP, 1, 0, true, &call(1)), false),
        ("and what follows", four(out, UDP, 1, 2, false, SECRET), false),
        ("a first one too small for its ports", four(out, UDP, 2, 0, true, &call(5060)[..4]), false),
        ("and what follows", four(out, UDP, 2, 1, false, &call(5060)), false),
        ("a first one", four(out, UDP, 3, 0, true, &call(5060)), true),
        ("a second first one of other ports", four(out, UDP, 3, 0, true, &call(1)), false),
        ("which does not stop the rest", four(out, UDP, 3, 2, false, SECRET), true),
        ("an atomic fragment is whole", six(out, UDP, 4, 0, false, &call(5060)), true),
        ("and nothing follows it", six(out, UDP, 4, 2, false, SECRET), false),
    ]);
    assert_eq!(unknown, 4);
}

#[test]
fn a_protocol_needs_no_first_fragment() {
    let unknown = shown(&[
        ("a later fragment of a ping", four((PINGER, BYSTANDER), ICMP, 1, 2, false, SECRET), true),
        ("of another protocol", four((PINGER, BYSTANDER), UDP, 1, 2, false, SECRET), false),
        ("a first one", four((PINGER, BYSTANDER), ICMP, 2, 0, true, &icmp(8, 0, SECRET)), true),
        ("in IPv6", six((BYSTANDER, PINGER), ICMPV6, 1, 2, false, SECRET), true),
    ]);
    assert_eq!(unknown, 0);
}

#[test]
fn who_has_the_whole_packet_gets_it_without_its_ports() {
    let mut trial = Trial::load(&cast::world());
    let later = four((ASKER, BYSTANDER), UDP, 1, 2, false, SECRET);
    let Outcome::HandedOver(header, bytes) = trial.run(OnMiss::Drop, &later) else { panic!("headers are wanted") };
    // The content order is not sure of it, and so the content is cut off.
    assert_eq!((header.source_live, bytes.len()), (2, 34));
    let first = four((ASKER, BYSTANDER), UDP, 1, 0, true, &udp(SECRET));
    trial.run(OnMiss::Drop, &first);
    let Outcome::HandedOver(header, bytes) = trial.run(OnMiss::Drop, &later) else { panic!("both want it now") };
    assert_eq!((header.source_live, bytes), (3, later));
}

#[test]
fn nobody_follows_a_first_fragment_for_ever() {
    // An identification that no other test has, since maps are found by their name here.
    const NUMBER: u16 = 0x7e11;
    let mut trial = Trial::load(&cast::world());
    let out = (MAILER, BYSTANDER);
    let first = four(out, UDP, NUMBER, 0, true, &ports(5060, 9, udp(SECRET)));
    let later = four(out, UDP, NUMBER, 2, false, SECRET);
    let mut taken = |frame: &[u8]| matches!(trial.run(OnMiss::Drop, frame), Outcome::HandedOver(..));
    assert!(taken(&first) && taken(&later));
    let mut aged = 0;
    for map in loaded_maps().flatten().filter(|map| map.name_as_str() == Some(maps::FRAGMENTS)) {
        let Ok(data) = MapData::from_id(map.id()) else { continue };
        let mut map = Map::LruHashMap(data);
        let Ok(mut known) = HashMap::<_, FragmentKey, FragmentEntry>::try_from(&mut map) else { continue };
        let found: Vec<_> = known.iter().flatten().filter(|(key, _)| key.identification == NUMBER.into()).collect();
        for (key, entry) in found {
            // Below nought on a machine that has just started, which the program takes for as long ago.
            let time_ns = entry.time_ns.wrapping_sub(FragmentEntry::LIFE_NS);
            known.insert(key, FragmentEntry { time_ns, ..entry }, 0).expect("it is there");
            aged += 1;
        }
    }
    assert!(aged > 0, "no map {} knows the packet", maps::FRAGMENTS);
    assert!(!taken(&later));
    assert!(taken(&first) && taken(&later));
}

#[test]
fn a_flood_of_first_fragments_makes_the_program_forget_the_oldest_only() {
    const PACKETS: u16 = 20_000;
    let mut trial = Trial::following(&cast::world(), 256);
    let out = (MAILER, BYSTANDER);
    let call = ports(5060, 9, udp(SECRET));
    let mut taken = |number, offset, more, payload: &[u8]| {
        matches!(trial.run(OnMiss::Drop, &four(out, UDP, number, offset, more, payload)), Outcome::HandedOver(..))
    };
    for number in 0..PACKETS {
        assert!(taken(number, 0, true, &call), "a first fragment needs no memory: {number}");
        assert!(taken(number, 2, false, SECRET), "the newest is remembered: {number}");
    }
    assert!(!taken(0, 2, false, SECRET), "the oldest is forgotten, and so not taken");
    let unknown = trial.counts().slots[&MAIL].unknown_traffic;
    assert_eq!(unknown, 1, "and counted");
}
