//! The events of T1.IAS that others than the probe see, summary reports, and the optional module: read back by us and by
//! asn1tools, which writes them again to the same octets.

use std::net::IpAddr;

use crate::asn1tools::read;
use crate::given::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use writ_encoder::NoRoom;
use writ_encoder::t1_ias::{
    AccessMethod, AccessPoint, AccessSessionId, AccessType, Allocation, Assignment, CaseId, CcFormat, CccName,
    Characteristics, DecodeError, Delivery, DeliveryIdentifier, EquipmentId, Event, Flow, FlowLabel, IapSystemId,
    Intercept, LocationText, Message, NodeIdentity, OptionalModule, Place, Protocol, ProtocolSignal, Reason, Session,
    SessionId, SignalingKind, SignalingMessage, Status, Summary, Surveillance, asn1, decode_cmii, decode_optional,
    module_of,
};

fn assignment() -> Assignment {
    Assignment::of("192.0.2.7".parse().unwrap(), Allocation::Dynamic)
}

fn signal(protocol: Protocol) -> ProtocolSignal {
    ProtocolSignal { protocol, packets: vec![vec![2, 1, 0, 20], vec![1, 1, 0, 20, 9]] }
}

fn session(delivery: Option<Delivery>) -> Session {
    Session {
        session: SessionId::new("session-1").unwrap(),
        access_session: Some(AccessSessionId::new("access-1").unwrap()),
        assignment: Assignment {
            prefix_length: Some(56),
            ..Assignment::of("2001:db8::".parse().unwrap(), Allocation::Static)
        },
        characteristics: Some(Characteristics::new("100/40 Mbit/s").unwrap()),
        location: Some(Place {
            kind: LocationText::new("address").unwrap(),
            location: LocationText::new("Hlavní 1").unwrap(),
        }),
        delivery,
    }
}

/// Every event, with everything in it and with as little as there can be.
fn events() -> Vec<Event> {
    let point = |access_type| AccessPoint {
        method: Some(AccessMethod {
            access_type: Some(access_type),
            equipment: Some(EquipmentId::new("modem 7").unwrap()),
            is_part_of_multiple_login: true,
        }),
        node: Some(NodeIdentity::new("nas-1").unwrap()),
    };
    let access_session = AccessSessionId::new("access-1").unwrap();
    let reason = Reason::new("nedostatek ½").unwrap();
    let to_address = Delivery {
        to: DeliveryIdentifier::Address("[2001:db8::1]:7444".parse().unwrap()),
        format: CcFormat::IasDatagram,
    };
    let to_ccc =
        Delivery { to: DeliveryIdentifier::Ccc(CccName::new("ccc-1").unwrap()), format: CcFormat::ScteDatagram };
    let message = |kind, message: &str| SignalingMessage { kind, message: message.to_owned() };
    let kinds = [
        AccessType::DialUp,
        AccessType::Dsl,
        AccessType::Lan,
        AccessType::Cable,
        AccessType::WiFi,
        AccessType::WiMax,
        AccessType::Other("fibre".to_owned()),
    ];
    let attempts =
        kinds.map(|kind| Event::AccessAttempt { point: point(kind), signal: Some(signal(Protocol::Radius)) });
    let mut events = attempts.to_vec();
    events.extend([
        Event::AccessAttempt { point: AccessPoint::default(), signal: None },
        Event::AccessAttempt {
            point: AccessPoint {
                method: Some(AccessMethod { access_type: None, equipment: None, is_part_of_multiple_login: false }),
                node: None,
            },
            signal: Some(signal(Protocol::Other("DHCP".to_owned()))),
        },
        Event::AccessAccepted {
            point: point(AccessType::Dsl),
            assignment: Some(assignment()),
            session: access_session.clone(),
            characteristics: session(None).characteristics,
            location: session(None).location,
            signal: Some(signal(Protocol::Radius)),
        },
        Event::AccessAccepted {
            point: AccessPoint::default(),
            assignment: None,
            session: access_session.clone(),
            characteristics: None,
            location: None,
            signal: None,
        },
        Event::AccessFailed {
            assignment: Some(assignment()),
            reason: Some(reason.clone()),
            signal: Some(signal(Protocol::Radius)),
        },
        Event::AccessRejected { assignment: None, reason: None, signal: None },
        Event::AccessSessionEnd {
            assignment: Some(assignment()),
            session: access_session.clone(),
            reason: Some(reason.clone()),
            signal: Some(signal(Protocol::Radius)),
        },
        Event::AccessSignaling {
            session: Some(access_session.clone()),
            messages: vec![
                message(SignalingKind::Xml, "<a/>"),
                message(SignalingKind::Radius, "Access-Request"),
                message(SignalingKind::Diameter, "AAR"),
                message(SignalingKind::Asn1, "value"),
                message(SignalingKind::Other, "DHCPDISCOVER"),
            ],
        },
        Event::AccessSignaling { session: None, messages: Vec::new() },
        Event::SessionStart(session(Some(to_address))),
        Event::SessionAlreadyEstablished(session(Some(to_ccc))),
        Event::SessionFailed { access_session: Some(access_session.clone()), reason: Some(reason.clone()) },
        Event::SessionFailed { access_session: None, reason: None },
        Event::SessionEnd {
            access_session: Some(access_session),
            session: SessionId::new("session-1").unwrap(),
            assignment: assignment(),
            reason: Some(reason),
        },
    ]);
    events
}

