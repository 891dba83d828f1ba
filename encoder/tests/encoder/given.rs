//! What the tests encode: warrants, packets, flows and times, with every size where BER changes its form.

use std::net::IpAddr;

use proptest::prelude::*;
use writ_encoder::UtcMicros;
use writ_encoder::t1_ias::{
    Allocation, CallId, CaseId, ContentIdentifier, CorrelationId, Direction, Flow, FlowLabel, IapSystemId, Intercept,
    SubscriberIdentity,
};

/// Numbers on both sides of where an INTEGER grows by an octet.
pub(crate) const SEQUENCES: [u64; 16] = [
    0,
    1,
    127,
    128,
    255,
    256,
    32_767,
    32_768,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// 2007-04-19T17:26:28.406Z
pub(crate) const TIME: i64 = 1_177_003_588_406_000;

pub(crate) fn time(micros: i64) -> UtcMicros {
    UtcMicros::new(micros).unwrap()
}

pub(crate) fn intercept(case_id: &str, content_identifier: &ContentIdentifier) -> Intercept {
    Intercept::new(
        &CaseId::new(case_id).unwrap(),
        &IapSystemId::new("IAP-1").unwrap(),
        content_identifier,
        &SubscriberIdentity::new("line 42").unwrap(),
    )
}

pub(crate) fn correlation(octets: &[u8]) -> ContentIdentifier {
    ContentIdentifier::Correlation(CorrelationId::new(octets).unwrap())
}

pub(crate) fn flow(source: &str, destination: &str) -> Flow {
    Flow {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        ports: Some((1234, 5678)),
        flow_label: None,
    }
}

pub(crate) fn packet(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

pub(crate) fn any_intercept() -> impl Strategy<Value = Intercept> {
    let call = ("[a-zé]{1,32}", proptest::option::of("[0-9]{1,64}")).prop_map(|(main, leg)| ContentIdentifier::Call {
        main: CallId::new(main).unwrap(),
        leg: leg.map(|leg| CallId::new(leg).unwrap()),
    });
    let octets = proptest::collection::vec(any::<u8>(), 1..=64).prop_map(|octets| correlation(&octets));
    ("[ -~]{1,25}", "[ -~]{1,15}", prop_oneof![octets, call], "[^\\p{C}]{1,60}").prop_map(
        |(case_id, iap_system_id, content_identifier, subscriber)| {
            Intercept::new(
                &CaseId::new(case_id).unwrap(),
                &IapSystemId::new(iap_system_id).unwrap(),
                &content_identifier,
                &SubscriberIdentity::new(subscriber).unwrap(),
            )
        },
    )
}

pub(crate) fn any_time() -> impl Strategy<Value = UtcMicros> {
    // Whole seconds and round fractions too: their text is shorter.
    (0..253_402_300_800_i64, prop_oneof![Just(0), (0..10_i64).prop_map(|tenth| tenth * 100_000), 0..1_000_000_i64])
        .prop_map(|(seconds, micros)| time(seconds * 1_000_000 + micros))
}

pub(crate) fn any_direction() -> impl Strategy<Value = Option<Direction>> {
    prop::sample::select(vec![None, Some(Direction::FromSubject), Some(Direction::ToSubject)])
}

pub(crate) fn any_allocation() -> impl Strategy<Value = Allocation> {
    prop_oneof![
        Just(Allocation::Static),
        Just(Allocation::Dynamic),
        Just(Allocation::Unknown),
        Just(Allocation::NotApplicable)
    ]
}

pub(crate) fn any_sequence() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), proptest::sample::select(SEQUENCES.to_vec())]
}

pub(crate) fn any_flow() -> impl Strategy<Value = Flow> {
    let label = any::<u32>().prop_map(FlowLabel::from_word);
    let short = (0..12_u32).prop_map(FlowLabel::from_word);
    (any::<IpAddr>(), any::<IpAddr>(), any::<u8>(), any::<Option<(u16, u16)>>(), prop_oneof![label, short]).prop_map(
        |(source, destination, protocol, ports, flow_label)| Flow { source, destination, protocol, ports, flow_label },
    )
}
