//! A case from the first signature to its closing, and what a restart of the probe makes of it.

use crate::scene::{ALICE, BOB, PATIENCE, Scene, order, words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use writ_lab::documents::Order;
use writ_lab::until;

impl Scene {
    /// `writ warrant ...` on this scene's probe; gives its exit code and what it said.
    pub(crate) fn warrant(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let configuration = self.path("writ.toml").display().to_string();
        let output = self.writ(&[&["warrant"], arguments, &["--config", &configuration]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), if output.status.success() { said } else { words(&output) })
    }

    /// Where every case stands, by its UUID.
    pub(crate) fn phases(&self) -> BTreeMap<String, String> {
        let (_, said) = self.warrant(&["list", "--json"]);
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        let lines = answer["warrants"].as_array().cloned().unwrap();
        lines.iter().map(|line| (text(line, "uuid"), text(line, "phase"))).collect()
    }

    pub(crate) fn phase(&self, order: &Order) -> String {
        self.phases().remove(order.uuid).expect("it is in the list")
    }

    /// `writ warrant show`.
    pub(crate) fn show(&self, order: &Order) -> Value {
        let (_, said) = self.warrant(&["show", order.uuid, "--json"]);
        serde_json::from_str::<Value>(&said).unwrap_or_else(|error| panic!("{error}: {said}"))["warrant"].take()
    }
}

#[test]
fn a_case_goes_from_its_first_signature_to_its_closing_over_restarts() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let order = order(0, ALICE, "CASE-WHOLE-WAY");
    let [ada, ben, _] = scene.officers.clone();
    let answer = scene.probe().submit(&order, &[&ada]).unwrap();
    assert!(answer.accepted && answer.words.contains("not in force"), "{}", answer.words);
    assert_eq!(scene.phase(&order), "submitted");
    scene.stop();
    scene.run();
    let answer = scene.probe().approve(&order, &[&ben]).unwrap();
    assert!(answer.accepted && answer.words.contains("armed"), "{}", answer.words);
    until("the interception to begin", PATIENCE, || Ok((scene.phase(&order) == "active").then_some(()))).unwrap();

    // The overseer signs what was measured, and nothing else.
    until("its start to be recorded", PATIENCE, || {
        let (code, _) = scene.warrant(&["certify", order.uuid, "--overseer", "ada.marsh"]);
        Ok((code == Some(0)).then_some(()))
    })
    .unwrap();
    let (_, draft) = scene.warrant(&["certify", order.uuid, "--overseer", "ada.marsh"]);
    let file = scene.path("certification.toml");
    let name = file.display().to_string();
    let certify = |officer: &writ_lab::Officer, text: &str| {
        fs::write(&file, text).unwrap();
        let signature = officer.sign(&file, "writ-certify").unwrap().display().to_string();
        scene.warrant(&["certify", &name, "-s", &signature])
    };
    let (code, said) = certify(&ben, &draft);
    assert!(code == Some(1) && said.contains("the overseer, ada.marsh"), "{said}");
    let software = draft.lines().find(|line| line.starts_with("software = ")).unwrap();
    let (code, said) = certify(&ada, &draft.replace(software, "software = \"another\""));
    assert!(code == Some(1) && said.contains("is not what was measured"), "{said}");
    let (code, said) = certify(&ada, &draft);
    assert!(code == Some(0) && said.contains("is certified"), "{said}");

    let (code, said) = scene.warrant(&["close", order.uuid]);
    assert!(code == Some(1) && said.contains("has not ended"), "{said}");
    let answer = scene.probe().revoke(&order, &ben).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    until("the final figures", PATIENCE, || {
        let (code, _) = scene.warrant(&["close", order.uuid]);
        Ok((code == Some(0)).then_some(()))
    })
    .unwrap();
    scene.stop();
    scene.run();
    assert_eq!(scene.phase(&order), "closed");
    let notices = fs::read_dir(scene.path("state/notices")).unwrap().map(|entry| entry.unwrap().path());
    let notices: Vec<_> = notices.map(|file| fs::read_to_string(file).unwrap()).collect();
    let to = |name: &str, of: &str| notices.iter().any(|it| it.starts_with(&format!("To: {name}")) && it.contains(of));
    assert!(to("ada.marsh", "withdrawn by the court"), "who signed it hears that another ended it: {notices:?}");
    assert!(to("Special Agent B. Agent", "has been deactivated") && to("ada.marsh", "matched:"), "{notices:?}");
    let (code, said) = scene.warrant(&["approve", order.uuid, "-s", &name]);
    assert!(code == Some(1) && said.contains("never used again"), "{said}");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_log_put_back_to_an_older_state_holds_everything() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let ended = order(0, ALICE, "CASE-ENDED");
    scene.arm(&ended);
    let log = scene.path("state/audit.jsonl");
    let older = fs::read(&log).unwrap();
    assert!(scene.probe().revoke(&ended, &scene.officers[0]).unwrap().accepted);
    scene.arm(&order(1, BOB, "CASE-LATER"));
    scene.stop();
    fs::write(&log, older).unwrap();
    scene.run();
    let status = scene.probe().status().unwrap();
    assert!(status["held"].to_string().contains("put back from an older copy"), "{status}");
    assert_eq!(status["intercepts"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(scene.phase(&ended), "revoked", "its revocation is among the documents");
    let later = order(2, BOB, "CASE-NEW");
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit(&later, &[ada, ben]).unwrap();
    assert!(!answer.accepted && answer.words.contains("the probe is held"), "{}", answer.words);
    scene.stop();
    scene.assert_log_names_nobody();
}
