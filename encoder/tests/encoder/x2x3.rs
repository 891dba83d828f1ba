//! X2 and X3 as a mediation function meets them.

use crate::given::*;
use proptest::prelude::*;
use serde_json::json;
use writ_encoder::NoRoom;
use writ_encoder::t1_ias::Flow;
use writ_encoder::x2x3::{
    Attribute, Direction, Format, HEADER, Identity, Kind, PduStream, StreamError, Task, decode, keep_alive,
    keep_alive_answer,
};

pub(crate) fn identity() -> Identity {
    Identity {
        xid: *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
        correlation_id: 77,
        domain_id: Some("example.net".to_owned()),
        network_function_id: Some("probe-1".to_owned()),
        interception_point_id: Some("tap0".to_owned()),
        matched_target: Some("<ipv4Address>192.0.2.7</ipv4Address>".to_owned()),
    }
}

pub(crate) fn content(task: &Task, sequence: u64, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0; task.overhead() + packet.len()];
    let (time, direction) = (time(TIME + 123), Direction::ToTarget);
    let length = task.content(&mut out, time, direction, sequence, Format::IPV4, packet).unwrap();
    out.truncate(length);
    out
}

pub(crate) fn event(task: &Task, flow: &Flow) -> Vec<u8> {
    let mut out = vec![0; task.overhead() + 20];
    let (time, direction, format) = (time(TIME), Direction::FromTarget, Format::IPV4);
    let length = task.event(&mut out, time, direction, 7, flow, format, &packet(20)).unwrap();
    out.truncate(length);
    out
}

/// One PDU of each kind.
pub(crate) fn pdus() -> Vec<Vec<u8>> {
    let task = Task::new(&identity()).unwrap();
    let silent = |write: fn(&mut [u8], u32) -> Result<usize, NoRoom>| {
        let mut out = vec![0; HEADER + 8];
        write(&mut out, 5).unwrap();
        out
    };
    vec![
        content(&task, 300, &packet(300)),
        event(&task, &flow("10.0.0.1", "2001:db8::2")),
        silent(keep_alive),
        silent(keep_alive_answer),
    ]
}

#[test]
fn content_by_hand_and_read_back() {
    let task = Task::new(&Identity { matched_target: None, ..identity() }).unwrap();
    let pdu = content(&task, 0x1_0000_0005, &[0x45, 0, 0, 20]);
    let header = 40 + 15 + 11 + 8 + 8 + 12;
    let expected = [
        &[0, 1, 0, 2, 0, 0, 0, header, 0, 0, 0, 4, 0, 5, 0, 2][..],
        &identity().xid,
        &[0, 0, 0, 0, 0, 0, 0, 77],
        b"\0\x05\0\x0bexample.net\0\x06\0\x07probe-1\0\x07\0\x04tap0",
        &[0, 8, 0, 4, 0, 0, 0, 5],
        &[0, 9, 0, 8, 0x46, 0x27, 0xa6, 0x44, 0x18, 0x34, 0xf1, 0xf8],
        &[0x45, 0, 0, 20],
    ]
    .concat();
    assert_eq!(pdu, expected);
    let (read, length) = decode(&[&pdu[..], &[9, 9]].concat()).map(|(pdu, length)| (json!(pdu), length)).unwrap();
    assert_eq!(length, pdu.len(), "what stands behind a PDU is left alone");
    assert_eq!(
        read,
        json!({
            "kind": "x3",
            "format": 5,
            "direction": "to-target",
            "xid": "0123456789abcdef0123456789abcdef",
            "correlation_id": 77,
            "attributes": [
                { "domain-id": "example.net" },
                { "network-function-id": "probe-1" },
                { "interception-point-id": "tap0" },
                { "sequence-number": 5 },
                { "timestamp": "2007-04-19T17:26:28.406123Z" },
            ],
            "payload": "45000014",
        })
    );
}

