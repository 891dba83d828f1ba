//! TS 103 221-2: tshark, given what was on the wire, reads in both streams what was put in.

use super::receivers::tcp;
use super::{add_destination, arm_document, ends_of, hold_both, octets, tshark, utc_ns, whose};
use crate::scene::{ALICE, BOB, BYSTANDER, Scene, net, order};
use crate::traffic::{Traffic, hold, now_ns, of_reports};
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;
use writ_encoder::x2x3::PduStream;
use writ_lab::documents::Order;
use writ_lab::{Ends, IpPacket, Recorder};

const PORTS: [u16; 2] = [8543, 8544];
const XID: &str = "0f7a1c52-93de-4b60-8a55-0c1d2e3f4a5b";
const FROM_TARGET: &str = "3";
const TO_TARGET: &str = "2";
const FIELDS: [&str; 11] = [
    "li5g.type",
    "li5g.xid",
    "li5g.pf",
    "li5g.pd",
    "li5g.sq",
    "li5g.did",
    "li5g.nfid",
    "li5g.ipid",
    "li5g.cid",
    "li5g.ts",
    "li5g.pld",
];

/// A PDU as tshark shows it: its fields in the order of [`FIELDS`].
type Shown = Vec<String>;

#[test]
fn tshark_reads_in_x2_and_x3_what_was_put_in() {
    if !writ_lab::ready(&["tshark"]).unwrap() {
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let terms = "x3 = { domain_id = \"example.net\", network_function = \"probe-7\", interception_point = \"tap0\" }";
    add_destination(&scene, "x3", "x3", PORTS.map(Some), terms);
    let received = PORTS.map(|port| tcp(&scene.office, port));
    scene.run();
    let file = scene.path("x3.pcap");
    let recorder = Recorder::start(&scene.office, "mgmt0", &file, "tcp portrange 8543-8544").unwrap();
    let content = Order { agency: "x3", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, "CASE-X3") };
    let headers = Order { authority: "pen-trap", scope: "headers", agency: "x3", ..order(1, BOB, "CASE-X2") };
    // The delivery is the document's last section.
    arm_document(&scene, &content, |document| format!("{document}content_identifier = \"{XID}\"\n"));
    scene.arm(&headers);
    let from_ns = now_ns();
    let parties = [ALICE, BOB, BYSTANDER].map(|party| party.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(1500));
    let (sent, whole) = (traffic.stop(), from_ns..now_ns());
    for order in [&content, &headers] {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
    }
    scene.assert_isolated();
    scene.stop();
    recorder.stop().unwrap();
    scene.assert_log_names_nobody();
    // The streams are whole PDUs to the last.
    for stream in received.iter().flat_map(|received| received.all()) {
        let mut pdus = PduStream::default();
        pdus.push(&stream);
        while pdus.next_pdu().unwrap().is_some() {}
        assert_eq!(pdus.pending(), 0);
    }

    let shown = |port: u16| -> Vec<Shown> {
        let (dissector, filter) = (format!("tcp.port=={port},5gli"), format!("tcp.dstport=={port} && 5gli"));
        // Headers end before the packet that they speak of: who dissects them too is at the end of the segment there.
        let headers_as_they_are = ["--disable-protocol", "ipv6"];
        let arguments = [&headers_as_they_are[..], &["-d", &dissector, "-Y", &filter, "-E", "aggregator=;"]].concat();
        tshark(&file, &arguments, &FIELDS).iter().flat_map(|segment| pdus_of(segment)).collect()
    };
    let [x2, x3] = PORTS.map(shown);
    for (pdus, kind, xid) in [(&x2, "1", headers.uuid), (&x3, "2", XID)] {
        let numbers: BTreeSet<u64> = pdus.iter().map(|pdu| pdu[4].parse().unwrap()).collect();
        assert_eq!(numbers.len(), pdus.len(), "each number once");
        assert_eq!(numbers.last().unwrap() + 1 - numbers.first().unwrap(), pdus.len() as u64, "none left out");
        for pdu in pdus {
            let names = ["example.net", "probe-7", "tap0"].map(|name| hexadecimal(name.as_bytes()));
            assert_eq!((&pdu[0][..], &pdu[1][..], &pdu[5..8]), (kind, xid, &names[..]), "{pdu:?}");
            assert_eq!(pdu[8], pdus[0][8], "one session");
        }
    }
    let packets: Vec<IpPacket> =
        x3.iter().map(|pdu| IpPacket { utc_ns: utc_ns(&pdu[9]), bytes: octets(&pdu[10]) }).collect();
    let packets = whose(&packets);
    for (pdu, (party, (number, _))) in x3.iter().zip(&packets) {
        let format = if party.is_ipv4() { "5" } else { "6" };
        let direction = if number.is_multiple_of(2) { FROM_TARGET } else { TO_TARGET };
        assert_eq!((&pdu[2][..], &pdu[3][..]), (format, direction), "{pdu:?}");
    }
    hold_both("X3", &sent, &packets, whole.clone());
    let reports: Vec<(u64, Ends)> = x2.iter().map(|pdu| (utc_ns(&pdu[9]), ends_of(&octets(&pdu[10])))).collect();
    hold("X2", &sent, &of_reports(&reports), whole.clone(), whole);
}

/// The PDUs of one segment.
fn pdus_of(segment: &[String]) -> Vec<Shown> {
    let columns: Vec<Vec<&str>> = segment.iter().map(|column| column.split(';').collect()).collect();
    let count = columns[0].len();
    // An attribute is shown twice: what it says stands in its title too.
    let times = |column: &Vec<&str>| column.len() / count;
    let fits = |column: &Vec<&str>| [count, 2 * count].contains(&column.len());
    assert!(columns.iter().all(fits), "a field too many or too few: {segment:?}");
    (0..count).map(|pdu| columns.iter().map(|column| column[pdu * times(column)].to_owned()).collect()).collect()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
