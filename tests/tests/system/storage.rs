//! The state directory: damaged files and a full disk stop what is new, not what is in force.

use crate::scene::{ALICE, BOB, PATIENCE, SECOND, Scene, order};
use crate::traffic::{Traffic, now_ns};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{run, until};

/// A small disk of its own, filled on demand.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=700", "writ-test"]).arg(&at)).unwrap();
        Self(at)
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have a file open.
        if let Err(error) = run(Command::new("umount").arg("--lazy").arg(&self.0)) {
            eprintln!("the small disk stays: {error}");
        }
    }
}

/// Sends for a moment; gives how many packets.
fn send_for_a_moment(scene: &Scene) -> u64 {
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE, BOB].map(|party| party.parse().unwrap()));
    sleep(Duration::from_millis(200));
    traffic.stop().len() as u64
}

/// A running probe whose state directory is on a small disk.
fn start_on_a_small_disk() -> Option<(Scene, SmallDisk)> {
    let mut scene = Scene::build(&[("tap0", 1)])?;
    let disk = SmallDisk::mount(scene.path("small"));
    let state = scene.path("state");
    run(Command::new("cp").arg("-a").arg(state.join(".")).arg(&disk.0)).unwrap();
    let configuration = scene.configuration().replace(&state.display().to_string(), &disk.0.display().to_string());
    fs::write(scene.path("writ.toml"), configuration).unwrap();
    scene.run();
    Some((scene, disk))
}

#[test]
fn on_a_full_disk_nothing_new_is_armed_and_what_is_in_force_goes_on() {
    let Some((mut scene, disk)) = start_on_a_small_disk() else { return };
    let before = order(0, ALICE, "CASE-BEFORE");
    scene.arm(&before);
    disk.fill();

    let meanwhile = Order { agency: SECOND.name, ..order(1, BOB, "CASE-MEANWHILE") };
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit(&meanwhile, &[ada, ben]).unwrap();
    assert!(!answer.accepted, "{}", answer.words);
    assert!(answer.words.contains("free space"), "what to do is said: {}", answer.words);
    let sent = send_for_a_moment(&scene);
    until("the ledger to close", PATIENCE, || {
        let status = scene.probe().status()?;
        let intercepts = status["intercepts"].as_array().cloned().unwrap_or_default();
        let [only] = &intercepts[..] else { panic!("one intercept: {intercepts:?}") };
        let counts = &only["counts"];
        Ok((counts["matched"] == sent && counts["deliveries"][0]["delivered"] == sent).then_some(()))
    })
    .unwrap();
    assert!(scene.agency(&meanwhile).packets(meanwhile.case_id).unwrap().is_empty());

    // With room again the probe takes orders again, at the latest after a new start.
    disk.make_room();
    scene.stop();
    scene.run();
    scene.arm(&meanwhile);
    let from_ns = now_ns();
    let sent = send_for_a_moment(&scene);
    for order in [&before, &meanwhile] {
        let packets = scene.packets(order);
        assert_eq!(packets.iter().filter(|(_, stamp)| *stamp >= from_ns).count() as u64, sent, "{}", order.case_id);
    }
    let log = disk.0.join("audit.jsonl").display().to_string();
    let verified = scene.writ(&["audit", "verify", &log]);
    assert!(verified.status.success(), "{}", crate::scene::words(&verified));
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_revocation_on_a_full_disk_ends_the_interception_all_the_same() {
    let Some((mut scene, disk)) = start_on_a_small_disk() else { return };
    let revoked = order(0, ALICE, "CASE-REVOKED");
    scene.arm(&revoked);
    let sent = send_for_a_moment(&scene);
    assert_eq!(scene.packets(&revoked).len() as u64, sent);
    disk.fill();
    let answer = scene.probe().revoke(&revoked, &scene.officers[0]).unwrap();
    // What it is worth is said.
    assert!(!answer.accepted && answer.words.contains("nothing more is taken"), "{}", answer.words);
    assert!(answer.words.contains("free space; then revoke it again"), "{}", answer.words);
    send_for_a_moment(&scene);
    let delivered = scene.agency(&revoked).packets(revoked.case_id).unwrap().len() as u64;
    assert_eq!(delivered, sent, "nothing is taken after a revocation, on disk or not: {}", answer.words);
    disk.make_room();
    let answer = scene.probe().revoke(&revoked, &scene.officers[0]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    scene.stop();
    scene.run();
    send_for_a_moment(&scene);
    let delivered = scene.agency(&revoked).packets(revoked.case_id).unwrap().len() as u64;
    assert_eq!(delivered, sent, "now a restart knows it too");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_damaged_warrant_file_is_named_and_the_others_are_in_force() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let damaged = order(0, ALICE, "CASE-DAMAGED");
    let whole = Order { agency: SECOND.name, ..order(1, BOB, "CASE-WHOLE") };
    scene.arm(&damaged);
    scene.arm(&whole);
    scene.stop();
    // Somebody widens a warrant behind the signatures.
    let documents = fs::read_dir(scene.path("state/documents")).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |file: &PathBuf| fs::read_to_string(file).unwrap().starts_with(&format!("uuid = \"{}\"", damaged.uuid));
    let file = documents.into_iter().find(is_it).expect("the warrant is kept as it was handed in");
    let text = fs::read_to_string(&file).unwrap();
    let wider = text.replace(ALICE, "198.51.100.0/28");
    assert_ne!(text, wider);
    fs::write(&file, wider).unwrap();
    scene.run();

    let status = scene.probe().status().unwrap();
    assert_eq!(status["damaged"], 1);
    assert_eq!(status["intercepts"].as_array().map(Vec::len), Some(1), "{status}");
    let audit = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let told = audit.lines().find(|line| line.contains("\"store-damaged\"")).unwrap_or_else(|| panic!("{audit}"));
    assert!(told.contains(damaged.uuid) && told.contains("altered"), "{told}");
    let from_ns = now_ns();
    let sent = send_for_a_moment(&scene);
    let packets = scene.packets(&whole);
    assert_eq!(packets.iter().filter(|(_, stamp)| *stamp >= from_ns).count() as u64, sent);
    assert!(scene.agency(&damaged).packets(damaged.case_id).unwrap().is_empty(), "nothing under the damaged one");
    // Its name is not free for another.
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit(&damaged, &[ada, ben]).unwrap();
    assert!(!answer.accepted && answer.words.contains("restore that file"), "{}", answer.words);
    scene.stop();
    scene.assert_log_names_nobody();
}