#[test]
fn an_event_tells_the_ends_of_the_packet() {
    let task = Task::new(&identity()).unwrap();
    let pdu = event(&task, &flow("10.0.0.1", "2001:db8::2"));
    let (read, _) = decode(&pdu).unwrap();
    assert_eq!((read.kind, read.direction, read.payload), (Kind::X2, Direction::FromTarget, &packet(20)[..]));
    let attributes: Vec<_> = read.attributes.iter().skip(4).collect();
    assert_eq!(
        attributes,
        [
            Attribute::SequenceNumber(7),
            Attribute::Timestamp(time(TIME)),
            Attribute::SourceIpv4("10.0.0.1".parse().unwrap()),
            Attribute::DestinationIpv6("2001:db8::2".parse().unwrap()),
            Attribute::SourcePort(1234),
            Attribute::DestinationPort(5678),
            Attribute::Protocol(6),
        ]
    );
}

#[test]
fn a_keep_alive_is_answered_with_its_number() {
    let mut out = [0; 64];
    let length = keep_alive(&mut out, 0xdead_beef).unwrap();
    let (question, consumed) = decode(&out[..length]).unwrap();
    assert_eq!((consumed, question.kind, question.xid), (length, Kind::KeepAlive, [0; 16]));
    let number = question.attributes.sequence_number().unwrap();
    let length = keep_alive_answer(&mut out, number).unwrap();
    let (answer, _) = decode(&out[..length]).unwrap();
    assert_eq!(answer.kind, Kind::KeepAliveAnswer);
    assert_eq!(answer.attributes.sequence_number(), Some(0xdead_beef));
    assert_eq!(keep_alive(&mut [0; HEADER + 7], 1), Err(NoRoom));
}

#[test]
fn names_are_checked() {
    let named = |name: &str| Task::new(&Identity { domain_id: Some(name.to_owned()), ..identity() });
    assert!(named(&"n".repeat(Task::LONGEST_NAME)).is_ok());
    assert_eq!(
        named(&"n".repeat(Task::LONGEST_NAME + 1)).unwrap_err().to_string(),
        "domain_id is 1025 octets long: give 1 to 1024, or leave it out"
    );
    assert!(named("").is_err());
}

#[test]
fn a_stream_in_crumbs_is_the_same_stream() {
    let stream = pdus().concat();
    for crumb in [1, 2, 13, 100, stream.len()] {
        let mut cutter = PduStream::default();
        let mut found: Vec<Vec<u8>> = Vec::new();
        for bytes in stream.chunks(crumb) {
            cutter.push(bytes);
            while let Some(pdu) = cutter.next_pdu().unwrap() {
                assert_eq!(pdu.offset as usize, found.concat().len());
                found.push(pdu.bytes.to_vec());
            }
        }
        assert_eq!(found, pdus());
        assert_eq!(cutter.pending(), 0);
    }
}

