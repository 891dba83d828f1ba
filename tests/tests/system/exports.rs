//! What is handed out of a case, and incidents: an archive that tar, sha256sum and ssh-keygen can check, in which nothing of
//! another case is and no byte can be altered unseen; and an incident that alarms until every agency is told.

use crate::access::{ADMIN, ADMINS, LI, UNKNOWN, VIEWER, as_user, build};
use crate::scene::{ALICE, BOB, PATIENCE, SECOND, Scene, order, words};
use crate::traffic::Traffic;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use writ_authority::{CheckpointPublicKey, Trust, check_export};
use writ_lab::documents::Order;
use writ_lab::until;

/// What names the second case and whoever has to do with it. The first has other words for all of it.
const OTHERS: [(&str, &str); 5] = [
    ("26-mc-0117", "26-mc-0999"),
    ("account 20117", "account 30999"),
    ("Special Agent B. Agent", "Inspector C. Other"),
    ("authority = ", "compartment = \"gangs\"\nauthority = "),
    ("D. Clerk", "E. Clerk"),
];

/// Two cases in force, the second in a compartment that the user `LI` has nothing to do with, under traffic; and some of
/// what people get wrong.
fn two_cases(scene: &Scene) -> [Order; 2] {
    let [own, other] = [order(0, ALICE, "CASE-OWN"), Order { agency: SECOND.name, ..order(1, BOB, "CASE-OTHER") }];
    let [ada, ben, _] = &scene.officers;
    let document = |order: &Order| order.warrant(&scene.probe().head().unwrap()).unwrap();
    // What is refused is on record with what was said: it names the destinations that there are.
    let wrong = document(&own).replace("destination = \"agency-a\"", "destination = \"agency-c\"");
    let refused = scene.probe().submit_document("wrong", &wrong, &[ada, ben]).unwrap();
    assert!(!refused.accepted && refused.words.contains("agency-b"), "{}", refused.words);
    scene.arm(&own);
    let theirs = OTHERS.iter().fold(document(&other), |text, (own, other)| text.replace(own, other));
    let answer = scene.probe().submit_document(other.case_id, &theirs, &[ada, ben]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap(), BOB.parse().unwrap()]);
    for order in [&own, &other] {
        until("packets", PATIENCE, || Ok((scene.probe().counts(order)?.delivered > 100).then_some(()))).unwrap();
    }
    traffic.stop();
    [own, other]
}

fn export(scene: &Scene, uuid: &str, out: &Path, more: &[&str]) -> Output {
    let (out, configuration) = (out.display().to_string(), scene.path("writ.toml").display().to_string());
    scene.writ(&[&["case", "export", uuid, "--out", &out, "--config", &configuration], more].concat())
}

fn verify(scene: &Scene, archive: &Path, more: &[&str]) -> Output {
    scene.writ(&[&["case", "verify", &archive.display().to_string()], more].concat())
}

/// Unpacks with tar, and gives the folder.
fn unpack(archive: &Path, into: &Path) -> PathBuf {
    fs::create_dir(into).unwrap();
    let tar = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(into).output().unwrap();
    assert!(tar.status.success(), "{}", words(&tar));
    let mut folders = fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.next().expect("a folder");
    assert_eq!(folders.next(), None, "all of it lies below one folder");
    folder
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        if entry.is_dir() {
            found.extend(files(&entry).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, fs::read(&entry).unwrap());
        }
    }
    found
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

fn records(scene: &Scene, act: &str) -> Vec<Value> {
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["act"] == act).collect()
}

