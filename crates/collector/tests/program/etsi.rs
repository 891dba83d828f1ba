//! ETSI TS 102 232 from outside: what is filed, what is answered, what is checked and opened.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};
use writ_encoder::etsi::{AccessEvent, CaseKey, DeliveryOption, Payload, Sealer, Tri, decode};

use crate::{
    senders::{Etsi, signing_key, write_public_key},
    support::{Certificates, Program, ended, lines, packet, send, time, tshark},
};

/// The packets of a file, without their times.
fn packets(file: &Path) -> Option<Vec<Vec<u8>>> {
    Some(tshark(file)?.into_iter().map(|(_, bytes)| bytes).collect())
}

fn of(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(packet).collect()
}

/// Reads one PS-PDU, of less than 128 octets or of less than 256.
fn answer(mut from: impl Read) -> Tri {
    let mut pdu = vec![0; 2];
    from.read_exact(&mut pdu).expect("an answer");
    let rest = match pdu[1] {
        0x81 => {
            pdu.push(0);
            from.read_exact(&mut pdu[2..]).expect("a length");
            usize::from(pdu[2])
        }
        length => usize::from(length),
    };
    let head = pdu.len();
    pdu.resize(head + rest, 0);
    from.read_exact(&mut pdu[head..]).expect("all of it");
    match decode(&pdu).expect("a PS-PDU").0.payload {
        Payload::Tri(tri) => tri,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_recognised_and_filed_by_intercept_session_and_number() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let cases = folder.path().join("cases");
    let program = Program::start(&cases, &certificates.flags());
    let (one, two) = (Etsi::new("LIID-1", 1), Etsi::new("LIID-1", 2));
    let other = Etsi::new("TEST-LIID", 1);

    let content = [
        one.contents(0..3),
        two.contents(0..2),
        one.several(3, &[10, 11, 12]),
        one.cut_off(4, 30),
        one.contents([7, 8]),
        other.content(0),
    ]
    .concat();
    let mut connection = certificates.connect(program.cmc, Some(&certificates.probe));
    for piece in content.chunks(77) {
        connection.write_all(piece).expect("sent");
    }
    connection.conn.send_close_notify();
    connection.flush().expect("sent");
    ended(connection).expect("a close in order");
    let messages = [
        one.activated(),
        one.session(0, AccessEvent::StartOfInterceptionWithSessionActive),
        one.report(1, 1031),
        one.report(3, 1033),
        one.tri(0, &Tri::FirstSegment),
    ];
    let mut connection = certificates.connect(program.cmii, Some(&certificates.probe));
    connection.write_all(&messages.concat()).expect("sent");
    connection.conn.send_close_notify();
    connection.flush().expect("sent");
    ended(connection).expect("a close in order");

    let (last, status) = program.stop();
    assert!(status.success());
    let counts = &last["cases"]["LIID-1"];
    assert_eq!((&counts["packets"], &counts["missing"], &counts["cmc_arrived"]), (&json!(11), &json!(2), &json!(9)));
    assert_eq!((&counts["header_reports"], &counts["cmii_missing"]), (&json!(2), &json!(1)));
    assert_eq!(last["cases"]["tests/TEST-LIID"]["packets"], 1);

    let case = cases.join("LIID-1");
    if let Some(found) = packets(&case.join("content.pcapng")) {
        let cut = packet(4)[..30].to_vec();
        assert_eq!(found, [of([0, 1, 2, 0, 1, 10, 11, 12]), vec![cut], of([7, 8])].concat());
    }
    let gaps: Vec<_> = lines(&case.join("gaps.jsonl"))
        .iter()
        .filter(|line| line["event"] == "gap")
        .map(|line| (line["stream"].clone(), line["content_identifier"].clone(), line["first"].clone()))
        .collect();
    assert_eq!(gaps, [(json!("cmc"), json!("session 1"), json!(5)), (json!("cmii"), json!("session 1"), json!(2)),]);
    let filed = lines(&case.join("cmii.jsonl"));
    let kinds: Vec<_> = filed.iter().map(|line| line["message"].as_str().expect("text")).collect();
    let begin = "start-of-interception-with-session-active";
    assert_eq!(kinds, ["hi1-activated", begin, "header-report", "header-report", "first-segment"]);
    assert_eq!((&filed[2]["source_port"], &filed[2]["source"]["address"]), (&json!(1031), &json!("198.51.100.7")));
    assert_eq!(filed[1]["subscriber_identity"]["value"], "account 7");
    let rows = csv::Reader::from_path(case.join("cmii.csv")).expect("table").records().count();
    assert_eq!(rows, 5);
}

#[test]
fn what_is_sent_again_is_not_filed_again_even_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let probe = Etsi::new("R", 1);
    let content = [probe.contents(0..5), probe.several(5, &[20, 21, 22]), probe.content(6)].concat();
    let messages = [probe.activated(), probe.session(0, AccessEvent::Accept), probe.report(1, 1031)].concat();
    let program = Program::start_plain(folder.path(), true, "--format etsi");
    // The connection breaks within a PDU.
    drop(send(program.cmc, &content[..content.len() - 10]));
    drop(send(program.cmii, &messages));
    program.logged("within a PDU");
    program.counted("first", |status| status["totals"]["packets"] == 8 && status["totals"]["cmii_arrived"] == 3);
    drop(send(program.cmc, &content));
    drop(send(program.cmii, &messages));
    program.counted("again", |status| status["totals"]["packets"] == 9 && status["totals"]["cmii_repeats"] == 3);
    program.kill();

    let program = Program::start_plain(folder.path(), true, "");
    drop(send(program.cmc, &[content, probe.content(7)].concat()));
    drop(send(program.cmii, &[messages, probe.report(2, 1032)].concat()));
    program
        .counted("once more", |status| status["totals"]["cmc_arrived"] == 8 && status["totals"]["cmii_arrived"] == 4);
    let (last, _) = program.stop();
    let counts = &last["cases"]["R"];
    assert_eq!((&counts["packets"], &counts["duplicates"], &counts["restarts"]), (&json!(1), &json!(9), &json!(0)));
    assert_eq!((&counts["cmii_repeats"], &counts["missing"]), (&json!(3), &json!(0)));
    if let Some(found) = packets(&folder.path().join("R/content.pcapng")) {
        assert_eq!(found, of((0..5).chain([20, 21, 22, 6, 7])));
    }
    assert_eq!(lines(&folder.path().join("R/cmii.jsonl")).len(), 4);
}

