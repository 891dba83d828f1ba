//! T1.IAS as an agency meets it: the published sample, both paths held equal, every message read back.

use crate::given::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use writ_encoder::NoRoom;
use writ_encoder::t1_ias::{
    Allocation, Assignment, CallId, CaseId, Cmii, ContentIdentifier, Direction, Flow, FlowLabel, HeaderSets,
    IapSystemId, Intercept, Message, Reason, SessionId, SubscriberIdentity, Value, asn1, decode_cmcc, decode_cmii,
};

/// A Packet-Data-Header-Report that an independent BER reader decodes as it was meant.
const SAMPLE: &str = "3068060b2a864886f8490201010000aa598006434153452d3181054941502d31821332303037303431393137323632382e\
    3430365aa303800178a42ea00480027331a10ca00681040a000001a1028100a20ca00681040a000002a1028200830431323334840435363738";

fn octets(hexadecimal: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(&hexadecimal[place..place + 2], 16).unwrap();
    (0..hexadecimal.len()).step_by(2).map(pair).collect()
}

/// What an agency reads of a message.
fn json_of(cmii: &Cmii) -> serde_json::Value {
    serde_json::to_value(cmii).unwrap()
}

#[test]
fn the_sample_is_read_and_written_again() {
    let sample = octets(SAMPLE);
    let (cmii, length) = decode_cmii(&sample).unwrap();
    assert_eq!(length, sample.len());
    assert_eq!(
        json_of(&cmii),
        json!({
            "case_id": "CASE-1",
            "iap_system_id": "IAP-1",
            "timestamp": "2007-04-19T17:26:28.406000Z",
            "message": "header-report",
            "content_identifier": { "correlation": "78" },
            "stream_id": { "form": "text", "value": "s1" },
            "source": { "address": "10.0.0.1", "allocation": "dynamic", "flow_label": null, "prefix_length": null },
            "destination": { "address": "10.0.0.2", "allocation": "unknown", "flow_label": null, "prefix_length": null },
            "source_port": 1234,
            "destination_port": 5678,
        })
    );
    let message: asn1::IasProtocol = rasn::ber::decode(&sample).unwrap();
    assert_eq!(asn1::encode(&message), sample);
}

/// Our own report of the sample's packet differs from it only where it must: streamID and one allocationMethod.
#[test]
fn our_report_of_the_sample() {
    let mut out = [0; 1024];
    let length = intercept("CASE-1", &correlation(b"x"))
        .header_report(&mut out, time(TIME), &flow("10.0.0.1", "10.0.0.2"))
        .unwrap();
    let ours = json_of(&decode_cmii(&out[..length]).unwrap().0);
    let mut sample = json_of(&decode_cmii(&octets(SAMPLE)).unwrap().0);
    assert_ne!(ours["stream_id"], sample["stream_id"]);
    sample["stream_id"] = ours["stream_id"].clone();
    sample["source"]["allocation"] = json!("unknown");
    assert_eq!(ours, sample);
}

/// Every length of packet at which a length field of the PDU grows, every width of the sequence number.
#[test]
fn content_equals_the_reference_at_every_boundary() {
    let lengths = (0..=420).chain(65_300..=65_600).chain(16_777_100..16_777_102);
    for length in lengths {
        let packet = packet(length);
        for (case_id, sequence) in [("C", 0), ("CASE-67890-234567890-2345", u64::MAX)] {
            content_equals_the_reference(&intercept(case_id, &correlation(b"x")), sequence, &packet);
        }
    }
    for sequence in SEQUENCES {
        for length in [0, 64, 1400] {
            content_equals_the_reference(&intercept("CASE-1", &correlation(b"x")), sequence, &packet(length));
        }
    }
}