#[test]
fn an_export_holds_a_case_whole_and_nothing_of_another_and_no_byte_of_it_alters_unseen() {
    let Some(mut scene) = build() else { return };
    let [own, other] = two_cases(&scene);
    let early = scene.probe().head().unwrap().record;
    assert!(scene.probe().revoke(&own, &scene.officers[0]).unwrap().accepted);
    until("the final figures", PATIENCE, || {
        let stops = records(&scene, "intercept-stop");
        let is_stopped = stops.iter().any(|it| it["subject"]["uuid"] == own.uuid);
        Ok((is_stopped && scene.probe().slot(&own)?.is_none()).then_some(()))
    })
    .unwrap();

    let key = scene.writ(&["audit", "key", "--config", scene.path("writ.toml").to_str().unwrap()]);
    fs::write(scene.path("probe.pub"), &key.stdout).unwrap();
    let archive = scene.path("own.tar");
    let exported = export(&scene, own.uuid, &archive, &[]);
    assert!(exported.status.success(), "{}", words(&exported));
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let sum = Command::new("sha256sum").arg(&archive).output().unwrap();
    let sum = words(&sum).split(' ').next().unwrap().to_owned();
    let done = records(&scene, "case-export").pop().expect("it is on record");
    assert_eq!(done["details"]["archive"], sum.as_str(), "{done}");
    assert_eq!((&done["subject"]["uuid"], &done["actor"]["uid"]), (&own.uuid.into(), &0.into()), "{done}");

    // Readable with tar alone; every command of its own page does what the page says.
    let folder = unpack(&archive, &scene.path("unpacked"));
    let found = files(&folder);
    let readme = String::from_utf8(found["README.txt"].clone()).unwrap();
    let commands: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let commands: Vec<_> = commands.into_iter().filter(|line| !line.starts_with(' ')).collect();
    let run = |command: &str| {
        let output = Command::new("sh").args(["-euc", command]).current_dir(&folder).output().unwrap();
        (output.status.success(), words(&output))
    };
    let mut by_tool: BTreeMap<&str, usize> = BTreeMap::new();
    for command in commands.iter().filter(|command| !command.starts_with("writ ")) {
        *by_tool.entry(command.split(' ').next().unwrap()).or_default() += 1;
        let (is_good, said) = run(command);
        assert!(is_good, "{command}\n{said}");
        if command.starts_with("sed ") {
            let number: usize = command.split(['\'', '{']).nth(1).unwrap().parse().unwrap();
            let text = String::from_utf8(found["audit/records.jsonl"].clone()).unwrap();
            let hash = said.split(' ').next().unwrap();
            assert!(text.lines().nth(number - 1).unwrap().contains(&format!("\"hash\":\"{hash}\"")), "{said}");
        }
    }
    // The manifest, two over the warrant, two over the roster, one over the revocation.
    assert_eq!((by_tool["sha256sum"], by_tool["ssh-keygen"], by_tool["sed"]), (1, 6, 1), "{readme}");

    // The documents are those that were handed in; the figures are there.
    let is_there = |file: &str| found.values().any(|bytes| *bytes == fs::read(scene.path(file)).unwrap());
    assert!(is_there("CASE-OWN.toml") && is_there("CASE-OWN.revocation.toml") && is_there("roster.toml"));
    let counts: Value = serde_json::from_slice(&found["counts.json"]).unwrap();
    assert_eq!(counts["state"], "final", "{counts}");
    assert!(counts["counts"]["deliveries"][0]["cmc_next_sequence"].as_u64() > Some(100), "{counts}");
    assert!(counts["recorded"]["delivery_1"].as_str().unwrap().starts_with("agency-a: delivered "), "{counts}");
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let shown = String::from_utf8(found["audit/records.jsonl"].clone()).unwrap();
    let (mut whole, mut quoting) = (0, 0);
    for (number, (line, original)) in (1..).zip(shown.lines().zip(log.lines())) {
        let is_own = original.contains(own.uuid);
        let names_other = original.contains("agency-b");
        assert!(line == original || !is_own || names_other, "record {number} of the case is not shown: {original}");
        whole += usize::from(line == original);
        quoting += usize::from(line != original && is_own);
    }
    assert!(whole > 10 && shown.lines().count() > whole, "{whole}");
    assert!(quoting == 1 && readme.contains("or quote one (3, refusals in this case)"), "{quoting}: {readme}");
    let declaration = String::from_utf8(found["declaration-draft.txt"].clone()).unwrap();
    assert!(declaration.contains("delivery_1: agency-a") && declaration.contains("902(13)"), "{declaration}");

    // Nothing of the other case, and no secret of the machine.
    let private = fs::read_to_string(scene.path("state/probe.key")).unwrap();
    let secrets = [other.uuid, BOB, "CASE-OTHER", SECOND.name, "gangs", "PRIVATE KEY", private.lines().nth(2).unwrap()];
    for secret in secrets.into_iter().chain(OTHERS.iter().map(|(_, other)| *other)) {
        for (file, bytes) in found.iter().chain([(&"the archive".to_owned(), &fs::read(&archive).unwrap())]) {
            assert!(!contains(bytes, secret), "{file} has {secret}");
        }
    }

    let [probe_key, roster] = ["probe.pub", "roster.toml"].map(|file| scene.path(file).display().to_string());
    let trusting = ["--key", &probe_key, "--roster", &roster];
    let good = verify(&scene, &archive, &trusting);
    assert!(good.status.success(), "{}", words(&good));
    for expected in ["signed by the probe's key that you gave", "ada.marsh and ben.ortega", "is the one that you gave"]
    {
        assert!(words(&good).contains(expected), "{expected}: {}", words(&good));
    }
    let alone = words(&verify(&scene, &archive, &[]));
    assert!(alone.contains("not known from here: that this key is the probe's"), "{alone}");
    let head = log.lines().last().unwrap();
    let later = serde_json::from_str::<Value>(head).unwrap()["hash"].as_str().unwrap().to_owned();
    let foreign = verify(&scene, &archive, &["--head", &later]);
    assert!(!foreign.status.success() && words(&foreign).contains("nowhere in the log"), "{}", words(&foreign));

    // Bytes altered one by one, all over the archive: in its files, and between them.
    let bytes = fs::read(&archive).unwrap();
    let key: CheckpointPublicKey = String::from_utf8(key.stdout).unwrap().parse().unwrap();
    let trust = Trust { keys: vec![key], ..Trust::default() };
    assert!(check_export(&bytes, &trust).is_good());
    let mut altered = bytes.clone();
    for step in 0..1000 {
        let place = step * bytes.len() / 1000 + step % 7;
        altered[place] ^= 1 << (step % 8);
        assert!(!check_export(&altered, &trust).is_good(), "byte {place} of {} was altered unseen", bytes.len());
        altered[place] = bytes[place];
    }
    for length in [0, 1, 511, 512, 1024, bytes.len() / 2, bytes.len() - 1] {
        assert!(!check_export(&bytes[..length], &trust).is_good(), "cut to {length} bytes");
    }

    // Up to an earlier record, and not into a file that is there.
    let until = early.to_string();
    let partial = scene.path("early.tar");
    assert!(export(&scene, own.uuid, &partial, &["--until", &until]).status.success());
    let said = words(&verify(&scene, &partial, &trusting));
    assert!(said.contains(&format!("records 1 to {early} are one chain")) && said.contains("is active"), "{said}");
    let refused = words(&export(&scene, own.uuid, &partial, &[]));
    assert!(refused.contains("is there already"), "{refused}");
    for out_of_reach in ["0", "100000"] {
        let refused = export(&scene, own.uuid, &scene.path("no.tar"), &["--until", out_of_reach]);
        assert!(
            !refused.status.success() && words(&refused).contains("the case has records from"),
            "{}",
            words(&refused)
        );
    }
    assert!(!scene.path("no.tar").exists());
    assert_eq!(records(&scene, "case-export").iter().filter(|it| it["outcome"] == "refused").count(), 2);

    // Of another compartment's case nobody gets more than of one that there is none of.
    let shelf = scene.path("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o777)).unwrap();
    let answers = [other.uuid, UNKNOWN].map(|uuid| {
        let out = shelf.join("other.tar").display().to_string();
        let answer = as_user(&scene, LI, LI, &["case", "export", uuid, "--out", &out]);
        (answer.status.code(), words(&answer).replace(uuid, "UUID"))
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].1.contains("there is no warrant UUID among your cases"), "{answers:?}");
    assert_eq!(fs::read_dir(&shelf).unwrap().count(), 0, "no file is left of it");
    let own_out = shelf.join("own.tar").display().to_string();
    assert!(as_user(&scene, LI, LI, &["case", "export", own.uuid, "--out", &own_out]).status.success());
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn an_incident_alarms_until_every_agency_is_told_and_is_taken_while_the_probe_is_held() {
    let Some(mut scene) = build() else { return };
    let log = scene.path("state/audit.jsonl");
    let [own, other] = two_cases(&scene);
    let older = fs::read(&log).unwrap();
    assert!(scene.probe().revoke(&own, &scene.officers[0]).unwrap().accepted);
    scene.arm(&order(2, BOB, "CASE-LATER"));
    scene.stop();
    // The log is put back to an older state: a warrant that is here saw more of it. Now everything is held.
    fs::write(&log, older).unwrap();
    scene.run();
    assert_ne!(scene.probe().status().unwrap()["held"].as_array().map(Vec::len), Some(0));

    let configuration = scene.path("writ.toml").display().to_string();
    let writ = |arguments: &[&str]| scene.writ(&[&["incident"], arguments, &["--config", &configuration]].concat());
    let what = "a list of targets lay open on the file server";
    let report = ["new", "--breach", "compromise", "--what", what, "--found-by", "Ada Marsh", "--found"];
    let early = "2026-01-01T00:00:00Z";
    let future = writ(&[&report[..], &["2999-01-01T00:00:00Z", "--case", own.uuid]].concat());
    assert!(words(&future).contains("has not come yet"), "{}", words(&future));
    let of_both = [&report[..], &[early, "--case", own.uuid, "--case", other.uuid, "--json"]].concat();
    let first: Value = serde_json::from_slice(&writ(&of_both).stdout).unwrap();
    assert_eq!(first["incident"]["untold"], serde_json::json!(["agency-a", "agency-b"]), "{first}");
    let both = first["incident"]["uuid"].as_str().unwrap().to_owned();

    // Whoever has to do with one of its cases only learns nothing of it, nor reports on another's case.
    let unknown = [both.as_str(), UNKNOWN].map(|uuid| {
        let telling = ["incident", "told", uuid, "agency-a", "--by", "Mia", "--how", "by telephone"];
        let answers = [&["incident", "show", uuid][..], &telling].map(|it| words(&as_user(&scene, LI, LI, it)));
        answers.map(|it| it.replace(uuid, "UUID"))
    });
    assert_eq!(unknown[0], unknown[1]);
    let theirs = [other.uuid, UNKNOWN].map(|uuid| {
        let arguments = [&["incident"], &report[..], &[early, "--case", uuid]].concat();
        words(&as_user(&scene, LI, LI, &arguments)).replace(uuid, "UUID")
    });
    assert_eq!(theirs[0], theirs[1]);
    let arguments = [&["incident"], &report[..], &[early, "--case", own.uuid, "--json"]].concat();
    let second: Value = serde_json::from_slice(&as_user(&scene, LI, LI, &arguments).stdout).unwrap();
    let single = second["incident"]["uuid"].as_str().unwrap().to_owned();
    let listed = words(&as_user(&scene, LI, LI, &["incident", "list"]));
    assert!(listed.contains(&single) && !listed.contains(&both), "{listed}");

    // The alarm says that there is something to do, and not about whom.
    for (user, group) in [(VIEWER, VIEWER), (ADMIN, ADMINS)] {
        let said = words(&as_user(&scene, user, group, &["status"]));
        assert!(said.contains("ALARM: 2 incidents of which an agency is to be told"), "{said}");
        assert!(!said.contains(own.uuid) && !said.contains("file server"), "{said}");
        assert!(words(&as_user(&scene, user, group, &["incident", "list"])).contains("the role li"));
    }
    let told = |incident: &str, agency: &str| writ(&["told", incident, agency, "--by", "Ada Marsh", "--how", "called"]);
    let nobody = words(&told(&single, "agency-b"));
    assert!(nobody.contains("to be told still are: agency-a"), "{nobody}");
    for (incident, agency) in [(&single, "agency-a"), (&both, "agency-a"), (&both, "agency-b")] {
        assert!(told(incident, agency).status.success(), "{agency}");
    }
    assert!(words(&told(&both, "agency-b")).contains("nobody is"));

    // It is kept, and the alarm with it: over a restart, too. An export has the incident that is its case's alone.
    scene.stop();
    scene.run();
    assert_eq!(scene.probe().status().unwrap()["untold"], 0);
    let shown = words(&scene.writ(&["incident", "show", &both, "--config", &configuration]));
    assert!(shown.contains("told: agency-b") && shown.contains(what) && shown.contains("2026-01-01"), "{shown}");
    let archive = scene.path("own.tar");
    let exported = export(&scene, own.uuid, &archive, &[]);
    assert!(exported.status.success(), "{}", words(&exported));
    let found = files(&unpack(&archive, &scene.path("unpacked")));
    let all: Vec<u8> = found.values().flatten().copied().collect();
    assert!(contains(&all, &single) && !contains(&all, &both) && !contains(&all, other.uuid));
    assert!(found.keys().any(|path| path.ends_with("-incident.toml")), "{:?}", found.keys());
    assert!(contains(&found["README.txt"], "An incident was reported that concerns this case and others"));
    // The log that was there before left a checkpoint: that it is another one now shows.
    let said = words(&verify(&scene, &archive, &[]));
    assert!(said.contains("audit/checkpoints.jsonl line ") && said.contains(": saw another record"), "{said}");
    let mut complaints = said.lines().filter(|line| line.starts_with("writ: "));
    assert!(complaints.all(|line| line.contains("saw another record")), "and nothing else: {said}");
    scene.stop();
    scene.assert_log_names_nobody();
}
