//! The formats that come as datagrams, from outside.

use std::{fs, path::Path, process::Command};

use etherparse::PacketBuilder;
use serde_json::{Value, json};
use writ_encoder::{ccc, jmirror, opencalea, tzsp};

use crate::{
    senders::{send_datagrams, udp, written},
    support::{Probe, Program, lines, packet, run_tshark, send, time, tshark},
};

fn found(file: &Path) -> Option<Vec<Vec<u8>>> {
    Some(tshark(file)?.into_iter().map(|(_, bytes)| bytes).collect())
}

fn ccc(id: u32, form: ccc::Form, number: u64) -> Vec<u8> {
    let connection = ccc::Connection::new(id, form);
    written(|out| connection.content(out, time(i64::try_from(number).expect("small")), &packet(number)))
}

fn calea() -> opencalea::Tap {
    let name = |text| opencalea::Name::new(text).expect("fits");
    opencalea::Tap::new(name("content-7"), name("CASE-7"), name("LAB-1"), opencalea::Length::Whole)
}

/// A frame with a packet in it.
fn frame(packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], packet].concat()
}

#[test]
fn ccc_is_filed_by_case_or_by_connection() {
    for (octets, form, case) in
        [(4, ccc::Form::Channel, "ccc-9"), (12, ccc::Form::Timed, "ccc-9"), (20, ccc::Form::Case(42), "42")]
    {
        let folder = tempfile::tempdir().expect("folder");
        let flags = format!("--format ccc --ccc-header {octets}");
        let program = Program::start_plain(folder.path(), false, &flags);
        let datagrams: Vec<_> = (1..=100).map(|number| ccc(9, form, number)).collect();
        let socket = send_datagrams(program.cmc, &datagrams);
        socket.send_to(&[1, 2, 3], program.cmc).expect("sent");
        program.counted("all", |status| status["datagrams"][0]["datagrams"] == 101);
        program.logged("1 datagrams left out");
        let (last, status) = program.stop();
        assert!(status.success());
        assert_eq!(last["cases"][case]["packets"], 100, "{last}");
        let counts = &last["datagrams"][0];
        assert_eq!((&counts["unread"], &counts["dropped"]), (&json!(1), &json!(0)));
        let file = folder.path().join(case).join("content.pcapng");
        if let Some(found) = tshark(&file) {
            assert_eq!(
                found.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(),
                (1..=100).map(packet).collect::<Vec<_>>()
            );
            if octets > 4 {
                assert_eq!(found[4].0, u64::try_from(time(5).unix_micros()).expect("positive"));
            }
        }
    }
}

#[test]
fn t1_ias_may_have_its_content_as_ccc() {
    let folder = tempfile::tempdir().expect("folder");
    let flags = "--format t1-ias --cmc-format ccc";
    let program = Program::start_plain(folder.path(), true, flags);
    drop(send(program.cmii, &Probe::new("42").session()));
    send_datagrams(program.cmc, &[ccc(1, ccc::Form::Case(42), 1)]);
    program
        .counted("both", |status| status["cases"]["42"]["packets"] == 1 && status["cases"]["42"]["cmii_arrived"] == 1);
    assert!(program.stop().1.success());
    // Of the messages there are digests, of the packets none, and that is said.
    let case = folder.path().join("42");
    let output = Command::new(env!("CARGO_BIN_EXE_writ-collect")).arg("digests").arg(&case).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("what came as ccc is in none"), "{said}");
    assert!(case.join("digests.jsonl").exists());
}

