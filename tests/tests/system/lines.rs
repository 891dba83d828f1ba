//! Targets that are no address, or more than one: lines told by their VLAN or their MAC address, kinds of traffic, and the
//! fragments of these.

use crate::scene::{ALICE, BOB, PATIENCE, Scene, order};
use etherparse::PacketBuilder;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use writ_lab::documents::Order;
use writ_lab::{
    FrameSender, IpPacket, LabError, LinkOptions, Namespace, Recorder, WebServer, compare_packets, contains, mirror,
    run, until, veth,
};

/// The equipment of a line.
const LINE: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 7];
/// The provider's router, and whoever else is on the wire.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Nobody's target.
const STRANGER: &str = "198.51.102.9";
const PEER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80);

/// A frame with these tags (type and number) around an IP packet.
fn framed(source: [u8; 6], destination: [u8; 6], tags: &[(u16, u16)], packet: &[u8]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    for (kind, vlan) in tags {
        frame.extend([kind.to_be_bytes(), vlan.to_be_bytes()].concat());
    }
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

/// A UDP packet from or to `party`, whose far end is the peer of its family.
fn udp(party: IpAddr, outward: bool, own_port: u16, far_port: u16, payload: &[u8]) -> Vec<u8> {
    let peer = if party.is_ipv4() { PEER_V4.into() } else { PEER_V6.into() };
    let ends = if outward { (party, peer) } else { (peer, party) };
    let ip = match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => PacketBuilder::ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => PacketBuilder::ipv6(source.octets(), destination.octets(), 64),
        _ => unreachable!("a party and its peer are of one family"),
    };
    let mut packet = Vec::new();
    let ports = if outward { (own_port, far_port) } else { (far_port, own_port) };
    ip.udp(ports.0, ports.1).write(&mut packet, payload).expect("a vector takes all");
    packet
}

/// Cuts a packet without extension headers into fragments of at most so many bytes of payload, a multiple of eight.
fn fragments(packet: &[u8], identification: u16, most: usize) -> Vec<Vec<u8>> {
    let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let (head, payload) = packet.split_at(header);
    let count = payload.len().div_ceil(most);
    payload
        .chunks(most)
        .enumerate()
        .map(|(i, piece)| {
            let (offset, more) = (u16::try_from(i * most).unwrap(), i + 1 < count);
            let mut fragment = head.to_vec();
            if header == 20 {
                let length = u16::try_from(header + piece.len()).unwrap();
                fragment[2..4].copy_from_slice(&length.to_be_bytes());
                fragment[4..6].copy_from_slice(&identification.to_be_bytes());
                fragment[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
            } else {
                let length = u16::try_from(8 + piece.len()).unwrap();
                fragment[4..6].copy_from_slice(&length.to_be_bytes());
                fragment[6] = 44;
                fragment.extend([head[6], 0]);
                fragment.extend((offset | u16::from(more)).to_be_bytes());
                fragment.extend(u32::from(identification).to_be_bytes());
            }
            fragment.extend(piece);
            fragment
        })
        .collect()
}

/// A kind of frame: its tags, the MAC address on the party's side, the party, its port, and whose packet it is.
struct Kind(&'static [(u16, u16)], [u8; 6], &'static str, u16, &'static [&'static str]);

/// What an agency has of a case once its books are closed.
fn delivered(scene: &Scene, order: &Order) -> Vec<IpPacket> {
    let counts = scene.probe().settled(order).unwrap();
    assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
    let enough = until("the agency's file", PATIENCE, || match scene.agency(order).packets(order.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => Ok(Some(packets?).filter(|packets: &Vec<IpPacket>| packets.len() as u64 >= counts.delivered)),
    });
    enough.unwrap()
}

/// An agency has these packets, and no others.
fn assert_has(scene: &Scene, order: &Order, truth: &[Vec<u8>]) {
    let truth: Vec<_> = truth.iter().map(|bytes| IpPacket { utc_ns: 0, bytes: bytes.clone() }).collect();
    let comparison = compare_packets(&truth, &delivered(scene, order));
    assert!(comparison.holds(), "{}: {comparison}", order.case_id);
}

/// How many packets of a target were not taken, by why.
fn not_taken(scene: &Scene, order: &Order, why: &str) -> u64 {
    scene.probe().ledger(order).unwrap()[why].as_u64().unwrap()
}

