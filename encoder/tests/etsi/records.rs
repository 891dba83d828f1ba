//! What is rarely sent: events, summaries, messages about the delivery, HI1. Written and read back.

use crate::given::*;
use proptest::prelude::*;
use serde_json::json;
use writ_encoder::etsi::*;

fn payload(pdu: &[u8]) -> Payload {
    let (read, length) = decode(pdu).unwrap();
    assert_eq!(length, pdu.len());
    read.payload
}

#[test]
fn a_session_from_begin_to_end() {
    let kinds = [
        (AccessEvent::StartOfInterceptionWithSessionActive, IriType::Begin),
        (AccessEvent::Accept, IriType::Begin),
        (AccessEvent::InterimUpdate, IriType::Continue),
        (AccessEvent::AccessEnd, IriType::End),
        (AccessEvent::EndOfInterceptionWithSessionActive, IriType::End),
        (AccessEvent::Reject, IriType::Report),
    ];
    for (sequence, (event, kind)) in (0..).zip(kinds) {
        let report = AccessReport::new(event, "alice@isp".into(), AccessType::Fttx, IpVersion::Both);
        let Payload::Iri(iri) = payload(&intercept().access(time(TIME), sequence, &report).unwrap()) else { panic!() };
        assert_eq!(iri[0].kind, Some(kind), "{event:?}");
    }
}

/// The first of the vectors, made anew from its values: our header carries the time of the interception, as theirs.
#[test]
fn the_vectors_begin_is_written_again() {
    let Some(vectors) = shared("vectors/etsi-samples.ber") else { return };
    let vectors = std::fs::read(vectors).unwrap();
    let (pdu, length) = decode(&vectors).unwrap();
    let Payload::Iri(iri) = &pdu.payload else { panic!("{pdu:?}") };
    let IriContents::Access { report, unread } = &iri[0].contents else { panic!("{pdu:?}") };
    assert!(unread.is_empty());
    let again = intercept().access(pdu.header.time.unwrap(), pdu.header.sequence, report).unwrap();
    assert_eq!(again, vectors[..length]);
    assert_eq!(
        serde_json::to_value(report.address).unwrap(),
        json!({ "address": "192.0.2.1", "prefix_length": 32, "assignment": "dynamic", "translated": null })
    );
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    let mut report = AccessReport::new(AccessEvent::Accept, "x".into(), AccessType::Lan, IpVersion::V4);
    report.cpe_id = Some("é".repeat(128));
    intercept().access(time(TIME), 0, &report).unwrap();
    report.cpe_id = Some("é".repeat(129));
    assert_eq!(intercept().access(time(TIME), 0, &report).unwrap_err().field, "targetCPEID");
    let message = |length| Tri::OperatorMessage { priority: NoticePriority::Error, message: Label(vec![b'x'; length]) };
    intercept().tri(time(TIME), 0, &message(255)).unwrap();
    intercept().tri(time(TIME), 0, &message(256)).unwrap_err();
    intercept().tri(time(TIME), 0, &message(0)).unwrap_err();
    intercept().hi1(time(TIME), 0, Hi1Change::Activated, Some(&Label(Vec::new()))).unwrap_err();
}

#[test]
fn questions_have_answers() {
    let supported = [DeliveryOption::PduAcknowledgement];
    assert_eq!(Tri::KeepAlive.answer(&supported), Some(Tri::KeepAliveResponse));
    assert_eq!(Tri::AcknowledgementRequest.answer(&supported), Some(Tri::AcknowledgementResponse));
    assert_eq!(Tri::KeepAliveResponse.answer(&supported), None);
    let requested = vec![DeliveryOption::PduAcknowledgement, DeliveryOption::Unknown(9)];
    let answer = Tri::OptionRequest { requested }.answer(&supported).unwrap();
    let expected = Tri::OptionResponse { accepted: supported.to_vec(), declined: vec![DeliveryOption::Unknown(9)] };
    assert_eq!(answer, expected);
    // An option of a later edition is declined under its own number.
    assert_eq!(payload(&intercept().tri(time(TIME), 0, &answer).unwrap()), Payload::Tri(expected));
}

#[test]
fn hi1_says_what_became_of_the_intercept() {
    for change in [Hi1Change::Activated, Hi1Change::Modified, Hi1Change::Deactivated] {
        let target = Label::from("192.0.2.7");
        let pdu = intercept().hi1(time(TIME), 3, change, Some(&target)).unwrap();
        let expected = Hi1 { change, liid: "TEST-LIID-001".into(), time: time(TIME), target: Some(target) };
        assert_eq!(payload(&pdu), Payload::Hi1(expected));
    }
}

/// An operator that writes addresses as text is read too.
#[test]
fn addresses_as_text() {
    let mut report = AccessReport::new(AccessEvent::Accept, "x".into(), AccessType::Lan, IpVersion::V4);
    report.address = Some(Address::new("192.0.2.1".parse().unwrap(), Assignment::Static));
    let pdu = intercept().access(time(TIME), 0, &report).unwrap();
    let place = pdu.windows(6).position(|octets| octets == [0x81, 4, 192, 0, 2, 1]).unwrap();
    let text = b"192.0.2.1";
    let mut longer = pdu.clone();
    longer.splice(place..place + 6, [&[0x82, 9][..], text].concat());
    // Everything around the address is 5 octets longer.
    let mut at = 0;
    while at < place {
        let (constructed, length) = (longer[at] & 0x20 != 0, usize::from(longer[at + 1]));
        let header = if length == 0x81 { 3 } else { 2 };
        let value = if length == 0x81 { usize::from(longer[at + 2]) } else { length };
        if constructed && at + header + value > place {
            longer[at + header - 1] += 5;
            at += header;
        } else {
            at += header + value;
        }
    }
    assert_eq!(payload(&longer), payload(&pdu));
}

proptest! {
    #[test]
    fn events_come_back(intercept in any_intercept(), time in any_time(), sequence in any_number(), given in any_access()) {
        let Payload::Iri(iri) = payload(&intercept.access(time, sequence, &given).unwrap()) else { panic!() };
        let IriContents::Access { report, unread } = &iri[0].contents else { panic!("{iri:?}") };
        prop_assert_eq!(&**report, &given);
        prop_assert!(unread.is_empty());
        prop_assert_eq!(iri[0].kind, Some(given.event.iri_type()));
    }

    #[test]
    fn summaries_come_back(intercept in any_intercept(), direction in any_direction(), given in any_summary()) {
        let Payload::Iri(iri) = payload(&intercept.summary(time(TIME), direction, 7, &given)) else { panic!() };
        prop_assert_eq!(&iri[0].contents, &IriContents::Summary(given));
        prop_assert_eq!(iri[0].direction, Some(direction));
    }

    #[test]
    fn messages_about_the_delivery_come_back(intercept in any_intercept(), sequence in any_number(), given in any_tri()) {
        prop_assert_eq!(payload(&intercept.tri(time(TIME), sequence, &given).unwrap()), Payload::Tri(given));
    }
}
