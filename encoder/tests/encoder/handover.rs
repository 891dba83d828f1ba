//! A delivery in each format, from what the configuration and the warrant say to PDUs that are read back.

use writ_encoder::etsi::{self, CcContents, Hi1Change, IriContents, Payload, SummaryTrigger, Tri};
use writ_encoder::handover::{
    CccTerms, Content, Count, EtsiTerms, Format, Handover, Headers, Moment, Names, News, OpencaleaTerms, Scratch,
    Session, T1IasTerms, Terms, WriteContent, X3Terms,
};
use writ_encoder::t1_ias::{
    Assignment, CcFormat, Direction, Flow, Message, OptionalModule, Reason, SessionId, decode_cmcc, decode_cmii,
    decode_optional,
};
use writ_encoder::{UtcMicros, ccc, files, jmirror, opencalea, tzsp, x2x3};

const NAMES: Names<'static> =
    Names { case_id: "LIID-7", content_identifier: "4711", probe: "pop3", subscriber: "line 42", warrant: 5 << 96 | 6 };
/// From 192.0.2.1 port 1000 to 192.0.2.2 port 53: headers, and two octets of content.
const PACKET: [u8; 30] =
    [0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 0, 53, 0, 10, 0, 0, 0xab, 0xcd];
const HEADERS: usize = 28;
const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0];

fn flow() -> Flow {
    let (source, destination) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    Flow { source, destination, protocol: 17, ports: Some((1000, 53)), flow_label: None }
}

fn moment() -> Moment<'static> {
    let time = UtcMicros::from_unix_nanos(1_700_000_000_123_456_000);
    Moment {
        time,
        direction: Some(Direction::FromSubject),
        sequence: 300,
        original_length: None,
        is_ipv6: false,
        link: &LINK,
    }
}

fn etsi_terms() -> Terms {
    Terms::Etsi(EtsiTerms {
        operator: etsi::OperatorId::new("EXNET").unwrap(),
        network_element: None,
        country: None,
        delivery_country: None,
        interception_point: None,
        access_type: etsi::AccessType::Fttx,
        edition: None,
        packets_per_pdu: 1,
        hi1: true,
    })
}

fn ccc_terms(header: ccc::Layout) -> Terms {
    Terms::Ccc(CccTerms { header })
}

fn all_terms() -> Vec<Terms> {
    vec![
        Terms::T1Ias(T1IasTerms::default()),
        etsi_terms(),
        Terms::X3(X3Terms::default()),
        ccc_terms(ccc::Layout::Case),
        Terms::Opencalea(OpencaleaTerms::default()),
        Terms::Jmirror,
        Terms::Tzsp,
        Terms::Files,
    ]
}

fn content(handover: &Handover) -> Vec<u8> {
    let writer: &Content = handover.content();
    let mut out = vec![0xee; writer.bound(PACKET.len())];
    let copy = |to: &mut [u8]| to.copy_from_slice(&PACKET);
    let length = writer.write(&mut out, &mut Scratch::default(), &moment(), PACKET.len(), copy).unwrap();
    out.truncate(length);
    out
}

fn report(handover: &Handover) -> Vec<u8> {
    let information = handover.information().unwrap();
    let mut out = vec![0xee; information.report_bound(HEADERS)];
    let headers = Headers { flow: &flow(), octets: &PACKET[..HEADERS], packet_length: PACKET.len() };
    let length = information.report(&mut out, &mut Scratch::default(), &moment(), &headers).unwrap();
    out.truncate(length);
    out
}

