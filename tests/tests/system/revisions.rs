//! A warrant in force is revised: longer, wider, narrower, and all at once. What both revisions take is taken without a
//! gap, and what neither takes never, in one run of numbers.

use crate::scene::{ALICE, BOB, BYSTANDER, PATIENCE, Scene, ns, order, seconds_ahead};
use crate::traffic::{Delivered, Traffic, hold, now_ns, of_packets, of_reports};
use serde_json::Value;
use std::fs;
use std::net::IpAddr;
use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::until;

/// Hands in a revision; gives from when to when that took.
fn revise(scene: &Scene, revision: u32, order: &Order) -> Range<u64> {
    let [ada, ben, _] = &scene.officers;
    let from_ns = now_ns();
    let answer = scene.probe().revise(order, revision, &[ada, ben]).unwrap();
    assert!(answer.accepted, "revision {revision}: {}", answer.words);
    from_ns..now_ns()
}

/// What an agency has of one party: its packets, and the packets of which it has a report.
fn of_party(scene: &Scene, order: &Order, party: &str) -> (Vec<Delivered>, Vec<Delivered>) {
    let party: IpAddr = party.parse().unwrap();
    let agency = scene.agency(order);
    let mut packets = agency.packets(order.case_id).unwrap();
    packets.retain(|packet| ends(&packet.bytes).contains(&party));
    let mut reports = agency.header_reports(order.case_id).unwrap();
    reports.retain(|(_, ends)| [ends.source, ends.destination].contains(&party));
    (of_packets(&packets), of_reports(&reports))
}

/// Source and destination of an IP packet.
fn ends(packet: &[u8]) -> [IpAddr; 2] {
    let (first, length) = if packet[0] >> 4 == 4 { (12, 4) } else { (8, 16) };
    [first, first + length].map(|at| match length {
        4 => IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap()),
    })
}

#[test]
fn a_warrant_is_revised_under_load_with_no_gap_and_nothing_that_neither_revision_takes() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let steady = order(1, BYSTANDER, "CASE-STEADY");
    scene.arm(&steady);
    let first = Order { stop: seconds_ahead(15), ..order(0, ALICE, "CASE-REVISED") };
    let handed_in_ns = now_ns();
    scene.arm(&first);
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let begun_ns = now_ns();
    sleep(Duration::from_millis(900));

    let longer = Order { stop: seconds_ahead(3600), ..first.clone() };
    revise(&scene, 2, &longer);
    let wider = Order { targets: [ALICE, BOB].map(crate::scene::net).to_vec(), ..longer.clone() };
    let widened = revise(&scene, 3, &wider);
    sleep(Duration::from_millis(900));
    let headers = Order { scope: "headers", ..wider.clone() };
    let narrowed = revise(&scene, 4, &headers);
    sleep(Duration::from_millis(900));
    // One target less and the content again, at once; and by now the first revision's time is over.
    while now_ns() < ns(first.stop) + 100_000_000 {
        sleep(Duration::from_millis(10));
    }
    let other = Order { targets: vec![crate::scene::net(BOB)], ..longer.clone() };
    let changed = revise(&scene, 5, &other);
    sleep(Duration::from_millis(900));
    let ended_ns = now_ns();
    let sent = traffic.stop();

    let counts = scene.probe().settled(&first).unwrap();
    assert_eq!((counts.lost, counts.received, counts.delivered), (0, counts.matched, counts.matched));
    until("all of it at the agency", PATIENCE, || {
        let agency = scene.agency(&first);
        let there = agency.packets(first.case_id).unwrap_or_default().len()
            + agency.header_reports(first.case_id).unwrap_or_default().len();
        Ok((there as u64 >= counts.delivered).then_some(()))
    })
    .unwrap();
    scene.assert_isolated();
    let (alice, bob) = (of_party(&scene, &first, ALICE), of_party(&scene, &first, BOB));
    let all = |(packets, reports): &(Vec<_>, Vec<_>)| [&packets[..], &reports[..]].concat();
    hold("who goes", &sent, &all(&alice), begun_ns..changed.start, handed_in_ns..changed.end);
    hold("who comes", &sent, &all(&bob), widened.end..ended_ns, widened.start..u64::MAX);
    for (packets, reports) in [&alice, &bob] {
        assert!(reports.len() > 50, "too few reports to prove anything");
        let in_vain = packets.iter().find(|(_, stamp)| (narrowed.end..changed.start).contains(stamp));
        assert_eq!(in_vain, None, "content while the scope was headers, {narrowed:?} to {changed:?}");
        // Headers come in place of content from the narrowing on, until the content is in force again.
        let reported = narrowed.start..changed.end;
        assert!(reports.iter().all(|(_, stamp)| reported.contains(stamp)), "a report outside of {reported:?}");
    }
    let steady_packets = scene.packets(&steady);
    assert_eq!(steady_packets.len(), sent.len(), "the other warrant misses nothing from first to last");

    // One case, one run of numbers, and each target's session from its beginning to its end.
    let file = scene.agency(&first).directory.join(first.case_id).join("digest.json");
    let packets = (alice.0.len() + bob.0.len()) as u64;
    let digest = until("the agency's digest", PATIENCE, || {
        let digest: Value = serde_json::from_slice(&fs::read(&file).unwrap_or_default()).unwrap_or_default();
        Ok((digest["runs"][0]["counts"]["packets"] == packets).then_some(digest))
    })
    .unwrap();
    let numberings = digest["numberings"].as_array().unwrap();
    assert_eq!((numberings.len(), &numberings[0]["missing"]), (1, &Value::from(0)), "{numberings:?}");
    let answer = scene.probe().revoke(&first, &scene.officers[0]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    let told = until("the last session's end", PATIENCE, || {
        let messages = scene.agency(&first).messages(first.case_id)?;
        let of = |name: &str| -> Vec<_> {
            let events = messages.iter().filter(|message| message["message"] == name);
            events.map(|message| message["session_id"].clone()).collect()
        };
        let (begun, ended) = (of("session-already-established"), of("session-end"));
        Ok((ended.len() == 2).then_some((begun, ended)))
    })
    .unwrap();
    assert_eq!(told.0, told.1, "the one that began first ended first, and each once");
    scene.assert_log_names_nobody();
}

