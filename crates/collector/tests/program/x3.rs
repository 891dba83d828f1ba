//! X2 and X3 (ETSI TS 103 221-2) from outside.

use std::io::Read;

use serde_json::json;
use writ_encoder::x2x3;

use crate::{
    senders::{X3, written},
    support::{Certificates, Program, ended, lines, packet, send, tshark},
};

const XID: [u8; 16] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const CASE: &str = "01234567-89ab-cdef-0123-456789abcdef";

#[test]
fn it_is_recognised_filed_by_task_and_kept_alive() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::issue(folder.path());
    let cases = folder.path().join("cases");
    let program = Program::start(&cases, &certificates.flags());
    let task = X3::new(XID, 77);
    let alive = written(|out| x2x3::keep_alive(out, 42));
    let mut connection = certificates.connect(program.cmc, Some(&certificates.probe));
    std::io::Write::write_all(&mut connection, &[task.contents([1, 2, 5]), alive].concat()).expect("sent");
    let mut answer = [0; x2x3::HEADER + 8];
    connection.read_exact(&mut answer).expect("an answer");
    let (answer, _) = x2x3::decode(&answer).expect("a PDU");
    assert_eq!((answer.kind, answer.attributes.sequence_number()), (x2x3::Kind::KeepAliveAnswer, Some(42)));
    drop(connection);

    // It reconnects, and begins again with what was not acknowledged. Events and content are numbered apart.
    let again = task.contents([2, 5, 6, 4]);
    let mut connection = certificates.connect(program.cmc, Some(&certificates.probe));
    std::io::Write::write_all(&mut connection, &again).expect("sent");
    connection.conn.send_close_notify();
    connection.conn.complete_io(&mut connection.sock).expect("sent");
    let mut connection = certificates.connect(program.cmii, Some(&certificates.probe));
    std::io::Write::write_all(&mut connection, &[task.event(1, 1031), task.event(2, 1032)].concat()).expect("sent");
    connection.conn.send_close_notify();
    connection.conn.complete_io(&mut connection.sock).expect("sent");
    program.counted("all", |status| status["totals"]["cmc_arrived"] == 7 && status["totals"]["cmii_arrived"] == 2);
    let (last, _) = program.stop();
    let counts = &last["cases"][CASE];
    assert_eq!((&counts["packets"], &counts["duplicates"], &counts["missing"]), (&json!(5), &json!(2), &json!(1)));
    assert_eq!((&counts["header_reports"], &counts["late"]), (&json!(2), &json!(1)));
    if let Some(found) = tshark(&cases.join(CASE).join("content.pcapng")) {
        let found: Vec<_> = found.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(found, [1, 2, 5, 6, 4].map(packet));
    }
    let filed = lines(&cases.join(CASE).join("cmii.jsonl"));
    let told: Vec<_> = filed.iter().map(|line| (line["message"].clone(), line["source_port"].clone())).collect();
    assert_eq!(told, [(json!("header-report"), json!(1031)), (json!("header-report"), json!(1032))]);
    assert_eq!((&filed[0]["handover"], &filed[0]["iap_system_id"]), (&json!("x3"), &json!("probe-1")));
}

#[test]
fn hostile_octets_end_their_connection_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let program = Program::start_plain(folder.path(), true, "--format x3");
    let task = X3::new(XID, 1);
    let good = task.contents(1..3);
    for (rest, what) in [
        (&[0x30, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], "a version other than 1"),
        (&[0, 1, 0, 9, 0, 0, 0, 40, 0, 0, 0, 0], "a type other than 1 to 4"),
        (&[0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "longer than"),
    ] {
        let _ = ended(send(program.cmc, &[&good[..], rest].concat()));
        assert!(program.logged(what).contains(&format!("octet {}", good.len())));
    }
    // Cut off within a PDU, it is sent again.
    let pdu = task.content(3);
    drop(send(program.cmc, &pdu[..pdu.len() - 1]));
    program.logged("within a PDU");
    drop(send(program.cmc, &pdu));
    program.counted("all", |status| status["totals"]["packets"] == 3);
    let (last, status) = program.stop();
    assert!(status.success());
    assert_eq!((&last["faults"], &last["totals"]["missing"]), (&json!(3), &json!(0)));
}