#[test]
fn lines_are_told_by_their_vlan_and_their_mac_address_alone_or_with_an_address() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let pair = order(0, ALICE, "CASE-PAIR");
    let mac = order(1, ALICE, "CASE-MAC");
    let line = order(2, ALICE, "CASE-LINE");
    let pen = Order { authority: "pen-trap", scope: "headers", ..order(3, ALICE, "CASE-PEN") };
    let address = format!("address = \"{ALICE}\"\nvlan = \"100\"");
    scene.arm_line(&pair, "vlan = \"200.100\"");
    scene.arm_line(&mac, "mac = \"02:00:5e:10:00:07\"");
    scene.arm_line(&line, &address);
    scene.arm_line(&pen, "vlan = \"300\"\ntraffic = [\"udp either 53\"]");

    const C: u16 = 0x8100;
    const S: u16 = 0x88a8;
    const NOBODY: &[&str] = &[];
    let kinds: &[Kind] = &[
        Kind(&[(S, 200), (C, 100)], NEIGHBOUR, STRANGER, 7, &["CASE-PAIR"]),
        Kind(&[(0x9100, 200), (C, 0xe000 | 100)], NEIGHBOUR, BOB, 7, &["CASE-PAIR"]),
        // A tag of VLAN 0 carries a priority only.
        Kind(&[(C, 0x6000), (S, 200), (C, 100)], NEIGHBOUR, STRANGER, 7, &["CASE-PAIR"]),
        Kind(&[(S, 200)], NEIGHBOUR, STRANGER, 7, NOBODY),
        Kind(&[(S, 200), (C, 101)], NEIGHBOUR, STRANGER, 7, NOBODY),
        Kind(&[(S, 100), (C, 200)], NEIGHBOUR, STRANGER, 7, NOBODY),
        Kind(&[], NEIGHBOUR, STRANGER, 7, NOBODY),
        Kind(&[], LINE, BOB, 7, &["CASE-MAC"]),
        Kind(&[(C, 999)], LINE, STRANGER, 7, &["CASE-MAC"]),
        Kind(&[(C, 100)], NEIGHBOUR, ALICE, 7, &["CASE-LINE"]),
        Kind(&[(C, 100)], NEIGHBOUR, STRANGER, 7, NOBODY),
        Kind(&[], NEIGHBOUR, ALICE, 7, NOBODY),
        Kind(&[(S, 200), (C, 100)], NEIGHBOUR, ALICE, 7, &["CASE-PAIR"]),
        Kind(&[(C, 100)], LINE, ALICE, 7, &["CASE-MAC", "CASE-LINE"]),
        Kind(&[(C, 300)], NEIGHBOUR, STRANGER, 53, &["CASE-PEN"]),
        Kind(&[(C, 300)], NEIGHBOUR, STRANGER, 54, NOBODY),
    ];
    let [mut tap] = <[FrameSender; 1]>::try_from(scene.senders(&["tap0"])).unwrap();
    let mut truth: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut number = 0u32;
    let mut send = |tap: &mut FrameSender| {
        for Kind(tags, own, party, port, cases) in kinds {
            for outward in [true, false] {
                number += 1;
                let packet = udp(party.parse().unwrap(), outward, *port, 9, &number.to_be_bytes());
                let (source, destination) = if outward { (*own, ROUTER) } else { (ROUTER, *own) };
                tap.send(&framed(source, destination, tags, &packet)).unwrap();
                cases.iter().for_each(|case| truth.entry(case).or_default().push(packet.clone()));
            }
        }
    };
    (0..20).for_each(|_| send(&mut tap));
    // A control role that comes back finds what the tables hold, and changes nothing.
    let before = scene.probe().role(&scene.host, "control").unwrap();
    scene.probe().signal_role(&scene.host, "control", Signal::KILL).unwrap();
    until("control to come back", PATIENCE, || {
        let now = scene.probe().role(&scene.host, "control")?;
        Ok((now.is_some() && now != before && scene.probe().status().is_ok()).then_some(()))
    })
    .unwrap();
    (0..20).for_each(|_| send(&mut tap));

    for order in [&pair, &mac, &line] {
        assert_has(&scene, order, &truth[order.case_id]);
    }
    let counts = scene.probe().settled(&pen).unwrap();
    assert_eq!((counts.delivered, counts.lost), (80, 0), "{counts:?}");
    let reports = until("the agency's reports", PATIENCE, || {
        let reports = scene.agency(&pen).header_reports(pen.case_id)?;
        Ok((reports.len() == 80).then_some(reports))
    });
    let is_dns = |ports: Option<(u16, u16)>| ports.is_some_and(|(one, other)| one == 53 || other == 53);
    assert!(reports.unwrap().iter().all(|(_, ends)| is_dns(ends.ports)));
    for (order, why, count) in [
        (&line, "other_traffic", 2 * 40 * 2),
        (&pen, "other_traffic", 40 * 2),
        (&pair, "other_traffic", 0),
        (&line, "unknown_traffic", 0),
    ] {
        assert_eq!(not_taken(&scene, order, why), count, "{}: {why}", order.case_id);
    }
    // Who sends is known of a MAC address and of an address, not of a VLAN.
    for (order, is_known) in [(&pair, false), (&mac, true), (&line, true)] {
        for word in ["fromSubject", "toSubject"] {
            let case = scene.agency(order).directory.join(order.case_id);
            assert_eq!(contains(&case, word.as_bytes()).unwrap().is_some(), is_known, "{}: {word}", order.case_id);
        }
    }
    for (order, address) in [(&pair, "::"), (&mac, "::"), (&line, ALICE)] {
        let told = &scene.agency(order).messages(order.case_id).unwrap()[0];
        assert_eq!(told["message"], "session-already-established");
        assert_eq!(told["address"]["address"], address, "{}: no address is told where there is none", order.case_id);
    }
    let status = scene.probe().status().unwrap();
    assert_eq!(status["capture"]["isolation_violations"], 0);
    let log = fs::read_to_string(scene.path("writ.log")).unwrap();
    assert!(!log.contains("5e:10") && !log.contains("200.100"), "the log names a line");
    scene.assert_log_names_nobody();
}

