//! `writ-collect listen` from outside: probes send, and what lies in the folder afterwards is what an agency has.

use std::{ffi::OsStr, fs, io::Write, path::Path, process::Command, thread};

use crate::support::{
    Certificates, Probe, Program, direction, ended, lines, packet, run_tshark, send, sha256, time, tshark,
};
use serde_json::{Value, json};
use writ_encoder::t1_ias::Direction;

fn plain(directory: &Path) -> Program {
    Program::start(directory, &["--plain".as_ref()])
}

/// What tshark has to show for the packets with these numbers.
fn expected(sequences: impl IntoIterator<Item = u64>) -> Vec<(u64, Vec<u8>)> {
    let stamp = |sequence| u64::try_from(time(0).unix_micros()).expect("positive") + sequence;
    sequences.into_iter().map(|sequence| (stamp(sequence), packet(sequence))).collect()
}

fn assert_packets(file: &Path, sequences: impl IntoIterator<Item = u64>) {
    if let Some(found) = tshark(file) {
        assert_eq!(found, expected(sequences));
    }
}

#[test]
fn two_cases_over_tls_are_filed_apart_and_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let cases = folder.path().join("cases");
    let program = Program::start(&cases, &[&certificates.flags()[..], &["--keep-streams".as_ref()]].concat());
    let (one, two) = (Probe::new("CASE-1"), Probe::new("CASE-2"));

    // Both cases mixed in one stream, in pieces that end within PDUs.
    let content: Vec<u8> = (1..=200).flat_map(|number| [one.content(number), two.content(number)].concat()).collect();
    let messages = [one.session(), two.session(), two.report(1), two.summary(2, 7), one.report(3)].concat();
    for (endpoint, bytes) in [(program.cmc, &content), (program.cmii, &messages)] {
        let mut connection = certificates.connect(endpoint, Some(&certificates.probe));
        for piece in bytes.chunks(333) {
            connection.write_all(piece).expect("sent");
            connection.flush().expect("sent");
        }
        connection.conn.send_close_notify();
        connection.flush().expect("sent");
        ended(connection).expect("a close in order");
    }
    let (last, status) = program.stop();
    assert!(status.success());
    assert_eq!(last["cases"]["CASE-1"]["packets"], 200);
    assert_eq!(last["cases"]["CASE-2"]["header_reports"], 2);
    assert_eq!(last["totals"]["missing"], 0);
    assert_eq!(last["faults"], 0);

    for (case, probe) in [("CASE-1", &one), ("CASE-2", &two)] {
        let case = cases.join(case);
        assert_packets(&case.join("content.pcapng"), 1..=200);
        let digest: Value = serde_json::from_slice(&fs::read(case.join("digest.json")).expect("digest")).expect("JSON");
        assert_eq!(digest["runs"][0]["cmc"]["sha256"], sha256(&probe.contents(1..=200)));
        assert_eq!(digest["numberings"][0]["next"], 201);
    }
    let fields =
        ["-T", "fields", "-e", "frame.comment", "-e", "frame.packet_flags_direction", "-e", "frame.interface_name"];
    if let Some(text) = run_tshark(&cases.join("CASE-1/content.pcapng"), &fields) {
        for (number, line) in (1..).zip(String::from_utf8(text).expect("text").lines()) {
            let (word, flag) = match direction(number) {
                Direction::FromSubject => ("fromSubject", 2),
                Direction::ToSubject => ("toSubject", 1),
            };
            let columns: Vec<_> = line.split('\t').collect();
            assert_eq!(columns[0], word);
            assert!(columns[1].ends_with(&flag.to_string()), "{line}");
            assert_eq!(columns[2], "LAB-1");
        }
    }

    let filed = lines(&cases.join("CASE-2/cmii.jsonl"));
    assert_eq!(
        filed.iter().map(|line| line["message"].clone()).collect::<Vec<_>>(),
        ["session-already-established", "header-report", "summary-report"]
    );
    let mut table = csv::Reader::from_path(cases.join("CASE-2/cmii.csv")).expect("table");
    let head = table.headers().expect("head").clone();
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("row")).collect();
    let cell = |row: usize, name: &str| {
        let column = head.iter().position(|column| column == name).expect("column");
        rows[row][column].to_owned()
    };
    assert_eq!(rows.len(), 3);
    assert_eq!(cell(0, "session_id"), "session, \"one\"");
    assert_eq!(cell(0, "address"), "198.51.100.7");
    assert_eq!((cell(1, "source_port"), cell(2, "source_port")), ("1025".into(), "1026".into()));
    assert_eq!(cell(1, "destination"), "2001:db8::7");
    assert_eq!((cell(1, "packet_count"), cell(2, "packet_count")), (String::new(), "7".into()));

    let connections = lines(&cases.join("connections.jsonl"));
    let cmc = connections.iter().find(|connection| connection["stream"] == "cmc").expect("record");
    assert_eq!(cmc["sha256"], sha256(&content));
    assert_eq!(cmc["pdus"], 400);
    assert!(cmc["certificate_sha256"].as_str().is_some_and(|digest| digest.len() == 64));
    let kept =
        fs::read_dir(cases.join("streams")).expect("streams").map(|entry| fs::read(entry.expect("entry").path()));
    let kept: Vec<_> = kept.map(|bytes| bytes.expect("stream")).collect();
    assert!(kept.len() == 2 && kept.contains(&content) && kept.contains(&messages));
}

