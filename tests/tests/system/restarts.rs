//! The whole probe ends and comes back: killed, ended in due form, or gone with its memory. What is in force goes on in the
//! same case and in one run of numbers, and what the agency misses is what is counted lost.

use crate::scene::{ALICE, BOB, PATIENCE, Scene, ns, order, seconds_ahead};
use crate::traffic::{Traffic, now_ns, of_packets};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{LabError, until};

/// By how much numbers jump where the probe cannot know the last one.
const JUMP: u64 = 1 << 40;

/// What the agency's program says of a case, once it speaks of so many packets.
fn digest(scene: &Scene, order: &Order, packets: u64) -> Value {
    let file = scene.agency(order).directory.join(order.case_id).join("digest.json");
    until("the agency's digest", PATIENCE, || {
        let digest: Value = serde_json::from_slice(&fs::read(&file).unwrap_or_default()).unwrap_or_default();
        Ok((digest["runs"][0]["counts"]["packets"] == packets).then_some(digest))
    })
    .unwrap()
}

/// What its file of gaps says of a case.
fn gaps(scene: &Scene, order: &Order) -> Vec<Value> {
    let file = scene.agency(order).directory.join(order.case_id).join("gaps.jsonl");
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many packets an agency has under an order, once they are as many as it acknowledged, each once.
fn packets(scene: &Scene, order: &Order, delivered: u64) -> u64 {
    let there = until("the agency's file", PATIENCE, || match scene.agency(order).packets(order.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => Ok(Some(packets?).filter(|packets| packets.len() as u64 >= delivered)),
    })
    .unwrap();
    let mut each = BTreeSet::new();
    assert!(there.iter().all(|packet| each.insert((packet.utc_ns, packet.bytes.clone()))), "a packet is there twice");
    there.len() as u64
}

/// Waits until an agency has a packet that passed the tap after this moment.
fn wait_for_packet(scene: &Scene, order: &Order, moment_ns: u64) {
    until("a packet at the agency", PATIENCE, || match scene.agency(order).packets(order.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => Ok(packets?.iter().any(|packet| packet.utc_ns > moment_ns).then_some(())),
    })
    .unwrap();
}

/// Kills every process of the probe at once.
pub(crate) fn kill_everything(scene: &mut Scene) {
    let mut probe = scene.probe.take().unwrap();
    let supervisor = probe.supervisor().id();
    let (own, roles): (Vec<u32>, Vec<u32>) =
        scene.host.processes().unwrap().into_iter().partition(|pid| *pid == supervisor);
    // The supervisor last, and none of them moves meanwhile: with its parent gone the kernel lets a stopped process go on, and
    // one whose supervisor lives is started again.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in roles.iter().chain(&own) {
            // One that the end of another ended is as good.
            let _gone = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
        }
    }
    until("the end of everything", PATIENCE, || Ok(scene.host.processes()?.is_empty().then_some(()))).unwrap();
}

/// How the last run began its ledger.
fn ledger_began(scene: &Scene) -> (String, u64) {
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let mut records = log.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let start = records.find(|record| record["act"] == "probe-start").unwrap();
    let detail = |name: &str| start["details"][name].as_str().unwrap().to_owned();
    (detail("ledger"), detail("numbers_jumped_by").parse().unwrap())
}

/// No number came twice, and every number that is missing is of a packet that is counted lost. Gives how many packets are
/// there, and how many are missing.
fn assert_one_run_of_numbers(scene: &Scene, order: &Order) -> (u64, u64) {
    let counts = scene.probe().settled(order).unwrap();
    assert!(counts.settled(), "{}: {counts:?}", order.case_id);
    let there = packets(scene, order, counts.delivered);
    let digest = digest(scene, order, there);
    let numberings = digest["numberings"].as_array().unwrap();
    assert_eq!(numberings.len(), 1, "{numberings:?}");
    let gaps = gaps(scene, order);
    assert!(gaps.iter().all(|gap| gap["event"] != "restarted"), "a number was used twice: {gaps:?}");
    let missing = numberings[0]["missing"].as_u64().unwrap();
    let lost = |reason: &str| {
        let ledger = scene.probe().ledger(order).unwrap();
        ledger["deliveries"][0]["lost"][reason].as_u64().unwrap_or_default()
    };
    let (waited, in_hand) = (lost("probe_ended"), lost("capture_restarted"));
    // Of those that waited the agency has some, without having confirmed it. Of those in hand some had their number already.
    let numbers = there + missing;
    let range = counts.delivered + waited..=counts.delivered + waited + in_hand;
    assert!(range.contains(&numbers), "{}: {there} there, {missing} missing, {counts:?}, {range:?}", order.case_id);
    (there, missing)
}

