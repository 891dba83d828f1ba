//! Any octets as OpenCALEA's datagrams. Nothing panics; what is read can be written again, and is read as the same.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::opencalea::{decode_cmc, decode_cmii};

fuzz_target!(|bytes: &[u8]| {
    let mut out = vec![0; bytes.len()];
    if let Ok(cmc) = decode_cmc(bytes) {
        assert_eq!(cmc.write(&mut out), Ok(bytes.len()));
        assert_eq!(decode_cmc(&out), Ok(cmc));
        cmc.pcap_record();
    }
    if let Ok(cmii) = decode_cmii(bytes) {
        assert_eq!(cmii.write(&mut out), Ok(bytes.len()));
        assert_eq!(decode_cmii(&out), Ok(cmii));
        assert!(!cmii.to_string().contains('\n'), "a record is a line");
    }
});