/// Every format, and its content read back by its own decoder: names, time, direction and number where it has them, and the
/// packet octet for octet.
#[test]
fn content_of_every_format_comes_back() {
    let Moment { time, .. } = moment();
    let frame = [&LINK[..12], &[8, 0], &PACKET].concat();
    for terms in all_terms() {
        let pdu = content(&Handover::new(&terms, &NAMES).unwrap());
        match terms {
            Terms::T1Ias(_) => {
                let (read, _) = decode_cmcc(&pdu).unwrap();
                assert_eq!((read.case_id.as_deref(), read.timestamp), (Some("LIID-7"), Some(time)));
                assert_eq!((read.sequence, &read.payload[..]), (Some(300), &PACKET[..]));
            }
            Terms::Etsi(_) => {
                let (read, _) = etsi::decode(&pdu).unwrap();
                assert_eq!((read.header.liid.to_string(), read.header.sequence), ("LIID-7".to_owned(), 300));
                assert_eq!((read.header.cin, read.header.time), (Some(5 ^ 6), Some(time)));
                assert_eq!(read.header.network_element.unwrap().to_string(), "pop3");
                let Payload::Cc(cc) = read.payload else { panic!("no content") };
                assert_eq!(cc[0].direction, Some(etsi::Direction::FromTarget));
                assert_eq!(cc[0].contents, CcContents::Packet(etsi::Octets(PACKET.to_vec())));
            }
            Terms::X3(_) => {
                let (read, _) = x2x3::decode(&pdu).unwrap();
                assert_eq!((read.kind, read.format), (x2x3::Kind::X3, x2x3::Format::IPV4));
                assert_eq!(u128::from_be_bytes(read.xid), NAMES.warrant, "no UUID was given");
                assert_eq!((read.direction, read.payload), (x2x3::Direction::FromTarget, &PACKET[..]));
            }
            Terms::Ccc(_) => {
                let read = ccc::decode(ccc::Layout::Case, &pdu).unwrap();
                assert_eq!((read.ccc_id, read.payload), (4711, &PACKET[..]));
            }
            Terms::Opencalea(_) => {
                let read = opencalea::decode_cmc(&pdu).unwrap();
                assert_eq!((read.content_id, read.payload), ("4711", &frame[..]));
            }
            Terms::Jmirror => {
                let read = jmirror::decode(&pdu).unwrap();
                assert_eq!((read.mirror_id.get(), read.payload), (4711, &PACKET[..]));
            }
            Terms::Tzsp => assert_eq!(tzsp::decode(&pdu).unwrap().payload, frame),
            Terms::Files => {
                let Some((files::Block::Packet(read), _)) = files::decode_block(&pdu).unwrap() else {
                    panic!("no packet")
                };
                assert_eq!((read.names.case_id.as_str(), read.timestamp, read.payload), ("LIID-7", time, &PACKET[..]));
            }
        }
    }
}

/// What is told of a packet beside its content, or in its place, has nothing of its content in it.
#[test]
fn reports_have_headers_alone() {
    for terms in all_terms() {
        let handover = Handover::new(&terms, &NAMES).unwrap();
        assert_eq!(handover.information().is_some(), terms.format().has_identifying_information());
        if handover.information().is_none() {
            continue;
        }
        let pdu = report(&handover);
        assert!(!pdu.windows(2).any(|two| two == &PACKET[HEADERS..]), "{:?}", terms.format());
        match terms {
            Terms::T1Ias(_) => {
                let Message::HeaderReport(read) = decode_cmii(&pdu).unwrap().0.message else { panic!("no report") };
                assert_eq!((read.source_port, read.destination_port), (Some(1000), Some(53)));
            }
            Terms::Etsi(_) => {
                let (read, _) = etsi::decode(&pdu).unwrap();
                let Payload::Iri(iri) = read.payload else { panic!("no report") };
                assert_eq!(read.header.sequence, 300);
                assert!(matches!(&iri[0].contents, IriContents::Header(it) if it.0 == PACKET[..HEADERS]));
            }
            Terms::X3(_) => {
                let (read, _) = x2x3::decode(&pdu).unwrap();
                assert_eq!((read.kind, read.payload), (x2x3::Kind::X2, &PACKET[..HEADERS]));
            }
            Terms::Opencalea(_) => assert_eq!(opencalea::decode_cmii(&pdu).unwrap().ends.destination_port, 53),
            Terms::Files => {
                let line: serde_json::Value = serde_json::from_slice(&pdu).unwrap();
                assert_eq!((line["length"].as_u64(), line["sequence"].as_u64()), (Some(30), Some(300)));
            }
            Terms::Ccc(_) | Terms::Jmirror | Terms::Tzsp => unreachable!("content alone"),
        }
    }
}

