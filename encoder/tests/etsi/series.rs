//! PDUs at one look, and messages in the name of their series.

use crate::given::*;
use proptest::prelude::*;
use writ_encoder::etsi::*;

#[test]
fn a_look_tells_series_and_kinds_apart() {
    let [one, other] = [1, 2].map(|cin| Intercept::new(&identity(), cin));
    let cc = content(&one, 7, &packet(60));
    let iri = {
        let mut out = vec![0; one.header_report_bound(20)];
        let length = one.header_report(&mut out, time(TIME), Direction::ToTarget, 8, &packet(20)).unwrap();
        out.truncate(length);
        out
    };
    let hi1 = one.hi1(time(TIME), 9, Hi1Change::Activated, None).unwrap();
    let looks = [&cc, &iri, &hi1].map(|pdu| Glance::at(pdu).unwrap());
    assert_eq!(looks.map(|look| look.data), [Some(DataType::Cc), Some(DataType::Iri), None]);
    assert_eq!(looks.map(|look| look.sequence), [7, 8, 9]);
    assert!(looks.iter().all(|look| look.series == looks[0].series && look.liid == b"TEST-LIID-001"));
    let other = content(&other, 7, &packet(60));
    assert_ne!(Glance::at(&other).unwrap().series, looks[0].series, "another session of the target");
    assert!(Glance::at(&cc[..20]).is_err() && Glance::at(b"GET /").is_err());
}

#[test]
fn a_sealed_notice_of_hi1_says_what_part_it_is_of() {
    let mut sealer = Sealer::new(CaseKey::new(&packet(32)).unwrap(), time(TIME));
    let mut part = |pdu: Vec<u8>| {
        let mut out = vec![0; Sealer::bound(pdu.len())];
        let length = sealer.seal(&mut out, 0, &pdu).unwrap();
        let (sealed, _) = decode(&out[..length]).unwrap();
        let Payload::Encrypted(container) = sealed.payload else { panic!("{sealed:?}") };
        container.part
    };
    let hi1 = intercept().hi1(time(TIME), 0, Hi1Change::Activated, None).unwrap();
    assert_eq!(part(hi1), Some(EncryptedPayloadType::Part1));
    assert_eq!(part(content(&intercept(), 0, &packet(60))), Some(EncryptedPayloadType::Part3));
}

proptest! {
    #[test]
    fn a_message_bears_the_name_of_its_series(intercept in any_intercept(), sequence in any_number()) {
        let pdu = content(&intercept, 3, &packet(60));
        let message = Messenger::of(&pdu).unwrap().tri(time(TIME), sequence, &Tri::KeepAlive);
        prop_assert_eq!(&message, &Messenger::from(intercept.clone()).tri(time(TIME), sequence, &Tri::KeepAlive));
        prop_assert_eq!(message, intercept.tri(time(TIME), sequence, &Tri::KeepAlive).unwrap());
    }
}
