//! A test warrant: on a line of the operator's own that the roster names, to files of this machine, for a day at most,
//! and marked in all that it gives.

use crate::destinations::{HERE, add_folder, decode, packets_in};
use crate::scene::{ALICE, BOB, BYSTANDER, FIRST, Scene, net, order, seconds_ahead};
use crate::traffic::{Traffic, hold, now_ns};
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::contains;
use writ_lab::documents::{self, Order};

/// A line that may be tested until some seconds from now.
fn test_line(name: &str, address: &str, until: i64) -> String {
    let digest = "5f".repeat(32);
    format!(
        "\n[[test_line]]\nname = \"{name}\"\naddress = \"{address}\"\nuser = \"Greta Lind, network operations\"\n\
         consent = \"Legal, safe 2, folder 3\"\nconsent_sha256 = \"{digest}\"\nuntil = \"{}\"\n",
        seconds_ahead(until)
    )
}

#[test]
fn a_test_reaches_its_own_line_and_files_alone_and_says_in_every_record_what_it_is() {
    let Some(mut scene) = Scene::unsigned(&[("tap0", 1)]) else { return };
    let folder = add_folder(&scene);
    let roster = scene.path("roster.toml");
    let lines = [test_line("lab line 1", ALICE, 1_000_000), test_line("lab line 2", BYSTANDER, 1800)].concat();
    fs::write(&roster, documents::roster(&scene.officers) + &lines).unwrap();
    assert!(scene.install_roster(&roster).status.success());
    scene.run();
    let test = Order { authority: "test", agency: HERE, ..order(0, ALICE, "TEST-line-1") };
    let [ada, ben, _] = scene.officers.clone();
    let hour = seconds_ahead(3600);
    for (order, reason) in [
        (Order { agency: FIRST.name, ..test.clone() }, "a test goes to files of this machine only"),
        (Order { targets: vec![net(BOB)], ..test.clone() }, "not on a test line of the roster"),
        (Order { targets: vec![net("198.51.100.0/28")], ..test.clone() }, "not on a test line of the roster"),
        (Order { stop: seconds_ahead(25 * 3600), ..test.clone() }, "later than 24 hours from the start"),
        (Order { targets: vec![net(BYSTANDER)], stop: hour, ..test.clone() }, "consent of the test line's user ends"),
        (Order { case_id: "CASE-1", ..test.clone() }, "TEST-"),
        (Order { authority: "title-iii", ..test.clone() }, "TEST-"),
    ] {
        let answer = scene.probe().submit(&order, &[&ada, &ben]).unwrap();
        assert!(!answer.accepted && answer.words.contains(reason), "{order:?}: {}", answer.words);
    }
    let answer = scene.probe().submit(&test, &[&ada]).unwrap();
    assert!(answer.accepted && answer.words.contains("not in force"), "a test needs its quorum: {}", answer.words);
    let answer = scene.probe().approve(&test, &[&ben]).unwrap();
    assert!(answer.accepted && answer.words.contains("armed"), "{}", answer.words);

    let from_ns = now_ns();
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(600));
    let sent = traffic.stop();
    let all = from_ns..now_ns();
    let counts = scene.probe().settled(&test).unwrap();
    assert!(counts.settled() && counts.lost == 0, "{counts:?}");
    let case = folder.join(test.case_id);
    hold(test.case_id, &sent, &packets_in(&scene, &case.join("cmc.ber")), all.clone(), all);
    for file in ["cmc.ber", "cmii.ber"] {
        let records = decode(&scene, &case.join(file));
        assert!(!records.is_empty());
        let unmarked = records.iter().find(|record| !record.to_string().contains("\"TEST-line-1\""));
        assert_eq!(unmarked, None, "{file}: every record is marked");
    }
    for agency in &scene.agencies {
        assert_eq!(contains(&agency.directory, b"TEST-").unwrap(), None, "no agency has any of it");
    }
    scene.assert_isolated();
    scene.assert_log_names_nobody();
}
