//! What root does on the machine is found out: the log is held against what two witnesses outside have of it, a clock
//! and a log that went back hold what is new, and what is written into the kernel's tables past the probe is taken out.

use crate::isolation::map_of;
use crate::scene::{ALICE, PATIENCE, SECOND, Scene, address, order, seconds_ahead, words};
use crate::traffic::Traffic;
use aya::maps::{Array, Map};
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::Duration;
use writ_abi::{PolicyFlags, SlotPolicy, maps};
use writ_lab::documents::Order;
use writ_lab::{Process, until};

const PORT: u16 = 6514;

/// A syslog server of another make: it prints what comes over TLS, and asks for the probe's certificate.
fn syslog(scene: &Scene, output: &str) -> Process {
    let (agency, ca) = (&scene.certificates.agency, &scene.certificates.authority);
    let mut command = scene.office.command("openssl");
    command
        .args(["s_server", "-quiet", "-tls1_3", "-Verify", "1", "-accept", &format!("{}:{PORT}", address())])
        .arg("-cert")
        .arg(&agency.certificate)
        .arg("-key")
        .arg(&agency.key)
        .arg("-CAfile")
        .arg(ca)
        // It ends when its own input does.
        .stdin(Stdio::piped())
        .stdout(File::create(scene.path(output)).unwrap())
        .stderr(Stdio::null());
    Process::spawn(&mut command).unwrap()
}

/// The messages in what came over TLS (RFC 5425, 4.3), one a line as a syslog server files them.
fn messages(scene: &Scene, output: &str) -> Vec<String> {
    let text = fs::read_to_string(scene.path(output)).unwrap();
    let (mut rest, mut messages) = (&text[..], Vec::new());
    while let Some((length, behind)) = rest.split_once(' ') {
        let length: usize = length.parse().unwrap_or_else(|_| panic!("no frame: {rest}"));
        let Some(message) = behind.get(..length) else { break };
        messages.push(message.to_owned());
        rest = &behind[length..];
    }
    messages
}

fn folder(scene: &Scene) -> PathBuf {
    scene.path("witness")
}

/// A scene with both kinds of witness.
fn witnessed() -> Option<Scene> {
    let scene = Scene::build(&[("tap0", 1)])?;
    let (ca, probe) = (&scene.certificates.authority, &scene.certificates.probe);
    let (cert, key, folder) = (&probe.certificate, &probe.key, folder(&scene));
    fs::create_dir(&folder).unwrap();
    let section = format!(
        "\n[witness]\nevery_seconds = 1\nalarm_after_seconds = 2\nfolder = {folder:?}\n\
         [[witness.syslog]]\naddress = \"{}:{PORT}\"\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n",
        address()
    );
    fs::write(scene.path("writ.toml"), scene.configuration() + &section).unwrap();
    Some(scene)
}

/// Waits until every witness has everything that is in the log.
fn seen(scene: &Scene) -> u64 {
    let seen = until("witnesses that have all of the log", PATIENCE, || {
        let status = scene.probe().status()?;
        let all = status["witnesses"].as_array().cloned().unwrap_or_default();
        let has_all = |it: &Value| it["number"] == status["audit_number"] && it["waiting"] == 0;
        Ok((all.len() == 2 && all.iter().all(has_all)).then(|| status["audit_number"].as_u64()).flatten())
    });
    seen.unwrap_or_else(|error| panic!("{error}: {}", scene.probe().status().unwrap()))
}

/// Holds a copy of the log against both witnesses, somewhere else, with the public key alone.
fn verify(scene: &Scene, log: &str, arguments: &[&str]) -> Output {
    let (log, folder) = (scene.path(log).display().to_string(), folder(scene).display().to_string());
    scene.writ(&[&["audit", "verify", &log, "--checkpoints", &folder], arguments].concat())
}