#[test]
fn fragments_follow_their_first_where_a_target_names_ports() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let v4 = order(0, ALICE, "CASE-PORTS-V4");
    let v6 = order(1, BOB, "CASE-PORTS-V6");
    let all = order(2, ALICE, "CASE-UDP");
    scene.arm_line(&v4, &format!("address = \"{ALICE}\"\ntraffic = [\"udp far 4000\", \"tcp own 80\"]"));
    scene.arm_line(&v6, &format!("address = \"{BOB}\"\ntraffic = [\"udp far 3999-4000\"]"));
    scene.arm_line(&all, &format!("address = \"{ALICE}\"\ntraffic = [\"udp\"]"));
    let [mut tap] = <[FrameSender; 1]>::try_from(scene.senders(&["tap0"])).unwrap();
    let mut truth: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let (mut unknown, mut number) = (0, 0u16);
    for _ in 0..20 {
        for (party, case) in [(ALICE, v4.case_id), (BOB, v6.case_id)] {
            for (outward, far_port) in [(true, 4000), (false, 4000), (true, 4001), (false, 4001)] {
                number += 1;
                let payload = [number.to_be_bytes().repeat(2000), vec![7; 5]].concat();
                let whole = udp(party.parse().unwrap(), outward, 4000 + u16::from(outward), far_port, &payload);
                let fragments = fragments(&whole, number, 1448);
                assert_eq!(fragments.len(), 3);
                for fragment in &fragments {
                    tap.send(&framed(NEIGHBOUR, ROUTER, &[], fragment)).unwrap();
                }
                if far_port == 4000 {
                    truth.entry(case).or_default().extend(fragments.iter().cloned());
                } else if party == ALICE {
                    unknown += fragments.len() as u64 - 1;
                }
                if party == ALICE {
                    truth.entry(all.case_id).or_default().extend(fragments);
                }
            }
        }
    }
    for order in [&v4, &v6, &all] {
        assert_has(&scene, order, &truth[order.case_id]);
    }
    // Of datagrams that are not wanted only the first says so.
    assert_eq!(not_taken(&scene, &v4, "unknown_traffic"), unknown);
    assert_eq!(not_taken(&scene, &v4, "other_traffic"), unknown / 2);
    assert_eq!(not_taken(&scene, &all, "unknown_traffic"), 0);
}

