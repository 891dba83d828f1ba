//! What makes a port fast: cards set up by `writ doctor --fix`, workers on CPUs of their own, busy polling; and that all
//! of it is undone, or can be.

use crate::scene::{ALICE, BYSTANDER, Scene, order, words};
use crate::traffic::{Traffic, hold};
use serde_json::Value;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::until;

/// Puts lines into the tap port's section.
fn configure(scene: &Scene, lines: &str) {
    let after = "on_miss = \"drop\"\n";
    let text = scene.configuration().replacen(after, &format!("{after}{lines}"), 1);
    fs::write(scene.path("writ.toml"), text).unwrap();
}

fn deferral(scene: &Scene) -> [String; 2] {
    ["napi_defer_hard_irqs", "gro_flush_timeout"].map(|file| {
        let path = format!("/sys/class/net/tap0/{file}");
        scene.host.exec("cat", &[&path]).unwrap().trim().to_owned()
    })
}

#[test]
fn workers_that_poll_on_cpus_of_their_own_lose_nothing_and_the_port_is_put_back() {
    let Some(mut scene) = Scene::build(&[("tap0", 2)]) else { return };
    configure(&scene, "cpus = [1, 0]\nring = { busy_poll_us = 100 }\n");
    assert_eq!(deferral(&scene), ["0", "0"]);
    scene.run();
    assert_eq!(deferral(&scene), ["2", "200000"]);
    let capture = scene.probe().role(&scene.host, "capture").unwrap().unwrap();
    let mut placed: Vec<(String, String)> = Vec::new();
    for task in fs::read_dir(format!("/proc/{capture}/task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        if field("Name:").starts_with("rx-") {
            placed.push((field("Name:"), field("Cpus_allowed_list:")));
        }
    }
    placed.sort();
    assert_eq!(placed, [("rx-0".into(), "1".into()), ("rx-1".into(), "0".into())]);

    let content = order(0, ALICE, "CASE-BUSY-POLL");
    scene.arm(&content);
    let parties = [ALICE, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_secs(1));
    let sent = traffic.stop();
    hold(content.case_id, &sent, &scene.packets(&content), 0..u64::MAX, 0..u64::MAX);
    let mode = until("the sockets' figures", Duration::from_secs(10), || {
        let mode = scene.probe().status()?["capture"]["queues"][0]["mode"].as_str().map(str::to_owned);
        Ok(mode.filter(|mode| mode.contains("busy poll")))
    });
    assert!(mode.unwrap().starts_with("driver, copy, busy poll"));
    scene.stop();
    assert_eq!(deferral(&scene), ["0", "0"]);
}

#[test]
fn a_cpu_that_is_not_there_is_named_and_nothing_runs() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    configure(&scene, "cpus = [1000]\n");
    let file = scene.path("writ.toml");
    let said = scene.writ(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(2), "{}", words(&said));
    assert!(words(&said).contains("interface tap0: `cpus` names CPU 1000"), "{}", words(&said));
    scene.assert_nothing_runs(&["tap0"]);
}

#[test]
fn the_doctor_shows_what_it_would_change_and_changes_it_when_asked() {
    let Some(mut scene) = Scene::build(&[("tap0", 2)]) else { return };
    configure(&scene, "queues = 1\n");
    scene.host.exec("ethtool", &["-K", "tap0", "rxvlan", "on"]).unwrap();
    // Not in the configuration: the doctor's hands stay off it.
    scene.host.exec("ethtool", &["-K", "mgmt0", "rxvlan", "on"]).unwrap();
    let file = scene.path("writ.toml");
    let doctor = |scene: &Scene, arguments: &[&str]| -> Value {
        let output = scene.writ(&[&["doctor", "--json", "--config", file.to_str().unwrap()], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", words(&output)))
    };
    let commands = |report: &Value, way: &str| -> Vec<String> {
        let changes = report["changes"].as_array().unwrap();
        changes.iter().filter_map(|change| change.pointer(way)?.as_str().map(str::to_owned)).collect()
    };
    let planned = ["ethtool -L tap0 rx 1", "ethtool -K tap0 rxvlan off"];
    for _ in 0..2 {
        let dry = doctor(&scene, &[]);
        assert_eq!(commands(&dry, "/ways/0/step"), planned);
        assert_eq!(commands(&dry, "/made/step"), [""; 0]);
    }
    let fixed = doctor(&scene, &["--fix"]);
    assert_eq!(commands(&fixed, "/made/step"), planned);
    assert_eq!(commands(&fixed, "/made/undo"), ["ethtool -L tap0 rx 2", "ethtool -K tap0 rxvlan on"]);
    let shown = scene.host.exec("ethtool", &["-k", "mgmt0"]).unwrap();
    assert!(shown.contains("rx-vlan-offload: on"), "{shown}");
    assert_eq!(doctor(&scene, &["--fix"])["changes"], Value::Array(Vec::new()));
    let checks = fixed["checks"].as_array().unwrap();
    for name in ["queues", "NIC ring", "offloads", "pause frames", "RSS hash", "RSS table", "RSS fields", "workers"] {
        let check = checks.iter().find(|check| check["name"] == format!("tap0: {name}"));
        assert_eq!(check.unwrap_or_else(|| panic!("{name} is missing"))["state"], "ok", "{check:?}");
    }

    // A veth takes XDP only with as many queues as its far end sends from.
    scene.far.exec("ethtool", &["-L", "far0", "tx", "1"]).unwrap();
    scene.run();
    let refused = scene.writ(&["doctor", "--fix", "--config", file.to_str().unwrap()]);
    assert!(refused.status.code() == Some(2) && words(&refused).contains("stop it first"), "{}", words(&refused));
    scene.stop();
}