#[test]
fn a_gap_is_reported_and_what_is_sent_again_is_dropped() {
    let folder = tempfile::tempdir().expect("folder");
    let program = plain(folder.path());
    let probe = Probe::new("G");
    drop(send(program.cmc, &probe.contents([1, 2, 3, 7, 8])));
    program.counted("first", |status| status["totals"]["packets"] == 5);
    // The probe reconnects and begins again behind what it knows to be delivered; 5 is found after all.
    drop(send(program.cmc, &probe.contents([2, 3, 7, 8, 9, 5, 10])));
    program.counted("second", |status| status["totals"]["packets"] == 8);
    let (last, _) = program.stop();
    let counts = &last["cases"]["G"];
    assert_eq!((&counts["duplicates"], &counts["late"], &counts["missing"]), (&json!(4), &json!(1), &json!(2)));
    let gaps = lines(&folder.path().join("G/gaps.jsonl"));
    let told: Vec<_> =
        gaps.iter().map(|gap| (gap["event"].as_str(), gap["first"].as_u64(), gap["last"].as_u64())).collect();
    assert_eq!(
        told,
        [(Some("begins"), Some(1), None), (Some("gap"), Some(4), Some(6)), (Some("filled"), Some(5), Some(5))]
    );
    assert_packets(&folder.path().join("G/content.pcapng"), [1, 2, 3, 7, 8, 9, 5, 10]);
}

#[test]
fn numbers_that_begin_anew_cost_no_content() {
    let folder = tempfile::tempdir().expect("folder");
    let program = plain(folder.path());
    let probe = Probe::new("R");
    drop(send(program.cmc, &probe.contents(10..20)));
    program.counted("first", |status| status["totals"]["packets"] == 10);
    // The number 12 again, but another packet.
    let mut other = probe.content(12);
    let end = other.len() - 1;
    other[end] ^= 0xff;
    drop(send(program.cmc, &[other, probe.content(13)].concat()));
    program.counted("second", |status| status["totals"]["packets"] == 12);
    let (last, _) = program.stop();
    assert_eq!(last["cases"]["R"]["restarts"], 1);
    assert_eq!(last["cases"]["R"]["duplicates"], 0);
}

