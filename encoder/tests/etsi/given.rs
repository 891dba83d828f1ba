//! What the tests encode: intercepts, packets, times and records, with every size where BER changes its form.

use std::net::IpAddr;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use writ_encoder::UtcMicros;
use writ_encoder::etsi::*;

/// Numbers on both sides of where an INTEGER grows by an octet.
pub(crate) const SEQUENCES: [u32; 10] =
    [0, 1, 127, 128, 32_767, 32_768, 0x7f_ffff, 0x80_0000, 0x8000_0000, 0xffff_ffff];

/// Microseconds likewise, and seconds beyond the year 2038.
pub(crate) const TIMES: [i64; 9] = [
    0,
    127,
    1_700_000_000_000_128,
    1_700_000_000_032_767,
    1_700_000_000_032_768,
    1_700_000_000_123_456,
    2_147_483_647_999_999,
    2_147_483_648_000_000,
    253_402_300_799_999_999,
];

/// 2023-11-14T22:13:20.123456Z
pub(crate) const TIME: i64 = 1_700_000_000_123_456;

pub(crate) fn time(micros: i64) -> UtcMicros {
    UtcMicros::new(micros).unwrap()
}

/// The identity of the vectors: TEST-LIID-001 of OPER1, NE01, in the US.
pub(crate) fn identity() -> Identity {
    let country = CountryCode::new("US").unwrap();
    Identity {
        liid: Liid::new("TEST-LIID-001").unwrap(),
        authorization_country: Some(country.clone()),
        operator: OperatorId::new("OPER1").unwrap(),
        network_element: Some(NetworkElementId::new("NE01").unwrap()),
        delivery_country: Some(country),
        interception_point: None,
        edition: Edition::default(),
    }
}

pub(crate) fn intercept() -> Intercept {
    Intercept::new(&identity(), 1)
}

pub(crate) fn packet(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

pub(crate) fn content(intercept: &Intercept, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0; intercept.content_bound(packet.len())];
    let length = intercept.content(&mut out, time(TIME), Direction::FromTarget, sequence, packet.into()).unwrap();
    out.truncate(length);
    out
}

pub(crate) fn octets(hexadecimal: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(&hexadecimal[place..place + 2], 16).unwrap();
    (0..hexadecimal.len()).step_by(2).map(pair).collect()
}

/// A file or folder beside the project, or none where the project stands alone.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root.ancestors().map(|folder| folder.join("shared").join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no ../shared/{name}");
    }
    found
}

pub(crate) fn any_identity() -> impl Strategy<Value = Identity> {
    let country = || option::of("[A-Z]{2}".prop_map(|code| CountryCode::new(code).unwrap()));
    (
        "[ -~]{1,25}",
        country(),
        "[ -~]{1,16}",
        option::of("[ -~]{1,16}"),
        country(),
        option::of("[A-Za-z0-9 ()+,./:=?'-]{1,8}"),
        (1..=127_u8, 1..=127_u8),
    )
        .prop_map(|(liid, authorization_country, operator, element, delivery_country, point, edition)| Identity {
            liid: Liid::new(liid).unwrap(),
            authorization_country,
            operator: OperatorId::new(operator).unwrap(),
            network_element: element.map(|element| NetworkElementId::new(element).unwrap()),
            delivery_country,
            interception_point: point.map(|point| InterceptionPoint::new(point).unwrap()),
            edition: Edition::new(edition.0, edition.1).unwrap(),
        })
}

pub(crate) fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), select(SEQUENCES.to_vec())]
}

pub(crate) fn any_intercept() -> impl Strategy<Value = Intercept> {
    (any_identity(), any_number()).prop_map(|(identity, cin)| Intercept::new(&identity, cin))
}

pub(crate) fn any_time() -> impl Strategy<Value = UtcMicros> {
    prop_oneof![select(TIMES.to_vec()), 0..=253_402_300_799_999_999_i64].prop_map(time)
}

pub(crate) fn any_direction() -> impl Strategy<Value = Direction> {
    select(vec![
        Direction::FromTarget,
        Direction::ToTarget,
        Direction::Indeterminate,
        Direction::Combined,
        Direction::NotApplicable,
    ])
}

/// Octets around every length where a length of BER grows, and others.
pub(crate) fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..400), (0..400_usize).prop_map(packet), (65_200..65_600_usize).prop_map(packet)]
}

pub(crate) fn any_original() -> impl Strategy<Value = Option<u32>> {
    option::of(any_number())
}

fn any_octets(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), size)
}

fn any_address() -> impl Strategy<Value = Address> {
    let assignment = select(vec![Assignment::Static, Assignment::Dynamic, Assignment::NotKnown]);
    (any::<IpAddr>(), 1..=128_u8, option::of(assignment), any::<Option<bool>>(), any::<bool>()).prop_map(
        |(address, length, assignment, translated, has_prefix)| {
            let prefix_length = match address {
                IpAddr::V4(_) => has_prefix.then_some(length % 33),
                IpAddr::V6(_) => Some(length),
            };
            Address { address, prefix_length, assignment, translated }
        },
    )
}

