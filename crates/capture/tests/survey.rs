//! A survey of traffic whose truth is known, on a veth pair in network namespaces, and what is left in its maps.

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use etherparse::{PacketBuilder, TcpOptionElement};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;
use writ_abi::{PROGRAM_SURVEY_DROP, SurveyCounter, maps};
use writ_capture::{Finding, KernelError, OnMiss, Port, PortSettings, Survey, SurveyCounts, findings, port};
use writ_lab::{FrameSender, LinkOptions, Namespace, until, veth};

/// Two subscribers and whom they talk to. No map and no answer may hold one of them.
const CLIENT: &str = "198.51.100.23";
const SERVER: &str = "203.0.113.77";
const CLIENT_6: &str = "2001:db8:1:2::23";
const SERVER_6: &str = "2001:db8:80::77";

const PATIENCE: Duration = Duration::from_secs(10);

const TOWARDS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BACK: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A tap under survey, and its far end.
struct Tap {
    survey: Survey,
    probe: Namespace,
    far: Namespace,
    sender: FrameSender,
    sent: u64,
    /// What was counted before anything of the test's own.
    before: SurveyCounts,
}

impl Tap {
    fn new(settings: &PortSettings) -> Self {
        let (probe, far) = (Namespace::new("probe").unwrap(), Namespace::new("far").unwrap());
        veth((&probe, "tap"), (&far, "far"), LinkOptions::default()).unwrap();
        probe.ip(&["link", "set", "tap", "down"]).unwrap();
        writ_lab::quiet(&far, "far").unwrap();
        let survey = probe
            .enter(|| {
                let mut survey = Survey::attach(std::slice::from_ref(settings)).unwrap();
                port::quiet(settings).unwrap();
                survey.open_ports().unwrap();
                survey
            })
            .unwrap();
        let mut sender = FrameSender::open(&far, "far").unwrap();
        // A link that has just come up drops what is sent for a moment.
        let before = until("a first frame", PATIENCE, || {
            sender.send(&[0x5a; 60])?;
            std::thread::sleep(Duration::from_millis(20));
            Ok(Some(survey.counts()).filter(|counts| counts.get(SurveyCounter::Frames) > 0))
        })
        .unwrap();
        Self { survey, probe, far, sender, sent: 0, before }
    }

    fn send(&mut self, frame: &[u8]) {
        self.sender.send(frame).unwrap();
        self.sent += 1;
        // The link holds 256 frames.
        if self.sent.is_multiple_of(64) {
            self.counted();
        }
    }

    /// The counters, once everything sent is in them.
    fn counted(&self) -> SurveyCounts {
        until("all frames to be counted", PATIENCE, || {
            let counts = self.survey.counts();
            let frames = counts.get(SurveyCounter::Frames) - self.before.get(SurveyCounter::Frames);
            Ok(Some(counts).filter(|_| frames == self.sent))
        })
        .unwrap()
    }

    /// What the frames of the test have made of a counter.
    fn get(&self, counter: SurveyCounter) -> u64 {
        let counts = self.counted();
        match counter {
            SurveyCounter::Longest => counts.get(counter),
            _ => counts.get(counter) - self.before.get(counter),
        }
    }

    fn answer(&self, question: &str) -> Finding {
        let found = findings(&self.counted(), self.survey.ports(), Duration::from_secs(1));
        found.into_iter().find(|finding| finding.question == question).unwrap()
    }
}

/// One TCP connection, as far as its two ends tell.
struct Connection {
    port: u16,
    identification: u16,
}

impl Connection {
    /// A segment: from the client or to it, with so many bytes of payload from `sequence` on.
    fn segment(&mut self, from_client: bool, sequence: u32, acknowledged: u32, payload: usize) -> Vec<u8> {
        let (client, server) = (CLIENT.parse::<Ipv4Addr>().unwrap(), SERVER.parse::<Ipv4Addr>().unwrap());
        let (from, to, from_port, to_port) =
            if from_client { (client, server, self.port, 443) } else { (server, client, 443, self.port) };
        self.identification += 1;
        let mut ip = etherparse::Ipv4Header::new(0, 60, etherparse::IpNumber::TCP, from.octets(), to.octets()).unwrap();
        ip.identification = self.identification;
        let builder = PacketBuilder::ethernet2(TOWARDS, BACK)
            .ip(etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default()))
            .tcp(from_port, to_port, sequence, 4096)
            .ack(acknowledged)
            .options(&[TcpOptionElement::Timestamp(1, 2)])
            .unwrap();
        let mut frame = Vec::new();
        builder.write(&mut frame, &vec![7; payload]).unwrap();
        frame
    }
}

