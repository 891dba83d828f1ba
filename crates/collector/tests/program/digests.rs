//! `writ-collect digests` and `countersign` from outside: what is filed, however it arrived, gives the windows of what was
//! sent; what was altered is found.

use std::{fs, path::Path, process::Command};

use crate::support::{Probe, Program, packet, send};
use writ_digests::{Difference, Finding, Kept, Line, Range, Stream, Window, compare, read_lines};

fn collect(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_writ-collect")).args(arguments).output().expect("runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The lines that the program makes of a case, and whether it found all of it as it arrived.
fn digests(case: &Path) -> (Vec<Kept>, bool) {
    let (whole, said) = collect(&["digests", case.to_str().expect("text")]);
    assert!(said.contains("digests.jsonl"), "{said}");
    let (lines, unreadable) = read_lines(&fs::read_to_string(case.join("digests.jsonl")).expect("digests"));
    assert!(unreadable.is_empty());
    (lines, whole)
}

fn of(lines: &[Kept]) -> Vec<Line> {
    lines.iter().map(|kept| kept.line.clone()).collect()
}

/// What the sender's side would write down.
fn sent(stream: Stream, pdus: impl Iterator<Item = (u64, Vec<u8>)>) -> Vec<Line> {
    let mut windows: Vec<Window> = Vec::new();
    for (number, pdu) in pdus {
        if windows.last().is_none_or(|window| !window.holds(number)) {
            windows.push(Window::of(stream, number));
        }
        assert!(windows.last_mut().expect("one").take(number, &pdu));
    }
    windows.iter().filter_map(|window| window.line(stream)).collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("file");
    bytes[at] ^= 4;
    fs::write(file, bytes).expect("written");
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).expect("it is there")
}

#[test]
fn what_is_filed_gives_the_windows_of_what_was_sent_however_it_came() {
    let folder = tempfile::tempdir().expect("folder");
    let probe = Probe::new("D");
    let numbers: Vec<u64> = (1000..1100).chain(1110..1200).chain(5000..5003).collect();
    let program = Program::start(folder.path(), &["--plain".as_ref()]);
    let messages: Vec<Vec<u8>> = std::iter::once(probe.session()).chain((1..=40).map(|n| probe.report(n))).collect();
    // In order, with what is sent again, and one that is late.
    let open = [
        send(program.cmc, &probe.contents((1000..1050).chain(1051..1080).chain([1050]))),
        send(program.cmii, &messages[..20].concat()),
    ];
    program.counted("filed", |status| status["totals"]["packets"] == 80 && status["totals"]["cmii_arrived"] == 20);
    program.kill();
    drop(open);
    let case = folder.path().join("D");
    let cut = fs::read(case.join("content.pcapng")).expect("file");
    fs::write(case.join("content.pcapng"), &cut[..cut.len() - 9]).expect("cut");
    let program = Program::start(folder.path(), &["--plain".as_ref()]);
    drop(send(program.cmc, &probe.contents([1050].into_iter().chain(numbers.iter().copied().filter(|n| *n > 1040)))));
    drop(send(program.cmii, &messages[10..].concat()));
    program.counted("filed", |status| status["totals"]["packets"] == 114 && status["totals"]["cmii_arrived"] == 31);
    let (last, _) = program.stop();
    assert_eq!(last["faults"], 0);

    let content = sent(Stream::Cmc, numbers.iter().map(|number| (*number, probe.content(*number))));
    let identifying = sent(Stream::Cmii, (0..).zip(messages.clone()));
    let (lines, whole) = digests(&case);
    assert!(whole);
    assert!(lines.iter().all(|line| line.case_id == "D" && line.iap == "LAB-1" && line.run == 0), "{lines:?}");
    let sent: Vec<Line> = identifying.iter().chain(&content).cloned().collect();
    assert_eq!(of(&lines), sent);

    // The same in the files that a probe writes itself.
    let written = folder.path().join("written");
    fs::create_dir(&written).expect("folder");
    fs::write(written.join("cmc.ber"), probe.contents(numbers.iter().copied())).expect("written");
    fs::write(written.join("cmii.ber"), messages.concat()).expect("written");
    assert_eq!(digests(&written), (lines.clone(), true));

    // Numbers that begin anew are a run of their own.
    let program = Program::start(folder.path(), &["--plain".as_ref()]);
    let other: Vec<u8> = (1000..1003).flat_map(|number| again(&probe, number)).collect();
    drop(send(program.cmc, &other));
    program.counted("filed", |status| status["totals"]["packets"] == 3);
    program.stop();
    let (anew, whole) = digests(&case);
    assert!(whole && anew.len() == lines.len() + 1, "{anew:?}");
    assert_eq!(
        anew.iter().filter(|line| line.run == 1).map(|line| (line.line.first, line.line.count)).collect::<Vec<_>>(),
        [(1000, 3)]
    );
    assert!(compare(&sent, &of(&anew)).is_equal());
}

