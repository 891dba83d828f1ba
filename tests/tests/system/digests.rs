//! Digests of what was delivered, on both sides: equal whatever broke meanwhile, and where they are not, the place is named.

use crate::restarts::kill_everything;
use crate::scene::{ALICE, FIRST, PATIENCE, Scene, address, order, words};
use crate::traffic::Traffic;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Agency, until};

impl Scene {
    fn collect(&self, arguments: &[&str]) -> Output {
        Command::new(&self.binaries.writ_collect).args(arguments).output().unwrap()
    }

    /// `writ case ...` of an order.
    fn case(&self, command: &str, order: &Order, arguments: &[&str]) -> (Option<i32>, String) {
        let configuration = self.path("writ.toml").display().to_string();
        let output = self.writ(&[&["case", command, order.uuid], arguments, &["--config", &configuration]].concat());
        (output.status.code(), words(&output))
    }

    /// After it was killed.
    fn restart_first_agency(&mut self) {
        let (collector, directory) = (&self.binaries.writ_collect, self.path(""));
        let agency = Agency::start(&self.office, address(), collector, &directory, &self.certificates, FIRST);
        self.agencies[0] = agency.unwrap();
    }

    fn case_folder(&self, order: &Order) -> PathBuf {
        self.agency(order).directory.join(order.case_id)
    }

    /// The agency makes its file, signs it, and the probe compares.
    fn compare(&self, order: &Order) -> (Option<i32>, String) {
        let folder = self.case_folder(order);
        let key = self.officers[2].key.display().to_string();
        let made = self.collect(&["countersign", folder.to_str().unwrap(), "--key", &key]);
        assert!(made.status.success(), "{}", words(&made));
        self.compare_file(order, &folder.join("digests.jsonl"))
    }

    fn compare_file(&self, order: &Order, file: &Path) -> (Option<i32>, String) {
        let file = file.display().to_string();
        let (signature, key) = (format!("{file}.sig"), format!("{}.pub", self.officers[2].key.display()));
        self.case("digests", order, &["--countersigned", &file, "--signature", &signature, "--key", &key])
    }
}

fn traffic(scene: &Scene) -> Traffic {
    let parties: Vec<IpAddr> = vec![ALICE.parse().unwrap()];
    Traffic::start(scene.senders(&["tap0"]), &parties)
}