/// All targets of an intercept are one communication for ETSI, and HI1 counts for itself.
#[test]
fn etsi_begins_once_and_ends_once() {
    let handover = Handover::new(&etsi_terms(), &NAMES).unwrap();
    let information = handover.information().unwrap();
    let reason = &Reason::new("order expired").unwrap();
    let session = &Session { id: SessionId::new("s").unwrap(), assignment: Assignment::without_address() };
    let told = |news: News<'_>| {
        let pdu = information.tell(moment().time, 7, &news).unwrap().unwrap();
        etsi::decode(&pdu).unwrap().0
    };
    let kind = |news: News<'_>| match told(news).payload {
        Payload::Iri(iri) => iri[0].kind.unwrap(),
        other => panic!("{other:?}"),
    };
    use etsi::IriType::{Begin, Continue, End};
    assert_eq!(kind(News::Established { session, is_further: false }), Begin);
    assert_eq!(kind(News::Established { session, is_further: true }), Continue);
    assert_eq!(kind(News::Ended { session, is_partial: true, reason }), Continue);
    assert_eq!(kind(News::Ended { session, is_partial: false, reason }), End);
    let numbers = [(Hi1Change::Activated, 1), (Hi1Change::Modified, 2), (Hi1Change::Deactivated, 2)];
    let numbers = numbers.map(|(change, revision)| told(News::Changed { change, revision }).header.sequence);
    assert_eq!(numbers, [2, 4, 5]);
    assert!(!matches!(
        told(News::Changed { change: Hi1Change::Activated, revision: 1 }).payload,
        Payload::Tri(Tri::Test)
    ));
}

