//! Streams as a network or an enemy makes them: cut, in crumbs, garbled, lying about lengths. Nothing here may panic,
//! and what stood before the fault is never lost.

use crate::given::*;
use proptest::prelude::*;
use writ_encoder::stream::{StreamDecoder, StreamError};
use writ_encoder::t1_ias::{Allocation, Assignment, Direction, Reason, SessionId, decode_cmcc, decode_cmii};

/// One PDU of each kind.
pub(crate) fn pdus() -> Vec<Vec<u8>> {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let session = SessionId::new("fixed-1").unwrap();
    let address = "192.0.2.7".parse().unwrap();
    let reason = Reason::new("expired").unwrap();
    let mut content = vec![0; intercept.content_bound(300)];
    let length = intercept.content(&mut content, time(TIME), Direction::ToSubject, 70_000, &packet(300)).unwrap();
    content.truncate(length);
    let mut report = vec![0; intercept.header_report_bound()];
    let length = intercept.header_report(&mut report, time(TIME), &flow("10.0.0.1", "10.0.0.2")).unwrap();
    report.truncate(length);
    vec![
        intercept.session_already_established(time(TIME), &session, Assignment::of(address, Allocation::Static)),
        report,
        content,
        intercept.session_end(time(TIME), &session, Assignment::of(address, Allocation::Static), &reason),
    ]
}

/// All PDUs that a decoder has ready, with where they stood.
fn ready(decoder: &mut StreamDecoder) -> Result<Vec<(u64, Vec<u8>)>, StreamError> {
    let mut found = Vec::new();
    while let Some(pdu) = decoder.next_pdu()? {
        found.push((pdu.offset, pdu.bytes.to_vec()));
    }
    Ok(found)
}

#[test]
fn a_stream_in_crumbs_is_the_same_stream() {
    let stream = pdus().concat();
    for crumb in [1, 2, 3, 7, 100, stream.len()] {
        let mut decoder = StreamDecoder::default();
        let mut found = Vec::new();
        for bytes in stream.chunks(crumb) {
            decoder.push(bytes);
            found.extend(ready(&mut decoder).unwrap());
        }
        assert_eq!(found.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), pdus());
        let offsets: Vec<_> = found.iter().map(|(offset, _)| *offset as usize).collect();
        assert_eq!(offsets[1], pdus()[0].len());
        assert_eq!(decoder.pending(), 0);
    }
}

#[test]
fn a_pdu_cut_at_any_octet_waits_and_decodes_to_an_error() {
    for pdu in pdus() {
        for cut in 0..pdu.len() {
            let mut decoder = StreamDecoder::default();
            decoder.push(&pdu[..cut]);
            assert_eq!(decoder.next_pdu(), Ok(None));
            assert_eq!(decoder.pending(), cut);
            assert!(decode_cmii(&pdu[..cut]).is_err());
            assert!(decode_cmcc(&pdu[..cut]).is_err());
        }
    }
}

#[test]
fn every_octet_changed_in_every_way() {
    for pdu in pdus() {
        for place in 0..pdu.len().min(200) {
            for octet in 0..=255 {
                let mut changed = pdu.clone();
                changed[place] = octet;
                let _ = decode_cmii(&changed);
                let _ = decode_cmcc(&changed);
                let mut decoder = StreamDecoder::default();
                decoder.push(&changed);
                let _ = ready(&mut decoder);
            }
        }
    }
}