/// The message of each event.
pub(crate) fn written() -> Vec<Vec<u8>> {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    events().iter().map(|event| intercept.report(time(TIME), event)).collect()
}

/// What is read of one event, without the head.
fn told(event: &Event) -> Value {
    let message = intercept("CASE-1", &correlation(b"x")).report(time(TIME), event);
    let (cmii, length) = decode_cmii(&message).unwrap();
    assert_eq!(length, message.len());
    let mut told = serde_json::to_value(cmii).unwrap();
    let members = told.as_object_mut().unwrap();
    assert_eq!(members.remove("case_id"), Some(json!("CASE-1")));
    assert_eq!(members.remove("iap_system_id"), Some(json!("IAP-1")));
    assert_eq!(members.remove("timestamp"), Some(json!("2007-04-19T17:26:28.406000Z")));
    told
}

#[test]
fn every_event_is_read_back() {
    let events = events();
    let text = |value: &str| json!({ "form": "text", "value": value });
    let packets = json!([{ "form": "octets", "value": "02010014" }, { "form": "octets", "value": "0101001409" }]);
    let radius = json!({ "protocol": "radius", "packets": packets });
    let address = json!({
        "address": "192.0.2.7", "allocation": "dynamic", "flow_label": null, "prefix_length": null,
    });
    assert_eq!(
        told(&events[0]),
        json!({
            "message": "access-attempt",
            "subscriber_identity": text("line 42"),
            "access_method": { "access_type": "dialUp", "equipment": "modem 7", "is_part_of_multiple_login": true },
            "node": text("nas-1"),
            "signal": radius,
        })
    );
    assert_eq!(told(&events[6])["access_method"]["access_type"], "fibre");
    assert_eq!(
        told(&events[7]),
        json!({
            "message": "access-attempt",
            "subscriber_identity": text("line 42"),
            "access_method": null,
            "node": null,
            "signal": null,
        })
    );
    assert_eq!(told(&events[8])["signal"]["protocol"], "DHCP");
    let location = json!({ "kind": "address", "location": "Hlavní 1" });
    assert_eq!(
        told(&events[9]),
        json!({
            "message": "access-accepted",
            "subscriber_identity": text("line 42"),
            "access_method": { "access_type": "dsl", "equipment": "modem 7", "is_part_of_multiple_login": true },
            "node": text("nas-1"),
            "address": address,
            "access_session_id": text("access-1"),
            "characteristics": text("100/40 Mbit/s"),
            "location": location,
            "signal": radius,
        })
    );
    assert_eq!(
        told(&events[11]),
        json!({
            "message": "access-failed",
            "subscriber_identity": text("line 42"),
            "address": address,
            "reason": text("nedostatek ½"),
            "signal": radius,
        })
    );
    assert_eq!(told(&events[12])["message"], "access-rejected");
    assert_eq!(
        told(&events[13]),
        json!({
            "message": "access-session-end",
            "subscriber_identity": text("line 42"),
            "address": address,
            "access_session_id": text("access-1"),
            "reason": text("nedostatek ½"),
            "signal": radius,
        })
    );
    let mut messages = told(&events[14])["messages"].as_array().unwrap().clone();
    messages.sort_by_key(|message| message["kind"].to_string());
    assert_eq!(
        messages,
        [
            json!({ "kind": "asndot1", "message": "value" }),
            json!({ "kind": "diameter", "message": "AAR" }),
            json!({ "kind": "other", "message": "DHCPDISCOVER" }),
            json!({ "kind": "radius", "message": "Access-Request" }),
            json!({ "kind": "xml", "message": "<a/>" }),
        ]
    );
    assert_eq!(
        told(&events[16]),
        json!({
            "message": "session-start",
            "subscriber_identity": text("line 42"),
            "access_session_id": text("access-1"),
            "session_id": text("session-1"),
            "address": { "address": "2001:db8::", "allocation": "static", "flow_label": null, "prefix_length": 56 },
            "characteristics": text("100/40 Mbit/s"),
            "location": location,
            "delivery": {
                "content_identifier": { "correlation": "78" },
                "to": { "address": "[2001:db8::1]:7444" },
                "format": "ias-datagram",
            },
        })
    );
    assert_eq!(
        told(&events[17])["delivery"],
        json!({
            "content_identifier": { "correlation": "78" },
            "to": { "ccc": "ccc-1" },
            "format": "scte-datagram",
        })
    );
    assert_eq!(
        told(&events[18]),
        json!({
            "message": "session-failed",
            "subscriber_identity": text("line 42"),
            "access_session_id": text("access-1"),
            "reason": text("nedostatek ½"),
        })
    );
    assert_eq!(told(&events[20])["message"], "session-end");
    assert_eq!(told(&events[20])["access_session_id"], text("access-1"));
}