#[test]
fn mirrors_are_filed_by_their_name_or_their_sender() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), false, "--format jmirror");
    let mirror = jmirror::Mirror::new(jmirror::MirrorId::new(5).expect("fits"), 77);
    let datagrams: Vec<_> = (1..=9).map(|number| written(|out| mirror.content(out, &packet(number)))).collect();
    send_datagrams(program.cmc, &datagrams);
    program.counted("all", |status| status["cases"]["mirror-5"]["packets"] == 9);
    assert!(program.stop().1.success());
    if let Some(found) = found(&folder.path().join("mirror-5/content.pcapng")) {
        assert_eq!(found, (1..=9).map(packet).collect::<Vec<_>>());
    }

    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), false, "--format tzsp");
    let raw = tzsp::Sniffer::new(tzsp::Encapsulation::RAW_IP);
    // 4 never comes, 6 comes late, 7 comes twice.
    let numbers = [1, 2, 3, 5, 7, 6, 7, 8];
    let mut datagrams: Vec<_> =
        numbers.iter().map(|number| written(|out| raw.content(out, *number, &packet(*number)))).collect();
    datagrams.push(vec![1, 4, 0, 1, 1]); // one that keeps a path through an address translator open
    datagrams.push(vec![1, 0, 0, 7, 40]);
    send_datagrams(program.cmc, &datagrams);
    program.counted("all", |status| status["datagrams"][0]["datagrams"] == 10);
    let (last, _) = program.stop();
    let counts = &last["cases"]["127.0.0.1"];
    assert_eq!((&counts["packets"], &counts["missing"]), (&json!(7), &json!(1)), "{counts}");
    assert_eq!((&counts["duplicates"], &counts["late"]), (&json!(1), &json!(1)));
    assert_eq!(last["datagrams"][0]["unread"], 1);

    // After a restart it knows what it has; frames of Ethernet stand beside packets.
    let program = Program::start_plain(folder.path(), false, "--format tzsp");
    let ethernet = tzsp::Sniffer::new(tzsp::Encapsulation::ETHERNET);
    let framed = frame(&udp(1031, 53));
    let datagrams = [written(|out| raw.content(out, 8, &packet(8))), written(|out| ethernet.content(out, 9, &framed))];
    send_datagrams(program.cmc, &datagrams);
    program.counted("all", |status| status["totals"]["packets"] == 1 && status["totals"]["duplicates"] == 1);
    program.stop();
    let file = folder.path().join("127.0.0.1/content.pcapng");
    if let Some(text) = run_tshark(&file, &["-Y", "udp.srcport==1031", "-T", "fields", "-e", "eth.src"]) {
        assert_eq!(String::from_utf8_lossy(&text).trim(), "02:00:00:00:00:02");
    }
}

#[test]
fn opencalea_is_filed_by_case_and_by_content_id() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), true, "--format opencalea");
    let ends = opencalea::Ends {
        source: [198, 51, 100, 7].into(),
        destination: [203, 0, 113, 9].into(),
        source_port: 1031,
        destination_port: 53,
    };
    let framed = frame(&udp(1031, 53));
    send_datagrams(program.cmii, &[written(|out| calea().cmii(out, time(0), 0, &ends)), vec![0; 422]]);
    send_datagrams(program.cmc, &[written(|out| calea().cmc(out, time(0), &framed))]);
    program.counted("all", |status| {
        status["cases"]["CASE-7"]["header_reports"] == 1 && status["cases"]["content-7"]["packets"] == 1
    });
    program.counted("the one that is none", |status| status["datagrams"][0]["unread"] == 1);
    assert!(program.stop().1.success());
    // And what its own collector would have written.
    let line = "content-7, CASE-7, LAB-1, 2026-06-01T00:00:00.000, 198.51.100.7, 203.0.113.9, 1031, 53\n";
    assert_eq!(fs::read_to_string(folder.path().join("CASE-7/cmii.txt")).expect("text"), line);
    if let Some(text) = run_tshark(&folder.path().join("content-7/cmc.pcap"), &["-T", "fields", "-e", "udp.srcport"]) {
        assert_eq!(String::from_utf8_lossy(&text).trim(), "1031");
    }
    let filed = lines(&folder.path().join("CASE-7/cmii.jsonl"));
    assert_eq!((&filed[0]["source_port"], &filed[0]["destination_port"]), (&json!(1031), &json!(53)));
    if let Some(text) = run_tshark(&folder.path().join("content-7/content.pcapng"), &["-T", "fields", "-e", "eth.src"])
    {
        assert_eq!(String::from_utf8_lossy(&text).trim(), "02:00:00:00:00:02");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (flags, field, what) in [
        ("--format nonsense --cmc 127.0.0.1:0", "--format", "give one of auto, t1-ias"),
        ("--format ccc --cmc 127.0.0.1:0 --cmii 127.0.0.1:0 --plain", "--cmii", "no identifying information"),
        ("--format ccc --cmc 127.0.0.1:0 --ccc-header 5 --plain", "--ccc-header", "4, 12 or 20"),
        ("--format ccc --cmc 127.0.0.1:0", "--tls", "plain"),
        ("--format ccc --cmc 0.0.0.0:0 --plain", "--path-protected-otherwise", "plain UDP"),
        ("--format etsi --cmc 127.0.0.1:0 --plain", "--cmii", "is missing"),
        ("--format t1-ias --cmc-format ccc --cmii 127.0.0.1:0 --cmc 0.0.0.0:0 --plain", "--path-protected", "UDP"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-collect"));
        command.args(["listen", "--directory"]).arg(folder.path().join("cases")).args(flags.split(' '));
        let output = command.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(field) && said.contains(what), "{flags}: {said}");
    }
}

