//! PDUs as an enemy makes them, and as a later edition may: nothing here may panic, faults name their place, and what
//! is not known costs nothing else.

use std::path::Path;

use crate::given::*;
use proptest::prelude::*;
use writ_encoder::etsi::*;
use writ_encoder::stream::{StreamDecoder, StreamError};

/// One PDU of each kind.
fn pdus() -> Vec<Vec<u8>> {
    let intercept = intercept();
    let mut report = AccessReport::new(AccessEvent::Accept, "alice".into(), AccessType::Fttx, IpVersion::Both);
    report.address = Some(Address::new("192.0.2.1".parse().unwrap(), Assignment::Dynamic));
    report.additional_address = Some(Address::new("2001:db8::1".parse().unwrap(), Assignment::Dynamic));
    report.pop_identifier = Some(PopIdentifier::Mac([1; 6]));
    report.start = Some(time(TIME));
    let summary = Summary {
        header: Octets(packet(28)),
        indications: Indications::IPV4_TOTAL_LENGTH | Indications::TCP_FLAGS,
        trigger: SummaryTrigger::FlowEnd,
        packets: Some(7),
        octets: Some(7000),
        first: Some(time(TIME)),
        last: None,
    };
    let member = Member { time: time(TIME), direction: Direction::ToTarget, packet: (&[0x45; 20][..]).into() };
    let members = [member, Member { packet: Packet { octets: &[0x60], original_length: Some(1500) }, ..member }];
    let mut several = vec![0; intercept.contents_bound(&members)];
    let length = intercept.contents(&mut several, time(TIME), 3, &members).unwrap();
    several.truncate(length);
    let check = IntegrityCheck {
        included: vec![1, 2, 300],
        check: CheckType::Hash,
        data: Some(DataType::Cc),
        value: Octets(vec![7; 32]),
        hash: Some(HashAlgorithm::Sha256),
        signature: None,
    };
    let plain = content(&intercept, 9, &packet(40));
    let mut sealed = vec![0; Sealer::bound(plain.len())];
    let mut sealer = Sealer::new(CaseKey::new(&[1; 32]).unwrap(), time(TIME));
    let length = sealer.seal(&mut sealed, 9, &plain).unwrap();
    sealed.truncate(length);
    vec![
        intercept.access(time(TIME), 0, &report).unwrap(),
        intercept.summary(time(TIME), Direction::FromTarget, 1, &summary),
        intercept.tri(time(TIME), 2, &Tri::IntegrityCheck(check)).unwrap(),
        intercept
            .tri(time(TIME), 2, &Tri::OptionRequest { requested: vec![DeliveryOption::PduAcknowledgement] })
            .unwrap(),
        intercept.hi1(time(TIME), 3, Hi1Change::Activated, Some(&"192.0.2.1".into())).unwrap(),
        several,
        plain,
        sealed,
    ]
}

/// Each vector, with the place that is named.
#[test]
fn the_vectors_are_refused_with_the_place_named() {
    let Some(folder) = shared("vectors/etsi-bad") else { return };
    for (name, said) in [
        (
            "bad_enum",
            "payload.cCPayloadSequence.payloadDirection, octet 82: a value that the enumeration does not have",
        ),
        ("bad_mand", "pSHeader.communicationIdentifier, octet 33: missing"),
        ("bad_print", "pSHeader.authorizationCountryCode, octet 29: a character that its type does not allow"),
        ("bad_tag", "pSHeader.communicationIdentifier, octet 29: missing"),
        ("bad_trunc", "octet 0: the value is cut off"),
        ("bad_usec", "pSHeader.microSecondTimeStamp.microSeconds, octet 68: a number out of range"),
        ("hostile-1", "pSHeader, octet 3: missing"),
        (
            "hostile-2",
            "payload.iRIPayloadSequence.iRIContents.iPIRI.iPIRIContents.additionalIPAddress.iP-value, octet 161: missing",
        ),
        ("hostile-3", "payload.cCPayloadSequence.cCContents.iPCC.iPCCContents, octet 95: missing"),
        (
            "hostile-4",
            "payload.iRIPayloadSequence.iRIContents.iPIRI.iPIRIContents.additionalIPAddress.iP-value, octet 171: missing",
        ),
        ("hostile-5", "payload.iRIPayloadSequence.iRIContents.iPIRI.iPIRIContents, octet 97: missing"),
        ("hostile-6", "pSHeader, octet 3: missing"),
        ("hostile-7", "pSHeader.communicationIdentifier.networkIdentifier, octet 35: missing"),
        ("hostile-8", "payload.cCPayloadSequence.cCContents, octet 87: a value that does not belong here"),
        ("hostile-9", "payload, octet 78: a value that does not belong here"),
    ] {
        let bytes = std::fs::read(folder.join(name).with_extension("ber")).unwrap();
        let error = decode(&bytes).expect_err(name);
        assert_eq!(error.to_string(), said, "{name}");
    }
    // One octet too many: the PDU is sound, the stream is not.
    let extra = std::fs::read(folder.join("bad_extra.ber")).unwrap();
    assert_eq!(decode(&extra).unwrap().1, extra.len() - 1);
    let mut stream = StreamDecoder::default();
    stream.push(&extra);
    stream.next_pdu().unwrap().unwrap();
    let offset = extra.len() as u64 - 1;
    assert_eq!(stream.next_pdu().unwrap_err(), StreamError::NotAPdu { offset, found: 0 });
}