/// An event that is cut anywhere or garbled anywhere is an error or another event, and nothing worse.
#[test]
fn events_that_are_cut_or_garbled() {
    for message in written() {
        for place in 0..message.len() {
            assert!(decode_cmii(&message[..place]).is_err());
            for octet in [0, 1, 0x1f, 0x30, 0x7f, 0x80, 0x81, 0xa0, 0xff] {
                let mut garbled = message.clone();
                garbled[place] = octet;
                let _ = decode_cmii(&garbled);
            }
        }
    }
}

/// Another codec reads every event with the module's text and writes it again to the same octets.
#[test]
fn asn1tools_reads_every_event() {
    let Some(read) = read("IasProtocol", &written().concat()) else { return };
    assert_eq!(read.len(), events().len());
    let message = |place: usize, name: &str| read[place]["iasMessage"][name].clone();
    assert_eq!(message(0, "access-Attempt")["accessMethod"]["partOfMultipleLogin"], json!(null));
    assert_eq!(message(0, "access-Attempt")["protocolSignal"]["protocol"], json!({ "radius": null }));
    assert_eq!(message(6, "access-Attempt")["accessMethod"]["accessType"], json!({ "other": "fibre" }));
    assert_eq!(message(9, "access-Accepted")["accessSessionID"], json!({ "stringVS": "access-1" }));
    assert_eq!(message(12, "access-Rejected").get("iPAddress"), None);
    assert_eq!(message(14, "access-Signaling-Message-Report")["signalingMsg"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        message(16, "session-Start")["deliveryInformation"],
        json!({
            "contentIdentifier": { "correlationID": "78" },
            "deliveryIdentifier": {
                "ccAddress": {
                    "leaIPAddress": { "ipV6": "20010db8000000000000000000000001" },
                    "leaPortNumber": "7444",
                },
            },
            "ccDeliveryFormat": { "iasDatagram": null },
        })
    );
    assert_eq!(
        message(17, "session-Already-Established")["deliveryInformation"]["deliveryIdentifier"],
        json!({ "cccId": { "combCCC": "ccc-1" } })
    );
    assert_eq!(message(19, "session-Failed").get("reasonForTermination"), None);
}

#[test]
fn the_optional_module() {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let module = OptionalModule::new("1.2.840.113737.2.1.1.2.0").unwrap();
    assert_eq!(String::from(module.clone()), "1.2.840.113737.2.1.1.2.0");
    let kinds = [
        (Surveillance::Activation, "surveillance-activation"),
        (Surveillance::Continuation, "surveillance-continuation"),
        (Surveillance::Change, "surveillance-change"),
        (Surveillance::DeActivation, "surveillance-de-activation"),
    ];
    let status = Status::new("in force").unwrap();
    let mut stream = Vec::new();
    for (kind, name) in kinds {
        let message = intercept.surveillance(&module, time(TIME), kind, &status);
        let (cmii, length) = decode_optional(&module, &message).unwrap();
        assert_eq!(length, message.len());
        assert_eq!(
            serde_json::to_value(cmii).unwrap(),
            json!({
                "case_id": "CASE-1",
                "iap_system_id": "IAP-1",
                "timestamp": "2007-04-19T17:26:28.406000Z",
                "message": name,
                "status": "in force",
            })
        );
        // Neither is taken for the other.
        assert_eq!(decode_cmii(&message).unwrap_err(), DecodeError::NotCmii);
        assert_eq!(module_of(&message), Ok(module.clone()));
        assert!(decode_optional(&OptionalModule::new("1.2.3").unwrap(), &message).is_err());
        stream.extend(message);
    }
    // serviceChange, with a member that is not public.
    let head = [0x80, 1, b'C', 0x81, 1, b'I', 0x82, 15];
    let service = [&head[..], b"20070419172628Z", &[0x83, 1, 7]].concat();
    let oid = [6, 3, 0x2a, 0x03, 0x04];
    let body = [&oid[..], &[0xa0, service.len() as u8], &service].concat();
    let service = [&[0x30, body.len() as u8], &body[..]].concat();
    let (cmii, _) = decode_optional(&OptionalModule::new("1.2.3.4").unwrap(), &service).unwrap();
    assert_eq!(serde_json::to_value(cmii).unwrap()["message"], "service-change");

    if let Some(read) = read("IasOptionalProtocol", &stream) {
        assert_eq!(read[3]["protocolIdentifier"], "1.2.840.113737.2.1.1.2.0");
        assert_eq!(read[3]["iasOptionalMessage"]["surveillanceDeActivation"]["surveillanceStatus"], json!("in force"));
    }
    for text in ["", "1", "3.1", "1.40", "0.40.1", "1.2.", "1.x", "1.2.4294967296", &["1"; 33].join(".")] {
        assert!(OptionalModule::new(text).is_err(), "{text}");
    }
}

#[test]
fn summary_reports_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for packets in SEQUENCES {
        let intercept = any_intercept().new_tree(&mut runner).unwrap().current();
        let summary = Summary { flow: any_flow().new_tree(&mut runner).unwrap().current(), packets };
        let mut out = [0; Intercept::SUMMARY_REPORT_BOUND];
        let length = intercept.summary_report(&mut out, time(TIME), &summary).unwrap();
        stream.extend_from_slice(&out[..length]);
        expected.push(summary);
    }
    let Some(read) = read("IasProtocol", &stream) else { return };
    assert_eq!(read.len(), expected.len());
    for (message, summary) in read.iter().zip(expected) {
        let stream_set = &message["iasMessage"]["data-Summary-Report"]["streamSet"];
        assert_eq!(stream_set["packetCount"], json!(summary.packets));
        let ports = summary.flow.ports;
        assert_eq!(stream_set.get("sourcePortNumber"), ports.map(|ports| json!(ports.0.to_string())).as_ref());
        assert_eq!(stream_set.get("destinationPortNumber"), ports.map(|ports| json!(ports.1.to_string())).as_ref());
    }
}

