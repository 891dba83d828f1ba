//! Jumbo frames: what subscribers really send on a link of MTU 9000.

use crate::scene::{ALICE, BOB, BYSTANDER, FIRST, PATIENCE, SECOND, Scene, order};
use std::fs;
use writ_capture::jumbo;
use writ_lab::documents::Order;
use writ_lab::{IpPacket, LinkOptions, Namespace, Recorder, compare_packets, contains, mirror, until, veth};

const SERVER: &str = "198.51.100.1";
const SERVER_6: &str = "2001:db8:1:2::1";
/// What the pings are filled with, and the same as ping wants it.
const CONTENT: &[u8] = b"nobody-may-read";
const PATTERN: &str = "6e6f626f64792d6d61792d72656164";
const PINGS: usize = 5;

/// Every ping and its answer, of 8,928 and 8,948 bytes, goes to the agency whole, or as a report of its headers.
#[test]
fn pings_of_nine_kilobytes_reach_the_agency_whole() {
    if !jumbo::kernel_can().unwrap_or(false) {
        eprintln!("skipped: this kernel hands AF_XDP no frames of several buffers, or asking takes root");
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let server = Namespace::new("server").unwrap();
    let options = LinkOptions { mtu: 9000, ..LinkOptions::default() };
    veth((&scene.far, "link0"), (&server, "link0"), options).unwrap();
    for (namespace, address) in [
        (&scene.far, format!("{ALICE}/24")),
        (&scene.far, format!("{BYSTANDER}/24")),
        (&scene.far, format!("{BOB}/64")),
        (&server, format!("{SERVER}/24")),
        (&server, format!("{SERVER_6}/64")),
    ] {
        namespace.address("link0", address.parse().unwrap()).unwrap();
    }
    scene.far.ip(&["link", "set", "far0", "mtu", "9000"]).unwrap();
    scene.host.ip(&["link", "set", "tap0", "mtu", "9000"]).unwrap();
    mirror(&scene.far, "link0", "far0").unwrap();
    let configuration = scene.configuration().replacen("mode = \"driver\"", "mode = \"driver\"\njumbo = true", 1);
    fs::write(scene.path("writ.toml"), configuration).unwrap();
    scene.run();
    let content = order(0, ALICE, "CASE-JUMBO");
    let headers =
        Order { authority: "pen-trap", scope: "headers", agency: SECOND.name, ..order(1, ALICE, "CASE-HEADERS") };
    let content_6 = order(2, BOB, "CASE-JUMBO-6");
    [&content, &headers, &content_6].into_iter().for_each(|order| scene.arm(order));

    let truth = Recorder::start(&server, "link0", &scene.path("truth.pcap"), "icmp or icmp6").unwrap();
    for (from, to) in [(ALICE, SERVER), (BYSTANDER, SERVER), (BOB, SERVER_6)] {
        let count = PINGS.to_string();
        let arguments = ["-c", &count, "-i", "0.02", "-W", "5", "-s", "8900", "-p", PATTERN, "-I", from, to];
        scene.far.exec("ping", &arguments).unwrap();
    }
    let truth = truth.stop().unwrap();

    let delivered = |order: &Order| {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
        counts.delivered as usize
    };
    for (order, address) in [(&content, ALICE), (&content_6, BOB)] {
        let wanted = delivered(order);
        let packets = until("the agency's file", PATIENCE, || {
            Ok(scene.agency(order).packets(order.case_id).ok().filter(|packets| packets.len() == wanted))
        });
        // Neighbour discovery of the subscriber is the subscriber's too; here it is about what is long.
        let long = |packets: Vec<IpPacket>| -> Vec<IpPacket> {
            packets.into_iter().filter(|packet| packet.bytes.len() > 8900).collect()
        };
        let address = address.parse().unwrap();
        let own =
            |packet: &IpPacket| packet.ends().is_some_and(|ends| [ends.source, ends.destination].contains(&address));
        let comparison = compare_packets(
            &long(truth.iter().filter(|packet| own(packet)).cloned().collect()),
            &long(packets.unwrap()),
        );
        assert!(comparison.holds() && comparison.equal == 2 * PINGS, "{}: {comparison}", order.case_id);
    }
    assert_eq!(delivered(&headers), 2 * PINGS);
    let reports = until("the agency's reports", PATIENCE, || {
        let reports = scene.agency(&headers).header_reports(headers.case_id)?;
        Ok(Some(reports).filter(|reports| reports.len() == 2 * PINGS))
    });
    let (alice, server) = (ALICE.parse().unwrap(), SERVER.parse().unwrap());
    for (_, ends) in reports.unwrap() {
        let ends = (ends.source, ends.destination);
        assert!(ends == (alice, server) || ends == (server, alice), "{ends:?}");
    }
    let found = |order: &Order| contains(&scene.agency(order).directory, CONTENT).unwrap();
    assert!(found(&content).is_some() && found(&headers).is_none(), "{} and {}", FIRST.name, SECOND.name);
    assert!(contains(&scene.agency(&content).directory, BYSTANDER.as_bytes()).unwrap().is_none());

    // The capture role reports once a second.
    let mode = until("the queue's report", PATIENCE, || {
        let status = scene.probe().status()?;
        Ok(status["capture"]["queues"][0]["mode"].as_str().map(str::to_owned))
    });
    assert_eq!(mode.unwrap(), "driver, copy, jumbo");
    scene.stop();
    scene.assert_nothing_runs(&["tap0"]);
    scene.assert_log_names_nobody();
}
