//! Real programs' traffic, all kinds at once, recorded as the tap's port gets it: what the agencies have, whatever their
//! formats, is what the reference model says of the recording, packet for packet, and tshark agrees with the model about
//! whose packets they are.
//!
//! ```text
//!  three subscribers ──── far, a router ──── server
//!                           │ every frame of the subscribers' links (far0)
//!                         probe
//! ```

use crate::formats::collected::{WAYS, Way};
use crate::scene::{ALICE, BOB, PATIENCE, SECOND, Scene, net, order};
use pcap_file::pcap::PcapReader;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use writ_abi::{Claim, PolicyFlags, Selector, SlotPolicy, SlotRef};
use writ_lab::documents::Order;
use writ_lab::{
    Agency, Ends, FrameSender, IpPacket, LabError, LinkOptions, Namespace, Recorder, WebServer, compare,
    compare_packets, mirror, ready, until, veth,
};
use writ_tests::reference::{Fragments, Taken, World};
use writ_tests::stack::{
    self, IPV4, IPV6, SERVICE_VLAN, VLAN, ethernet, extension, fragment, ipv4, ipv6, mpls, pppoe, protocol::*, snap,
    tag,
};

const CONTENT: SlotRef = SlotRef { slot: 0, generation: 1 };
const HEADERS: SlotRef = SlotRef { slot: 1, generation: 1 };
/// The targets of the one order and of the other: a subscriber's address and prefix, and another's.
const OF_CONTENT: [&str; 2] = ["198.51.100.10/32", "2001:db8:1:1::/64"];
const OF_HEADERS: [&str; 2] = ["198.51.100.12/30", "2001:db8:1:2::10/128"];
/// Under no order, beside a prefix that is.
const NOBODY: &str = "198.51.100.18";
const SERVER: [&str; 2] = ["203.0.113.80", "2001:db8:80::80"];
/// Fragments of three kilobytes.
const MANY: &str = "3000";

