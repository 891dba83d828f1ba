//! Any octets as blocks of a file of packets. Nothing panics; a packet that is read can be written again.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use writ_encoder::files::{Block, Intercept, decode_block};
use writ_encoder::t1_ias::{CaseId, CorrelationId, IapSystemId, SubscriberIdentity};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((block, length))) = decode_block(rest) {
        rest = &rest[length..];
        let Block::Packet(packet) = block else { continue };
        let names = packet.names.clone();
        // A reader takes more names than a warrant may give.
        let (Ok(case_id), Ok(probe), Ok(content_id), Ok(subscriber)) = (
            CaseId::new(names.case_id),
            IapSystemId::new(names.probe),
            CorrelationId::new(names.content_id),
            SubscriberIdentity::new("line"),
        ) else {
            continue;
        };
        let template = Intercept::new(&case_id, &probe, &content_id, &subscriber);
        if *template.names() != packet.names {
            continue;
        }
        let mut out = vec![0; template.content_bound(packet.payload.len())];
        let (time, number) = (packet.timestamp, packet.sequence);
        let length = template.content(&mut out, time, packet.direction, number, packet.payload).expect("it fits");
        assert_eq!(decode_block(&out[..length]), Ok(Some((Block::Packet(packet), length))));
    }
});
