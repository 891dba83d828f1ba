//! Any octets as a datagram of CCC, in each of its forms. Nothing panics; what is read can be written again.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::ccc::{Connection, Form, Layout, decode};

fuzz_target!(|bytes: &[u8]| {
    for layout in [Layout::Channel, Layout::Timed, Layout::Case] {
        let Ok(read) = decode(layout, bytes) else { continue };
        let form = match (read.timestamp, read.case_id) {
            (None, _) => Form::Channel,
            (Some(_), None) => Form::Timed,
            (Some(_), Some(case)) => Form::Case(case),
        };
        let mut out = vec![0; bytes.len()];
        let time = read.timestamp.unwrap_or(writ_encoder::UtcMicros::from_unix_nanos(0));
        let length = Connection::new(read.ccc_id, form).content(&mut out, time, read.payload);
        assert_eq!(length, Ok(bytes.len()));
        assert_eq!(decode(layout, &out), Ok(read));
    }
});