pub(crate) fn any_access() -> impl Strategy<Value = AccessReport> {
    let event = select(vec![
        AccessEvent::Attempt,
        AccessEvent::Accept,
        AccessEvent::Reject,
        AccessEvent::Failed,
        AccessEvent::InterimUpdate,
        AccessEvent::StartOfInterceptionWithSessionActive,
        AccessEvent::AccessEnd,
        AccessEvent::EndOfInterceptionWithSessionActive,
        AccessEvent::Unknown,
        AccessEvent::StartOfInterceptionWithoutNetworkSession,
        AccessEvent::EndOfInterceptionWithoutNetworkSession,
        AccessEvent::SessionExpired,
    ]);
    let access_type =
        select(vec![AccessType::Undefined, AccessType::Xdsl, AccessType::Fttx, AccessType::WirelessOther]);
    let ip_version = select(vec![IpVersion::V4, IpVersion::V6, IpVersion::Both]);
    let text = |most: usize| option::of(proptest::string::string_regex(&format!("[a-zé0-9:]{{1,{most}}}")).unwrap());
    let pop = prop_oneof![
        "[a-z0-9]{1,128}".prop_map(PopIdentifier::Printable),
        any::<[u8; 6]>().prop_map(PopIdentifier::Mac),
        any_address().prop_map(PopIdentifier::Address),
    ];
    let reason = select(vec![EndReason::Undefined, EndReason::RegularLogoff, EndReason::LeaseExpired]);
    let authentication = select(vec![Authentication::Static, Authentication::Radius, Authentication::Dhcp]);
    let who = (event, any_octets(0..40), access_type, ip_version, option::of(any_address()));
    let texts = (text(20), text(128), text(64), option::of(any_number()), text(20), text(20));
    let times = (option::of(any_time()), option::of(any_time()), option::of(reason), option::of(any_time()));
    let counts = (any::<Option<u64>>(), any::<Option<u64>>(), option::of(any_octets(0..300)));
    let more = (
        option::of(pop),
        option::of(any_address()),
        option::of(any_address()),
        option::of(authentication),
        vec(any_address(), 0..4),
        option::of(any_octets(0..30)),
        vec(any_octets(0..30), 0..4),
    );
    (who, texts, times, counts, more).prop_map(|(who, texts, times, counts, more)| {
        let mut report = AccessReport::new(who.0, Label(who.1), who.2, who.3);
        report.address = who.4;
        (report.network_id, report.cpe_id, report.location, report.pop_port) = (texts.0, texts.1, texts.2, texts.3);
        (report.call_back_number, report.pop_phone_number) = (texts.4, texts.5);
        (report.start, report.end, report.end_reason, report.expected_end) = times;
        (report.octets_received, report.octets_transmitted) = (counts.0, counts.1);
        report.raw_aaa = counts.2.map(Octets);
        (report.pop_identifier, report.pop_address, report.additional_address) = (more.0, more.1, more.2);
        (report.authentication, report.other_addresses) = (more.3, more.4);
        report.pop_port_id = more.5.map(Label);
        report.framed_routes = more.6.into_iter().map(Label).collect();
        report
    })
}

pub(crate) fn any_summary() -> impl Strategy<Value = Summary> {
    let trigger = select(vec![SummaryTrigger::FlowStart, SummaryTrigger::FlowPacketCount, SummaryTrigger::ReportEnd]);
    (
        any_octets(0..100),
        any::<u16>(),
        trigger,
        any::<(Option<u64>, Option<u64>)>(),
        option::of(any_time()),
        option::of(any_time()),
    )
        .prop_map(|(header, bits, trigger, (packets, octets), first, last)| Summary {
            header: Octets(header),
            // Thirteen bits have names.
            indications: Indications(bits & 0xfff8),
            trigger,
            packets,
            octets,
            first,
            last,
        })
}

pub(crate) fn any_tri() -> impl Strategy<Value = Tri> {
    let options = || vec(Just(DeliveryOption::PduAcknowledgement), 0..2);
    let check = (vec(any_number(), 0..50), any::<bool>(), any::<bool>(), any_octets(0..80)).prop_map(
        |(included, is_hash, is_cc, value)| {
            Tri::IntegrityCheck(IntegrityCheck {
                included,
                check: if is_hash { CheckType::Hash } else { CheckType::Signature },
                data: Some(if is_cc { DataType::Cc } else { DataType::Iri }),
                value: Octets(value),
                hash: is_hash.then_some(HashAlgorithm::Sha256),
                signature: (!is_hash).then_some(SignatureAlgorithm::Eddsa),
            })
        },
    );
    prop_oneof![
        check,
        select(vec![
            Tri::Test,
            Tri::KeepAlive,
            Tri::KeepAliveResponse,
            Tri::FirstSegment,
            Tri::LastSegment,
            Tri::CinReset,
            Tri::OptionComplete,
            Tri::AcknowledgementRequest,
            Tri::AcknowledgementResponse,
        ]),
        any_octets(0..300).prop_map(|padding| Tri::Padding(Octets(padding))),
        (any::<bool>(), any_octets(1..256)).prop_map(|(is_error, message)| Tri::OperatorMessage {
            priority: if is_error { NoticePriority::Error } else { NoticePriority::Informational },
            message: Label(message),
        }),
        options().prop_map(|requested| Tri::OptionRequest { requested }),
        (options(), options()).prop_map(|(accepted, declined)| Tri::OptionResponse { accepted, declined }),
    ]
}
