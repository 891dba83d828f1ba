//! `writ-collect decode`, and settings that make no sense.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::support::{Certificates, Probe, packet};
use serde_json::Value;

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_writ-collect"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("stdin");
    // Settings are refused without reading.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn both_streams_are_told_apart_and_printed() {
    let probe = Probe::new("CASE-9");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("stream.ber");
    fs::write(&file, probe.contents(1..=50)).expect("written");
    let output = run(&["decode", file.to_str().expect("text")], b"");
    assert!(output.status.success(), "{}", said(&output));
    let content = lines(&output);
    assert_eq!(content.len(), 50);
    for (number, line) in (1..).zip(&content) {
        assert_eq!(line["stream"], "cmc");
        assert_eq!(line["sequence"], number);
        let bytes: String = packet(number).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line["payload"], bytes.as_str());
    }
    assert_eq!(content[1]["offset"], probe.content(1).len());
    assert_eq!((&content[0]["direction"], &content[1]["direction"]), (&"from-subject".into(), &"to-subject".into()));

    assert!(!said(&output).contains("TEST"), "{}", said(&output));
    let test = run(&["decode", "-"], &Probe::new("TEST-1").content(1));
    assert_eq!((lines(&test).len(), said(&test).matches("TEST:").count()), (1, 1), "{}", said(&test));

    let output = run(&["decode", "-"], &[probe.session(), probe.report(7)].concat());
    assert!(output.status.success(), "{}", said(&output));
    let messages = lines(&output);
    assert_eq!(messages[0]["message"], "session-already-established");
    assert_eq!((&messages[1]["stream"], &messages[1]["source_port"]), (&"cmii".into(), &1031.into()));
}

#[test]
fn a_fault_is_named_with_its_place_behind_what_could_be_read() {
    let probe = Probe::new("CASE-9");
    let good = probe.contents(1..=3);
    let place = format!("octet {}", good.len());
    let cut = probe.content(4);
    for (rest, what) in [(&b"junk"[..], "0x6a"), (&cut[..9], "ends within"), (&probe.report(1), "IAS-CC-APDU")] {
        let output = run(&["decode", "-"], &[&good[..], rest].concat());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines(&output).len(), 3);
        assert!(said(&output).contains(&place) && said(&output).contains(what), "{}", said(&output));
    }
    let output = run(&["decode", "--stream", "cmii", "-"], &good);
    assert_eq!((output.status.code(), lines(&output).len()), (Some(1), 0));
    let output = run(&["decode", "/nowhere/stream.ber"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/nowhere/stream.ber"), "{}", said(&output));
}

#[test]
fn settings_that_make_no_sense_start_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let cases = folder.path().join("cases");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (collector, probe) = (&certificates.collector, &certificates.probe);
    fs::write(path("empty.pem"), "").expect("written");
    let tls = |cert: &str, key: &str, client_ca: &str| {
        format!(
            "directory = {cases:?}\ncmii = '127.0.0.1:0'\ncmc = '127.0.0.1:0'\n\
             [tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {client_ca:?}\n"
        )
    };
    let cert = collector.certificate.display().to_string();
    let key = collector.key.display().to_string();
    let authority = certificates.authority.display().to_string();
    let documents = [
        (tls(&path("none.pem"), &key, &authority), "tls.cert", "No such file"),
        (tls(&path("empty.pem"), &key, &authority), "tls.cert", "holds no certificate"),
        (tls(&cert, &cert, &authority), "tls.key", "holds no private key"),
        (tls(&cert, &probe.key.display().to_string(), &authority), "tls.key", "issued for"),
        (tls(&cert, &key, &path("empty.pem")), "tls.client_ca", "holds no certificate"),
        (tls(&cert, &key, &authority).replace("client_ca", "ca"), "tls.ca", "unknown field"),
        (tls(&cert, &key, &authority).replacen("127.0.0.1:0", "192.0.2.1:7", 1), "cmii", "an address of this machine"),
    ];
    for (text, field, what) in documents {
        fs::write(path("collect.toml"), text).expect("written");
        let output = run(&["listen", "--config", &path("collect.toml")], b"");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let said = said(&output);
        assert!(said.contains(&format!("collect.toml: {field}: ")) && said.contains(what), "{said}");
        assert!(!cases.exists());
    }
    let output = run(&["decode", "--optional-module", "1.2.x", "-"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("command line: --optional-module: not an object identifier"), "{}", said(&output));
    let output = run(&["listen", "--config", "/nowhere.toml"], b"");
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["listen", "--config", &path("collect.toml"), "--plain"], b"");
    assert_eq!(output.status.code(), Some(2));
}