/// The longest names, addresses and numbers there can be.
#[test]
fn the_longest_summary_has_room() {
    use writ_encoder::t1_ias::{CallId, ContentIdentifier, SubscriberIdentity};
    let call = ContentIdentifier::Call {
        main: CallId::new("m".repeat(CallId::LONGEST)).unwrap(),
        leg: Some(CallId::new("l".repeat(CallId::LONGEST)).unwrap()),
    };
    let intercept = Intercept::new(
        &CaseId::new("C".repeat(CaseId::LONGEST)).unwrap(),
        &IapSystemId::new("I".repeat(IapSystemId::LONGEST)).unwrap(),
        &call,
        &SubscriberIdentity::new("line 42").unwrap(),
    );
    let flow = Flow {
        ports: Some((65_535, 65_535)),
        flow_label: FlowLabel::from_word(0xf_ffff),
        ..flow("2001:db8::1", "2001:db8::2")
    };
    summary_is_the_reference(&intercept, &Summary { flow, packets: u64::MAX });
}

fn summary_is_the_reference(intercept: &Intercept, summary: &Summary) {
    let mut out = [0xee; Intercept::SUMMARY_REPORT_BOUND + 1];
    let length = intercept.summary_report(&mut out, time(TIME), summary).unwrap();
    assert_eq!(out[Intercept::SUMMARY_REPORT_BOUND], 0xee, "nothing is written behind the bound");
    assert_eq!(out[..length], asn1::encode(&intercept.summary_report_message(time(TIME), summary)));
}

proptest! {
    #[test]
    fn summary_is_the_reference_and_comes_back(
        intercept in any_intercept(),
        time in any_time(),
        flow in any_flow(),
        packets in any_sequence(),
    ) {
        let summary = Summary { flow, packets };
        let mut out = [0; Intercept::SUMMARY_REPORT_BOUND];
        let length = intercept.summary_report(&mut out, time, &summary).unwrap();
        prop_assert_eq!(&out[..length], asn1::encode(&intercept.summary_report_message(time, &summary)));
        let (cmii, consumed) = decode_cmii(&out).unwrap();
        prop_assert_eq!(consumed, length);
        prop_assert_eq!(cmii.timestamp, time);
        let Message::SummaryReport(report) = cmii.message else { panic!("{:?}", cmii.message) };
        prop_assert_eq!(report.packet_count, packets);
        let ends: [IpAddr; 2] = [report.source.address, report.destination.address];
        prop_assert_eq!(ends, [flow.source, flow.destination]);
        prop_assert_eq!(report.source_port.zip(report.destination_port), flow.ports);
        prop_assert_eq!(intercept.summary_report(&mut out[1..], time, &summary), Err(NoRoom));
    }
}
