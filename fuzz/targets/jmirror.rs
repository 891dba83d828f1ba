//! Any octets as a datagram of Juniper's mirror. Nothing panics; what is read can be written again, octet for octet.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::jmirror::{Mirror, decode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = decode(bytes) {
        let mut out = vec![0; bytes.len()];
        assert_eq!(Mirror::new(read.mirror_id, read.session_id).content(&mut out, read.payload), Ok(bytes.len()));
        assert_eq!(out, bytes);
    }
});
