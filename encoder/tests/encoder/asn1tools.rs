//! What the encoder writes, read by asn1tools: an ASN.1 codec in Python that shares no code and no author with ours.
//!
//! `cargo xtask setup` makes the Python environment. Where it is missing the test says so and passes, unless
//! `WRIT_REQUIRE_TOOLS=1` is set, as it is in CI.

use std::ffi::OsString;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::given::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use writ_encoder::t1_ias::{Allocation, Assignment, Direction, Intercept, Reason, SessionId, asn1};

/// A Python that has asn1tools.
fn python() -> Option<OsString> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    [target.join("venv/bin/python").into_os_string(), "python3".into()].into_iter().find(|python| {
        Command::new(python).args(["-c", "import asn1tools"]).output().is_ok_and(|output| output.status.success())
    })
}

/// asn1tools' reading of `stream`, a value for each PDU, or none where there is no asn1tools.
pub(crate) fn read(type_name: &str, stream: &[u8]) -> Option<Vec<Value>> {
    let Some(python) = python() else {
        assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "no asn1tools: run `cargo xtask setup`");
        eprintln!("skipped: no asn1tools, run `cargo xtask setup`");
        return None;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A file of its own for each test that reads: they run at once.
    let name = format!("{type_name}-{:?}", std::thread::current().id());
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), &name].iter().collect();
    std::fs::write(&file, stream).unwrap();
    let output = Command::new(python)
        .arg(folder.join("tests/encoder/asn1tools_check.py"))
        .args([folder.join("asn1/T1-IAS.asn1").as_os_str(), type_name.as_ref(), file.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect())
}

#[test]
fn content() {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    let mut put = |intercept: &Intercept, direction, sequence, packet: &[u8]| {
        let mut out = vec![0; intercept.content_bound(packet.len())];
        let length = intercept.content(&mut out, time(TIME), direction, sequence, packet).unwrap();
        stream.extend_from_slice(&out[..length]);
        stream.extend(asn1::encode(&intercept.content_apdu(time(TIME), direction, sequence, packet)));
    };
    for sequence in SEQUENCES {
        for (direction, name) in [(Direction::FromSubject, "fromSubject"), (Direction::ToSubject, "toSubject")] {
            for length in [0, 20, 127, 128, 255, 256, 1400, 65_535] {
                put(&intercept, direction, sequence, &packet(length));
                expected.push((name, sequence, length));
            }
        }
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..100 {
        let intercept = any_intercept().new_tree(&mut runner).unwrap().current();
        put(&intercept, Direction::ToSubject, 7, &packet(64));
    }

    let Some(read) = read("IAS-CC-APDU", &stream) else { return };
    assert_eq!(read.len(), 2 * (expected.len() + 100));
    for (pair, (direction, sequence, length)) in read.chunks(2).zip(expected) {
        for pdu in pair {
            assert_eq!(
                pdu["ccDeliveryHeader"],
                json!({
                    "correlationInfo": {
                        "caseId": "CASE-1",
                        "iapId": "IAP-1",
                        "contentIdentifier": { "correlationID": "78" },
                    },
                    "timeStamp": "2007-04-19T17:26:28.406000+00:00",
                    "packetDirection": direction,
                    "sequenceNumber": sequence,
                })
            );
            assert_eq!(pdu["payload"].as_str().map(str::len), Some(2 * length));
        }
    }
}

#[test]
fn identifying_information() {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let session = SessionId::new("fixed-1").unwrap();
    let address = "2001:db8::7".parse().unwrap();
    let reason = Reason::new("abgelaufen: ½").unwrap();
    let mut stream = [
        intercept.session_already_established(time(TIME), &session, Assignment::of(address, Allocation::Static)),
        intercept.session_start(
            time(TIME),
            &session,
            Assignment { prefix_length: Some(56), ..Assignment::of(address, Allocation::Dynamic) },
        ),
        intercept.session_end(time(TIME), &session, Assignment::of(address, Allocation::NotApplicable), &reason),
    ]
    .concat();
    let mut runner = TestRunner::deterministic();
    let mut expected = Vec::new();
    for _ in 0..300 {
        let flow = any_flow().new_tree(&mut runner).unwrap().current();
        let time = any_time().new_tree(&mut runner).unwrap().current();
        let intercept = any_intercept().new_tree(&mut runner).unwrap().current();
        let mut out = vec![0; intercept.header_report_bound()];
        let length = intercept.header_report(&mut out, time, &flow).unwrap();
        stream.extend_from_slice(&out[..length]);
        stream.extend(asn1::encode(&intercept.header_report_message(time, &flow)));
        expected.push(flow);
    }

    let Some(read) = read("IasProtocol", &stream) else { return };
    assert_eq!(read.len(), 3 + 2 * 300);
    for message in &read {
        assert_eq!(message["protocolIdentifier"], "1.2.840.113737.2.1.1.0.0");
    }
    let mut established = json!({
        "caseId": "CASE-1",
        "iAPSystemId": "IAP-1",
        "timestamp": "2007-04-19T17:26:28.406000+00:00",
        "subscriberIdentity": { "stringVS": "line 42" },
        "packetDataSessionID": { "stringVS": "fixed-1" },
        "iPAddress": {
            "address": { "ipV6": "20010db8000000000000000000000007" },
            "allocationMethod": { "static": null },
        },
    });
    assert_eq!(read[0]["iasMessage"], json!({ "session-Already-Established": established }));
    established["iPAddress"]["allocationMethod"] = json!({ "dynamic": null });
    established["iPAddress"]["prefixLen"] = json!(56);
    assert_eq!(read[1]["iasMessage"], json!({ "session-Start": established }));
    established["iPAddress"] = json!({
        "address": established["iPAddress"]["address"],
        "allocationMethod": { "notApplicable": null },
    });
    established["reasonForTermination"] = json!({ "stringUTF8": "abgelaufen: ½" });
    assert_eq!(read[2]["iasMessage"], json!({ "session-End": established }));
    for (pair, flow) in read[3..].chunks(2).zip(expected) {
        for message in pair {
            let headers = &message["iasMessage"]["data-Header-Report"]["headerSet"];
            let (source, destination) = (flow.ports.map(|ports| ports.0), flow.ports.map(|ports| ports.1));
            assert_eq!(headers.get("sourcePortNumber"), source.map(|port| json!(port.to_string())).as_ref());
            assert_eq!(headers.get("destinationPortNumber"), destination.map(|port| json!(port.to_string())).as_ref());
            let kind = if flow.destination.is_ipv4() { "ipV4" } else { "ipV6" };
            assert!(headers["destinationIPaddress"]["address"].get(kind).is_some());
        }
    }
}