#[test]
fn the_fault_is_named_by_its_place_and_stays() {
    let good = pdus().concat();
    let fault = |bytes: &[u8]| {
        let mut decoder = StreamDecoder::new(1000);
        decoder.push(&good);
        decoder.push(bytes);
        let mut found = 0;
        let error = loop {
            match decoder.next_pdu() {
                Ok(Some(_)) => found += 1,
                Ok(None) => panic!("no fault in {bytes:02x?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(found, pdus().len(), "all that stood before the fault");
        decoder.push(&good);
        assert_eq!(decoder.next_pdu(), Err(error.clone()), "a stream that lost its frames stays lost");
        error
    };
    let offset = good.len() as u64;
    assert_eq!(fault(b"GET / HTTP/1.1"), StreamError::NotAPdu { offset, found: b'G' });
    assert_eq!(fault(b"G"), StreamError::NotAPdu { offset, found: b'G' });
    assert_eq!(fault(&[0, 0]), StreamError::NotAPdu { offset, found: 0 });
    assert_eq!(fault(&[0x30, 0xff]), StreamError::BadLength { offset: offset + 1 });
    let too_long = StreamError::TooLong { offset, limit: 1000 };
    assert_eq!(fault(&[0x30, 0x82, 0x03, 0xe5]), too_long);
    assert_eq!(fault(&[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), too_long);
    assert_eq!(fault(&[&[0x30, 0xfe][..], &[0xff; 126]].concat()), too_long);
    // Without an end: of indefinite length, 1000 octets of small values.
    assert_eq!(fault(&[&[0x30, 0x80][..], &[0x05, 0].repeat(500)].concat()), too_long);
    // Nested without an end.
    assert_eq!(fault(&[0x30, 0x80].repeat(40)), StreamError::TooDeep { offset: offset + 64 });
    assert_eq!(
        fault(&[0x30, 0x80, 0x9f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        StreamError::BadIdentifier { offset: offset + 2 }
    );
    // A primitive value has no indefinite length.
    assert_eq!(fault(&[0x30, 0x80, 0x04, 0x80]), StreamError::BadLength { offset: offset + 3 });
}

/// A peer may use forms of BER that we never write.
#[test]
fn indefinite_and_roomy_lengths_are_read() {
    // IAS-CC-APDU of indefinite length, payload in two pieces, then one with a long form of a short length.
    let loose = [0x30, 0x80, 0xa1, 0x80, 0x04, 1, 0x45, 0x04, 1, 0x00, 0, 0, 0, 0];
    let roomy = [0x30, 0x84, 0, 0, 0, 3, 0x81, 1, 0x45];
    let mut decoder = StreamDecoder::default();
    let mut found = Vec::new();
    for octet in [&loose[..], &roomy].concat() {
        decoder.push(&[octet]);
        found.extend(ready(&mut decoder).unwrap());
    }
    assert_eq!(found, [(0, loose.to_vec()), (14, roomy.to_vec())]);
    assert_eq!(decode_cmcc(&loose).unwrap().0.payload, [0x45, 0]);
    assert_eq!(decode_cmcc(&roomy).unwrap().0.payload, [0x45]);
}

/// 100,000 values inside each other do not reach the end of the stack.
#[test]
fn deep_nesting_is_refused_or_passed_over() {
    let bomb = [0x30, 0x80].repeat(100_000);
    assert!(decode_cmii(&bomb).is_err());
    assert!(decode_cmcc(&bomb).is_err());
    // The same as a member of a later edition, which is skipped, not read.
    let tail = [&[0x30, 0x80, 0x81, 1, 0x45][..], &[0xa2, 0x80].repeat(100_000), &[0, 0].repeat(100_001)].concat();
    assert_eq!(decode_cmcc(&tail).unwrap().0.payload, [0x45]);
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_cmii(&bytes);
        let _ = decode_cmcc(&bytes);
        let mut decoder = StreamDecoder::default();
        decoder.push(&bytes);
        let _ = ready(&mut decoder);
    }

    /// Noise that begins like a PDU gets further than plain noise.
    #[test]
    fn mutated_streams_give_back_only_their_own_octets(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        crumb in 1..200_usize,
    ) {
        let mut stream = pdus().concat();
        for (place, octet) in changes {
            let place = place.index(stream.len());
            stream[place] = octet;
        }
        let mut decoder = StreamDecoder::new(2000);
        let mut end = 0;
        'stream: for bytes in stream.chunks(crumb) {
            decoder.push(bytes);
            loop {
                match decoder.next_pdu() {
                    Ok(Some(pdu)) => {
                        prop_assert_eq!(pdu.offset as usize, end, "one behind the other");
                        end += pdu.bytes.len();
                        prop_assert_eq!(pdu.bytes, &stream[pdu.offset as usize..end]);
                        let _ = decode_cmii(pdu.bytes);
                        let _ = decode_cmcc(pdu.bytes);
                    }
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
        }
    }
}
