//! What a tap is: surveyed without taking anything, and its duplicates recognised.

use crate::scene::{ALICE, BOB, BYSTANDER, PATIENCE, Scene, order, words};
use crate::traffic::{CONTENT, Traffic, frame};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Process, Recorder, contains, until};

/// Everything in the traffic that names somebody: addresses in the forms that one is written in, and what is said.
const SECRETS: [&str; 9] = [
    ALICE,
    BYSTANDER,
    BOB,
    "203.0.113.80",
    "2001:db8:80::80",
    "c633640a",
    "0a6433c6",
    "20010db8",
    "what-they-say-to-each-other",
];

/// The frame as a router sends it on: other MAC addresses, one hop less, and over IPv4 another checksum.
fn routed(frame: &[u8]) -> Vec<u8> {
    let mut routed = frame.to_vec();
    routed[..12].copy_from_slice(&[2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2]);
    if routed[12..14] == [0x86, 0xdd] {
        routed[21] -= 1;
    } else {
        routed[22] -= 1;
        let sum = u16::from_be_bytes([routed[24], routed[25]]).wrapping_add(0x100);
        routed[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    routed
}

/// A mirror that shows each packet before and behind a router: a port that drops copies gives the agency each packet
/// once and keeps its books, one that counts them gives it all.
#[test]
fn a_packet_that_is_shown_twice_is_told_and_dropped_if_asked_for() {
    let Some(mut scene) = Scene::build(&[("tap0", 1), ("tap1", 1)]) else { return };
    // As long as can be: nothing in this test comes again but copies, and the machine may be busy.
    let window = "\nduplicate_window_us = 100000\n";
    let text =
        scene.configuration().replacen("interface = \"tap0\"\n", "interface = \"tap0\"\nduplicates = \"drop\"\n", 1);
    fs::write(scene.path("writ.toml"), text.replace("\non_miss", &format!("{window}on_miss"))).unwrap();
    scene.run();
    let once = order(0, ALICE, "CASE-ONCE");
    let twice = Order { scope: "content", ..order(1, BOB, "CASE-TWICE") };
    scene.arm(&once);
    scene.arm(&twice);
    let mut senders = scene.senders(&["tap0", "tap1"]);
    let packets = 100;
    for number in 0..packets {
        let mut first = frame(ALICE.parse().unwrap(), number);
        // An identification, as nearly all packets have one: then a copy of the same hops is known for one too.
        first[18..20].copy_from_slice(&(number as u16 + 1).to_be_bytes());
        for copy in [&first, &routed(&first), &first] {
            senders[0].send(copy).unwrap();
        }
        let first = frame(BOB.parse().unwrap(), number);
        for copy in [&first, &routed(&first)] {
            senders[1].send(copy).unwrap();
        }
        // And somebody else's, whom nobody remembers.
        let other = frame(BYSTANDER.parse().unwrap(), number);
        senders[0].send(&other).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let packets = packets as u64;
    let numbers = |order: &Order| {
        let mut numbers: Vec<usize> = scene.packets(order).into_iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    };
    until("every packet to be matched", PATIENCE, || {
        let matched = |order| Ok::<_, writ_lab::LabError>(scene.probe().counts(order)?.matched);
        Ok((matched(&once)? == 3 * packets && matched(&twice)? == 2 * packets).then_some(()))
    })
    .unwrap();
    assert_eq!(numbers(&once), (0..packets as usize).collect::<Vec<_>>());
    assert_eq!(numbers(&twice), (0..2 * packets as usize).map(|copy| copy / 2).collect::<Vec<_>>());

    let counts = scene.probe().counts(&once).unwrap();
    assert_eq!((counts.received, counts.delivered, counts.lost), (3 * packets, packets, 2 * packets));
    let counts = scene.probe().counts(&twice).unwrap();
    assert_eq!((counts.received, counts.delivered, counts.lost), (2 * packets, 2 * packets, 0));
    let status = until("the queues' figures", PATIENCE, || {
        let status = scene.probe().status()?;
        let of_queues: u64 = list(&status["capture"]["queues"]).iter().filter_map(|it| it["duplicates"].as_u64()).sum();
        Ok((of_queues == 3 * packets).then_some(status))
    })
    .unwrap();
    let [first, second] = list(&status["intercepts"]) else { panic!("{status:#}") };
    assert_eq!(first["counts"]["duplicates"], 2 * packets);
    assert_eq!(first["counts"]["deliveries"][0]["lost"]["duplicate"], 2 * packets);
    assert_eq!(second["counts"]["duplicates"], packets);
    let shown = words(&scene.writ(&["status", "--config", &scene.path("writ.toml").display().to_string()]));
    assert!(shown.contains("delivered  lost  duplicates") && shown.contains("100        0     200"), "{shown}");
    scene.stop();
    scene.assert_log_names_nobody();
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A survey says what the tap shows and names nobody; the tap says nothing and is afterwards as it was.
#[test]
fn a_survey_names_nobody_and_leaves_the_tap_as_it_was() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    let before = scene.port_state("tap0");
    let recorder = Recorder::incoming(&scene.far, "far0", &scene.path("sent-by-tap.pcap")).unwrap();
    let configuration = scene.path("writ.toml").display().to_string();
    let output = scene.path("survey.txt");
    let said = fs::File::create(&output).unwrap();
    let mut command = scene.host.command(&scene.binaries.writ);
    command.args(["tap", "survey", "--seconds", "3", "--json", "--config", &configuration]);
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
    let mut survey = Process::spawn(&mut command).unwrap();
    until("the survey to begin", PATIENCE, || Ok((scene.link("tap0")["promiscuity"] == 1).then_some(()))).unwrap();
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    assert!(survey.wait(PATIENCE).unwrap().success(), "{}", fs::read_to_string(&output).unwrap());
    traffic.stop();

    let text = fs::read_to_string(&output).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    assert!(count("ipv4") > 50 && count("ipv6") > 50 && count("frames") >= count("ipv4") + count("ipv6"), "{text}");
    assert_eq!(count("one_tag") + count("truncated") + count("radius") + count("duplicate_same"), 0);
    let questions: Vec<_> =
        list(&report["findings"]).iter().filter_map(|finding| finding["question"].as_str()).collect();
    assert!(questions.contains(&"Both directions") && questions.contains(&"Signalling"), "{questions:?}");
    for secret in SECRETS {
        assert!(!text.to_lowercase().contains(secret), "the survey names {secret}: {text}");
    }
    for written in ["state", "run"] {
        let found = contains(&scene.path(written), CONTENT).unwrap();
        assert!(found.is_none(), "content in {found:?}");
    }
    assert_eq!(scene.port_state("tap0"), before, "the port is as it was");
    scene.assert_nothing_runs(&["tap0"]);
    assert_eq!(recorder.bytes_recorded().unwrap(), 0, "the tap sent something");
}

/// A port that captures is not surveyed, and goes on to capture.
#[test]
fn a_port_that_the_probe_holds_is_not_surveyed() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let held = scene.port_state("tap0");
    let configuration = scene.path("writ.toml").display().to_string();
    let refused = scene.writ(&["tap", "survey", "--interface", "tap0", "--seconds", "1", "--config", &configuration]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused).contains("systemctl stop writ"), "{}", words(&refused));
    assert_eq!(scene.port_state("tap0"), held);
    let missing = scene.writ(&["tap", "survey", "--interface", "nosuch", "--config", &configuration]);
    assert!(missing.status.code() == Some(2) && words(&missing).contains("nosuch"), "{}", words(&missing));

    let content = order(0, ALICE, "CASE-GOES-ON");
    scene.arm(&content);
    let mut senders = scene.senders(&["tap0"]);
    for number in 0..100 {
        senders[0].send(&frame(ALICE.parse().unwrap(), number)).unwrap();
    }
    until(
        "every packet to be matched",
        PATIENCE,
        || Ok((scene.probe().counts(&content)?.matched == 100).then_some(())),
    )
    .unwrap();
    assert_eq!(scene.packets(&content).len(), 100);
    scene.stop();
}