#[test]
fn messages_that_are_sent_again_are_filed_once() {
    let folder = tempfile::tempdir().expect("folder");
    let program = plain(folder.path());
    let probe = Probe::new("M");
    let messages: Vec<_> = std::iter::once(probe.session()).chain((0..6).map(|number| probe.report(number))).collect();
    // The old connection stays, as one does whose end never learned that the path broke.
    let old = send(program.cmii, &messages[..5].concat());
    program.counted("first", |status| status["totals"]["cmii_arrived"] == 5);
    let new = send(program.cmii, &messages[3..].concat());
    program.counted("second", |status| status["totals"]["cmii_arrived"] == 9);
    let (last, _) = program.stop();
    drop((old, new));
    assert_eq!(last["cases"]["M"]["cmii_repeats"], 2);
    assert_eq!(lines(&folder.path().join("M/cmii.jsonl")).len(), messages.len());
}

#[test]
fn a_garbled_stream_ends_alone_and_its_place_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let program = plain(folder.path());
    let (good, bad) = (Probe::new("GOOD"), Probe::new("BAD"));
    let mut healthy = send(program.cmc, &good.contents(1..=10));

    let whole = bad.contents(1..=5);
    let garbled = send(program.cmc, &[&whole[..], b"\x30\x03\x02\x01\x07and more"].concat());
    let _ = ended(garbled);
    let line = program.logged("ended: garbled");
    assert!(line.contains(&format!("octet {}", whole.len())), "{line}");

    let framing = send(program.cmii, &[bad.report(1), b"GET / HTTP/1.1\r\n".to_vec()].concat());
    let _ = ended(framing);
    let line = program.logged("cmii connection 3");
    assert!(line.contains("accepted"), "{line}");
    program.logged(&format!("octet {} of the stream is 0x47", bad.report(1).len()));

    healthy.write_all(&good.contents(11..=20)).expect("the good one goes on");
    drop(healthy);
    program.counted("all of the good one", |status| status["cases"]["GOOD"]["packets"] == 20);
    let (last, status) = program.stop();
    assert!(status.success());
    assert_eq!(last["faults"], 2);
    assert_eq!(last["cases"]["BAD"]["packets"], 5);
    assert_packets(&folder.path().join("BAD/content.pcapng"), 1..=5);
    assert_packets(&folder.path().join("GOOD/content.pcapng"), 1..=20);
    assert_eq!(lines(&folder.path().join("BAD/cmii.jsonl")).len(), 1);
}

#[test]
fn without_a_certificate_of_the_authority_nothing_is_taken() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let cases = folder.path().join("cases");
    let program = Program::start(&cases, &certificates.flags());
    for (who, reason) in [(None, "peer sent no certificates"), (Some(&certificates.stranger), "UnknownIssuer")] {
        let mut connection = certificates.connect(program.cmc, who);
        let address = connection.get_ref().local_addr().expect("address");
        // The client's handshake is over before the collector has looked; what it sends then must go nowhere.
        let _ = connection.write_all(&Probe::new("X").content(1));
        let refused = ended(connection).expect_err("an alert");
        assert!(refused.to_string().contains("received fatal alert"), "{refused}");
        let line = program.logged(reason);
        assert!(line.contains("refused") && line.contains(&address.to_string()), "{line}");
    }
    // Without TLS at all.
    let _ = ended(send(program.cmc, &Probe::new("X").content(1)));
    let (last, status) = program.stop();
    assert!(status.success());
    assert_eq!(last["refused"], 3);
    assert_eq!(last["totals"]["cmc_arrived"], 0);
    assert!(!cases.join("X").exists());
}

#[test]
fn a_probe_that_is_taken_gets_a_ticket() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let program = Program::start(&folder.path().join("cases"), &certificates.flags());
    let mut connection = certificates.connect(program.cmc, Some(&certificates.probe));
    while connection.conn.tls13_tickets_received() == 0 {
        connection.conn.complete_io(&mut connection.sock).expect("the collector takes us");
    }
}

