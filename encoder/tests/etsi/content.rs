//! Content and header reports: the fast path is the types of the modules, octet for octet, and comes back.

use crate::given::*;
use proptest::prelude::*;
use writ_encoder::NoRoom;
use writ_encoder::etsi::*;

/// Every length of packet at which a length of the PDU grows, every width of numbers and times.
#[test]
fn content_equals_the_reference_at_every_boundary() {
    let mut long = identity();
    long.liid = Liid::new("L".repeat(25)).unwrap();
    long.operator = OperatorId::new("O".repeat(16)).unwrap();
    long.network_element = Some(NetworkElementId::new("N".repeat(16)).unwrap());
    long.interception_point = Some(InterceptionPoint::new("12345678").unwrap());
    let intercepts = [intercept(), Intercept::new(&long, u32::MAX)];
    for length in (0..=400).chain(65_200..=65_540).chain([16_777_000, 16_777_216]) {
        for (intercept, sequence) in intercepts.iter().zip([7, u32::MAX]).chain(intercepts.iter().zip([u32::MAX, 7])) {
            equals_the_reference(intercept, TIME, sequence, (&packet(length)[..]).into());
        }
    }
    for length in (0..=300).chain(65_400..=65_540) {
        for original_length in [0, 127, 128, 65_535, u32::MAX] {
            let octets = &packet(length)[..];
            equals_the_reference(&intercepts[0], TIME, 7, Packet { octets, original_length: Some(original_length) });
        }
    }
    for sequence in SEQUENCES {
        for micros in TIMES {
            equals_the_reference(&intercepts[1], micros, sequence, (&packet(64)[..]).into());
        }
    }
}

/// The same of header reports.
#[test]
fn header_reports_equal_the_reference_at_every_boundary() {
    let (intercept, mut out) = (intercept(), vec![0; intercept().header_report_bound(70_000)]);
    for length in (0..=400).chain(65_200..=65_540) {
        for sequence in SEQUENCES {
            let (time, header) = (time(TIME), packet(length));
            let written = intercept.header_report(&mut out, time, Direction::ToTarget, sequence, &header).unwrap();
            let reference = intercept.header_report_pdu(time, Direction::ToTarget, sequence, &header);
            assert!(out[..written] == asn1::encode(&reference), "{length} octets, sequence {sequence}");
        }
    }
}

fn equals_the_reference(intercept: &Intercept, micros: i64, sequence: u32, packet: Packet<'_>) {
    let mut out = vec![0; intercept.content_bound(packet.octets.len())];
    let length = intercept.content(&mut out, time(micros), Direction::ToTarget, sequence, packet).unwrap();
    let reference = asn1::encode(&intercept.content_pdu(time(micros), Direction::ToTarget, sequence, packet));
    assert!(out[..length] == reference, "{} octets, sequence {sequence}, {micros}", packet.octets.len());
}

/// The vector differs in nothing.
#[test]
fn the_vector_is_written_again() {
    let Some(vector) = shared("vectors/etsi-min-ipcc.hex") else { return };
    let vector = octets(std::fs::read_to_string(vector).unwrap().trim());
    let (pdu, length) = decode(&vector).unwrap();
    assert_eq!(length, vector.len());
    let Payload::Cc(cc) = &pdu.payload else { panic!("{pdu:?}") };
    let CcContents::Packet(packet) = &cc[0].contents else { panic!("{pdu:?}") };
    assert_eq!(content(&intercept(), 0, &packet.0), vector);
}

#[test]
fn content_is_read_back_as_json() {
    let (pdu, _) = decode(&content(&intercept(), 300, &[0x45, 0, 0, 0x14])).unwrap();
    assert_eq!(
        serde_json::to_value(&pdu).unwrap(),
        serde_json::json!({
            "header": {
                "version": 40,
                "liid": "TEST-LIID-001",
                "authorization_country": "US",
                "operator": "OPER1",
                "network_element": "NE01",
                "cin": 1,
                "delivery_country": "US",
                "sequence": 300,
                "time": "2023-11-14T22:13:20.123456Z",
                "interception_point": null,
                "qualifier": "interception",
            },
            "payload": { "cc": [
                { "direction": "from-target", "time": null, "qualifier": null, "contents": { "packet": "45000014" } },
            ] },
        })
    );
}

