//! Every format over a network, side by side, from the tap to `writ-collect`: each case file holds what was sent, and of the
//! datagrams tshark reads on the wire what was put in.

use super::{add_destination, arm_document, collector, filed, hold_both, octets, party, tshark, utc_ns, whose};
use crate::scene::{ALICE, BOB, BYSTANDER, Scene, net, order};
use crate::traffic::{Sent, Traffic, now_ns, of_packets};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Agency, IpPacket, LabError, Recorder};

/// An agency with a format of its own, and its order.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// The destination's format, and what is agreed on.
    format: &'static str,
    terms: &'static str,
    /// What tells the agency's program the format; none: it sees.
    told: &'static str,
    /// Ports; content alone has no first one.
    ports: [Option<u16>; 2],
    case_id: &'static str,
    content_identifier: &'static str,
    /// The case that the agency's program files content under.
    filed: &'static str,
}

pub(crate) const WAYS: [Way; 8] = [
    Way {
        name: "etsi",
        format: "etsi",
        terms: "etsi = { operator = \"EXNET\", packets_per_pdu = 4, hi1 = true }\nacknowledge = true",
        told: "",
        ports: [Some(8601), Some(8602)],
        case_id: "20260001",
        content_identifier: "20260001",
        filed: "20260001",
    },
    Way {
        name: "x3",
        format: "x3",
        terms: "",
        told: "",
        ports: [Some(8611), Some(8612)],
        case_id: "20260002",
        content_identifier: "7d1c2b3a-0000-4000-8000-000000000002",
        filed: "7d1c2b3a-0000-4000-8000-000000000002",
    },
    Way {
        name: "ccc",
        format: "ccc",
        terms: "",
        told: "format = \"ccc\"",
        ports: [None, Some(8622)],
        case_id: "20260003",
        content_identifier: "77003",
        filed: "20260003",
    },
    Way {
        name: "ccc-4",
        format: "ccc",
        terms: "ccc = { header = 4 }",
        told: "format = \"ccc\"\nccc_header = 4",
        ports: [None, Some(8632)],
        case_id: "20260004",
        content_identifier: "77004",
        filed: "ccc-77004",
    },
    Way {
        name: "opencalea",
        format: "opencalea",
        terms: "",
        told: "format = \"opencalea\"",
        ports: [Some(8641), Some(8642)],
        case_id: "20260005",
        content_identifier: "content-5",
        filed: "content-5",
    },
    Way {
        name: "jmirror",
        format: "jmirror",
        terms: "",
        told: "format = \"jmirror\"",
        ports: [None, Some(8652)],
        case_id: "20260006",
        content_identifier: "77006",
        filed: "mirror-77006",
    },
    Way {
        name: "tzsp",
        format: "tzsp",
        terms: "",
        told: "format = \"tzsp\"",
        ports: [None, Some(8662)],
        case_id: "20260007",
        content_identifier: "20260007",
        filed: "192.0.2.1",
    },
    Way {
        name: "t1-ias-ccc",
        format: "t1-ias",
        terms: "t1-ias = { cc_format = \"ccc\" }",
        told: "format = \"t1-ias\"\ncmc_format = \"ccc\"",
        ports: [Some(8671), Some(8672)],
        case_id: "20260008",
        content_identifier: "77008",
        filed: "20260008",
    },
];

impl Way {
    /// Adds the destination, for a probe that does not run yet.
    pub(crate) fn add(&self, scene: &Scene) {
        add_destination(scene, self.name, self.format, self.ports, self.terms);
    }

    /// Starts the agency's program.
    pub(crate) fn collector(&self, scene: &Scene) -> Agency {
        collector(scene, self.name, self.ports, self.told)
    }

    /// The packets that it has filed, once they are so many.
    pub(crate) fn filed(&self, agency: &Agency, count: usize) -> Result<Vec<IpPacket>, LabError> {
        filed(agency, self.filed, count)
    }

    /// An order over the content of these targets, which is armed.
    pub(crate) fn arm(&self, scene: &Scene, number: u8, targets: &[&str]) -> Order {
        let targets = targets.iter().map(|target| net(target)).collect();
        let order = Order { agency: self.name, targets, ..order(number, ALICE, self.case_id) };
        arm_document(scene, &order, |document| {
            let document = match self.ports {
                [None, _] => document.replacen("[\"cmii\", \"cmc\"]", "[\"cmc\"]", 1),
                _ => document,
            };
            // The delivery is the document's last section.
            format!("{document}content_identifier = \"{}\"\n", self.content_identifier)
        });
        order
    }
}