#[test]
fn both_sides_digests_are_equal_whatever_broke_and_name_what_is_not() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-DIGESTS");
    let headers = Order { scope: "headers", authority: "pen-trap", ..order(1, ALICE, "CASE-HEADERS") };
    scene.arm(&content);
    scene.arm(&headers);
    let running = traffic(&scene);
    sleep(Duration::from_millis(800));
    scene.probe().signal_role(&scene.host, "deliver", Signal::KILL).unwrap();
    sleep(Duration::from_millis(800));
    // Every connection breaks, and nobody is there for a while.
    scene.agencies[0].kill().unwrap();
    sleep(Duration::from_millis(800));
    scene.restart_first_agency();
    sleep(Duration::from_millis(800));
    scene.probe().signal_role(&scene.host, "deliver", Signal::KILL).unwrap();
    sleep(Duration::from_millis(1500));
    running.stop();
    for order in [&content, &headers] {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
    }
    let equal = |scene: &Scene, order: &Order, stream: &str| {
        let (code, said) = scene.compare(order);
        assert_eq!(code, Some(0), "{}: {said}", order.case_id);
        assert!(said.contains("countersigned with the key SHA256:"), "{said}");
        assert!(said.contains(&format!("{stream}: equal up to number ")), "{said}");
        assert!(!said.contains("differs") && !said.contains("missing"), "{said}");
        said
    };
    equal(&scene, &content, "cmc");
    equal(&scene, &headers, "cmii");

    // At its end all of it is in the file, and a restart changes nothing.
    for order in [&content, &headers] {
        assert!(scene.probe().revoke(order, &scene.officers[0]).unwrap().accepted);
    }
    let delivered = scene.path("state/delivered.jsonl");
    until("the last lines", PATIENCE, || {
        let text = fs::read_to_string(&delivered).unwrap();
        let last = |order: &Order, stream: &str| {
            let is_its = |line: &&str| line.contains(order.uuid) && line.contains(&format!("\"stream\":\"{stream}\""));
            text.lines().filter(is_its).count() > 0
        };
        Ok((last(&content, "cmc") && last(&headers, "cmii")).then_some(()))
    })
    .unwrap();
    scene.stop();
    scene.run();
    let said = equal(&scene, &content, "cmc");
    equal(&scene, &headers, "cmii");

    // One octet of one packet at the agency.
    let folder = scene.case_folder(&content);
    let packets = folder.join("content.pcapng");
    let whole = fs::read(&packets).unwrap();
    let subject = ALICE.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let middle = whole.len() / 2;
    let in_header = middle + whole[middle..].windows(4).position(|octets| octets == subject).unwrap();
    let mut altered = whole.clone();
    altered[in_header + 8] ^= 1;
    fs::write(&packets, altered).unwrap();
    let (code, said_of_it) = scene.compare(&content);
    assert_eq!(code, Some(1), "{said_of_it}");
    let differs = said_of_it.lines().find(|line| line.contains("differs: not the same octets")).expect("it is found");
    assert!(differs.contains("cmc: window ") && said_of_it.contains("cmii: equal up to number "), "{said_of_it}");
    assert_ne!(said, said_of_it);
    fs::write(&packets, whole).unwrap();

    // What the agency signed is kept, and what it did not sign is not.
    equal(&scene, &content, "cmc");
    let file = folder.join("digests.jsonl");
    let paths = [&file, &folder.join("digests.jsonl.sig")].map(|path| path.display().to_string());
    let key = |officer: usize| format!("{}.pub", scene.officers[officer].key.display());
    let hand_in =
        |key: &str| scene.case("countersigned", &content, &[&paths[0], "--signature", &paths[1], "--key", key]);
    let (code, said) = hand_in(&key(0));
    assert!(code == Some(1) && said.contains("ask the agency which key it signs with"), "{said}");
    let (code, said) = hand_in(&key(2));
    assert!(code == Some(0) && said.contains("are kept with warrant"), "{said}");
    let kept = fs::read_dir(scene.path("state/documents")).unwrap();
    let text = fs::read(&file).unwrap();
    assert!(kept.filter_map(|entry| fs::read(entry.unwrap().path()).ok()).any(|bytes| bytes == text));
    let other = scene.case("digests", &headers, &["--countersigned", &paths[0]]);
    assert!(other.0 == Some(1) && other.1.contains("is it of another case?"), "{other:?}");
    scene.stop();
    scene.run();
    assert_eq!(scene.probe().status().unwrap()["damaged"], 0, "it is read back as it was judged");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_lost_range_is_named_the_same_on_both_sides_and_what_a_dead_probe_cannot_know_is_said() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let configuration = scene.configuration() + "\n[spool]\nsegments = 2\nsegment_bytes = 262144\n";
    fs::write(scene.path("writ.toml"), configuration).unwrap();
    scene.run();
    let content = order(0, ALICE, "CASE-LOST-RANGE");
    scene.arm(&content);
    let running = traffic(&scene);
    sleep(Duration::from_millis(500));
    // Nobody takes anything, and the memory is soon full.
    scene.agencies[0].kill().unwrap();
    until("a loss", PATIENCE, || Ok((scene.probe().counts(&content)?.lost > 0).then_some(()))).unwrap();
    sleep(Duration::from_millis(300));
    scene.restart_first_agency();
    until("packets go again", PATIENCE, || {
        let sessions = scene.probe().status()?["sessions"].clone();
        Ok((sessions[1]["connected"] == true && sessions[1]["sessions"].as_u64() > Some(1)).then_some(()))
    })
    .unwrap();
    sleep(Duration::from_millis(800));
    running.stop();
    let counts = scene.probe().settled(&content).unwrap();
    assert!(counts.settled() && counts.lost > 0, "nothing was lost, so nothing is proved: {counts:?}");
    let (code, said) = scene.compare(&content);
    assert!(code == Some(0) && said.contains("cmc: equal up to number "), "{said}");
    let missing = |text: &str| {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let content = lines.filter(|line| line["stream"] == "cmc");
        content.map(|line| (line["window"].clone(), line["missing"].clone())).collect::<Vec<_>>()
    };
    let theirs = missing(&fs::read_to_string(scene.case_folder(&content).join("digests.jsonl")).unwrap());
    let (_, here) = scene.case("digests", &content, &["--json"]);
    let here: Value = serde_json::from_str(&here).unwrap();
    let here = here[0]["lines"].as_array().unwrap().iter().map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(missing(&here), theirs);
    assert!(theirs.iter().any(|(_, ranges)| ranges.is_array()), "the range is named: {theirs:?}");

    // All of it dies with packets on their way: the agency has some that nobody here knows of.
    let running = traffic(&scene);
    sleep(Duration::from_millis(600));
    scene.probe().signal_role(&scene.host, "deliver", Signal::STOP).unwrap();
    sleep(Duration::from_millis(300));
    kill_everything(&mut scene);
    scene.run();
    sleep(Duration::from_millis(800));
    running.stop();
    scene.probe().settled(&content).unwrap();
    let (code, said) = scene.compare(&content);
    assert!(code == Some(0) && said.contains("cmc: not known here: "), "{said}");
    assert!(!said.contains("missing here") && !said.contains("differs"), "{said}");
    scene.stop();
    scene.assert_log_names_nobody();
}