proptest! {
    #[test]
    fn content_is_the_reference_and_comes_back(
        intercept in any_intercept(),
        time in any_time(),
        direction in any_direction(),
        sequence in any_number(),
        octets in any_packet(),
        original_length in any_original(),
    ) {
        let packet = Packet { octets: &octets, original_length };
        let bound = intercept.content_bound(octets.len());
        let mut out = vec![0xee; bound + 1];
        let length = intercept.content(&mut out, time, direction, sequence, packet).unwrap();
        prop_assert!(length <= bound, "the bound holds");
        prop_assert_eq!(out[bound], 0xee, "nothing is written behind it");
        let reference = asn1::encode(&intercept.content_pdu(time, direction, sequence, packet));
        prop_assert_eq!(&out[..length], reference);
        prop_assert_eq!(intercept.content(&mut out[..bound], time, direction, sequence, packet), Ok(length));
        let too_short = intercept.content(&mut out[..length - 1], time, direction, sequence, packet);
        prop_assert_eq!(too_short, Err(NoRoom));

        intercept.content(&mut out, time, direction, sequence, packet).unwrap();
        let (pdu, consumed) = decode(&out).unwrap();
        prop_assert_eq!(consumed, length);
        prop_assert_eq!((pdu.header.time, pdu.header.sequence), (Some(time), sequence));
        let octets = Octets(octets);
        let contents = match original_length {
            None => CcContents::Packet(octets),
            Some(original) => CcContents::Truncated { packet: octets, original_length: Some(original.into()) },
        };
        let cc = Cc { direction: Some(direction), time: None, qualifier: None, contents };
        prop_assert_eq!(pdu.payload, Payload::Cc(vec![cc]));
    }

    #[test]
    fn several_packets_in_a_pdu_are_the_reference_and_come_back(
        intercept in any_intercept(),
        time in any_time(),
        sequence in any_number(),
        packets in proptest::collection::vec((any_time(), any_direction(), any_packet(), any_original()), 0..6),
    ) {
        let members: Vec<_> = packets
            .iter()
            .map(|(time, direction, octets, original_length)| Member {
                time: *time,
                direction: *direction,
                packet: Packet { octets, original_length: *original_length },
            })
            .collect();
        let bound = intercept.contents_bound(&members);
        let mut out = vec![0xee; bound + 1];
        let length = intercept.contents(&mut out, time, sequence, &members).unwrap();
        prop_assert!(length <= bound, "the bound holds");
        prop_assert_eq!(out[bound], 0xee, "nothing is written behind it");
        prop_assert_eq!(&out[..length], asn1::encode(&intercept.contents_pdu(time, sequence, &members)));
        prop_assert_eq!(intercept.contents(&mut out[..bound], time, sequence, &members), Ok(length));
        prop_assert_eq!(intercept.contents(&mut out[..length - 1], time, sequence, &members), Err(NoRoom));

        intercept.contents(&mut out, time, sequence, &members).unwrap();
        let (pdu, _) = decode(&out).unwrap();
        prop_assert_eq!(pdu.header.qualifier, Some(TimeQualifier::Aggregation));
        let Payload::Cc(read) = pdu.payload else { panic!("{:?}", pdu.payload) };
        prop_assert_eq!(read.len(), members.len());
        for (read, member) in read.iter().zip(&members) {
            prop_assert_eq!((read.time, read.direction), (Some(member.time), Some(member.direction)));
        }
    }

    #[test]
    fn header_report_is_the_reference_and_comes_back(
        intercept in any_intercept(),
        time in any_time(),
        direction in any_direction(),
        sequence in any_number(),
        header in any_packet(),
    ) {
        let bound = intercept.header_report_bound(header.len());
        let mut out = vec![0xee; bound + 1];
        let length = intercept.header_report(&mut out, time, direction, sequence, &header).unwrap();
        prop_assert!(length <= bound, "the bound holds");
        prop_assert_eq!(out[bound], 0xee, "nothing is written behind it");
        let reference = asn1::encode(&intercept.header_report_pdu(time, direction, sequence, &header));
        prop_assert_eq!(&out[..length], reference);
        prop_assert_eq!(intercept.header_report(&mut out[..length - 1], time, direction, sequence, &header), Err(NoRoom));
        prop_assert_eq!(intercept.header_report(&mut out[..bound], time, direction, sequence, &header), Ok(length));

        let (pdu, _) = decode(&out).unwrap();
        let Payload::Iri(iri) = pdu.payload else { panic!("{:?}", pdu.payload) };
        prop_assert_eq!(iri[0].kind, Some(IriType::Report));
        prop_assert_eq!(iri[0].direction, Some(direction));
        prop_assert_eq!(&iri[0].contents, &IriContents::Header(Octets(header)));
    }
}