/// `cargo xtask fuzz` starts from these.
#[test]
fn the_pdus_are_a_corpus() {
    let seeds: Vec<_> = pdus().iter().flat_map(|pdu| [pdu.clone(), loose(pdu)]).collect();
    for seed in &seeds {
        decode(seed).unwrap();
    }
    let Some(folder) = std::env::var_os("WRIT_SEEDS").map(|folder| Path::new(&folder).join("etsi")) else { return };
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), seed).unwrap();
    }
}

/// What the fuzzer found once does not come back.
#[test]
fn the_fuzzers_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/findings/etsi");
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok((pdu, length)) = decode(&bytes) {
            assert!(length <= bytes.len());
            Verifier::new(None, 1 << 16).arrived(&bytes, &pdu);
        }
    }
}

#[test]
fn a_pdu_cut_at_any_octet_is_an_error() {
    for pdu in pdus() {
        for cut in 0..pdu.len() {
            assert_eq!(decode(&pdu[..cut]).unwrap_err().fault, Fault::Cut);
        }
    }
}

#[test]
fn every_octet_changed_in_every_way() {
    let mut verifier = Verifier::new(None, 1 << 16);
    let key = CaseKey::new(&[1; 32]).unwrap();
    for pdu in pdus() {
        for place in 0..pdu.len() {
            for octet in 0..=255 {
                let mut changed = pdu.clone();
                changed[place] = octet;
                if let Ok((read, _)) = decode(&changed) {
                    verifier.arrived(&changed, &read);
                    if let Payload::Encrypted(container) = read.payload {
                        _ = key.open(9, &container);
                    }
                }
            }
        }
    }
}

/// The same PDU with every length indefinite.
fn loose(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (header, length) = match rest[1] {
            0x81 => (3, usize::from(rest[2])),
            0x82 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
            length => (2, usize::from(length)),
        };
        let value = &rest[header..header + length];
        if rest[0] & 0x20 == 0 {
            out.extend(&rest[..header + length]);
        } else {
            out.extend([rest[0], 0x80]);
            out.extend(loose(value));
            out.extend([0, 0]);
        }
        rest = &rest[header + length..];
    }
    out
}

#[test]
fn indefinite_lengths_are_read() {
    for pdu in pdus() {
        let loose = loose(&pdu);
        let (read, length) = decode(&loose).unwrap();
        assert_eq!((read, length), (decode(&pdu).unwrap().0, loose.len()));
    }
}

#[test]
fn deep_nesting_is_refused() {
    let error = decode(&[0x30, 0x80].repeat(100_000)).unwrap_err();
    assert_eq!(error.fault, Fault::TooDeep);
    let mut deep = vec![0xa1, 0x80];
    deep.extend([0xa2, 0x80].repeat(100_000));
    deep.splice(0..0, [0x30, 0x80]);
    assert_eq!(decode(&deep).unwrap_err().fault, Fault::TooDeep);
}

/// PSHeader and PS-PDU with members of a later edition at their ends.
#[test]
fn members_of_a_later_edition_are_passed_over() {
    let mut later = content(&intercept(), 7, &[0x45]);
    let plain = decode(&later).unwrap().0;
    // Identifier and length of the PDU and of its header, then the header.
    let header_end = 2 + 2 + usize::from(later[3]);
    assert_eq!((later[2], later[header_end]), (0xa1, 0xa2));
    later.splice(header_end..header_end, [0x8c, 1, 7]);
    later[1] += 3;
    later[3] += 3;
    assert_eq!(decode(&later).unwrap(), (plain.clone(), later.len()));
    later.extend([0xa3, 0]);
    later[1] += 2;
    assert_eq!(decode(&later).unwrap(), (plain, later.len()));
    // One that was there before does not come again.
    *later.iter_mut().rev().nth(1).unwrap() = 0xa2;
    let error = decode(&later).unwrap_err();
    assert_eq!((error.fault, error.offset), (Fault::Unexpected, later.len() - 2));
}

#[test]
fn what_is_not_read_is_named_and_kept() {
    let mut other = content(&intercept(), 7, &[0x45]);
    let place = other.windows(6).position(|octets| octets[..2] == [0x80, 4] && octets[2..4] == [5, 3]).unwrap();
    // cCContents: emailCC [1] in place of iPCC [2].
    other[place - 2] = 0xa1;
    let (pdu, _) = decode(&other).unwrap();
    let Payload::Cc(cc) = &pdu.payload else { panic!("{pdu:?}") };
    let CcContents::Unsupported(unsupported) = &cc[0].contents else { panic!("{pdu:?}") };
    assert_eq!((unsupported.choice, unsupported.alternative.tag), ("CCContents", 1));
    assert!(unsupported.alternative.contents.0.ends_with(&[0x45]));
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }

    /// Noise that begins like a PDU gets further than plain noise.
    #[test]
    fn mutated_pdus_never_panic(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let pdus = pdus();
        let mut pdu = pdus[which.index(pdus.len())].clone();
        for (place, octet) in changes {
            let place = place.index(pdu.len());
            pdu[place] = octet;
        }
        if let Err(error) = decode(&pdu) {
            prop_assert!(error.offset <= pdu.len());
        }
    }
}