/// Another packet under a number that is gone by.
fn again(probe: &Probe, number: u64) -> Vec<u8> {
    let mut pdu = probe.content(number);
    let last = pdu.len() - 1;
    pdu[last] ^= 0xff;
    pdu
}

#[test]
fn what_was_altered_in_the_files_is_found_and_not_signed_where_it_contradicts_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let probe = Probe::new("A");
    let program = Program::start(folder.path(), &["--plain".as_ref()]);
    drop(send(program.cmc, &probe.contents(0..1500)));
    drop(send(program.cmii, &[probe.session(), probe.report(1)].concat()));
    program.counted("filed", |status| status["totals"]["packets"] == 1500 && status["totals"]["cmii_arrived"] == 2);
    program.stop();
    let case = folder.path().join("A");
    let (before, whole) = digests(&case);
    assert!(whole);
    let (packets, messages) = (case.join("content.pcapng"), case.join("cmii.jsonl"));
    let bytes = fs::read(&packets).expect("packets");

    for number in [0u64, 700, 1023, 1024, 1499] {
        let octets = packet(number);
        let at = find(&bytes, &octets);
        for place in [0, octets.len() / 2, octets.len() - 1] {
            flip(&packets, at + place);
            let (after, _) = digests(&case);
            let comparison = compare(&of(&before), &of(&after));
            let window = number / 1024;
            let range = Range { first: window, last: window };
            let found = [Finding { stream: Stream::Cmc, what: Difference::Octets, range }];
            assert_eq!(comparison.findings, found, "{number}, {place}: {comparison}");
            flip(&packets, at + place);
        }
    }
    // Where what is filed says something else than the PDU, it is left out, named and not signed: here a packet's time.
    let (at, key) = (find(&bytes, &packet(700)) - 12, folder.path().join("key"));
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    let sign = ["countersign", case.to_str().expect("text"), "--key", key.to_str().expect("text")];
    if made.is_ok_and(|made| made.success()) {
        assert!(collect(&sign).0);
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "check-novalidate", "-n", "writ-digests", "-s"]).arg(case.join("digests.jsonl.sig"));
        let verified = verify.stdin(fs::File::open(case.join("digests.jsonl")).expect("digests")).output();
        assert!(verified.expect("runs").status.success());
        fs::remove_file(case.join("digests.jsonl.sig")).expect("signature");
    } else {
        eprintln!("no ssh-keygen: nothing is signed here");
    }
    flip(&packets, at);
    let (after, whole) = digests(&case);
    assert!(!whole);
    let range = Range { first: 700, last: 700 };
    let missing = [Finding { stream: Stream::Cmc, what: Difference::MissingThere, range }];
    assert_eq!(compare(&of(&before), &of(&after)).findings, missing);
    let (signed, said) = collect(&sign);
    assert!(!signed && said.contains("packet 701 is not what arrived") && said.contains("not signed"), "{said}");
    assert!(!case.join("digests.jsonl.sig").exists());
    flip(&packets, at);

    let lines = fs::read(&messages).expect("messages");
    for what in ["198.51.100.7", "LAB-1", "\"pdu\":\"30"] {
        let at = find(&lines, what.as_bytes()) + what.len() - 1;
        flip(&messages, at);
        assert!(!digests(&case).1, "{what}");
        flip(&messages, at);
    }
    assert_eq!(digests(&case), (before, true));
    assert!(!collect(&["digests", folder.path().to_str().expect("text")]).0, "this is no case");
}
