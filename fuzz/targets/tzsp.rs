//! Any octets as a datagram of TZSP. Nothing panics; tags and frame are parts of what was there.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::tzsp::{Tag, decode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = decode(bytes) {
        assert!(bytes.ends_with(read.payload));
        let tags = read.tags.iter().map(|tag| match tag {
            Tag::PacketId(_) => 6,
            Tag::OriginalLength(_) => 4,
            Tag::Other { value, .. } => 2 + value.len(),
        });
        // The header, the tags, an end.
        assert!(4 + tags.sum::<usize>() + 1 + read.payload.len() <= bytes.len());
    }
});
