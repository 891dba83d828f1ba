//! Any octets as X2/X3: a PDU, and a stream of them. Nothing panics; the stream cuts where a PDU says that it ends.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::x2x3::{HEADER, PduStream, decode};

fuzz_target!(|bytes: &[u8]| {
    let read = decode(bytes);
    if let Ok((pdu, length)) = &read {
        assert!((HEADER + pdu.payload.len()..=bytes.len()).contains(length));
        // Of four octets at least, each.
        assert!(4 * pdu.attributes.iter().count() <= *length);
    }
    let mut stream = PduStream::new(2048);
    let mut end = 0;
    for crumb in bytes.chunks(7) {
        stream.push(crumb);
        while let Ok(Some(pdu)) = stream.next_pdu() {
            assert_eq!(pdu.offset, end, "one behind the other");
            if let (0, Ok((_, length))) = (end, &read) {
                assert_eq!(pdu.bytes.len(), *length, "both say where the first ends");
            }
            end += pdu.bytes.len() as u64;
            if let Ok((_, length)) = decode(pdu.bytes) {
                assert_eq!(length, pdu.bytes.len());
            }
        }
    }
});