#[test]
fn tests_are_told_and_kept_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let cases = folder.path().join("cases");
    let program = plain(&cases);
    let test = Probe::new("TEST-1");
    drop(send(program.cmc, &[test.contents(1..=5), Probe::new("CASE-1").content(1)].concat()));
    drop(send(program.cmii, &test.session()));
    program.counted("all there", |status| {
        status["cases"]["tests/TEST-1"]["packets"] == 5
            && status["cases"]["tests/TEST-1"]["cmii_arrived"] == 1
            && status["cases"]["CASE-1"]["packets"] == 1
    });
    assert!(program.logged("TEST:").contains("tests/TEST-1"));
    let (last, _) = program.stop();
    assert_eq!(last["totals"]["packets"], 1, "a test is in no sum");
    assert_packets(&cases.join("tests/TEST-1/content.pcapng"), 1..=5);
    assert!(!cases.join("TEST-1").exists());
}

#[test]
fn no_case_id_leads_out_of_the_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let cases = folder.path().join("cases");
    let program = plain(&cases);
    let ids = [
        "../x",
        "..",
        ".",
        "/tmp/x",
        "a/b",
        "streams",
        "tests",
        "connections.jsonl",
        ".lock",
        "C:\\x",
        "%2E",
        "~",
        "-rf",
    ];
    for id in ids {
        drop(send(program.cmc, &Probe::new(id).content(1)));
    }
    // Characters that a probe of ours would not send.
    let mut pdu = Probe::new("nul@here").content(1);
    let at = pdu.iter().position(|byte| *byte == b'@').expect("there");
    pdu[at] = 0;
    drop(send(program.cmc, &pdu));
    program.counted("all there", |status| {
        status["totals"]["packets"].as_u64().unwrap_or(0) + status["faults"].as_u64().unwrap_or(0)
            == ids.len() as u64 + 1
    });
    let (last, _) = program.stop();
    assert!(last["totals"]["packets"].as_u64() >= Some(ids.len() as u64));
    let mut names: Vec<String> = fs::read_dir(&cases)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .filter(|name| name != ".lock" && name != "connections.jsonl")
        .collect();
    names.sort();
    assert!(names.iter().all(|name| cases.join(name).join("content.pcapng").is_file()), "{names:?}");
    assert!(names.contains(&"%2E.%2Fx".to_owned()), "{names:?}");
    assert_eq!(names.len() as u64, last["totals"]["packets"].as_u64().expect("number"));
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "something was written outside");
}

