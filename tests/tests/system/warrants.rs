//! Warrants that begin, end and overlap while their subscribers send.

use crate::scene::{ALICE, BOB, BYSTANDER, FIRST, SECOND, Scene, ns, order, seconds_ahead};
use crate::traffic::{CONTENT, Traffic, hold, now_ns};
use std::thread::sleep;
use std::time::Duration;
use writ_lab::contains;
use writ_lab::documents::Order;

/// Within this time of its start a warrant is in force.
const IN_FORCE_WITHIN_NS: u64 = 100_000_000;

#[test]
fn a_warrant_begins_and_is_revoked_under_load_and_disturbs_no_other() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let steady = order(0, ALICE, "CASE-STEADY");
    scene.arm(&steady);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let begun_ns = now_ns();

    let late = Order { start: seconds_ahead(3), ..order(1, BOB, "CASE-LATE") };
    scene.arm(&late);
    assert!(now_ns() < ns(late.start), "it was armed before its start");
    // One whose window is open already is in force when the command returns.
    let at_once = Order { agency: SECOND.name, ..order(2, BOB, "CASE-AT-ONCE") };
    let handed_in_ns = now_ns();
    scene.arm(&at_once);
    let armed_ns = now_ns();
    while now_ns() < ns(late.start) + 1_000_000_000 {
        sleep(Duration::from_millis(10));
    }
    let before_revocation_ns = now_ns();
    let answer = scene.probe().revoke(&late, &scene.officers[0]).unwrap();
    let revoked_ns = now_ns();
    assert!(answer.accepted, "{}", answer.words);
    sleep(Duration::from_millis(500));
    let ended_ns = now_ns();
    let sent = traffic.stop();

    let start_ns = ns(late.start);
    let possibly = start_ns..revoked_ns;
    hold("late", &sent, &scene.packets(&late), start_ns + IN_FORCE_WITHIN_NS..before_revocation_ns, possibly);
    hold("at once", &sent, &scene.packets(&at_once), armed_ns..ended_ns, handed_in_ns..u64::MAX);
    hold("steady", &sent, &scene.packets(&steady), begun_ns..ended_ns, 0..u64::MAX);
    assert_eq!(scene.packets(&steady).len(), sent.len(), "the other warrant misses nothing from first to last");
    for order in [&steady, &late, &at_once] {
        let counts = scene.probe().counts(order).unwrap();
        assert_eq!((counts.lost, counts.received), (0, counts.matched), "{}", order.case_id);
    }
    let told: Vec<_> = scene.agency(&late).messages(late.case_id).unwrap();
    let told: Vec<_> = told.iter().filter_map(|message| message["message"].as_str()).collect();
    assert_eq!(told, ["session-already-established", "session-end"], "the agency is told of begin and end");
    scene.assert_log_names_nobody();
}

#[test]
fn a_packet_under_several_warrants_goes_once_to_each_under_its_own_name_and_scope() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-CONTENT");
    let headers = Order { authority: "pen-trap", scope: "headers", ..order(1, ALICE, "CASE-HEADERS") };
    let other_headers = Order { agency: SECOND.name, case_id: "CASE-OTHER-HEADERS", ..headers.clone() };
    let other_headers = Order { uuid: order(2, ALICE, "").uuid, ..other_headers };
    let other_content = Order { agency: SECOND.name, ..order(3, BOB, "CASE-OTHER-CONTENT") };
    // Alice is a target of three warrants of two agencies, under two scopes; Bob of one.
    let orders = [&content, &headers, &other_headers, &other_content];
    orders.iter().for_each(|order| scene.arm(order));
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let begun_ns = now_ns();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(500));
    let sent = traffic.stop();

    for (order, delivered) in [
        (&content, scene.packets(&content)),
        (&headers, scene.reports(&headers)),
        (&other_headers, scene.reports(&other_headers)),
        (&other_content, scene.packets(&other_content)),
    ] {
        hold(order.case_id, &sent, &delivered, begun_ns..u64::MAX, begun_ns..u64::MAX);
        assert_eq!(delivered.len(), sent.len(), "{}", order.case_id);
    }
    // Each agency has its own cases and no other, and of headers only headers.
    for (agency, endpoints, own, not_own) in [
        (&scene.agencies[0], FIRST, "CASE-CONTENT", "CASE-OTHER"),
        (&scene.agencies[1], SECOND, "CASE-OTHER", "CASE-CONTENT"),
    ] {
        let found = |bytes: &str| contains(&agency.directory, bytes.as_bytes()).unwrap();
        assert_eq!(found(not_own), None, "{} has what is another's", endpoints.name);
        assert!(found(own).is_some(), "the search works");
    }
    for order in [&headers, &other_headers] {
        let case = scene.agency(order).directory.join(order.case_id);
        assert_eq!(contains(&case, CONTENT).unwrap(), None, "{} has content", order.case_id);
        assert!(scene.agency(order).packets(order.case_id).unwrap().is_empty());
    }
    let case = scene.agency(&content).directory.join(content.case_id);
    assert!(contains(&case, CONTENT).unwrap().is_some(), "the search works");
    // What is identified is the order's: every message bears the case of its directory.
    for order in orders {
        let messages = scene.agency(order).messages(order.case_id).unwrap();
        assert!(!messages.is_empty() && messages.iter().all(|message| message["case_id"] == order.case_id));
    }
    scene.assert_log_names_nobody();
}