/// Ten connections in which the client sends ten segments of 1000 bytes and the server acknowledges each.
fn talk(tap: &mut Tap, mut show: impl FnMut(&mut Tap, Shown, Vec<u8>)) {
    for number in 0..10 {
        let mut connection = Connection { port: 20_000 + number, identification: number * 100 };
        for step in 0..10_u32 {
            let sequence = 1_000_000 + step * 1000;
            let data = connection.segment(true, sequence, 500, 1000);
            show(tap, Shown::Data(step), data);
            let acknowledgement = connection.segment(false, 500, sequence + 1000, 0);
            show(tap, Shown::Acknowledgement, acknowledgement);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    /// The client's n-th segment.
    Data(u32),
    Acknowledgement,
}

fn tap() -> PortSettings {
    PortSettings::named("tap")
}

#[test]
fn a_whole_tap_shows_both_directions_and_no_fault() {
    let mut tap = Tap::new(&tap());
    talk(&mut tap, |tap, _, frame| tap.send(&frame));
    let figures = [SurveyCounter::TcpFlows, SurveyCounter::TcpFlowsBoth, SurveyCounter::TcpUnseen, SurveyCounter::Ipv4];
    assert_eq!(figures.map(|counter| tap.get(counter)), [10, 10, 0, 200]);
    // The first segment of each came before there were two directions.
    assert_eq!(tap.get(SurveyCounter::TcpBytes), 10 * 9 * 1000);
    assert!(tap.answer("Both directions").verdict.starts_with("yes, 100 %"), "{:?}", tap.answer("Both directions"));
    assert!(tap.answer("Duplicates").verdict.starts_with("none"), "{:?}", tap.answer("Duplicates"));
    for question in ["Both directions", "Loss before the probe", "Duplicates", "Cut frames"] {
        assert_eq!(tap.answer(question).remedy, "");
    }
}

#[test]
fn one_fibre_shows_one_direction() {
    let mut tap = Tap::new(&tap());
    talk(&mut tap, |tap, shown, frame| {
        if shown != Shown::Acknowledgement {
            tap.send(&frame);
        }
    });
    let answer = tap.answer("Both directions");
    assert!(answer.verdict.starts_with("no: both are seen of 0 % of 10"), "{answer:?}");
    assert!(tap.answer("Loss before the probe").verdict.starts_with("cannot be told"));
}

#[test]
fn what_was_acknowledged_and_never_seen_is_loss() {
    let mut tap = Tap::new(&tap());
    talk(&mut tap, |tap, shown, frame| {
        // In the middle, and at the end, where only the acknowledgement tells.
        if !matches!(shown, Shown::Data(4 | 9)) {
            tap.send(&frame);
        }
    });
    assert_eq!(tap.get(SurveyCounter::TcpUnseen), 10 * 2 * 1000);
    assert_eq!(tap.get(SurveyCounter::TcpLate), 0);
    assert_eq!(tap.get(SurveyCounter::TcpBytes), 10 * 7 * 1000);
    let answer = tap.answer("Loss before the probe");
    assert!(answer.verdict.starts_with("22 %") && !answer.remedy.is_empty(), "{answer:?}");
}

#[test]
fn what_comes_late_or_again_is_no_loss() {
    let mut tap = Tap::new(&tap());
    let mut held = None;
    talk(&mut tap, |tap, shown, frame| match shown {
        // Behind its own acknowledgement, and behind the next segment: two fibres on two ports do this.
        Shown::Data(4) => held = Some(frame),
        Shown::Data(5) => {
            tap.send(&frame);
            tap.send(&held.take().unwrap());
        }
        _ => tap.send(&frame),
    });
    let mut again = Connection { port: 20_000, identification: 5000 };
    let frame = again.segment(true, 1_003_000, 500, 1000);
    tap.send(&frame);
    assert_eq!(tap.get(SurveyCounter::TcpUnseen), tap.get(SurveyCounter::TcpLate));
    assert_eq!(tap.get(SurveyCounter::TcpUnseen), 10 * 1000);
    assert!(tap.answer("Loss before the probe").verdict.starts_with("0 %"));
}

#[test]
fn a_mirror_that_shows_packets_twice_is_told() {
    let mut tap = Tap::new(&tap());
    let mut number = 0;
    talk(&mut tap, |tap, _, frame| {
        tap.send(&frame);
        number += 1;
        match number % 4 {
            // As it is.
            0 => tap.send(&frame),
            // Behind a router: other MAC addresses, one hop less.
            1 => {
                let mut routed = frame;
                routed[..6].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
                routed[22] -= 1;
                routed[24] ^= 0x55;
                tap.send(&routed);
            }
            _ => {}
        }
    });
    let duplicates: u64 = [
        SurveyCounter::DuplicateIn100us,
        SurveyCounter::DuplicateIn1ms,
        SurveyCounter::DuplicateIn10ms,
        SurveyCounter::DuplicateIn100ms,
    ]
    .map(|counter| tap.get(counter))
    .iter()
    .sum();
    assert_eq!((tap.get(SurveyCounter::Compared), duplicates), (300, 100));
    assert_eq!([SurveyCounter::DuplicateSame, SurveyCounter::DuplicateRouted].map(|it| tap.get(it)), [50, 50]);
    assert!(tap.answer("Duplicates").remedy.contains("duplicates = \"drop\""));
    assert_eq!(tap.get(SurveyCounter::TcpUnseen), 0, "a segment that came twice fills nothing");
}

#[test]
fn tags_labels_signalling_and_cut_frames_are_told() {
    let mut tap = Tap::new(&tap());
    let plain = udp(CLIENT, SERVER, 53, b"something they say");
    let tagged = |tags: &[u16]| {
        let mut frame = plain[..12].to_vec();
        for kind in tags {
            frame.extend(kind.to_be_bytes());
            frame.extend([0, 9]);
        }
        frame.extend(&plain[12..]);
        frame
    };
    tap.send(&tagged(&[0x8100]));
    tap.send(&tagged(&[0x88a8, 0x8100]));
    tap.send(&tagged(&[0x9100, 0x8100, 0x8100]));
    tap.send(&tagged(&[0x8100; 4]));
    let behind = |kind: u16, between: &[u8]| {
        let mut frame = plain[..12].to_vec();
        frame.extend(kind.to_be_bytes());
        frame.extend(between);
        frame.extend(&plain[14..]);
        frame
    };
    tap.send(&behind(0x8847, &[0, 0, 1, 64]));
    let length = u16::try_from(plain.len() - 14 + 2).unwrap().to_be_bytes();
    tap.send(&behind(0x8864, &[0x11, 0, 0, 1, length[0], length[1], 0, 0x21]));
    tap.send(&behind(0x8863, &[0x11, 9, 0, 0, 0, 0]));
    // RADIUS whose own length is right, and something else on its port.
    let radius = [&[1, 9, 0, 20][..], &[0; 16]].concat();
    tap.send(&udp(CLIENT, SERVER, 1813, &radius));
    tap.send(&udp(CLIENT, SERVER, 1813, b"no radius at all"));
    tap.send(&udp(CLIENT, SERVER, 67, &[1; 240]));
    tap.send(&udp(CLIENT_6, SERVER_6, 547, &[1; 40]));
    let mut cut = udp(CLIENT, SERVER, 53, &[5; 900]);
    cut.truncate(200);
    tap.send(&cut);
    let expected = [
        (SurveyCounter::OneTag, 1),
        (SurveyCounter::TwoTags, 1),
        (SurveyCounter::ThreeTags, 1),
        (SurveyCounter::MoreTags, 1),
        (SurveyCounter::CustomerTag, 1),
        (SurveyCounter::ServiceTag, 1),
        (SurveyCounter::OldServiceTag, 1),
        (SurveyCounter::Mpls, 1),
        (SurveyCounter::PppoeSession, 1),
        (SurveyCounter::PppoeDiscovery, 1),
        (SurveyCounter::Radius, 1),
        (SurveyCounter::DhcpV4, 1),
        (SurveyCounter::DhcpV6, 1),
        (SurveyCounter::Diameter, 0),
        (SurveyCounter::Truncated, 1),
        (SurveyCounter::Ipv4, 9),
        (SurveyCounter::Ipv6, 1),
        (SurveyCounter::NotIp, 1),
        (SurveyCounter::Unreadable, 1),
        (SurveyCounter::UpTo127, 10),
        (SurveyCounter::UpTo511, 2),
        (SurveyCounter::Longest, 282),
    ];
    for (counter, count) in expected {
        assert_eq!(tap.get(counter), count, "{}", counter.label());
    }
    assert!(tap.answer("Signalling").verdict.starts_with("RADIUS (1 messages), DHCPv4 (1"));
    assert!(tap.answer("Cut frames").remedy.contains("snap length"));
}

#[test]
fn nothing_that_is_kept_holds_an_address() {
    let mut tap = Tap::new(&tap());
    talk(&mut tap, |tap, _, frame| tap.send(&frame));
    tap.send(&udp(CLIENT_6, SERVER_6, 53, b"something they say"));
    tap.send(&udp(CLIENT, SERVER, 67, &[1; 240]));
    tap.counted();
    // Those of other tests, which run at the same time and talk about the same people, are looked at too.
    let programs = loaded_programs().filter_map(Result::ok);
    let surveys = programs.filter(|program| program.name_as_str() == Some(PROGRAM_SURVEY_DROP));
    let (mut kept, mut flows) = (Vec::new(), 0);
    for id in surveys.flat_map(|program| program.map_ids().ok().flatten().unwrap_or_default()) {
        // Such a test can have ended.
        let (Ok(info), Ok(map)) = (MapInfo::from_id(id), MapData::from_id(id)) else { continue };
        match info.name_as_str() {
            Some(maps::SURVEY_FLOWS) => {
                let map = HashMap::<_, u64, [u8; 48]>::try_from(Map::LruHashMap(map)).unwrap();
                for (key, value) in map.iter().filter_map(Result::ok) {
                    kept.extend(key.to_ne_bytes());
                    kept.extend(value);
                    flows += 1;
                }
            }
            Some(maps::SURVEYED_PACKETS) => {
                let map = Array::<_, [u8; 24]>::try_from(Map::Array(map)).unwrap();
                kept.extend(map.iter().map(Result::unwrap).filter(|entry| *entry != [0; 24]).flatten());
            }
            Some(maps::SURVEY_COUNTERS) => {
                let map = Array::<_, [u8; 512]>::try_from(Map::Array(map)).unwrap();
                kept.extend(map.iter().flat_map(Result::unwrap));
            }
            // Sizes, settings, and what capture keeps.
            _ => {}
        }
    }
    assert!(flows >= 10 && kept.len() > 10 * 24, "there is something to look at");
    for address in [CLIENT, SERVER, CLIENT_6, SERVER_6] {
        let octets: Vec<u8> = match address.parse().unwrap() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let reversed: Vec<u8> = octets.iter().rev().copied().collect();
        for form in [&octets, &reversed] {
            assert!(!kept.windows(form.len()).any(|window| window == *form), "{address} is kept");
        }
    }
    for mac in [TOWARDS, BACK] {
        assert!(!kept.windows(6).any(|window| window == mac), "a MAC address is kept");
    }
}

#[test]
fn a_port_with_a_program_is_refused_and_left_alone() {
    let tap = Tap::new(&tap());
    let again = tap.probe.enter(|| Survey::attach(&[PortSettings::named("tap")]).err().unwrap()).unwrap();
    let KernelError::Attach { interface, remedy, .. } = &again else { panic!("{again}") };
    assert!(interface == "tap" && remedy.contains("systemctl stop writ"), "{again}");
}

#[test]
fn a_shared_port_goes_on_to_serve_the_host() {
    let settings = PortSettings { on_miss: OnMiss::Pass, ..tap() };
    let mut tap = Tap::new(&settings);
    tap.probe.address("tap", "192.0.2.1/30".parse().unwrap()).unwrap();
    tap.far.address("far", "192.0.2.2/30".parse().unwrap()).unwrap();
    tap.far.ip(&["link", "set", "far", "arp", "on"]).unwrap();
    let (host, peer) = ("192.0.2.1:9", "192.0.2.2:9");
    let listener = tap.probe.enter(|| UdpSocket::bind(host).unwrap()).unwrap();
    let sender = tap.far.enter(|| UdpSocket::bind(peer).unwrap()).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    sender.send_to(b"for the host", host).unwrap();
    assert_eq!(listener.recv(&mut [0; 64]).unwrap(), 12);
    assert!(tap.survey.counts().get(SurveyCounter::Ipv4) >= 1);
    tap.survey.detach();
    // Nothing is left: another may take it.
    tap.probe.enter(|| Port::open(&settings).map(drop)).unwrap().unwrap();
}

/// A UDP packet in Ethernet.
fn udp(source: &str, destination: &str, port: u16, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(TOWARDS, BACK);
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let builder = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 64),
        _ => panic!("two families in one packet"),
    };
    let mut frame = Vec::new();
    builder.udp(4000, port).write(&mut frame, payload).unwrap();
    frame
}