#[test]
fn a_collector_that_was_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let case = folder.path().join("K");
    let probe = Probe::new("K");
    let program = plain(folder.path());
    let open = [
        send(program.cmc, &probe.contents(1..=100)),
        send(program.cmii, &[probe.session(), probe.report(1), probe.report(2)].concat()),
    ];
    program.counted("filed", |status| status["totals"]["packets"] == 100 && status["totals"]["cmii_arrived"] == 3);
    program.kill();
    drop(open);

    // As if the machine had stopped within a write.
    for (file, rest) in [("content.pcapng", 7), ("cmii.jsonl", 5), ("cmii.csv", 60)] {
        let bytes = fs::read(case.join(file)).expect("file");
        fs::write(case.join(file), &bytes[..bytes.len() - rest]).expect("cut");
    }
    let program = plain(folder.path());
    drop(send(program.cmc, &probe.contents(51..=150)));
    drop(send(program.cmii, &[probe.report(1), probe.report(2), probe.report(3)].concat()));
    program.counted("filed", |status| status["totals"]["cmc_arrived"] == 100 && status["totals"]["cmii_arrived"] == 3);
    let (last, status) = program.stop();
    assert!(status.success());
    let counts = &last["cases"]["K"];
    assert_eq!((&counts["packets"], &counts["duplicates"], &counts["missing"]), (&json!(51), &json!(49), &json!(0)));
    assert_eq!(counts["cmii_repeats"], 1);

    assert_packets(&case.join("content.pcapng"), 1..=150);
    let ports: Vec<_> = lines(&case.join("cmii.jsonl")).iter().map(|line| line["source_port"].clone()).collect();
    assert_eq!(ports, [Value::Null, json!(1025), json!(1026), json!(1027)]);
    assert_eq!(csv::Reader::from_path(case.join("cmii.csv")).expect("table").records().map(Result::unwrap).count(), 4);
    let digest: Value = serde_json::from_slice(&fs::read(case.join("digest.json")).expect("digest")).expect("JSON");
    assert_eq!(digest["runs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_disk_that_is_full_ends_the_connection_and_is_made_good_later() {
    let folder = tempfile::tempdir().expect("folder");
    let probe = Probe::new("D");
    // A limit on the size of files stands for the full disk: 64 blocks of 512 bytes.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_writ-collect")]);
    let program = Program::start_as(limited, folder.path(), &["--plain".as_ref()]);
    let healthy = Probe::new("SMALL");
    let mut small = send(program.cmc, &healthy.content(1));
    let bytes = probe.contents(1..=100);
    assert!(bytes.len() > 40_000);
    let address = program.cmc;
    let full = thread::spawn(move || {
        let mut connection = std::net::TcpStream::connect(address).expect("connected");
        let _ = connection.write_all(&bytes);
        ended(connection)
    });
    let line = program.logged("cannot be filed");
    assert!(line.contains("content.pcapng") && line.contains("too large"), "{line}");
    full.join().expect("thread").expect_err("a reset, not a close as if all were well");
    small.write_all(&healthy.content(2)).expect("another case goes on");
    program.counted("the other case", |status| status["cases"]["SMALL"]["packets"] == 2);
    program.kill();

    let program = plain(folder.path());
    drop(send(program.cmc, &probe.contents(1..=100)));
    program.counted("all there", |status| status["totals"]["cmc_arrived"] == 100);
    let (_, status) = program.stop();
    assert!(status.success());
    assert_packets(&folder.path().join("D/content.pcapng"), 1..=100);
}

#[test]
fn more_connections_or_cases_than_admitted_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let flags = ["--plain", "--max-connections", "1", "--max-cases", "1"].map(OsStr::new);
    let program = Program::start(folder.path(), &flags);
    let first = send(program.cmc, &Probe::new("ONE").content(1));
    program.counted("first", |status| status["totals"]["packets"] == 1);
    let _ = ended(send(program.cmii, &[]));
    program.logged("refused: 1 connections already");
    drop(first);
    program.counted("room again", |status| status["connections"] == json!([]));
    let _ = ended(send(program.cmc, &Probe::new("TWO").content(1)));
    program.logged("raise max_cases");
    let (last, _) = program.stop();
    assert_eq!((&last["refused"], &last["faults"]), (&json!(1), &json!(1)));
}

#[test]
fn a_stop_files_what_had_arrived() {
    let folder = tempfile::tempdir().expect("folder");
    let counts = folder.path().join("counts.json");
    let cases = folder.path().join("cases");
    let program = Program::start(&cases, &["--plain".as_ref(), "--status-file".as_ref(), counts.as_os_str()]);
    let probe = Probe::new("S");
    let connection = send(program.cmc, &probe.contents(1..=300));
    let (last, status) = program.stop();
    drop(connection);
    assert!(status.success());
    assert_eq!(last["cases"]["S"]["packets"], 300);
    let told: Value = serde_json::from_slice(&fs::read(counts).expect("counts")).expect("JSON");
    assert_eq!(told["cases"]["S"], last["cases"]["S"]);
    assert_packets(&cases.join("S/content.pcapng"), 1..=300);
}

#[test]
fn two_collectors_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let _first = plain(folder.path());
    let second = Command::new(env!("CARGO_BIN_EXE_writ-collect"))
        .args(["listen", "--plain", "--cmii", "127.0.0.1:0", "--cmc", "127.0.0.1:0", "--directory"])
        .arg(folder.path())
        .output()
        .expect("runs");
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).expect("text");
    assert!(said.contains("--directory: ") && said.contains("another collector"), "{said}");
}
