//! Any octets through the reader of ETSI PDUs: nothing panics, what is read is no longer than what was given, and what
//! we write of what we read says the same again.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::{Corpus, fuzz_target};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{
    AccessReport, CaseKey, Edition, Identity, Intercept, IriContents, Liid, OperatorId, Payload, Tri, Verifier, decode,
};
use writ_encoder::stream::StreamDecoder;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let mut stream = StreamDecoder::default();
    stream.push(bytes);
    while let Ok(Some(pdu)) = stream.next_pdu() {
        _ = decode(pdu.bytes);
    }
    let (pdu, length) = match decode(bytes) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.offset <= bytes.len(), "a fault behind the end: {error}");
            return Corpus::Keep;
        }
    };
    assert!(length <= bytes.len());
    let mut verifier = Verifier::new(None, 1 << 16);
    verifier.arrived(&bytes[..length], &pdu);
    match &pdu.payload {
        Payload::Tri(tri) => again(tri),
        Payload::Iri(iri) => iri.iter().for_each(|iri| {
            if let IriContents::Access { report, .. } = &iri.contents {
                let once = access(report);
                assert_eq!(access(&once), once, "what we write we read alike");
            }
        }),
        Payload::Encrypted(container) => {
            for key in [&[1; 24][..], &[1; 32]] {
                _ = CaseKey::new(key).expect("a key").open(pdu.header.sequence, container);
            }
        }
        _ => {}
    }
    Corpus::Keep
});

fn intercept() -> Intercept {
    let identity = Identity {
        liid: Liid::new("FUZZ").expect("a name"),
        authorization_country: None,
        operator: OperatorId::new("FUZZ").expect("a name"),
        network_element: None,
        delivery_country: None,
        interception_point: None,
        edition: Edition::default(),
    };
    Intercept::new(&identity, 1)
}

fn payload(pdu: &[u8]) -> Payload {
    decode(pdu).expect("what we write can be read").0.payload
}

fn again(tri: &Tri) {
    let pdu = intercept().tri(UtcMicros::from_unix_nanos(0), 0, tri).expect("what was read fits");
    assert_eq!(payload(&pdu), Payload::Tri(tri.clone()));
}

fn access(report: &AccessReport) -> AccessReport {
    let pdu = intercept().access(UtcMicros::from_unix_nanos(0), 0, report).expect("what was read fits");
    let Payload::Iri(iri) = payload(&pdu) else { panic!("not what was written") };
    match iri.into_iter().next().map(|iri| iri.contents) {
        Some(IriContents::Access { report, .. }) => *report,
        other => panic!("not what was written: {other:?}"),
    }
}