#[test]
fn sessions_that_are_numbered_anew_are_no_gap_when_it_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let probe = Etsi::new("A", 1);
    let program = Program::start_plain(folder.path(), true, "");
    let anew = probe.tri(0, &Tri::CinReset);
    drop(send(program.cmc, &[probe.contents(5..9), anew, probe.contents(0..2)].concat()));
    program.counted("all", |status| status["totals"]["packets"] == 6);
    let (last, _) = program.stop();
    assert_eq!((&last["totals"]["restarts"], &last["totals"]["missing"]), (&json!(0), &json!(0)));
    assert_eq!(lines(&folder.path().join("A/cmii.jsonl"))[0]["message"], "cin-reset");
}

#[test]
fn questions_are_answered_and_acknowledgement_means_that_it_is_in_the_files() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let probe = Etsi::new("Q", 1);
    let options = vec![DeliveryOption::PduAcknowledgement, DeliveryOption::Unknown(9)];
    let asked = [
        probe.tri(0, &Tri::OptionRequest { requested: options }),
        probe.contents(0..40),
        probe.tri(0, &Tri::AcknowledgementRequest),
        probe.tri(0, &Tri::KeepAlive),
    ]
    .concat();
    let hear = |cases: &Path, mut from: &mut dyn Read| {
        let Tri::OptionResponse { accepted, declined } = answer(&mut from) else { panic!("options first") };
        assert_eq!((accepted, declined), (vec![DeliveryOption::PduAcknowledgement], vec![DeliveryOption::Unknown(9)]));
        assert_eq!(answer(&mut from), Tri::AcknowledgementResponse);
        // While the collector runs, without its being told to write anything out.
        let filed = fs::read(cases.join("Q/content.pcapng")).expect("file");
        let last = packet(39);
        assert!(filed.windows(last.len()).any(|window| window == last));
        assert_eq!(answer(&mut from), Tri::KeepAliveResponse);
    };

    let cases = folder.path().join("plain");
    let program = Program::start_plain(&cases, true, "");
    let mut connection = send(program.cmc, &asked);
    hear(&cases, &mut connection);
    drop(connection);
    drop(program.stop());

    let cases = folder.path().join("tls");
    let program = Program::start(&cases, &certificates.flags());
    let mut connection = certificates.connect(program.cmc, Some(&certificates.probe));
    connection.write_all(&asked).expect("sent");
    hear(&cases, &mut connection);
    let (last, _) = program.stop();
    assert_eq!(last["cases"].as_object().expect("cases").len(), 1, "questions are of no case");
}

