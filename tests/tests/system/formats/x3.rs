//! TS 103 221-2: tshark, given what came over the connections, reads in both what was put in.

use super::receivers::tcp;
use super::{add_destination, arm_document, ends_of, hold_both, octets, tshark, utc_ns, whose};
use crate::scene::{ALICE, BOB, BYSTANDER, Scene, net, order};
use crate::traffic::{Traffic, hold, now_ns, of_reports};
use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use writ_encoder::x2x3::PduStream;
use writ_lab::documents::Order;
use writ_lab::{Ends, IpPacket};

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
    scene.assert_log_names_nobody();
    let [x2, x3] = [0, 1].map(|stream: usize| -> Vec<Shown> {
        let file = scene.path("pdus.pcap");
        capture(&file, PORTS[stream], &received[stream].all().concat());
        let dissector = format!("tcp.port=={},5gli", PORTS[stream]);
        // An attribute is shown twice: what it says stands in its title too.
        tshark(&file, &["-d", &dissector, "-E", "occurrence=f"], &FIELDS)
    });
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

/// Writes a stream as a capture file, each PDU a segment of its own: Wireshark 4.0 puts no PDU together that lies in two, and
/// goes no further in a segment behind headers, which end before the packet whose length they state.
fn capture(file: &Path, port: u16, stream: &[u8]) {
    let mut capture = PcapWriter::new(File::create(file).unwrap()).unwrap();
    let (mut pdus, mut sequence) = (PduStream::default(), 1);
    pdus.push(stream);
    while let Some(pdu) = pdus.next_pdu().unwrap() {
        let ip =
            PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
        let mut frame = Vec::new();
        ip.tcp(40_000, port, sequence, 1024).ack(1).write(&mut frame, pdu.bytes).unwrap();
        capture.write_packet(&PcapPacket::new(Duration::ZERO, frame.len() as u32, &frame)).unwrap();
        sequence += pdu.bytes.len() as u32;
    }
    assert_eq!(pdus.pending(), 0, "whole PDUs to the last");
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