#[test]
fn a_killed_probe_goes_on_and_what_the_agency_misses_is_counted_lost() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-GOES-ON");
    let short = Order { stop: seconds_ahead(6), ..order(1, BOB, "CASE-RUNS-OUT") };
    scene.arm(&content);
    scene.arm(&short);
    let parties: Vec<IpAddr> = [ALICE, BOB].map(|address| address.parse().unwrap()).to_vec();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    wait_for_packet(&scene, &content, now_ns());
    wait_for_packet(&scene, &short, now_ns());
    sleep(Duration::from_millis(600));
    // What waits now is in the probe's memory and nowhere else.
    scene.probe().signal_role(&scene.host, "deliver", Signal::STOP).unwrap();
    let taken = |order: &Order| scene.probe().counts(order).unwrap().received;
    let before = taken(&content);
    until("packets to wait", PATIENCE, || Ok((taken(&content) > before + 100).then_some(()))).unwrap();
    kill_everything(&mut scene);
    while now_ns() < ns(short.stop) {
        sleep(Duration::from_millis(10));
    }
    let before = scene.agency(&content).packets(content.case_id).unwrap().len() as u64;
    scene.run();
    wait_for_packet(&scene, &content, now_ns());
    sleep(Duration::from_millis(600));
    traffic.stop();
    assert_eq!(ledger_began(&scene), ("continued".to_owned(), 0));
    let (there, missing) = assert_one_run_of_numbers(&scene, &content);
    assert!(there > before, "it goes on in the same case");
    assert!(missing > 0, "nothing waited, so nothing is proved");

    // The one that ran out meanwhile ends in due form, and takes nothing.
    let messages = until("the end of the session", PATIENCE, || {
        let messages = scene.agency(&short).messages(short.case_id)?;
        Ok(messages.iter().any(|message| message["message"] == "session-end").then_some(messages))
    })
    .unwrap();
    assert_eq!(messages.iter().filter(|message| message["message"] == "session-end").count(), 1);
    let taken = of_packets(&scene.agency(&short).packets(short.case_id).unwrap());
    assert!(taken.iter().all(|(_, stamp)| *stamp < ns(short.stop)));

    // The memory is gone as well, as with the machine: numbers jump, so that none is used twice.
    kill_everything(&mut scene);
    fs::remove_file(scene.path("run/ledger")).unwrap();
    scene.run();
    let again = Traffic::start(scene.senders(&["tap0"]), &parties);
    wait_for_packet(&scene, &content, now_ns());
    again.stop();
    assert_eq!(ledger_began(&scene), ("recovered".to_owned(), JUMP));
    scene.probe().settled(&content).unwrap();
    let gaps = gaps(&scene, &content);
    assert!(gaps.iter().all(|gap| gap["event"] != "restarted"), "a number was used twice: {gaps:?}");
    let last = gaps.iter().rfind(|gap| gap["event"] == "gap").unwrap();
    assert!(last["last"].as_u64().unwrap() >= JUMP, "{last}");
    scene.assert_log_names_nobody();
}

#[test]
fn a_probe_that_is_stopped_and_started_again_misses_no_number() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-CLEAN");
    scene.arm(&content);
    let parties: Vec<IpAddr> = vec![ALICE.parse().unwrap()];
    let mut before = 0;
    for run in 0..3 {
        let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
        wait_for_packet(&scene, &content, now_ns());
        sleep(Duration::from_millis(600));
        // The end comes under load.
        scene.stop();
        traffic.stop();
        scene.run();
        assert_eq!(ledger_began(&scene), ("continued".to_owned(), 0), "run {run}");
        let (there, missing) = assert_one_run_of_numbers(&scene, &content);
        let counts = scene.probe().counts(&content).unwrap();
        assert_eq!((counts.matched, counts.delivered, counts.lost, missing), (there, there, 0, 0), "run {run}");
        assert!(there > before);
        before = there;
    }
    let told = scene.agency(&content).messages(content.case_id).unwrap();
    let told: Vec<_> = told.iter().filter_map(|message| message["message"].as_str()).collect();
    assert_eq!(told, ["session-already-established"], "one interception, told once");
    scene.assert_log_names_nobody();
}