#[test]
fn the_agencies_case_files_hold_what_was_sent_in_every_format() {
    if !writ_lab::ready(&["tshark"]).unwrap() {
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    WAYS.iter().for_each(|way| way.add(&scene));
    let mut agencies: Vec<Agency> = WAYS.iter().map(|way| way.collector(&scene)).collect();
    scene.run();
    let file = scene.path("datagrams.pcap");
    let recorder = Recorder::start(&scene.office, "mgmt0", &file, "udp portrange 8600-8699").unwrap();
    let orders: Vec<Order> = (0..).zip(&WAYS).map(|(number, way)| way.arm(&scene, number, &[ALICE, BOB])).collect();
    let from_ns = now_ns();
    let parties = [ALICE, BOB, BYSTANDER].map(|party| party.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(1500));
    let sent = traffic.stop();
    for order in &orders {
        let counts = scene.probe().settled(order).unwrap();
        let all = 2 * sent.len() as u64;
        assert_eq!((counts.matched, counts.delivered, counts.lost), (all, all, 0), "{}: {counts:?}", order.agency);
    }
    let whole = from_ns..now_ns();
    scene.assert_isolated();

    for (way, agency) in WAYS.iter().zip(&mut agencies) {
        let packets = way.filed(agency, 2 * sent.len());
        let packets = packets.unwrap_or_else(|error| panic!("{error}: {}", what_there_is(&scene, way)));
        // OpenCALEA cuts times to milliseconds, and not to microseconds.
        let cut_ns = if way.format == "opencalea" { 999_000 } else { 0 };
        let stamped = |(party, (number, utc_ns))| (party, (number, utc_ns + cut_ns));
        let packets: Vec<_> = whose(&packets).into_iter().map(stamped).collect();
        hold_both(way.name, &sent, &packets, whole.clone());
        agency.stop().unwrap();
        let gaps = fs::read_to_string(agency.directory.join(way.filed).join("gaps.jsonl")).unwrap_or_default();
        let lines = gaps.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert!(lines.into_iter().all(|line| line["event"] == "begins"), "{}: {gaps}", way.name);
    }
    // Of what has no address of IPv6, OpenCALEA tells beside the content.
    let told = agencies[4].messages(WAYS[4].case_id).unwrap();
    assert_eq!(told.len(), sent.len(), "{:?}", told.first());
    // T1.IAS tells where the content comes.
    let established = agencies[7].messages(WAYS[7].case_id).unwrap().remove(0);
    assert!(established.to_string().contains(WAYS[7].content_identifier), "{established}");
    scene.stop();
    scene.assert_log_names_nobody();
    recorder.stop().unwrap();
    let case = |case: u64| format!("0x{case:016x}");
    let channel = |way: &Way| ("pcli.cccid", way.content_identifier.to_owned());
    let on_the_wire =
        |way: &Way, dissector: &str, constant: &[_]| on_the_wire(&file, way, dissector, constant, &sent, &whole);
    on_the_wire(&WAYS[2], "pcli20", &[channel(&WAYS[2]), ("pcli.case_id", case(20_260_003))]);
    on_the_wire(&WAYS[3], "pcli", &[channel(&WAYS[3])]);
    on_the_wire(&WAYS[5], "jmirror", &[("jmirror.mid", "0x00012cce".to_owned())]);
    on_the_wire(&WAYS[6], "tzsp", &[("tzsp.version", "1".to_owned()), ("tzsp.encap", "1".to_owned())]);
    on_the_wire(&WAYS[7], "pcli20", &[channel(&WAYS[7]), ("pcli.case_id", case(20_260_008))]);
}

/// The files of an agency, for a message.
fn what_there_is(scene: &Scene, way: &Way) -> String {
    let log = fs::read_to_string(scene.path("agencies").join(format!("{}.log", way.name))).unwrap_or_default();
    let folder = scene.path("agencies").join(way.name);
    let files = scene.office.exec("find", &[&folder.display().to_string(), "-size", "+0"]).unwrap_or_default();
    format!("{files}\n{log}")
}

/// What tshark reads in the datagrams of one agency: its packets, and fields that are the same in all.
fn on_the_wire(
    file: &Path,
    way: &Way,
    dissector: &str,
    constant: &[(&str, String)],
    sent: &[Sent],
    whole: &Range<u64>,
) {
    let port = way.ports[1].unwrap();
    let (decode, filter) = (format!("udp.port=={port},{dissector}"), format!("udp.dstport=={port}"));
    let arguments = ["-d", &decode, "-d", "pcli.payload,ip", "-Y", &filter, "-E", "aggregator=;"];
    let named: Vec<&str> = constant.iter().map(|(name, _)| *name).collect();
    let inner =
        ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.payload", "frame.time", "pcli.timestamp", "tzsp.packet_id"];
    let rows = tshark(file, &arguments, &[&inner[..], &named].concat());
    let mut packets = Vec::new();
    let mut numbers = BTreeSet::new();
    for row in &rows {
        let last = |place: usize| row[place].rsplit(';').next().unwrap();
        for ((_, value), found) in constant.iter().zip(&row[inner.len()..]) {
            assert_eq!(found, value, "{}: {row:?}", way.name);
        }
        let ends = if row[2].is_empty() { [last(0), last(1)] } else { [last(2), last(3)] };
        let time = if row[6].is_empty() { &row[5] } else { &row[6] };
        let packet = IpPacket { utc_ns: utc_ns(time), bytes: octets(last(4)) };
        packets.push((party(ends.map(|end| end.parse().unwrap())), of_packets(&[packet])[0]));
        numbers.extend(row[7].parse::<u64>());
    }
    hold_both(way.name, sent, &packets, whole.clone());
    if dissector == "tzsp" {
        assert_eq!(numbers.len(), packets.len());
        assert_eq!(numbers.last().unwrap() + 1 - numbers.first().unwrap(), packets.len() as u64, "none left out");
    }
}
