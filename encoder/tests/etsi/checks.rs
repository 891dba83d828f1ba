//! Integrity checks from the probe to the agency: what is due when, and what an agency finds out.

use std::sync::Arc;

use crate::given::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::*;

pub(crate) fn keys() -> [Arc<SigningKey>; 2] {
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    [ed25519, p256].map(|key| Arc::new(SigningKey::from_pkcs8(key.as_ref()).unwrap()))
}

const CADENCE: Cadence = Cadence { pdus: 4, hash_micros: 1_000_000, hashes: 3, signature_micros: 30_000_000 };

fn later(micros: i64) -> UtcMicros {
    time(TIME + micros)
}

/// A series with its checks as they go over the connection.
fn sent(count: u32, key: Option<Arc<SigningKey>>) -> Vec<Vec<u8>> {
    let intercept = intercept();
    let mut integrity = Integrity::new(DataType::Cc, CADENCE, key);
    let mut stream = Vec::new();
    let check = |due: Due| intercept.tri(time(TIME), due.sequence, &due.check).unwrap();
    for sequence in 0..count {
        let pdu = content(&intercept, sequence, &packet(40 + sequence as usize));
        integrity.sent(time(TIME), sequence, &pdu);
        stream.push(pdu);
        while let Some(due) = integrity.due(time(TIME)).unwrap() {
            stream.push(check(due));
        }
    }
    while let Some(due) = integrity.last(time(TIME)).unwrap() {
        stream.push(check(due));
    }
    stream
}

fn verdicts(verifier: &mut Verifier, stream: &[Vec<u8>]) -> Vec<Verdict> {
    stream.iter().filter_map(|pdu| verifier.arrived(pdu, &decode(pdu).unwrap().0)).collect()
}

#[test]
fn what_is_due_when() {
    let [key, _] = keys();
    let mut integrity = Integrity::new(DataType::Iri, CADENCE, Some(key));
    let included = |due: Option<Due>| match due {
        Some(Due { sequence, check: Tri::IntegrityCheck(check) }) => Some((check.check, sequence, check.included)),
        other => panic!("{other:?}"),
    };
    assert_eq!((integrity.deadline(), integrity.due(later(0)).unwrap()), (None, None));
    // Time: a second after the first PDU, not the last.
    integrity.sent(later(0), 0, b"a");
    integrity.sent(later(900_000), 1, b"b");
    assert_eq!(integrity.due(later(999_999)).unwrap(), None);
    assert_eq!(integrity.deadline(), Some(TIME + 1_000_000));
    assert_eq!(included(integrity.due(later(1_000_000)).unwrap()), Some((CheckType::Hash, 0, vec![0, 1])));
    assert_eq!(integrity.due(later(1_000_000)).unwrap(), None);
    // Number.
    for sequence in 2..6 {
        assert_eq!(integrity.due(later(1_000_001)).unwrap(), None);
        integrity.sent(later(1_000_001), sequence, b"c");
    }
    assert_eq!(included(integrity.due(later(1_000_001)).unwrap()), Some((CheckType::Hash, 1, vec![2, 3, 4, 5])));
    assert_eq!(integrity.due(later(1_000_002)).unwrap(), None);
    // A signature for want of a third hash after half a minute.
    assert_eq!(integrity.deadline(), Some(TIME + 31_000_000));
    assert_eq!(included(integrity.due(later(31_000_000)).unwrap()), Some((CheckType::Signature, 0, vec![0, 1])));
    assert_eq!(integrity.deadline(), None);
    // The end: both.
    integrity.sent(later(31_000_000), 6, b"d");
    assert_eq!(included(integrity.last(later(31_000_000)).unwrap()), Some((CheckType::Hash, 2, vec![6])));
    assert_eq!(included(integrity.last(later(31_000_000)).unwrap()), Some((CheckType::Signature, 1, vec![2])));
    assert_eq!(integrity.last(later(31_000_000)).unwrap(), None);
}

#[test]
fn a_series_that_is_whole() {
    for key in keys() {
        let stream = sent(30, Some(Arc::clone(&key)));
        // 30 PDUs, 8 hashes, 3 signatures.
        assert_eq!(stream.len(), 41);
        let mut verifier = Verifier::new(Some(key.public()), 1 << 20);
        assert_eq!(verdicts(&mut verifier, &stream), vec![Verdict::Good; 11]);
        // All of it once more, as after a reconnect: hashes that were checked are not checked again.
        let again = verdicts(&mut verifier, &stream);
        assert_eq!(again, vec![Verdict::Good; 3], "the signatures");
    }
}

#[test]
fn without_a_key_there_are_hashes_alone() {
    let stream = sent(30, None);
    assert_eq!(stream.len(), 38);
    assert_eq!(verdicts(&mut Verifier::new(None, 1 << 20), &stream), vec![Verdict::Good; 8]);
}

#[test]
fn what_was_changed_or_lost_is_found() {
    let [key, other] = keys();
    let stream = sent(4, Some(Arc::clone(&key)));
    let verify = |stream: &[Vec<u8>]| verdicts(&mut Verifier::new(Some(key.public()), 1 << 20), stream);
    assert_eq!(verify(&stream), [Verdict::Good, Verdict::Good]);

    let mut changed = stream.clone();
    *changed[2].last_mut().unwrap() ^= 1;
    assert_eq!(verify(&changed), [Verdict::Bad, Verdict::Good], "the hash itself is as it was sent");

    let mut lost = stream.clone();
    lost.remove(1);
    assert_eq!(verify(&lost), [Verdict::Missing(vec![1]), Verdict::Good]);

    // Another order of arrival is no fault: the check says in which they were sent.
    let mut turned = stream.clone();
    turned.swap(0, 3);
    assert_eq!(verify(&turned), [Verdict::Good, Verdict::Good]);

    // A hash that fits a changed PDU does not fit the signature.
    let mut integrity = Integrity::new(DataType::Cc, CADENCE, None);
    for (sequence, pdu) in (0..4).zip(&changed) {
        integrity.sent(time(TIME), sequence, pdu);
    }
    let forged = integrity.due(time(TIME)).unwrap().unwrap();
    changed[4] = intercept().tri(time(TIME), 0, &forged.check).unwrap();
    assert_eq!(verify(&changed), [Verdict::Good, Verdict::Bad]);

    let mut stranger = Verifier::new(Some(other.public()), 1 << 20);
    assert_eq!(verdicts(&mut stranger, &stream), [Verdict::Good, Verdict::Bad]);
    let mut keyless = Verifier::new(None, 1 << 20);
    assert_eq!(verdicts(&mut keyless, &stream), [Verdict::Good, Verdict::NotChecked]);
    let mut headless = stream[4..].to_vec();
    headless.remove(0);
    assert_eq!(verify(&headless), [Verdict::Missing(vec![0])]);
}

#[test]
fn memory_is_bounded() {
    let stream = sent(4, None);
    let one = stream[0].len();
    let mut small = Verifier::new(None, 3 * one);
    let [Verdict::Missing(missing)] = &verdicts(&mut small, &stream)[..] else { panic!("the first is not kept") };
    assert_eq!(missing.first(), Some(&0));
}