#[test]
fn a_peer_that_does_not_listen_to_its_answers_stops_nobody_else() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), true, "");
    let question = Etsi::new("D", 1).tri(0, &Tri::KeepAlive);
    let many = question.repeat(10_000);
    let mut deaf = TcpStream::connect(program.cmc).expect("connected");
    // In the end the collector has had enough, and resets the connection.
    while deaf.write_all(&many).is_ok() {}
    program.logged("does not take the answers");
    drop(send(program.cmc, &Etsi::new("E", 1).contents(0..3)));
    program.counted("the other", |status| status["totals"]["packets"] == 3);
    assert!(program.stop().1.success());
}

#[test]
fn what_was_changed_on_the_way_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let (key, file) = (signing_key(), folder.path().join("carrier.der"));
    write_public_key(&key, &file);
    let flags = format!("--verify-key {}", file.display());
    let program = Program::start_plain(&folder.path().join("cases"), true, &flags);

    // Good, over two connections: the hash comes when the path is there again.
    let good = Etsi::new("GOOD", 1).checked(0..8, Some(&key));
    drop(send(program.cmc, &good[..3].concat()));
    program.counted("the first", |status| status["totals"]["packets"] == 3);
    drop(send(program.cmc, &good[3..].concat()));
    // One octet of one packet is another.
    let mut bad = Etsi::new("BAD", 1).checked(0..8, Some(&key));
    let end = bad[2].len() - 1;
    bad[2][end] ^= 1;
    drop(send(program.cmc, &bad.concat()));
    // One PDU is missing, and the signature is somebody else's.
    let mut holed = Etsi::new("HOLED", 1).checked(0..8, Some(&signing_key()));
    holed.remove(1);
    drop(send(program.cmc, &holed.concat()));
    program.counted("all", |status| {
        let all = |verdict: &str| status["totals"]["checks"][verdict].as_u64().unwrap_or(0);
        all("good") + all("bad") + all("missing") == 9
    });
    let alarm = program.logged("ALARM");
    assert!(alarm.contains("BAD") || alarm.contains("HOLED"), "{alarm}");
    let (last, _) = program.stop();
    let checks = |case: &str| last["cases"][case]["checks"].clone();
    assert_eq!(checks("GOOD"), json!({"good": 3, "bad": 0, "missing": 0, "not_checked": 0}));
    // The hash is wrong; the signature is over what the hash says.
    assert_eq!(checks("BAD"), json!({"good": 2, "bad": 1, "missing": 0, "not_checked": 0}));
    assert_eq!(checks("HOLED"), json!({"good": 1, "bad": 1, "missing": 1, "not_checked": 0}));
    let told = lines(&folder.path().join("cases/HOLED/checks.jsonl"));
    let verdicts: Vec<_> = told.iter().map(|line| (line["check"].clone(), line["verdict"].clone())).collect();
    assert_eq!(
        verdicts,
        [(json!("hash"), json!({"missing": [1]})), (json!("hash"), json!("good")), (json!("signature"), json!("bad")),]
    );
}

#[test]
fn what_is_sealed_is_opened_with_the_key_of_the_case_or_kept_as_it_came() {
    let folder = tempfile::tempdir().expect("folder");
    let keys = folder.path().join("keys");
    let digits = |octet: u8, length: usize| format!("{octet:02x}").repeat(length);
    let text = format!("# keys\nMINE {}\nWRONG {}\n", digits(7, 32), digits(8, 24));
    fs::write(&keys, text).expect("written");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("mode");
    let flags = format!("--case-keys {}", keys.display());
    let cases = folder.path().join("cases");
    let sealed = |liid: &str, key: &CaseKey| {
        let mut sealer = Sealer::new(key.clone(), time(0));
        let mut stream = Vec::new();
        for sequence in 0..3 {
            let pdu = Etsi::new(liid, 1).content(sequence);
            let mut out = vec![0; Sealer::bound(pdu.len())];
            let length = sealer.seal(&mut out, sequence, &pdu).expect("sealed");
            stream.extend_from_slice(&out[..length]);
        }
        stream
    };
    let key = CaseKey::new(&[7; 32]).expect("key");
    let all: Vec<u8> = ["MINE", "WRONG", "NONE"].iter().flat_map(|liid| sealed(liid, &key)).collect();

    for repeats in 0..2 {
        let program = Program::start_plain(&cases, true, &flags);
        drop(send(program.cmc, &all));
        program.counted("all", |status| status["totals"]["cmc_arrived"] == 9);
        if repeats == 0 {
            assert!(program.logged("there is no key for it").contains("NONE"));
            assert!(program.logged("does not open it").contains("WRONG"));
        }
        let (last, _) = program.stop();
        let of = |case: &str, what: &str| last["cases"][case][what].clone();
        if repeats == 0 {
            assert_eq!((of("MINE", "packets"), of("MINE", "sealed")), (json!(3), json!(0)));
            assert_eq!((of("WRONG", "packets"), of("WRONG", "sealed")), (json!(0), json!(3)));
        } else {
            assert_eq!(last["totals"]["duplicates"], 9, "{last}");
        }
    }
    if let Some(found) = packets(&cases.join("MINE/content.pcapng")) {
        assert_eq!(found, of(0..3));
    }
    let kept = lines(&cases.join("NONE/sealed.jsonl"));
    let pdus: String = kept.iter().map(|line| line["pdu"].as_str().expect("text")).collect();
    assert_eq!(pdus, sealed("NONE", &key).iter().map(|octet| format!("{octet:02x}")).collect::<String>());

    // A file that others can read, or with something else in it, starts nothing.
    for (mode, text, what) in [(0o644, "A 00\n", "0600"), (0o600, "* 00\n", "line 1"), (0o600, "A\n", "line 1")] {
        fs::write(&keys, text).expect("written");
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).expect("mode");
        let decode = ["decode", "--case-keys", keys.to_str().expect("text"), "-"];
        let output = Command::new(env!("CARGO_BIN_EXE_writ-collect")).args(decode).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("--case-keys") && said.contains(what), "{said}");
    }
}