#[test]
fn the_fault_is_named_by_its_place_and_stays() {
    let good = content(&Task::new(&identity()).unwrap(), 1, &packet(300));
    let fault = |bytes: &[u8]| {
        let mut cutter = PduStream::new(1000);
        cutter.push(&[&good, bytes].concat());
        assert_eq!(cutter.next_pdu().unwrap().unwrap().bytes, good, "what stood before the fault");
        let error = cutter.next_pdu().unwrap_err();
        cutter.push(&good);
        assert_eq!(cutter.next_pdu(), Err(error), "a stream that lost its frames stays lost");
        error.to_string()
    };
    let offset = good.len();
    assert_eq!(
        fault(b"GET / HTTP/1.1"),
        format!("the PDU at octet {offset} of the stream: no X2/X3 PDU: octet 0: a version other than 1")
    );
    let long = StreamError::TooLong { offset: offset as u64, limit: 1000 }.to_string();
    assert_eq!(fault(&[0, 1, 0, 2, 0, 0, 0, 40, 0, 0, 3, 0xc1]), long);
    assert_eq!(fault(&[0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), long);
    assert!(fault(&[0, 1, 0, 2, 0, 0, 0, 39, 0, 0, 0, 0]).ends_with("octet 4: a header of fewer than 40 octets"));
    assert!(fault(&[0, 1, 0, 9, 0, 0, 0, 40, 0, 0, 0, 0]).ends_with("octet 2: a type other than 1 to 4"));

    let said = |place: usize, octet: u8| {
        let mut garbled = good.clone();
        garbled[place] = octet;
        decode(&garbled).unwrap_err().to_string()
    };
    assert_eq!(said(15, 9), "no X2/X3 PDU: octet 14: a direction other than 0 to 5");
    assert_eq!(said(41, 8), "no X2/X3 PDU: octet 40: an attribute of the wrong length");
    assert_eq!(said(42, 0xff), "no X2/X3 PDU: octet 40: an attribute that ends behind the header");
    assert_eq!(said(44, 0xff), "no X2/X3 PDU: octet 40: an attribute that is no UTF-8");
}

proptest! {
    #[test]
    fn comes_back(
        target in 1..100_usize,
        sequence: u64,
        micros in 0..4_294_967_296_000_000_i64,
        flow in any_flow(),
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let task = Task::new(&Identity { matched_target: Some("7".repeat(target)), ..identity() }).unwrap();
        let moment = time(micros);
        let mut out = vec![0xee; task.overhead() + payload.len() + 1];
        for is_event in [false, true] {
            let write = |out: &mut [u8]| {
                if is_event {
                    task.event(out, moment, Direction::Unknown, sequence, &flow, Format::IPV6, &payload)
                } else {
                    task.content(out, moment, Direction::Unknown, sequence, Format::IPV6, &payload)
                }
            };
            let length = write(&mut out).unwrap();
            prop_assert_eq!(out.last(), Some(&0xee), "the bound holds");
            let (read, consumed) = decode(&out).unwrap();
            prop_assert_eq!((consumed, read.format, read.payload), (length, Format::IPV6, &payload[..]));
            let kind = if is_event { Kind::X2 } else { Kind::X3 };
            prop_assert_eq!((read.kind, read.direction, read.correlation_id), (kind, Direction::Unknown, 77));
            prop_assert_eq!(read.attributes.sequence_number(), Some(sequence as u32));
            prop_assert!(read.attributes.iter().any(|found| found == Attribute::Timestamp(moment)));
            if let (true, Some((source, destination))) = (is_event, flow.ports) {
                prop_assert!(read.attributes.iter().any(|found| found == Attribute::SourcePort(source)));
                prop_assert!(read.attributes.iter().any(|found| found == Attribute::DestinationPort(destination)));
            }
            let mut short = vec![0; length - 1];
            prop_assert_eq!(write(&mut short), Err(NoRoom));
        }
    }

    /// Noise that begins like a PDU gets further than plain noise.
    #[test]
    fn mutated_streams_give_back_only_their_own_octets(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        crumb in 1..200_usize,
    ) {
        let task = Task::new(&identity()).unwrap();
        let mut stream = [event(&task, &flow("10.0.0.1", "10.0.0.2")), content(&task, 1, &packet(100))].concat();
        for (place, octet) in changes {
            let place = place.index(stream.len());
            stream[place] = octet;
        }
        let mut cutter = PduStream::new(2000);
        let mut end = 0;
        'stream: for bytes in stream.chunks(crumb) {
            cutter.push(bytes);
            loop {
                match cutter.next_pdu() {
                    Ok(Some(pdu)) => {
                        prop_assert_eq!(pdu.offset as usize, end, "one behind the other");
                        end += pdu.bytes.len();
                        prop_assert_eq!(pdu.bytes, &stream[pdu.offset as usize..end]);
                        let _ = decode(pdu.bytes).map(|(read, _)| read.attributes.iter().count());
                    }
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
        }
    }
}