#[test]
fn two_witnesses_see_the_log_and_show_what_was_cut_off() {
    let Some(mut scene) = witnessed() else { return };
    let configuration = scene.path("writ.toml").display().to_string();
    let server = syslog(&scene, "syslog.1");
    scene.run();
    let content = order(0, ALICE, "CASE-SEEN");
    scene.arm(&content);
    let armed = seen(&scene);
    let key = words(&scene.writ(&["audit", "key", "--config", &configuration])).trim().to_owned();
    fs::copy(scene.path("state/audit.jsonl"), scene.path("copy.jsonl")).unwrap();

    // Both witnesses have signed heads and no identity.
    let filed = messages(&scene, "syslog.1");
    assert!(filed.iter().all(|it| it.starts_with("<109>1 ") && it.contains(" writ ")), "{filed:?}");
    assert!(!filed.is_empty() && !filed.concat().contains("CASE-SEEN") && !filed.concat().contains(ALICE));
    fs::write(scene.path("messages"), filed.join("\n") + "\n").unwrap();
    let messages_file = scene.path("messages").display().to_string();
    let verified = verify(&scene, "copy.jsonl", &["--checkpoints", &messages_file, "--key", &key, "--json"]);
    assert!(verified.status.success(), "{}", words(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(report["ok"] == true && report["proven_to"].as_u64() >= Some(armed), "{report}");

    // Both are away: an alarm, and nothing is lost by it.
    drop(server);
    fs::rename(folder(&scene), scene.path("away")).unwrap();
    let answer = scene.probe().revoke(&content, &scene.officers[0]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
    let away = until("an alarm for both", PATIENCE, || {
        let status = scene.probe().status()?;
        let all = status["witnesses"].as_array().cloned().unwrap_or_default();
        let missed = |it: &Value| it["alarm"] == true && it["waiting"] != 0 && it["problem"].is_string();
        Ok(all.iter().all(missed).then_some(()))
    });
    away.unwrap();
    let shown = words(&scene.writ(&["status", "--config", &configuration]));
    assert!(shown.contains("ALARM: the folder is not there; is it mounted?"), "{shown}");
    assert!(shown.contains("ALARM: connection refused: nobody listens"), "{shown}");
    fs::rename(scene.path("away"), folder(&scene)).unwrap();
    let _server = syslog(&scene, "syslog.2");
    let revoked = seen(&scene);
    assert!(revoked > armed);
    assert!(!messages(&scene, "syslog.2").is_empty());
    scene.stop();

    // What root cuts off, the witnesses miss; so does the probe itself at its next start.
    let whole = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let cut: String = whole.split_inclusive('\n').take(revoked as usize - 1).collect();
    fs::write(scene.path("cut.jsonl"), &cut).unwrap();
    let verified = verify(&scene, "cut.jsonl", &["--key", &key]);
    let said = words(&verified);
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("saw record {revoked}, and the log ends at record {}", revoked - 1)), "{said}");
    assert_eq!(verify(&scene, "cut.jsonl", &[]).status.code(), Some(2), "whose checkpoints are they?");
    fs::write(scene.path("state/audit.jsonl"), &cut).unwrap();
    scene.run();
    let status = scene.probe().status().unwrap();
    assert!(status["held"].to_string().contains("records were cut off"), "{}", status["held"]);
    let next = Order { agency: SECOND.name, ..order(1, ALICE, "CASE-NEXT") };
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit(&next, &[ada, ben]).unwrap();
    assert!(!answer.accepted && answer.words.contains("the probe is held"), "{}", answer.words);
    // The witness saw more than the log has: what it has releases nothing.
    let folder = folder(&scene).display().to_string();
    let arguments = ["backup", "release", "--config", &configuration, "--key", &key, "--checkpoints", &folder];
    let released = scene.writ(&arguments);
    let said = words(&released);
    assert!(released.status.code() == Some(1) && said.contains("has not all that the witness saw"), "{said}");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_clock_that_went_back_holds_what_is_new() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let first = order(0, ALICE, "CASE-FIRST");
    scene.arm(&first);
    scene.stop();
    // As if the probe had run an hour from now: the clock is an hour behind that.
    let mark = scene.path("state/mark");
    let mut value: Value = serde_json::from_slice(&fs::read(&mark).unwrap()).unwrap();
    value["time"] = seconds_ahead(1800).to_string().into();
    fs::write(&mark, value.to_string()).unwrap();
    scene.run();
    let status = scene.probe().status().unwrap();
    assert_eq!(status["held"][0]["what"], "clock-behind", "{}", status["held"]);
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_millis(200));
    assert!(!traffic.stop().is_empty());
    assert_eq!(scene.probe().counts(&first).unwrap().matched, 0, "what is not in the kernel is not put there");
    let [ada, ben, _] = &scene.officers;
    let second = Order { agency: SECOND.name, ..order(1, ALICE, "CASE-SECOND") };
    let answer = scene.probe().submit(&second, &[ada, ben]).unwrap();
    assert!(!answer.accepted && answer.words.contains("wait until it has caught up"), "{}", answer.words);
    scene.stop();
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    assert!(log.contains("\"act\":\"clock-doubt\""), "it is recorded");
    for act in ["probe-start", "warrant-arm", "intercept-start"] {
        let record = log.lines().find(|line| line.contains(&format!("\"act\":\"{act}\""))).unwrap();
        assert!(record.contains("clock_maximum_error_us") && record.contains("clock_doubt_us"), "{record}");
    }
}

#[test]
fn what_is_written_into_the_kernels_tables_past_the_probe_is_taken_out_and_an_alarm() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-GUARDED");
    scene.arm(&content);
    let program = scene.probe().kernel_status().unwrap()["program_id"].as_u64().unwrap();
    let mut slots = Array::<_, SlotPolicy>::try_from(Map::Array(map_of(program, maps::SLOTS))).unwrap();
    let armed = scene.probe().slot(&content).unwrap().expect("a slot")["slot"].as_u64().unwrap() as u32;
    let before = slots.get(&armed, 0).unwrap();
    // An order that never ends, and a slot that nobody has approved.
    slots.set(armed, SlotPolicy { stop_ns: u64::MAX, ..before }, 0).unwrap();
    let flags = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    let policy = SlotPolicy { start_ns: 0, stop_ns: u64::MAX, flags, generation: 1, reserved: 0 };
    slots.set(armed + 1, policy, 0).unwrap();
    let put_right = until("tables that are put right", PATIENCE, || {
        let counted = scene.probe().status()?["capture"]["foreign_entries"].as_u64();
        Ok(counted.filter(|count| *count >= 2))
    });
    assert_eq!(put_right.unwrap(), 2);
    assert_eq!(slots.get(&armed, 0).unwrap(), before);
    assert_eq!(slots.get(&(armed + 1), 0).unwrap().stop_ns, 0);
    let configuration = scene.path("writ.toml").display().to_string();
    let shown = words(&scene.writ(&["status", "--config", &configuration]));
    assert!(shown.contains("ALARM: 2 entries in the kernel's tables were written by somebody else"), "{shown}");
    scene.stop();
    let log = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    assert!(log.contains("\"act\":\"tables-foreign\""), "it is recorded");
    assert!(fs::read_to_string(scene.path("writ.log")).unwrap().contains("ALARM"), "and logged");
    scene.assert_log_names_nobody();
}
