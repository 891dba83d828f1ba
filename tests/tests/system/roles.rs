//! Processes that are killed, and the orderly end.

use crate::scene::{ALICE, BOB, BYSTANDER, PATIENCE, SECOND, Scene, order};
use crate::traffic::{Traffic, hold, now_ns, of_packets};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{LabError, until};

const ROLES: [&str; 3] = ["capture", "deliver", "control"];

/// Waits until an agency has a packet that passed the tap after this moment; gives the packet's time.
fn wait_for_packet_after(scene: &Scene, order: &Order, moment_ns: u64) -> u64 {
    until("a packet at the agency", PATIENCE, || match scene.agency(order).packets(order.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => Ok(packets?.iter().map(|packet| packet.utc_ns).find(|utc_ns| *utc_ns > moment_ns)),
    })
    .unwrap()
}

#[test]
fn each_role_is_killed_under_load_and_what_is_missing_is_counted() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-KILLS");
    let headers =
        Order { authority: "pen-trap", scope: "headers", agency: SECOND.name, ..order(1, BOB, "CASE-KILLS-HEADERS") };
    scene.arm(&content);
    scene.arm(&headers);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    let pids = || ROLES.map(|role| scene.probe().role(&scene.host, role).unwrap());
    let mut outages = Vec::new();
    let mut lost = 0;
    // Capture first: what one control role counted, the next one still knows. At the end two at once.
    for killed in [&["capture"][..], &["control"], &["deliver"], &["capture", "control"]] {
        sleep(Duration::from_millis(300));
        let before = pids();
        let killed_ns = now_ns();
        killed.iter().for_each(|role| scene.probe().signal_role(&scene.host, role, Signal::KILL).unwrap());
        let after = until("the roles to come back", PATIENCE, || {
            let after = pids();
            let is_back = |at: usize| after[at].is_some() && (after[at] != before[at]);
            Ok((0..ROLES.len()).all(|at| is_back(at) || !killed.contains(&ROLES[at])).then_some(after))
        })
        .unwrap();
        for (at, role) in ROLES.iter().enumerate().filter(|(_, role)| !killed.contains(role)) {
            assert_eq!(before[at], after[at], "{role} goes on when {killed:?} is killed");
        }
        let back_ns = wait_for_packet_after(&scene, &content, now_ns());
        if killed.contains(&"capture") {
            outages.push(killed_ns..back_ns);
        }
        until("control to answer", PATIENCE, || Ok(scene.probe().status().ok())).unwrap();
        let counted = scene.probe().counts(&content).unwrap().lost;
        assert!(counted >= lost, "after {killed:?}: {counted} lost, and before it were {lost}");
        lost = counted;
    }
    sleep(Duration::from_millis(300));
    let sent = traffic.stop();

    for (order, delivered) in [(&content, scene.packets(&content)), (&headers, scene.reports(&headers))] {
        let counts = scene.probe().counts(order).unwrap();
        let there: BTreeSet<usize> = delivered.iter().map(|(number, _)| *number).collect();
        assert_eq!((there.len(), delivered.len()), (delivered.len(), counts.delivered as usize), "each once");
        // What the agency misses is counted as lost, or passed while no program was on the tap to see it.
        let missing: Vec<usize> = (0..sent.len()).filter(|number| !there.contains(number)).collect();
        assert_eq!(missing.len() as u64, counts.lost + (sent.len() as u64 - counts.matched), "{}", order.case_id);
        for number in missing {
            let sent = sent[number];
            // A batch and a ring may be in hand when the role dies.
            let in_an_outage =
                outages.iter().any(|outage| sent.after_ns + 100_000_000 > outage.start && sent.before_ns < outage.end);
            assert!(in_an_outage, "{}: {number}, sent {sent:?}, is missing outside of {outages:?}", order.case_id);
        }
    }
    // Gaps in the agency's numbers are packets that had their number when capture died; each is counted as lost.
    let lost = &scene.probe().ledger(&content).unwrap()["deliveries"][0]["lost"]["capture_restarted"];
    let digest = fs::read(scene.agency(&content).directory.join(content.case_id).join("digest.json")).unwrap();
    let digest: Value = serde_json::from_slice(&digest).unwrap();
    let gaps = digest["numberings"][0]["missing"].as_u64().expect("one numbering");
    assert!(gaps <= lost.as_u64().unwrap_or_default(), "{gaps} numbers are missing, and lost are {lost}");
    scene.assert_log_names_nobody();
}

#[test]
fn a_killed_supervisor_leaves_nothing_behind_and_the_next_run_ends_cleanly() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let before = scene.port_state("tap0");
    scene.run();
    let content = order(0, ALICE, "CASE-SUPERVISOR");
    scene.arm(&content);
    let parties = [ALICE, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    wait_for_packet_after(&scene, &content, now_ns());

    let mut probe = scene.probe.take().unwrap();
    probe.supervisor().signal(Signal::KILL).unwrap();
    until("the end of all roles", PATIENCE, || Ok(scene.host.processes()?.is_empty().then_some(()))).unwrap();
    drop(probe);
    scene.assert_nothing_runs(&["tap0"]);
    let gone_ns = now_ns();

    // The warrant is in force again without anybody's doing.
    scene.run();
    let again_ns = wait_for_packet_after(&scene, &content, gone_ns);
    sleep(Duration::from_millis(300));
    // The end comes under load.
    let end_ns = now_ns();
    scene.stop();
    let ended_ns = now_ns();
    let sent = traffic.stop();
    scene.assert_nothing_runs(&["tap0"]);
    assert_eq!(scene.port_state("tap0"), before, "the port is as it was before the first run");

    let last = last_record(&scene, "intercept-stop");
    let figure = |name: &str| last["details"][name].as_str().and_then(|text| text.parse::<usize>().ok()).unwrap();
    let there = of_packets(&scene.agency(&content).packets(content.case_id).unwrap());
    let delivered: Vec<_> = there.iter().copied().filter(|(_, stamp)| *stamp > gone_ns).collect();
    hold("second run", &sent, &delivered, again_ns..end_ns, gone_ns..ended_ns);
    // The account goes on over both runs.
    assert_eq!(figure("waiting"), 0, "drained: {last}");
    assert_eq!(figure("matched"), figure("delivered") + figure("lost") + figure("lost_in_delivery"), "{last}");
    assert!((figure("delivered")..=figure("matched")).contains(&there.len()), "{} there: {last}", there.len());
    let log = scene.path("state/audit.jsonl").display().to_string();
    let verified = scene.writ(&["audit", "verify", &log]);
    assert!(verified.status.success(), "{}", crate::scene::words(&verified));
    scene.assert_log_names_nobody();
}

/// The last record of an act in the audit log.
fn last_record(scene: &Scene, act: &str) -> Value {
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let mut records = log.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.find(|record| record["act"] == act).unwrap_or_else(|| panic!("no {act} in {log}"))
}
