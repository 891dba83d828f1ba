//! Messages of the optional module of T1.IAS, whose number the agency has to tell its collector.

use std::{fs, process::Command};

use serde_json::{Value, json};
use writ_encoder::t1_ias::Surveillance;

use crate::support::{Probe, Program, lines, send};

const MODULE: &str = "1.2.840.113737.2.1.1.2.0";

/// What a probe sends on CmII from the beginning of a warrant to its end.
fn messages(probe: &Probe) -> [Vec<u8>; 5] {
    [
        probe.surveillance(MODULE, Surveillance::Activation, "activated, revision 1"),
        probe.session(),
        probe.surveillance(MODULE, Surveillance::Change, "changed, revision 2"),
        probe.report(1),
        probe.surveillance(MODULE, Surveillance::DeActivation, "deactivated, revision 2"),
    ]
}

fn words<'a>(lines: &'a [Value], member: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[member].as_str().unwrap_or_default()).collect()
}

#[test]
fn with_the_number_they_are_messages_of_the_case() {
    let folder = tempfile::tempdir().expect("folder");
    let messages = messages(&Probe::new("OPT-1"));
    let flags = format!("--optional-module {MODULE}");
    let program = Program::start_plain(folder.path(), true, &flags);
    drop(send(program.cmii, &messages[..3].concat()));
    program.counted("filed", |status| status["totals"]["cmii_arrived"] == 3);
    program.stop();
    // A collector that begins anew knows what it has.
    let program = Program::start_plain(folder.path(), true, &flags);
    drop(send(program.cmii, &messages[2..].concat()));
    program.counted("filed", |status| status["totals"]["cmii_arrived"] == 3);
    let (last, _) = program.stop();
    assert_eq!((&last["faults"], &last["totals"]["cmii_repeats"]), (&json!(0), &json!(1)));

    let case = folder.path().join("OPT-1");
    let filed = lines(&case.join("cmii.jsonl"));
    assert_eq!(
        words(&filed, "message"),
        [
            "surveillance-activation",
            "session-already-established",
            "surveillance-change",
            "header-report",
            "surveillance-de-activation"
        ]
    );
    assert_eq!(words(&filed, "status")[4], "deactivated, revision 2");
    assert_eq!(words(&filed, "optional_module")[4], MODULE);
    let table = fs::read_to_string(case.join("cmii.csv")).expect("table");
    let row = table.lines().nth(1).expect("row");
    assert!(row.contains("OPT-1,LAB-1,surveillance-activation") && row.contains("revision 1"), "{row}");

    // What is filed of them is in the digests, and no fault.
    let digests = |case: &std::path::Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_writ-collect")).arg("digests").arg(case).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(case.join("digests.jsonl")).expect("digests")
    };
    let of_case = digests(&case);
    assert!(of_case.contains("\"count\":5"), "{of_case}");
    let written = folder.path().join("written");
    fs::create_dir(&written).expect("folder");
    fs::write(written.join("cmii.ber"), messages.concat()).expect("written");
    assert_eq!(digests(&written), of_case);
}

#[test]
fn without_the_number_they_are_kept_and_the_rest_is_filed() {
    let folder = tempfile::tempdir().expect("folder");
    let messages = messages(&Probe::new("OPT-2"));
    for flags in ["", "--optional-module 1.2.3"] {
        let root = folder.path().join(format!("with{}", flags.len()));
        let program = Program::start_plain(&root, true, flags);
        drop(send(program.cmii, &messages.concat()));
        program.counted("filed", |status| status["totals"]["cmii_arrived"] == 5);
        let (last, _) = program.stop();
        assert_eq!(last["faults"], 0);
        assert_eq!(last["cases"]["%unidentified"]["cmii_arrived"], 3);
        let case = lines(&root.join("OPT-2/cmii.jsonl"));
        assert_eq!(words(&case, "message"), ["session-already-established", "header-report"]);
        let kept = lines(&root.join("%unidentified/cmii.jsonl"));
        assert_eq!(words(&kept, "message"), ["unknown-module"; 3]);
        assert_eq!(words(&kept, "module"), [MODULE; 3]);
        let octets: String = messages[0].iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(words(&kept, "pdu")[0], octets);
    }

    // What was kept can be read later, by whoever has the number.
    let stream = folder.path().join("cmii.ber");
    fs::write(&stream, messages.concat()).expect("written");
    let decoded = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-collect"));
        let output = command.arg("decode").arg(&stream).args(flags).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["message"].clone()).collect()
    };
    let unknown: Vec<Value> = decoded(&[]);
    assert_eq!((unknown.len(), &unknown[0]), (5, &json!("unknown-module")));
    let known: Vec<Value> = decoded(&["--optional-module", MODULE]);
    assert_eq!((known.len(), &known[4]), (5, &json!("surveillance-de-activation")));
}