/// Sums of a flow: packets, octets, times and why, under headers that all its packets share.
#[test]
fn summaries_of_every_format_that_has_them() {
    let time = moment().time;
    let count = Count { packets: 9, octets: 540, first: time, last: time, trigger: SummaryTrigger::FlowEnd };
    for terms in all_terms() {
        let handover = Handover::new(&terms, &NAMES).unwrap();
        let Some(information) = handover.information().filter(|_| terms.format().has_summaries()) else { continue };
        let mut out = vec![0; information.summary_bound()];
        let length = information.summary(&mut out, &mut Scratch::default(), &moment(), &flow(), &count).unwrap();
        let pdu = &out[..length];
        match terms {
            Terms::T1Ias(_) => {
                let Message::SummaryReport(read) = decode_cmii(pdu).unwrap().0.message else { panic!("no summary") };
                assert_eq!(read.packet_count, 9);
            }
            Terms::Etsi(_) => {
                let Payload::Iri(iri) = etsi::decode(pdu).unwrap().0.payload else { panic!("no summary") };
                let IriContents::Summary(read) = &iri[0].contents else { panic!("{:?}", iri[0].contents) };
                assert_eq!((read.packets, read.octets, read.trigger), (Some(9), Some(540), SummaryTrigger::FlowEnd));
                assert_eq!(read.header.0[12..24], PACKET[12..24], "addresses and ports");
                assert_eq!(read.header.0.len(), HEADERS);
            }
            Terms::Files => {
                let line: serde_json::Value = serde_json::from_slice(pdu).unwrap();
                assert_eq!((line["packets"].as_u64(), line["octets"].as_u64()), (Some(9), Some(540)));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// With the agency's number for the optional module, T1.IAS tells that a surveillance begins, changes and ends.
#[test]
fn the_optional_module_is_spoken_where_the_agency_has_it() {
    let module = OptionalModule::new("1.2.840.113737.2.1.1.2.0").unwrap();
    let terms = T1IasTerms { optional_module: Some(module.clone()), ..T1IasTerms::default() };
    let told = |terms: T1IasTerms, change| {
        let handover = Handover::new(&Terms::T1Ias(terms), &NAMES).unwrap();
        let news = News::Changed { change, revision: 3 };
        handover.information().unwrap().tell(moment().time, 0, &news).unwrap()
    };
    assert_eq!(told(T1IasTerms::default(), Hi1Change::Activated), None, "without a number nothing is said");
    for (change, word) in
        [(Hi1Change::Activated, "activated"), (Hi1Change::Modified, "changed"), (Hi1Change::Deactivated, "deactivated")]
    {
        let pdu = told(terms.clone(), change).unwrap();
        let (read, _) = decode_optional(&module, &pdu).unwrap();
        let text = serde_json::to_string(&read).unwrap();
        assert!(text.contains(&format!("\"{word}, revision 3 of the order\"")), "{text}");
    }
}

/// A packet that was cut off on its way to the tap says so to ETSI's agencies, with the length that it had.
#[test]
fn a_packet_whose_end_is_missing_is_told_as_such() {
    let handover = Handover::new(&etsi_terms(), &NAMES).unwrap();
    let mut out = vec![0; handover.content().bound(20)];
    let moment = Moment { original_length: Some(1500), ..moment() };
    let copy = |to: &mut [u8]| to.copy_from_slice(&PACKET[..20]);
    let length = handover.content().write(&mut out, &mut Scratch::default(), &moment, 20, copy).unwrap();
    let Payload::Cc(cc) = etsi::decode(&out[..length]).unwrap().0.payload else { panic!("no content") };
    let packet = etsi::Octets(PACKET[..20].to_vec());
    assert_eq!(cc[0].contents, CcContents::Truncated { packet, original_length: Some(1500) });

    // And so does a file of packets: pcapng has both lengths.
    let handover = Handover::new(&Terms::Files, &NAMES).unwrap();
    let mut out = vec![0; handover.content().bound(20)];
    let copy = |to: &mut [u8]| to.copy_from_slice(&PACKET[..20]);
    let length = handover.content().write(&mut out, &mut Scratch::default(), &moment, 20, copy).unwrap();
    let lengths = [20, 24].map(|place| u32::from_le_bytes(out[place..place + 4].try_into().unwrap()));
    assert_eq!(lengths, [20, 1500]);
    assert!(files::decode_block(&out[..length]).unwrap().is_some());
}

/// A warrant's names have to fit the format; each that does not is refused in words.
#[test]
fn names_that_do_not_fit_are_refused() {
    let refused = |terms: Terms, names: Names<'static>| Handover::new(&terms, &names).unwrap_err().to_string();
    let worded = Names { content_identifier: "case-7", ..NAMES };
    let call = Terms::T1Ias(T1IasTerms { cc_format: CcFormat::ScteDatagram, optional_module: None });
    for terms in [ccc_terms(ccc::Layout::Channel), Terms::Jmirror, call] {
        assert!(terms.name_content_by_number());
        assert!(refused(terms, worded).contains("write it in digits"));
    }
    assert!(Handover::new(&Terms::Jmirror, &Names { content_identifier: "1073741824", ..NAMES }).is_err(), "31 bits");
    assert!(Handover::new(&Terms::Jmirror, &Names { content_identifier: "1073741823", ..NAMES }).is_ok());
    let long = "L".repeat(26).leak();
    assert!(refused(etsi_terms(), Names { case_id: long, ..NAMES }).contains("lawfulInterceptionIdentifier"));
    assert!(refused(Terms::T1Ias(T1IasTerms::default()), Names { case_id: long, ..NAMES }).contains("caseId"));
    let uuid = Names { content_identifier: "0b7c41f2-5d8e-4a6b-9c3d-1e2f3a4b5c6d", ..NAMES };
    let pdu = content(&Handover::new(&Terms::X3(X3Terms::default()), &uuid).unwrap());
    assert_eq!(x2x3::decode(&pdu).unwrap().0.xid[..4], [0x0b, 0x7c, 0x41, 0xf2], "the task that X1 named");
}

/// A packet of IP can be longer than a datagram of UDP, and is then refused before it is made.
#[test]
fn what_no_datagram_holds_is_not_made() {
    let longest = |terms: &Terms| {
        let handover = Handover::new(terms, &NAMES).unwrap();
        (1..=65_535).rev().find(|length| handover.content().has_room_for(*length)).unwrap()
    };
    assert_eq!(longest(&ccc_terms(ccc::Layout::Case)), 65_507 - 20);
    assert_eq!(longest(&Terms::Jmirror), 65_507 - 8);
    assert_eq!(longest(&etsi_terms()), 65_535);
}

/// What the configuration calls the formats.
#[test]
fn formats_have_the_names_that_the_manual_gives_them() {
    for terms in all_terms() {
        let format = terms.format();
        let read: Format = serde_json::from_value(format.name().into()).unwrap();
        assert_eq!(read, format);
    }
}