#[test]
fn of_two_web_servers_only_the_one_whose_port_is_named_is_taken() {
    if !writ_lab::ready(&["curl", "nginx", "tcpdump", "tc"]).unwrap() {
        return;
    }
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    // The far side of the tap is a router that mirrors its subscriber's port.
    let [subscriber, server] = ["subscriber", "server"].map(|label| Namespace::new(label).unwrap());
    let router = &scene.far;
    router.forward().unwrap();
    for (namespace, port, own, gateway) in [
        (&subscriber, "line", format!("{ALICE}/24"), "198.51.100.1"),
        (&server, "uplink", format!("{PEER_V4}/24"), "203.0.113.1"),
    ] {
        veth((namespace, "eth0"), (router, port), LinkOptions::default()).unwrap();
        router.address(port, format!("{gateway}/24").parse().unwrap()).unwrap();
        namespace.address("eth0", own.parse().unwrap()).unwrap();
        namespace.default_route(gateway.parse().unwrap()).unwrap();
    }
    mirror(router, "line", "far0").unwrap();
    let directory = scene.path("web");
    fs::create_dir(&directory).unwrap();
    let web = WebServer::start(&server, &directory).unwrap();
    fs::write(web.root().join("file"), "forty thousand bytes of something. ".repeat(1200)).unwrap();

    let order = order(0, ALICE, "CASE-WEB");
    let second = WebServer::SECOND_PORT;
    scene.arm_line(&order, &format!("address = \"{ALICE}\"\ntraffic = [\"tcp far {second}\"]"));
    let recorder = Recorder::start(&subscriber, "eth0", &scene.path("truth.pcap"), "tcp").unwrap();
    for port in [80, second, 80, second] {
        let url = format!("http://{PEER_V4}:{port}/file");
        let fetched = run(subscriber.command("curl").args(["-sS", "--fail", "--max-time", "20", &url])).unwrap();
        assert_eq!(fetched.stdout.len(), 42_000);
    }
    let truth = recorder.stop().unwrap();
    let is_second = |packet: &&IpPacket| {
        let ports = packet.ends().and_then(|ends| ends.ports);
        ports.is_some_and(|(source, destination)| source == second || destination == second)
    };
    let wanted: Vec<_> = truth.iter().filter(is_second).map(|packet| packet.bytes.clone()).collect();
    assert!(wanted.len() > 20 && truth.len() > wanted.len() + 20, "both were spoken to");
    assert_has(&scene, &order, &wanted);
    assert_eq!(not_taken(&scene, &order, "other_traffic") as usize, truth.len() - wanted.len());
    web.stop().unwrap();
}

#[test]
fn a_line_too_many_for_its_table_is_refused_whole_and_the_others_go_on() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let configuration = format!("{}\n[tables]\nmacs = 2\nvlans = 2\n", scene.configuration());
    fs::write(scene.path("writ.toml"), configuration).unwrap();
    scene.run();
    let [first, second, third] = [(0, "CASE-ONE"), (1, "CASE-TWO"), (2, "CASE-THREE")].map(|(n, c)| order(n, ALICE, c));
    scene.arm_line(&first, "mac = \"02:00:5e:10:00:07\"");
    scene.arm_line(&second, "vlan = \"300\"");
    // One fits, two do not; and of the warrant that names them nothing stays behind.
    let target =
        "confirmed_by = \"C. Engineer\"\nconfirmed_on = \"2026-11-19\"\nsubscriber = \"account 20117\"\n\n[[target]]\n";
    for (fields, field) in [
        (format!("mac = \"02:00:5e:10:00:01\"\n{target}mac = \"02:00:5e:10:00:02\""), "tables.macs"),
        (format!("vlan = \"301\"\n{target}vlan = \"302\""), "tables.vlans"),
    ] {
        let answer = scene.submit_line(&third, &fields);
        assert!(!answer.accepted && answer.words.contains(field), "{}", answer.words);
    }
    let [mut tap] = <[FrameSender; 1]>::try_from(scene.senders(&["tap0"])).unwrap();
    let mut truth: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for number in 0..50u32 {
        let packet = udp(STRANGER.parse().unwrap(), true, 7, 9, &number.to_be_bytes());
        for (mac, tags, case) in [
            (LINE, &[][..], Some(first.case_id)),
            (NEIGHBOUR, &[(0x8100, 300)], Some(second.case_id)),
            ([2, 0, 0x5e, 0x10, 0, 1], &[], None),
            (NEIGHBOUR, &[(0x8100, 301)], None),
        ] {
            tap.send(&framed(mac, ROUTER, tags, &packet)).unwrap();
            case.iter().for_each(|case| truth.entry(case).or_default().push(packet.clone()));
        }
    }
    for order in [&first, &second] {
        assert_has(&scene, order, &truth[order.case_id]);
    }
    // What fits is taken: the room that the refused ones would have had is still there.
    scene.arm_line(&third, "mac = \"02:00:5e:10:00:01\"");
    scene.assert_log_names_nobody();
}
