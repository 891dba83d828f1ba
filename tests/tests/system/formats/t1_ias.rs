//! ATIS-1000013: more than ten thousand PDUs of a real run, read by asn1tools with the module that stands beside the encoder.

use super::etsi::python;
use super::flows::{Flows, Kind, conversation};
use super::receivers::{Received, tcp};
use super::{add_destination, burst, hold_both, octets, revoke, whose};
use crate::scene::{ALICE, BOB, BYSTANDER, Scene, net, ns, order};
use crate::traffic::now_ns;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use writ_lab::documents::Order;
use writ_lab::{IpPacket, run};

const REPORTS: [u16; 2] = [8901, 8902];
const SUMS: [u16; 2] = [8911, 8912];

/// asn1tools' reading of what came, a value for each PDU, which it has written again to the same octets.
fn read(scene: &Scene, python: &Path, type_name: &str, received: &Received) -> Vec<Value> {
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoder");
    let stream = scene.path("stream.ber");
    fs::write(&stream, received.all().concat()).unwrap();
    let mut check = Command::new(python);
    check.arg(encoder.join("tests/encoder/asn1tools_check.py")).arg(encoder.join("asn1/T1-IAS.asn1"));
    let output = run(check.arg(type_name).arg(&stream)).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn asn1tools_reads_ten_thousand_mixed_pdus_of_a_real_run() {
    let Some(python) = python() else { return };
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    add_destination(&scene, "reports", "t1-ias", REPORTS.map(Some), "");
    add_destination(&scene, "sums", "t1-ias", SUMS.map(Some), "summaries = { packet_count = 3 }");
    let [[cmii, cmc], [summaries, nothing]] = [REPORTS, SUMS].map(|ports| ports.map(|port| tcp(&scene.office, port)));
    scene.run();
    let content = Order { agency: "reports", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, "CASE-CONTENT") };
    let pen_trap = |order: Order| Order { authority: "pen-trap", scope: "headers", ..order };
    let headers = pen_trap(Order { agency: "reports", ..order(1, ALICE, "CASE-HEADERS") });
    let sums = pen_trap(Order { agency: "sums", ..order(2, BYSTANDER, "CASE-SUMS") });
    let orders = [&content, &headers, &sums];
    orders.iter().for_each(|order| scene.arm(order));
    let mut sender = scene.senders(&["tap0"]).remove(0);
    let (mut sent, from_ns) = (Vec::new(), now_ns());
    burst(&mut sender, &mut sent, 3400);
    let mut flows = Flows::new(scene.senders(&["tap0"]).remove(0));
    (0..12).for_each(|length| flows.send(conversation(BYSTANDER, 20_000), Kind::Udp, length));
    let whole = from_ns..now_ns();
    for order in orders {
        // What no summary has told of yet is told at the end.
        scene.probe().settled(order).unwrap();
        revoke(&scene, order);
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
    }
    scene.stop();

    let contents = read(&scene, &python, "IAS-CC-APDU", &cmc);
    let messages = read(&scene, &python, "IasProtocol", &cmii);
    let summed = read(&scene, &python, "IasProtocol", &summaries);
    assert_eq!(nothing.all().concat(), [0; 0], "headers alone: no content");
    assert!(contents.len() + messages.len() + summed.len() >= 10_000);
    let numbers: BTreeSet<u64> =
        contents.iter().map(|pdu| pdu["ccDeliveryHeader"]["sequenceNumber"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), contents.len());
    assert_eq!(numbers.last().unwrap() + 1 - numbers.first().unwrap(), contents.len() as u64, "none left out");
    let packet = |pdu: &Value| IpPacket {
        utc_ns: ns(pdu["ccDeliveryHeader"]["timeStamp"].as_str().unwrap().parse().unwrap()),
        bytes: octets(pdu["payload"].as_str().unwrap()),
    };
    hold_both("content", &sent, &whose(&contents.iter().map(packet).collect::<Vec<_>>()), whole);
    let told =
        |messages: &[Value], kind: &str| messages.iter().filter(|it| it["iasMessage"].get(kind).is_some()).count();
    assert_eq!(told(&messages, "data-Header-Report"), sent.len());
    assert_eq!(told(&messages, "session-Already-Established"), 3, "a target each");
    assert_eq!(told(&messages, "session-End"), 3);
    let packets = summed.iter().filter_map(|it| it["iasMessage"].get("data-Summary-Report"));
    let count = |report: &Value| report["streamSet"]["packetCount"].as_u64().unwrap();
    assert_eq!(packets.map(count).sum::<u64>(), sent.len() as u64 + flows.packets());
}
