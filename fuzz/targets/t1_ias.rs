//! Any octets as T1.IAS: messages, content, the optional module, and a stream of them. Nothing panics; what is read says how
//! long it is, and those octets alone say the same.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use writ_encoder::stream::StreamDecoder;
use writ_encoder::t1_ias::{DecodeError, OptionalModule, decode_cmcc, decode_cmii, decode_optional};

static MODULE: LazyLock<OptionalModule> =
    LazyLock::new(|| OptionalModule::new("1.2.840.113737.2.1.1.2.0").expect("an object identifier"));

fuzz_target!(|bytes: &[u8]| {
    holds(bytes, decode_cmii);
    holds(bytes, decode_cmcc);
    holds(bytes, |bytes| decode_optional(&MODULE, bytes));
    let mut stream = StreamDecoder::new(2048);
    let mut end = 0;
    for crumb in bytes.chunks(7) {
        stream.push(crumb);
        while let Ok(Some(pdu)) = stream.next_pdu() {
            assert_eq!(pdu.offset, end, "one behind the other");
            end += pdu.bytes.len() as u64;
            let _ = decode_cmii(pdu.bytes);
            let _ = decode_cmcc(pdu.bytes);
        }
    }
    assert!(end + stream.pending() as u64 <= bytes.len() as u64);
});

fn holds<T: PartialEq + std::fmt::Debug>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<(T, usize), DecodeError>) {
    let Ok((read, length)) = decode(bytes) else { return };
    let front = bytes.get(..length).expect("no longer than what was there");
    assert_eq!(decode(front), Ok((read, length)));
}