/// A subscriber on a link of the router's.
struct Subscriber {
    namespace: Namespace,
    addresses: [&'static str; 2],
}

/// The subscribers, and a server behind the router. The link to the server is narrower than theirs.
fn provider(router: &Namespace) -> Result<([Subscriber; 3], Namespace), LabError> {
    router.forward()?;
    let subscribers = [
        (0, [ALICE, "2001:db8:1:1::10"], ["198.51.100.9", "2001:db8:1:1::1"]),
        (1, ["198.51.100.14", BOB], ["198.51.100.13", "2001:db8:1:2::1"]),
        (2, [NOBODY, "2001:db8:1:3::10"], ["198.51.100.17", "2001:db8:1:3::1"]),
    ];
    let mut made = Vec::new();
    for (number, addresses, gateways) in subscribers {
        let namespace = Namespace::new(&format!("mixed{number}"))?;
        let port = format!("s{number}");
        veth((&namespace, "wan0"), (router, &port), LinkOptions::default())?;
        join(&namespace, "wan0", router, &port, (addresses, gateways), [30, 64])?;
        made.push(Subscriber { namespace, addresses });
    }
    let server = Namespace::new("mixed-server")?;
    let narrow = LinkOptions { mtu: 1300, ..LinkOptions::default() };
    veth((&server, "eth0"), (router, "uplink"), narrow)?;
    join(&server, "eth0", router, "uplink", (SERVER, ["203.0.113.1", "2001:db8:80::1"]), [24, 64])?;
    let subscribers = <[Subscriber; 3]>::try_from(made).map_err(|_| LabError::Panicked("three of three".into()))?;
    Ok((subscribers, server))
}

fn join(
    end: &Namespace,
    interface: &str,
    router: &Namespace,
    port: &str,
    (addresses, gateways): ([&str; 2], [&str; 2]),
    lengths: [u8; 2],
) -> Result<(), LabError> {
    for ((address, gateway), length) in addresses.iter().zip(gateways).zip(lengths) {
        router.address(port, net(&format!("{gateway}/{length}")))?;
        end.address(interface, net(&format!("{address}/{length}")))?;
        end.default_route(gateway.parse().expect("an address"))?;
    }
    Ok(())
}

/// What one subscriber does: pages and a download, fragments there and back, a narrow path found out, a datagram asked
/// and answered, a conversation in small segments; all of it in both families.
fn live(subscriber: &Subscriber) {
    let inside = &subscriber.namespace;
    let try_it = |program: &str, arguments: &[&str]| {
        // A ping that is to fail says so by its exit code: what matters is what it sends.
        drop(inside.exec(program, arguments));
    };
    for server in SERVER {
        let host = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
        for file in ["page", "bulk"] {
            inside
                .exec("curl", &["-sS", "-m", "20", "-g", "-o", "/dev/null", &format!("http://{host}/{file}")])
                .unwrap();
        }
        inside.exec("ping", &["-q", "-c", "4", "-i", "0.05", "-s", MANY, server]).unwrap();
        try_it("ping", &["-q", "-c", "2", "-i", "0.05", "-W", "1", "-t", "1", server]);
        try_it("ping", &["-q", "-c", "2", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1400", server]);
    }
    for (server, own) in SERVER.into_iter().zip(subscriber.addresses) {
        let [server, own] = [server, own].map(|address| address.parse::<IpAddr>().unwrap());
        let socket = inside.enter(|| UdpSocket::bind((own, 0))).unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for length in [1, 40, 1200, 4000] {
            socket.send_to(&vec![b'q'; length], (server, 53)).unwrap();
            assert_eq!(socket.recv_from(&mut [0; 5000]).unwrap().0, length);
        }
        let mut talk = inside.enter(|| TcpStream::connect((server, 22))).unwrap().unwrap();
        talk.set_nodelay(true).unwrap();
        for word in 0..40_u8 {
            talk.write_all(&[word]).unwrap();
            talk.read_exact(&mut [0]).unwrap();
        }
    }
}

/// The server's ends of [`live`], on the ports of DNS and SSH: what comes goes back.
fn serve(server: &Namespace) {
    for address in SERVER.map(|address| address.parse::<IpAddr>().unwrap()) {
        let socket = server.enter(|| UdpSocket::bind((address, 53))).unwrap().unwrap();
        let listener = server.enter(|| TcpListener::bind((address, 22))).unwrap().unwrap();
        // They end with the test's process.
        thread::spawn(move || {
            let mut datagram = [0; 5000];
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                drop(socket.send_to(&datagram[..length], from));
            }
        });
        thread::spawn(move || {
            for talk in listener.incoming().flatten() {
                thread::spawn(move || {
                    let (mut word, mut talk) = ([0], talk);
                    while talk.read_exact(&mut word).is_ok() && talk.write_all(&word).is_ok() {}
                });
            }
        });
    }
}

/// Frames that no program here makes: tags, labels, sessions, packets in packets, fragments out of order.
fn foreign_frames() -> Vec<Vec<u8>> {
    let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let mut frames = Vec::new();
    for (party4, party6) in
        [(ALICE, "2001:db8:1:1::77"), ("198.51.100.15", BOB), (NOBODY, "2001:db8:1:3::77"), ("198.51.100.16", "::7")]
    {
        for outward in [true, false] {
            let ends4 = |datagram: &[u8], protocol| {
                let (a, b) = (v4(party4), v4(SERVER[0]));
                if outward { ipv4(a, b, protocol, datagram) } else { ipv4(b, a, protocol, datagram) }
            };
            let ends6 = |datagram: &[u8], next| {
                let (a, b) = (v6(party6), v6(SERVER[1]));
                if outward { ipv6(a, b, next, datagram) } else { ipv6(b, a, next, datagram) }
            };
            let datagram = stack::udp(b"through all of that");
            let (packet4, packet6) = (ends4(&datagram, UDP), ends6(&datagram, UDP));
            for (kind, ppp, packet) in [(IPV4, stack::PPP_IPV4, &packet4), (IPV6, stack::PPP_IPV6, &packet6)] {
                frames.push(ethernet(VLAN, &tag(7, kind, packet)));
                frames.push(ethernet(SERVICE_VLAN, &tag(100, VLAN, &tag(7, kind, packet))));
                frames.push(ethernet(stack::MPLS, &mpls(&[1000, 17], packet)));
                frames.push(ethernet(stack::PPPOE, &pppoe(ppp, packet)));
                frames.push(ethernet(VLAN, &tag(7, stack::PPPOE, &pppoe(ppp, packet))));
                let llc = snap(kind, packet);
                frames.push(ethernet(llc.len() as u16, &llc));
            }
            let carrier = |protocol, packet: &[u8]| ipv4(v4("192.0.2.77"), v4("192.0.2.78"), protocol, packet);
            frames.push(ethernet(IPV4, &carrier(IPV6_IN_IP, &packet6)));
            frames.push(ethernet(IPV4, &carrier(IP_IN_IP, &packet4)));
            frames.push(ethernet(IPV6, &ends6(&fragment(UDP, 100, false, &[1; 400]), FRAGMENT)));
            frames.push(ethernet(IPV6, &ends6(&fragment(UDP, 0, true, &stack::udp(&[2; 792])), FRAGMENT)));
            frames.push(ethernet(IPV6, &ends6(&extension(UDP, &[1, 4, 9, 9, 9, 9], &datagram), DESTINATION)));
            frames.push(ethernet(IPV4, &ends4(&stack::sctp(&[0; 16]), SCTP)));
        }
    }
    frames
}

/// The orders, as the model knows them.
fn world() -> World {
    let both = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    let policy = |flags| SlotPolicy { start_ns: 0, stop_ns: u64::MAX, flags, generation: 1, reserved: 0 };
    let targets = |prefixes: [&'static str; 2], slot| {
        prefixes.map(|prefix| (Selector::Prefix(net(prefix)), vec![Claim { slot, condition: None }]))
    };
    World {
        targets: targets(OF_CONTENT, CONTENT).into_iter().chain(targets(OF_HEADERS, HEADERS)).collect(),
        slots: vec![policy(both), policy(both | PolicyFlags::HEADERS_ONLY)],
        look_inside: true,
        ..World::default()
    }
}

/// Whether an intercept gets a packet.
fn gets(taken: &Taken, slot: SlotRef) -> bool {
    [&taken.source, &taken.destination]
        .into_iter()
        .any(|side| (0..).zip(&side.slots).any(|(bit, found)| *found == slot && side.live & 1 << bit != 0))
}

/// Who sends to whom, read where the model says that it stands.
fn ends(frame: &[u8], taken: &Taken) -> Ends {
    let packet = &frame[taken.ip.clone()];
    let [source, destination] = if packet[0] >> 4 == 4 {
        [12, 16].map(|at| IpAddr::from(*packet[at..].first_chunk::<4>().expect("a whole base header")))
    } else {
        [8, 24].map(|at| IpAddr::from(*packet[at..].first_chunk::<16>().expect("a whole base header")))
    };
    let ports = taken.transport.filter(|_| [TCP, UDP, SCTP].contains(&taken.protocol)).map(|at| {
        let port = |at: usize| u16::from_be_bytes(*frame[at..].first_chunk().expect("a whole transport header"));
        (port(at), port(at + 2))
    });
    Ends { source, destination, ports }
}

/// The frames of a recording, with their times.
fn frames_of(file: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut reader = PcapReader::new(File::open(file).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        assert_eq!(packet.orig_len as usize, packet.data.len(), "the recording is whole");
        frames.push((packet.timestamp.as_nanos() as u64, packet.data.into_owned()));
    }
    frames
}

/// The numbers of the frames that tshark's display filter shows, from 1.
fn shown_by_tshark(file: &Path, filter: &str) -> BTreeSet<usize> {
    let output = Command::new("tshark")
        .args(["-n", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-T", "fields", "-e", "frame.number"])
        .args(["-Y", filter, "-r"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|number| number.parse().unwrap()).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "of how many packets it was shown is worth reading")]
fn of_real_traffic_the_agencies_have_what_the_model_says_and_tshark_agrees() {
    if !ready(&["nginx", "curl", "ping", "tshark", "tc"]).unwrap() {
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let configuration = format!("{}\n[tables]\nlook_inside = true\n", scene.configuration());
    fs::write(scene.path("writ.toml"), configuration).unwrap();
    // A target has eight intercepts at most: one form of CCC is enough.
    let ways: Vec<&Way> = WAYS.iter().filter(|way| way.name != "ccc-4").collect();
    ways.iter().for_each(|way| way.add(&scene));
    let agencies: Vec<Agency> = ways.iter().map(|way| way.collector(&scene)).collect();
    scene.run();
    let content = Order { targets: OF_CONTENT.map(net).to_vec(), ..order(0, ALICE, "CASE-MIXED") };
    let headers = Order {
        authority: "pen-trap",
        scope: "headers",
        targets: OF_HEADERS.map(net).to_vec(),
        agency: SECOND.name,
        ..order(1, BOB, "CASE-MIXED-HEADERS")
    };
    scene.arm(&content);
    scene.arm(&headers);
    let in_all_formats: Vec<Order> =
        (2..).zip(&ways).map(|(number, way)| way.arm(&scene, number, &OF_CONTENT)).collect();
    let (subscribers, server) = provider(&scene.far).unwrap();
    fs::create_dir(scene.path("web")).unwrap();
    let web = WebServer::start(&server, &scene.path("web")).unwrap();
    fs::write(web.root().join("page"), "a short page").unwrap();
    fs::write(web.root().join("bulk"), vec![b'b'; 400_000]).unwrap();
    serve(&server);

    // The tap gets nothing before the recording, and nothing behind it.
    let file = scene.path("tap.pcap");
    let recorder = Recorder::start(&scene.far, "far0", &file, "").unwrap();
    let ports = ["s0", "s1", "s2"];
    ports.iter().for_each(|port| mirror(&scene.far, port, "far0").unwrap());
    let mut sender = FrameSender::open(&scene.far, "far0").unwrap();
    thread::scope(|scope| {
        subscribers.iter().for_each(|subscriber| drop(scope.spawn(|| live(subscriber))));
        for frame in foreign_frames() {
            sender.send(&frame).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
    for port in ports {
        scene.far.exec("tc", &["qdisc", "del", "dev", port, "clsact"]).unwrap();
    }
    recorder.stop().unwrap();

    let (world, mut fragments) = (world(), Fragments::default());
    let frames = frames_of(&file);
    let (mut packets, mut reports) = (Vec::new(), Vec::new());
    let mut whose: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (number, (utc_ns, frame)) in (1..).zip(&frames) {
        let Some(taken) = world.judge(frame, 1, &mut fragments).taken else { continue };
        if gets(&taken, CONTENT) {
            packets.push(IpPacket { utc_ns: *utc_ns, bytes: frame[taken.ip.clone()].to_vec() });
            whose.entry("content").or_default().insert(number);
        }
        if gets(&taken, HEADERS) {
            reports.push((*utc_ns, ends(frame, &taken)));
            whose.entry("headers").or_default().insert(number);
        }
    }
    println!("{} frames: {} packets of content, {} reports", frames.len(), packets.len(), reports.len());

    let counts = scene.probe().settled(&content).unwrap();
    assert_eq!((counts.delivered, counts.lost), (packets.len() as u64, 0), "{counts:?}");
    let delivered = until("the packets", PATIENCE, || match scene.agency(&content).packets(content.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        found => Ok(Some(found?).filter(|found| found.len() >= packets.len())),
    });
    let compared = compare_packets(&packets, &delivered.unwrap());
    assert!(compared.holds(), "content: {compared}");
    let counts = scene.probe().settled(&headers).unwrap();
    assert_eq!((counts.delivered, counts.lost), (reports.len() as u64, 0), "{counts:?}");
    let delivered = until("the reports", PATIENCE, || {
        Ok(Some(scene.agency(&headers).header_reports(headers.case_id)?).filter(|found| found.len() >= reports.len()))
    });
    let compared = compare(reports, delivered.unwrap());
    assert!(compared.holds(), "header reports: {compared}");
    for ((way, agency), order) in ways.iter().zip(&agencies).zip(&in_all_formats) {
        let counts = scene.probe().settled(order).unwrap();
        assert_eq!((counts.delivered, counts.lost), (packets.len() as u64, 0), "{}: {counts:?}", way.name);
        let compared = compare_packets(&packets, &way.filed(agency, packets.len()).unwrap());
        assert!(compared.holds(), "{}: {compared}", way.name);
    }
    scene.assert_isolated();

    for (name, [v4, v6]) in [("content", OF_CONTENT), ("headers", OF_HEADERS)] {
        let theirs = shown_by_tshark(&file, &format!("ip.addr == {v4} || ipv6.addr == {v6}"));
        let ours = &whose[name];
        let differ: Vec<_> = ours.symmetric_difference(&theirs).collect();
        assert!(differ.is_empty() && !ours.is_empty(), "{name}: model and tshark differ about frames {differ:?}");
        // Nothing of the programs was in vain: each kind of traffic is there.
        for kind in ["tcp", "udp", "icmp || icmpv6", "ip.frag_offset > 0 || ipv6.fraghdr", "vlan", "mpls", "pppoes"] {
            let of_kind = shown_by_tshark(&file, kind);
            assert!(ours.intersection(&of_kind).next().is_some(), "{name}: no frame of the kind {kind}");
        }
    }
    scene.assert_log_names_nobody();
}