#[test]
fn an_extension_of_other_terms_begins_where_the_former_ends_and_what_both_allow_has_no_gap() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let change = seconds_ahead(9);
    let net = crate::scene::net;
    let first = Order { targets: [ALICE, BOB].map(net).to_vec(), stop: change, ..order(0, ALICE, "CASE-FOLLOWS") };
    scene.arm(&first);
    let begun_ns = now_ns();
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let targets = [ALICE, BYSTANDER].map(net).to_vec();
    let second = Order { targets, start: change, stop: seconds_ahead(3600), ..first.clone() };
    revise(&scene, 2, &second);
    let ranks = |scene: &Scene| -> Vec<String> {
        let revisions = scene.show(&first)["revisions"].as_array().cloned().unwrap();
        revisions.iter().map(|it| it["rank"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ranks(&scene), ["stands", "begins later"]);
    let change_ns = ns(change);
    assert!(now_ns() < change_ns - 1_500_000_000, "the test is too slow to prove anything");
    while now_ns() < change_ns + 3_000_000_000 {
        sleep(Duration::from_millis(10));
    }
    let ended_ns = now_ns();
    let sent = traffic.stop();
    assert_eq!(ranks(&scene), ["superseded", "stands"]);
    let counts = scene.probe().settled(&first).unwrap();
    assert_eq!((counts.lost, counts.received, counts.delivered), (0, counts.matched, counts.matched));
    until("all of it at the agency", PATIENCE, || {
        let there = scene.agency(&first).packets(first.case_id).unwrap_or_default().len();
        Ok((there as u64 >= counts.delivered).then_some(()))
    })
    .unwrap();
    scene.assert_isolated();
    let [stays, goes, comes] = [ALICE, BOB, BYSTANDER].map(|party| of_party(&scene, &first, party).0);
    // Up to a second around the change only what both allow is taken; of that, all.
    hold("who stays", &sent, &stays, begun_ns..ended_ns, begun_ns..u64::MAX);
    hold("who goes", &sent, &goes, begun_ns..change_ns - 1_200_000_000, begun_ns..change_ns);
    hold("who comes", &sent, &comes, change_ns + 1_000_000_000..ended_ns, change_ns..u64::MAX);
    let told = scene.agency(&first).messages(first.case_id).unwrap();
    let began = told.iter().filter(|message| message["message"] == "session-already-established").count();
    assert_eq!(began, 3, "nobody's session ended in between: {told:?}");
    scene.assert_log_names_nobody();
}
