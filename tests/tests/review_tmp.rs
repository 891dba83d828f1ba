#![allow(dead_code, unused_imports, unused)]
#[path = "system/scene.rs"]
mod scene;
#[path = "system/traffic.rs"]
mod traffic;
use crate::scene::*;
use crate::traffic::*;
use std::thread::sleep;
use std::time::Duration;
use std::fs;
use serde_json::Value;
use writ_lab::documents::Order;
use writ_lab::*;
use rustix::process::Signal;

fn back(scene: &Scene, role: &str, before: Option<u32>) {
    until("back", PATIENCE, || {
        let now = scene.probe().role(&scene.host, role)?;
        Ok((now.is_some() && now != before).then_some(()))
    }).unwrap();
    until("control", PATIENCE, || Ok(scene.probe().status().ok())).unwrap();
}

#[test]
fn a_control_restarts() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let steady = order(0, ALICE, "CASE-STEADY");
    scene.arm(&steady);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    for _ in 0..4 {
        let before = scene.probe().role(&scene.host, "control").unwrap();
        scene.probe().signal_role(&scene.host, "control", Signal::KILL).unwrap();
        back(&scene, "control", before);
        sleep(Duration::from_millis(300));
    }
    let short = Order { stop: seconds_ahead(3), ..order(1, BOB, "CASE-SHORT") };
    scene.arm(&short);
    sleep(Duration::from_millis(500));
    scene.probe().signal_role(&scene.host, "control", Signal::STOP).unwrap();
    while now_ns() < ns(short.stop) + 1_000_000_000 { sleep(Duration::from_millis(20)); }
    let before = scene.probe().role(&scene.host, "control").unwrap();
    scene.probe().signal_role(&scene.host, "control", Signal::KILL).unwrap();
    back(&scene, "control", before);
    sleep(Duration::from_millis(1500));
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let stops: Vec<_> = log.lines().filter(|l| l.contains("intercept-stop")).collect();
    println!("{stops:#?}");
    assert_eq!(stops.len(), 1);
    // a new one takes another name
    let next = order(2, BOB, "CASE-NEXT");
    scene.arm(&next);
    sleep(Duration::from_millis(500));
    let sent = traffic.stop();
    println!("{} sent, steady {}, short {}, next {}", sent.len(), scene.packets(&steady).len(), scene.packets(&short).len(), scene.packets(&next).len());
    println!("{:?}", scene.probe().counts(&steady).unwrap());
    println!("{:?}", scene.probe().counts(&next).unwrap());
    println!("{}", serde_json::to_string(&scene.probe().status().unwrap()["intercepts"]).unwrap());
    assert_eq!(scene.packets(&steady).len(), sent.len());
    let told: Vec<_> = scene.agency(&short).messages(short.case_id).unwrap();
    let told: Vec<_> = told.iter().filter_map(|message| message["message"].as_str().map(str::to_owned)).collect();
    assert_eq!(told, ["session-already-established", "session-end"]);
    println!("{:?}", log.lines().filter(|l| !l.contains("warrant-view")).map(|l| { let v: Value = serde_json::from_str(l).unwrap(); format!("{} {} {}", v["act"], v["outcome"], v["details"]) }).collect::<Vec<_>>().join("\n"));
    scene.assert_log_names_nobody();
}

#[test]
fn b_both_die_and_revoke_says_the_truth() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let steady = order(0, ALICE, "CASE-STEADY");
    let other = order(1, BOB, "CASE-OTHER");
    scene.arm(&steady);
    scene.arm(&other);
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(300));
    let (c, k) = (scene.probe().role(&scene.host, "control").unwrap(), scene.probe().role(&scene.host, "capture").unwrap());
    scene.probe().signal_role(&scene.host, "control", Signal::KILL).unwrap();
    scene.probe().signal_role(&scene.host, "capture", Signal::KILL).unwrap();
    back(&scene, "capture", k);
    back(&scene, "control", c);
    sleep(Duration::from_millis(1500));
    println!("{:?} {:?}", scene.probe().slot(&steady).unwrap(), scene.probe().slot(&other).unwrap());
    // control dies while capture stands still
    let c = scene.probe().role(&scene.host, "control").unwrap();
    scene.probe().signal_role(&scene.host, "capture", Signal::STOP).unwrap();
    scene.probe().signal_role(&scene.host, "control", Signal::KILL).unwrap();
    back(&scene, "control", c);
    let answer = scene.probe().revoke(&other).unwrap();
    println!("{} {}", answer.accepted, answer.words);
    assert!(!answer.accepted);
    scene.probe().signal_role(&scene.host, "capture", Signal::CONT).unwrap();
    sleep(Duration::from_millis(1000));
    let done = now_ns();
    sleep(Duration::from_millis(500));
    let sent = traffic.stop();
    let others = scene.packets(&other);
    assert!(others.iter().all(|(_, stamp)| *stamp < done), "stopped");
    let digest = fs::read(scene.agency(&steady).directory.join(steady.case_id).join("digest.json")).unwrap();
    let digest: Value = serde_json::from_slice(&digest).unwrap();
    println!("{}", digest["numberings"]);
    println!("{:?} of {}", scene.probe().counts(&steady).unwrap(), sent.len());
    let told: Vec<_> = scene.agency(&other).messages(other.case_id).unwrap();
    let told: Vec<_> = told.iter().filter_map(|message| message["message"].as_str().map(str::to_owned)).collect();
    assert_eq!(told, ["session-already-established", "session-end"]);
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    println!("{}", log.lines().filter(|l| !l.contains("warrant-view")).map(|l| { let v: Value = serde_json::from_str(l).unwrap(); format!("{} {} {}", v["act"], v["outcome"], v["details"]) }).collect::<Vec<_>>().join("\n"));
    scene.assert_log_names_nobody();
}
