//! Tap ports: several queues, several interfaces, both modes, and silence.

use crate::scene::{ALICE, BOB, BYSTANDER, SECOND, Scene, order};
use crate::traffic::{Traffic, hold};
use serde_json::json;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Recorder, until};

/// A tap with two fibres: what subscribers send comes in at one, what they receive at the other. One has two queues, the
/// other a card whose driver knows no XDP.
#[test]
fn two_fibres_two_queues_and_both_modes_lose_nothing_and_say_nothing() {
    let taps = ["tap0", "tap1"];
    let Some(mut scene) = Scene::build(&[("tap0", 2), ("tap1", 1)]) else { return };
    let configuration = scene.configuration();
    let (first, second) = configuration.split_once("interface = \"tap1\"").unwrap();
    let second = second.replacen("mode = \"driver\"", "mode = \"generic\"", 1);
    fs::write(scene.path("writ.toml"), format!("{first}interface = \"tap1\"{second}")).unwrap();
    let before = taps.map(|tap| scene.port_state(tap));
    let sent_by_tap = ["far0", "far1"]
        .map(|far| Recorder::incoming(&scene.far, far, &scene.path(&format!("sent-to-{far}.pcap"))).unwrap());
    scene.run();

    for tap in taps {
        assert_eq!(scene.link(tap)["promiscuity"], 1, "{tap} takes frames for everybody: {}", scene.link(tap));
    }
    let content = order(0, ALICE, "CASE-TWO-FIBRES");
    let other = Order { agency: SECOND.name, ..order(1, BOB, "CASE-TWO-FIBRES-6") };
    scene.arm(&content);
    scene.arm(&other);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&taps), &parties);
    sleep(Duration::from_secs(1));
    let sent = traffic.stop();

    for order in [&content, &other] {
        let delivered = scene.packets(order);
        hold(order.case_id, &sent, &delivered, 0..u64::MAX, 0..u64::MAX);
        let counts = scene.probe().counts(order).unwrap();
        assert_eq!((counts.matched, counts.lost), (sent.len() as u64, 0));
    }
    // The figures of the sockets come every second.
    let queues = until("the sockets' figures", Duration::from_secs(10), || {
        let queues = scene.probe().status()?["capture"]["queues"].as_array().cloned().unwrap_or_default();
        let received: u64 = queues.iter().filter_map(|queue| queue["received"].as_u64()).sum();
        Ok(Some(queues).filter(|_| received == 2 * sent.len() as u64))
    });
    let queues = queues.unwrap();
    let shown: Vec<_> = queues.iter().map(|queue| json!([queue["interface"], queue["queue"], queue["mode"]])).collect();
    assert_eq!(
        shown,
        [json!(["tap0", 0, "driver, copy"]), json!(["tap0", 1, "driver, copy"]), json!(["tap1", 0, "generic, copy"])]
    );
    for queue in &queues {
        assert!(queue["received"].as_u64() > Some(0), "every queue carries something: {queue}");
        assert_eq!(queue["ring_lost"], 0);
    }

    scene.stop();
    scene.assert_nothing_runs(&taps);
    assert_eq!(taps.map(|tap| scene.port_state(tap)), before, "the ports are as they were");
    for recorder in sent_by_tap {
        assert_eq!(recorder.bytes_recorded().unwrap(), 0, "the tap sent something");
    }
    scene.assert_log_names_nobody();
}