/// The longest names, addresses and numbers there can be.
#[test]
fn the_longest_message_has_room() {
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
    content_equals_the_reference(&intercept, u64::MAX, &packet(65_535));
    let flow = Flow {
        ports: Some((65_535, 65_535)),
        flow_label: FlowLabel::from_word(0xf_ffff),
        ..flow("2001:db8::1", "2001:db8::2")
    };
    let mut out = vec![0; intercept.header_report_bound()];
    let length = intercept.header_report(&mut out, time(TIME + 1), &flow).unwrap();
    assert_eq!(out[..length], asn1::encode(&intercept.header_report_message(time(TIME + 1), &flow)));
}

fn content_equals_the_reference(intercept: &Intercept, sequence: u64, packet: &[u8]) {
    let mut out = vec![0; intercept.content_bound(packet.len())];
    for direction in [None, Some(Direction::FromSubject), Some(Direction::ToSubject)] {
        let length = intercept.content(&mut out, time(TIME), direction, sequence, packet).unwrap();
        let reference = asn1::encode(&intercept.content_apdu(time(TIME), direction, sequence, packet));
        assert!(out[..length] == reference, "{} octets of packet, sequence {sequence}", packet.len());
    }
}

#[test]
fn stream_id_names_the_five_tuple() {
    let id = |flow| match decode_header_report(&flow) {
        Message::HeaderReport(report) => match report.stream_id {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let one = flow("10.0.0.1", "10.0.0.2");
    let mut ids = vec![
        id(one),
        id(flow("10.0.0.2", "10.0.0.1")),
        id(flow("::10.0.0.1", "::10.0.0.2")),
        id(Flow { ports: Some((1235, 5678)), ..one }),
        id(Flow { ports: Some((1234, 5679)), ..one }),
        id(Flow { ports: Some((0, 0)), ..one }),
        id(Flow { ports: None, ..one }),
        id(Flow { protocol: 17, ..one }),
    ];
    assert_eq!(id(one), ids[0], "the same for each packet of a flow");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "no two flows share one");
}

fn decode_header_report(flow: &Flow) -> Message {
    let mut out = [0; 1024];
    let length = intercept("CASE-1", &correlation(b"x")).header_report(&mut out, time(TIME), flow).unwrap();
    decode_cmii(&out[..length]).unwrap().0.message
}

#[test]
fn a_direction_that_is_not_known_is_left_out() {
    let mut out = [0; 1024];
    let length = intercept("C", &correlation(b"x")).content(&mut out, time(TIME), None, 300, &[0x45, 0]).unwrap();
    let (cmcc, consumed) = decode_cmcc(&out).unwrap();
    assert_eq!(consumed, length);
    assert_eq!((cmcc.direction, cmcc.sequence, cmcc.payload), (None, Some(300), vec![0x45, 0]));
}

#[test]
fn content_is_read_back() {
    let mut out = [0; 1024];
    let length = intercept("CASE-1", &correlation(&[0xab, 0xcd]))
        .content(&mut out, time(TIME), Direction::ToSubject, 300, &[0x45, 0, 0, 0x14])
        .unwrap();
    let (cmcc, consumed) = decode_cmcc(&out).unwrap();
    assert_eq!(consumed, length, "what stands behind a PDU is left alone");
    assert_eq!(
        serde_json::to_value(&cmcc).unwrap(),
        json!({
            "case_id": "CASE-1",
            "iap_system_id": "IAP-1",
            "content_identifier": { "correlation": "abcd" },
            "timestamp": "2007-04-19T17:26:28.406000Z",
            "direction": "to-subject",
            "sequence": 300,
            "payload": "45000014",
        })
    );
}

#[test]
fn session_events_are_read_back() {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let session = SessionId::new("fixed-1").unwrap();
    let address = "2001:db8::7".parse().unwrap();
    let mut expected = json!({
        "case_id": "CASE-1",
        "iap_system_id": "IAP-1",
        "timestamp": "2007-04-19T17:26:28.406000Z",
        "message": "session-already-established",
        "subscriber_identity": { "form": "text", "value": "line 42" },
        "access_session_id": null,
        "session_id": { "form": "text", "value": "fixed-1" },
        "address": { "address": "2001:db8::7", "allocation": "static", "flow_label": null, "prefix_length": null },
        "characteristics": null,
        "location": null,
    });
    let event =
        intercept.session_already_established(time(TIME), &session, Assignment::of(address, Allocation::Static));
    assert_eq!(json_of(&decode_cmii(&event).unwrap().0), expected);

    let event = intercept.session_start(time(TIME), &session, Assignment::of(address, Allocation::Static));
    expected["message"] = json!("session-start");
    assert_eq!(json_of(&decode_cmii(&event).unwrap().0), expected);

    let reason = Reason::new("Anordnung abgelaufen: ½").unwrap();
    let event = intercept.session_end(time(TIME), &session, Assignment::of(address, Allocation::Static), &reason);
    let members = expected.as_object_mut().unwrap();
    members.remove("characteristics");
    members.remove("location");
    expected["message"] = json!("session-end");
    expected["reason"] = json!({ "form": "text", "value": "Anordnung abgelaufen: ½" });
    assert_eq!(json_of(&decode_cmii(&event).unwrap().0), expected);
}

/// A member that a later edition adds at the end, here to the message and to IAS-CC-APDU, costs nothing.
#[test]
fn members_of_a_later_edition_are_passed_over() {
    let mut later = octets(SAMPLE);
    let plain = decode_cmii(&later).unwrap().0;
    later.extend([0x85, 1, 7]);
    later[1] += 3;
    later[16] += 3;
    assert_eq!(decode_cmii(&later).unwrap(), (plain, later.len()));
    let message: asn1::IasProtocol = rasn::ber::decode(&later).unwrap();
    assert_eq!(asn1::encode(&message), later);

    let (cmcc, _) = decode_cmcc(&[0x30, 6, 0x81, 1, 0x45, 0x9f, 0x50, 0]).unwrap();
    assert_eq!((cmcc.payload, cmcc.sequence), (vec![0x45], None));
}

#[test]
fn a_message_that_is_not_read_is_named_by_its_number() {
    let mut later = octets(SAMPLE);
    later[15] = 0xac; // the alternative behind the last one known
    let (cmii, length) = decode_cmii(&later).unwrap();
    assert_eq!(length, later.len());
    assert_eq!(
        json_of(&cmii),
        json!({
            "case_id": "CASE-1",
            "iap_system_id": "IAP-1",
            "timestamp": "2007-04-19T17:26:28.406000Z",
            "message": "unsupported",
            "number": 12,
        })
    );
}

#[test]
fn what_is_wrong_is_said() {
    let said = |bytes: &[u8]| decode_cmii(bytes).unwrap_err().to_string();
    let sample = octets(SAMPLE);
    let changed = |place: usize, octet| {
        let mut bytes = sample.clone();
        bytes[place] = octet;
        bytes
    };
    assert!(said(&changed(12, 2)).contains("protocol identifier"));
    assert!(said(&changed(15, 0x8a)).contains("no alternative of IasMessage"));
    assert_eq!(said(&changed(96, b'x')), "sourcePortNumber: no port number");
    assert!(said(&changed(0, 0x31)).contains("IasProtocol"));
    let mut content = [0; 1024];
    let length =
        intercept("C", &correlation(b"x")).content(&mut content, time(TIME), Direction::ToSubject, 200, &[]).unwrap();
    let place = content.windows(4).position(|octets| octets == [0x83, 2, 0, 200]).unwrap();
    content[place + 2] = 0xff; // a negative number
    assert!(decode_cmcc(&content[..length]).unwrap_err().to_string().contains("sequenceNumber"));
}

proptest! {
    #[test]
    fn content_is_the_reference_and_comes_back(
        intercept in any_intercept(),
        time in any_time(),
        direction in any_direction(),
        sequence in any_sequence(),
        packet in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            (0..70_000_usize).prop_map(packet),
        ],
    ) {
        let bound = intercept.content_bound(packet.len());
        let mut out = vec![0xee; bound + 1];
        let length = intercept.content(&mut out, time, direction, sequence, &packet).unwrap();
        prop_assert!(length <= bound, "the bound holds");
        prop_assert_eq!(out[bound], 0xee, "nothing is written behind it");
        let reference = asn1::encode(&intercept.content_apdu(time, direction, sequence, &packet));
        prop_assert_eq!(&out[..length], reference);

        let (cmcc, consumed) = decode_cmcc(&out).unwrap();
        prop_assert_eq!(consumed, length);
        prop_assert_eq!(cmcc.timestamp, Some(time));
        prop_assert_eq!(cmcc.direction, direction);
        prop_assert_eq!(cmcc.sequence, Some(sequence));
        prop_assert_eq!(cmcc.payload, packet.clone());
        let too_short = intercept.content(&mut out[..length - 1], time, direction, sequence, &packet);
        prop_assert_eq!(too_short, Err(NoRoom));
        prop_assert_eq!(intercept.content(&mut out[..bound], time, direction, sequence, &packet), Ok(length));
    }

    #[test]
    fn header_report_is_the_reference_and_comes_back(
        intercept in any_intercept(),
        time in any_time(),
        flow in any_flow(),
    ) {
        let bound = intercept.header_report_bound();
        let mut out = vec![0xee; bound + 1];
        let length = intercept.header_report(&mut out, time, &flow).unwrap();
        prop_assert!(length <= bound, "the bound holds");
        prop_assert_eq!(out[bound], 0xee, "nothing is written behind it");
        prop_assert_eq!(&out[..length], asn1::encode(&intercept.header_report_message(time, &flow)));

        let (cmii, consumed) = decode_cmii(&out).unwrap();
        prop_assert_eq!(consumed, length);
        prop_assert_eq!(cmii.timestamp, time);
        let Message::HeaderReport(report) = cmii.message else { panic!("{:?}", cmii.message) };
        prop_assert_eq!(report.source.address, flow.source);
        prop_assert_eq!(report.destination.address, flow.destination);
        prop_assert_eq!(report.source_port.zip(report.destination_port), flow.ports);
        prop_assert_eq!(report.source.flow_label, flow.flow_label.map(|label| label.get().to_string()));
        prop_assert_eq!(intercept.header_report(&mut out[..bound - 1], time, &flow), Err(NoRoom));
        prop_assert_eq!(intercept.header_report(&mut out[..bound], time, &flow), Ok(length));
    }

    /// Of flows that come again, and drive each other out.
    #[test]
    fn reports_of_flows_seen_before_are_the_same(
        intercept in any_intercept(),
        time in any_time(),
        flows in vec(any_flow(), 1..100),
        order in vec(any::<Index>(), 1..300),
    ) {
        let mut header_sets = HeaderSets::default();
        let (mut seen, mut anew) = ([0; 1024], [0; 1024]);
        for index in order {
            let flow = index.get(&flows);
            let length = intercept.header_report_from(&mut seen, time, header_sets.of(flow).unwrap()).unwrap();
            prop_assert_eq!(intercept.header_report(&mut anew, time, flow), Ok(length));
            prop_assert_eq!(&seen[..length], &anew[..length]);
        }
    }

    #[test]
    fn session_events_come_back(
        intercept in any_intercept(),
        time in any_time(),
        session in "[^\\p{C}]{1,60}",
        address: std::net::IpAddr,
        allocation in any_allocation(),
        prefix_length: Option<u8>,
    ) {
        let session = SessionId::new(session).unwrap();
        let event = intercept.session_start(time, &session, Assignment { address, prefix_length, allocation });
        let (cmii, consumed) = decode_cmii(&event).unwrap();
        prop_assert_eq!(consumed, event.len());
        prop_assert_eq!(cmii.timestamp, time);
        let Message::SessionStart(start) = cmii.message else { panic!("{:?}", cmii.message) };
        prop_assert_eq!(start.session_id, Value::Text(session.as_str().to_owned()));
        prop_assert_eq!((start.address.address, start.address.allocation), (address, allocation));
        prop_assert_eq!(start.address.prefix_length, prefix_length);
    }
}