/// A capture file of frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = opencalea::Cmc::PCAP_HEADER.to_vec();
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("small").to_le_bytes();
        file.extend([1_700_000_000u32.to_le_bytes(), 0u32.to_le_bytes(), length, length].concat());
        file.extend_from_slice(frame);
    }
    file
}

#[test]
fn datagrams_are_printed_from_a_capture_file_by_port_or_as_told() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("datagrams.pcap");
    let sent = |port: u16, payload: &[u8]| {
        let mut out = Vec::new();
        let to = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(40000, port);
        to.write(&mut out, payload).expect("written");
        out
    };
    let mirror = jmirror::Mirror::new(jmirror::MirrorId::new(5).expect("fits"), 77);
    let raw = tzsp::Sniffer::new(tzsp::Encapsulation::RAW_IP);
    // One is longer than the path takes, and comes in two fragments.
    let long = written(|out| raw.content(out, 2, &packet(198)));
    let (mut first, mut second) = (sent(tzsp::PORT, &long), sent(tzsp::PORT, &long));
    let cut = 14 + 20 + 800;
    first.truncate(cut);
    second.drain(14 + 20..cut);
    for (fragment, flags) in [(&mut first, 0x2000u16), (&mut second, 100)] {
        let total = u16::try_from(fragment.len() - 14).expect("small");
        fragment[16..18].copy_from_slice(&total.to_be_bytes());
        fragment[20..22].copy_from_slice(&flags.to_be_bytes());
    }
    let frames = [
        sent(jmirror::PORT, &written(|out| mirror.content(out, &packet(1)))),
        sent(53, b"nothing of ours"),
        first,
        second,
    ];
    fs::write(&file, capture(&frames)).expect("written");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-collect"));
        let output = command.arg("decode").arg(&file).args(arguments).output().expect("runs");
        let lines = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (output.status.success(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let packets = folder.path().join("packets.pcapng");
    let (good, lines, said) = run(&["--pcapng", packets.to_str().expect("text")]);
    assert!(good, "{said}");
    let handovers: Vec<_> = lines.iter().map(|line| line["handover"].as_str().expect("text")).collect();
    assert_eq!(handovers, ["jmirror", "tzsp"]);
    assert_eq!((&lines[0]["mirror_id"], &lines[1]["tags"][0]["packet-id"]), (&json!(5), &json!(2)));
    assert_eq!(lines[0]["sender"], "192.0.2.1:40000");
    if let Some(found) = found(&packets) {
        assert_eq!(found, [packet(1), packet(198)]);
    }
    // As something that most of it is not.
    let (good, lines, said) = run(&["--format", "opencalea"]);
    assert!(!good && lines.is_empty() && said.contains("3 datagrams are left out"), "{said}");

    fs::write(&file, capture(&[sent(53, b"x")])).expect("written");
    let (good, _, said) = run(&[]);
    assert!(!good && said.contains("--format"), "{said}");
    // One datagram as a file.
    fs::write(&file, ccc(9, ccc::Form::Timed, 3)).expect("written");
    let (good, lines, said) = run(&["--format", "ccc", "--ccc-header", "12"]);
    assert!(good && lines[0]["ccc_id"] == 9, "{said}");
}
