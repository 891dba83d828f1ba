//! Backups: made of a probe that runs and of one that does not, restored in another place, and believed only when nothing
//! can be missing.

use crate::restarts::kill_everything;
use crate::scene::{ALICE, BOB, PATIENCE, SECOND, Scene, order, words};
use crate::traffic::Traffic;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::until;

impl Scene {
    /// `writ backup ...` on this scene's probe.
    fn backup(&self, arguments: &[&str]) -> Output {
        let configuration = self.path("writ.toml").display().to_string();
        self.writ(&[&["backup"], arguments, &["--config", &configuration]].concat())
    }

    /// `writ backup create NAME`; gives the head that it prints.
    fn back_up(&self, name: &str) -> String {
        let made = self.backup(&["create", &self.path(name).display().to_string()]);
        let said = words(&made);
        assert!(made.status.success(), "{said}");
        let head = said.lines().find_map(|line| line.strip_prefix("head: "));
        head.unwrap_or_else(|| panic!("no head: {said}")).to_owned()
    }

    /// The machine is gone: what is in a backup is all that there is, but for the witness's folder.
    fn restore(&self, name: &str) {
        drop(fs::remove_dir_all(self.path("state")));
        let restored = self.backup(&["restore", &self.path(name).display().to_string()]);
        assert!(restored.status.success(), "{}", words(&restored));
    }

    /// `writ backup release ...`; gives its exit code and what it said.
    fn release(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let released = self.backup(&[&["release"], arguments].concat());
        (released.status.code(), words(&released))
    }
}

/// A probe that runs, and the folder of its witness.
fn witnessed() -> Option<(Scene, PathBuf)> {
    let mut scene = Scene::build(&[("tap0", 1)])?;
    let witness = scene.path("witness");
    fs::create_dir(&witness).unwrap();
    let section = format!("\n[witness]\nevery_seconds = 1\nfolder = {witness:?}\n");
    fs::write(scene.path("writ.toml"), scene.configuration() + &section).unwrap();
    scene.run();
    Some((scene, witness))
}

#[test]
fn a_restored_probe_takes_nothing_until_it_is_known_that_nothing_is_missing() {
    let Some((mut scene, witness)) = witnessed() else { return };
    let configuration = scene.path("writ.toml").display().to_string();
    let [kept, ended] = [order(0, ALICE, "CASE-KEPT"), Order { agency: SECOND.name, ..order(1, BOB, "CASE-ENDED") }];
    scene.arm(&kept);
    scene.arm(&ended);
    let key = words(&scene.writ(&["audit", "key", "--config", &configuration])).trim().to_owned();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_millis(300));

    // Of the running probe: nobody else may read it, and no key is in it.
    let early = scene.back_up("early.backup");
    assert_eq!(fs::metadata(scene.path("early.backup")).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = Command::new("tar").arg("tf").arg(scene.path("early.backup")).output().unwrap();
    let listed = words(&listed);
    assert!(listed.contains("audit.jsonl") && listed.contains("ledger") && !listed.contains("key"), "{listed}");
    let again = scene.backup(&["create", &scene.path("early.backup").display().to_string()]);
    assert!(again.status.code() == Some(2) && words(&again).contains("is there already"), "{}", words(&again));
    let restored = scene.backup(&["restore", &scene.path("early.backup").display().to_string()]);
    assert!(
        !restored.status.success() && words(&restored).contains("another writ runs"),
        "a probe runs: {}",
        words(&restored)
    );
    traffic.stop();

    // After it, one warrant ends; the backup does not know that, and the witness knows that there is more.
    assert!(scene.probe().revoke(&ended, &scene.officers[0]).unwrap().accepted);
    scene.stop();
    scene.restore("early.backup");
    let checkpoints = witness.display().to_string();
    let (code, said) = scene.release(&["--key", &key, "--checkpoints", &checkpoints]);
    assert!(code == Some(1) && said.contains("has not all that the witness saw"), "{said}");
    scene.run();
    let status = scene.probe().status().unwrap();
    assert!(status["held"].to_string().contains("came out of a backup of record"), "{}", status["held"]);
    assert_eq!(status["records_kept"], "10 years");
    assert_eq!((scene.phase(&kept), scene.phase(&ended)), ("held".to_owned(), "held".to_owned()));
    let wrong = early.replacen(char::is_whitespace, "0 ", 1);
    let (code, said) = scene.release(&["--head", &wrong]);
    assert!(code == Some(1) && said.contains("is not where this log ended when it was found"), "{said}");
    assert_eq!(scene.release(&["--head", "17"]).0, Some(2));
    // What is to go on gets a new revision with all signatures; the other stays held.
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().revise(&kept, 2, &[ada, ben]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    assert_eq!((scene.phase(&kept), scene.phase(&ended)), ("active".to_owned(), "held".to_owned()));
    scene.stop();

    // A probe that is moved in due form: its last head is that of the backup, and nobody need sign anything.
    let last = scene.back_up("last.backup");
    scene.restore("last.backup");
    let (code, said) = scene.release(&["--head", &last]);
    assert!(code == Some(0) && said.contains("1 warrants are in force"), "{said}");
    scene.run();
    assert_eq!((scene.phase(&kept), scene.phase(&ended)), ("active".to_owned(), "held".to_owned()));
    let before = scene.probe().counts(&kept).unwrap().matched;
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    let taken = || Ok((scene.probe().counts(&kept)?.matched > before).then_some(()));
    until("packets that are taken", PATIENCE, taken).unwrap();
    traffic.stop();
    let counts = scene.probe().settled(&kept).unwrap();
    assert!(counts.settled(), "{counts:?}");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_witness_that_saw_the_backups_record_last_releases_it() {
    let Some((mut scene, witness)) = witnessed() else { return };
    let configuration = scene.path("writ.toml").display().to_string();
    let kept = order(0, ALICE, "CASE-KEPT");
    scene.arm(&kept);
    // Once its beginning is on record, nothing more comes by itself.
    let begun = || {
        let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
        Ok(log.contains("\"act\":\"intercept-start\"").then_some(()))
    };
    until("the interception's beginning", PATIENCE, begun).unwrap();
    let key = words(&scene.writ(&["audit", "key", "--config", &configuration])).trim().to_owned();
    let head = scene.back_up("probe.backup");
    let number: u64 = head.split(' ').next().unwrap().parse().unwrap();
    until("a witness that has the backup's record", PATIENCE, || {
        let status = scene.probe().status()?;
        assert_eq!(status["audit_number"], number, "nothing is recorded meanwhile");
        Ok((status["witnesses"][0]["number"] == number).then_some(()))
    })
    .unwrap();
    // The machine is gone at once.
    kill_everything(&mut scene);
    scene.restore("probe.backup");
    let checkpoints = witness.display().to_string();
    let (code, said) = scene.release(&["--checkpoints", &checkpoints]);
    assert!(code == Some(2) && said.contains("add --key or --roster"), "{said}");
    let (code, said) = scene.release(&["--key", &key, "--checkpoints", &checkpoints]);
    assert!(code == Some(0) && said.contains("released"), "{said}");
    scene.run();
    assert_eq!(scene.phase(&kept), "active");
    scene.stop();
    let records = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    for act in ["backup-create", "store-restore", "store-release"] {
        assert!(records.contains(&format!("\"act\":\"{act}\"")), "{act} is on record");
    }
    scene.assert_log_names_nobody();
}
