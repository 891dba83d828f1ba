//! Targets that overlap, up to the most that can be and one more; and as many of them as a probe must hold.

use crate::scene::{ALICE, BOB, BYSTANDER, SECOND, Scene, net, order};
use crate::traffic::{Traffic, hold, now_ns};
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;

/// In none of the prefixes.
const OUTSIDER: &str = "198.51.101.10";
/// Around [`ALICE`], each within the next.
const AROUND: [(&str, &str); 8] = [
    ("198.51.100.10/32", "CASE-32"),
    ("198.51.100.10/31", "CASE-31"),
    ("198.51.100.8/30", "CASE-30"),
    ("198.51.100.8/29", "CASE-29"),
    ("198.51.100.0/28", "CASE-28"),
    ("198.51.100.0/27", "CASE-27"),
    ("198.51.100.0/26", "CASE-26"),
    ("198.51.100.0/25", "CASE-25"),
];

#[test]
fn eight_warrants_overlap_a_ninth_is_refused_and_their_coming_and_going_disturbs_none() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    // From the outside in, so that each that comes lies in all those that are there.
    let orders: Vec<Order> = (0u8..).zip(AROUND).map(|(number, (target, case))| order(number, target, case)).collect();
    let [first, rest @ ..] = &orders[..] else { unreachable!("there are eight") };
    scene.arm(first);
    let parties = [ALICE, BOB, OUTSIDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let begun_ns = now_ns();
    // From the inside out, so that what is there must learn of each that comes around it.
    rest.iter().for_each(|order| scene.arm(order));
    let all_ns = now_ns();

    let [ada, ben, _] = &scene.officers;
    for target in [ALICE, "198.51.100.0/24", "198.51.100.8/31"] {
        let ninth = Order { targets: vec![net(BOB), net(target)], ..order(8, BOB, "CASE-NINTH") };
        let answer = scene.probe().submit(&ninth, &[ada, ben]).unwrap();
        let fits = target == "198.51.100.8/31";
        assert_eq!(answer.accepted, fits, "{target}: {}", answer.words);
        assert!(fits || answer.words.contains("belong to 8 intercepts already"), "{}", answer.words);
    }
    sleep(Duration::from_millis(300));
    // One of the middle goes, and its place is another's.
    let gone = &orders[3];
    let before_revocation_ns = now_ns();
    let answer = scene.probe().revoke(gone, &scene.officers[0]).unwrap();
    let revoked_ns = now_ns();
    assert!(answer.accepted, "{}", answer.words);
    let after =
        Order { agency: SECOND.name, uuid: "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2299", ..order(0, ALICE, "CASE-NEXT") };
    scene.arm(&after);
    let after_ns = now_ns();
    sleep(Duration::from_millis(300));
    let ended_ns = now_ns();
    let sent = traffic.stop();

    assert_eq!(scene.packets(first).len(), sent.len(), "the first warrant misses nothing from first to last");
    hold("first", &sent, &scene.packets(first), begun_ns..ended_ns, 0..u64::MAX);
    for order in rest.iter().filter(|order| order.uuid != gone.uuid) {
        hold(order.case_id, &sent, &scene.packets(order), all_ns..ended_ns, begun_ns..u64::MAX);
    }
    hold("gone", &sent, &scene.packets(gone), all_ns..before_revocation_ns, begun_ns..revoked_ns);
    hold("next", &sent, &scene.packets(&after), after_ns..ended_ns, revoked_ns..u64::MAX);
    for (order, (target, case)) in orders.iter().zip(AROUND) {
        let told = &scene.agency(order).messages(case).unwrap()[0];
        let (address, length) = target.split_once('/').unwrap();
        assert_eq!(
            (told["message"].as_str(), told["address"]["address"].as_str()),
            (Some("session-already-established"), Some(address))
        );
        let length = length.parse::<u64>().ok().filter(|length| *length < 32);
        assert_eq!(told["address"]["prefix_length"].as_u64(), length, "{target}: a prefix is told as one");
    }
    scene.assert_log_names_nobody();
}

#[test]
fn ten_thousand_targets_in_one_warrant() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let steady = order(0, ALICE, "CASE-STEADY");
    scene.arm(&steady);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let handed_in_ns = now_ns();
    let prefixes = (0..1000).map(|number| format!("2001:db8:2:{number:x}::/64"));
    let addresses = (0..8999).map(|number| format!("10.77.{}.{}/32", number / 256, number % 256));
    let bob = "2001:db8:1::/48".to_owned();
    let targets = prefixes.chain(addresses).chain([bob]).map(|text| net(&text)).collect();
    let many = Order { targets, ..order(1, BOB, "CASE-MANY") };
    scene.arm(&many);
    let armed_ns = now_ns();
    sleep(Duration::from_millis(300));
    let ended_ns = now_ns();
    let sent = traffic.stop();
    hold("many", &sent, &scene.packets(&many), armed_ns..ended_ns, handed_in_ns..u64::MAX);
    assert_eq!(scene.packets(&steady).len(), sent.len(), "the other warrant misses nothing");
    let told = scene.agency(&many).messages(many.case_id).unwrap();
    assert_eq!(told.len(), 10_000, "each is told");

    // One target more than there may be, and more than the table holds.
    let [ada, ben, _] = &scene.officers;
    let more = |count: u32| (0..count).map(|number| net(&format!("10.78.{}.{}", number / 256, number % 256))).collect();
    for (count, reason) in [(10_001, "a warrant can have 10000"), (8_000, "tables.addresses_v4")] {
        let refused = Order { targets: more(count), ..order(2, BOB, "CASE-MORE") };
        let answer = scene.probe().submit(&refused, &[ada, ben]).unwrap();
        assert!(!answer.accepted && answer.words.contains(reason), "{}", answer.words);
    }
    let answer = scene.probe().revoke(&many, &scene.officers[0]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    scene.assert_log_names_nobody();
    scene.stop();
}