#[test]
fn hostile_octets_end_their_connection_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), true, "");
    let probe = Etsi::new("H", 1);
    let good = probe.contents(0..3);
    let mut wrong = probe.content(3);
    let at = wrong.windows(3).position(|window| window == [0x80, 1, 0]).expect("the direction");
    wrong[at + 2] = 9;
    let line = |bytes: &[u8]| {
        let _ = ended(send(program.cmc, bytes));
    };
    line(&[&good[..], &wrong].concat());
    let said = program.logged("ended: garbled");
    assert!(said.contains(&format!("octet {}", good.len())) && said.contains("payloadDirection"), "{said}");
    line(&[&good[..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]].concat());
    program.logged("longer than");
    line(&[0x30, 0x06, 0xa1, 0x80, 0xa1, 0x80, 0x00, 0x00]);
    // T1.IAS on a connection that began as ETSI.
    line(&[good, crate::support::Probe::new("T").content(1)].concat());
    drop(send(program.cmc, &probe.contents(3..5)));
    program.counted("what was good", |status| status["totals"]["packets"] == 5 && status["faults"] == 4);
    assert!(program.stop().1.success());
}

#[test]
fn digests_are_said_not_to_be_made() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), true, "");
    let probe = Etsi::new("N", 1);
    drop(send(program.cmc, &probe.contents(0..3)));
    drop(send(program.cmii, &probe.report(0, 1031)));
    program.counted("all", |status| status["totals"]["packets"] == 3 && status["totals"]["cmii_arrived"] == 1);
    program.stop();
    let case = folder.path().join("N");
    let command = Command::new(env!("CARGO_BIN_EXE_writ-collect")).arg("digests").arg(&case).output().expect("runs");
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    assert!(!command.status.success() && said.contains("digests are made of T1.IAS alone"), "{said}");
    assert!(said.contains("etsi") && !case.join("digests.jsonl").exists(), "{said}");
}

#[test]
fn a_stream_that_was_kept_is_printed_checked_and_opened() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let key = signing_key();
    write_public_key(&key, &folder.path().join("carrier.der"));
    let probe = Etsi::new("P", 1);
    let mut pdus = probe.checked(0..4, Some(&key));
    pdus.push(probe.several(4, &[5, 6]));
    fs::write(path("stream"), pdus.concat()).expect("written");
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-collect"));
        command.arg("decode").arg(path("stream")).args(["--pcapng", &path("packets"), "--verify-key"]);
        command.arg(path("carrier.der")).args(more).output().expect("runs")
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].clone()).collect();
    assert_eq!(verdicts[3..6], [Value::Null, json!("good"), json!("good")]);
    assert!(lines.iter().all(|line| line["handover"] == "etsi" && line["stream"].is_string()));
    assert_eq!(lines[6]["payload"]["cc"].as_array().map(Vec::len), Some(2));
    if let Some(found) = packets(&folder.path().join("packets")) {
        assert_eq!(found, of([0, 1, 2, 3, 5, 6]));
    }
    let again = run(&[]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("there already"));
}
