//! The encryption container: sealed by the probe, opened with the key of the case.

use crate::given::*;
use proptest::prelude::*;
use writ_encoder::NoRoom;
use writ_encoder::etsi::*;

fn key(length: usize) -> CaseKey {
    CaseKey::new(&packet(length)).unwrap()
}

fn seal(sealer: &mut Sealer, sequence: u32, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; Sealer::bound(pdu.len())];
    let length = sealer.seal(&mut out, sequence, pdu).unwrap();
    out.truncate(length);
    out
}

fn container(pdu: &[u8]) -> Container {
    let (pdu, _) = decode(pdu).unwrap();
    let Payload::Encrypted(container) = pdu.payload else { panic!("{pdu:?}") };
    container
}

#[test]
fn the_counter_goes_on_by_the_size_of_each_pdu() {
    let mut sealer = Sealer::new(key(32), time(TIME));
    let mut expected = 1_700_000_000_u64 << 32;
    for sequence in 0..20 {
        let pdu = seal(&mut sealer, sequence, &content(&intercept(), sequence, &packet(sequence as usize)));
        let (counter, _) = key(32).open(sequence, &container(&pdu)).unwrap();
        assert_eq!(counter, expected);
        expected += pdu.len() as u64;
    }
}

#[test]
fn only_the_key_opens() {
    let pdu = seal(&mut Sealer::new(key(32), time(TIME)), 5, &content(&intercept(), 5, &packet(60)));
    let mut sealed = container(&pdu);
    assert!(CaseKey::new(&[7; 32]).unwrap().open(5, &sealed).is_err());
    assert!(key(24).open(5, &sealed).is_err(), "another cipher");
    assert!(key(32).open(6, &sealed).is_err(), "another sequence number");
    sealed.octets.0.pop();
    assert!(key(32).open(5, &sealed).is_err(), "no whole blocks");
    assert_eq!(
        CaseKey::new(&[0; 16]).unwrap_err().to_string(),
        "the key has 16 octets: give 24 for AES-192 or 32 for AES-256"
    );
    assert!(!format!("{:?}", key(32)).contains("31"), "a key is not printed");
    let mut out = [0; 1024];
    let error = Sealer::new(key(24), time(TIME)).seal(&mut out, 0, &[0x30, 0]).unwrap_err();
    assert_eq!(error.to_string(), "pSHeader, octet 2: missing");
}

proptest! {
    #[test]
    fn what_was_sealed_comes_back(
        intercept in any_intercept(),
        sequence in any_number(),
        octets in any_packet(),
        wide: bool,
    ) {
        let key = key(if wide { 32 } else { 24 });
        let plain = content(&intercept, sequence, &octets);
        let mut sealer = Sealer::new(key.clone(), time(TIME));
        let sealed = seal(&mut sealer, sequence, &plain);
        let (before, _) = decode(&plain).unwrap();
        let (after, length) = decode(&sealed).unwrap();
        prop_assert_eq!(length, sealed.len());
        prop_assert_eq!(&after.header, &before.header);
        let (_, payload) = key.open(sequence, &container(&sealed)).unwrap();
        prop_assert_eq!(payload, before.payload);
        let mut out = vec![0; sealed.len() - 1];
        prop_assert_eq!(sealer.seal(&mut out, sequence, &plain), Err(SealError::NoRoom(NoRoom)));
    }
}
