//! Files for the agency to fetch: what is written is read again, by our reader, by a JSON library and by tshark.

use std::net::IpAddr;

use crate::given::*;
use crate::tshark;
use proptest::prelude::*;
use serde_json::{Value, json};
use writ_encoder::files::{Block, Event, Intercept, Names, Packet, Summary, decode_block, section};
use writ_encoder::t1_ias::{
    Allocation, Assignment, CaseId, CorrelationId, Direction, FlowLabel, IapSystemId, Reason, SessionId,
    SubscriberIdentity,
};
use writ_encoder::{NoRoom, UtcMicros};

pub(crate) fn template(case_id: &str, content_id: &[u8], subscriber: &str) -> Intercept {
    Intercept::new(
        &CaseId::new(case_id).unwrap(),
        &IapSystemId::new("IAP-1").unwrap(),
        &CorrelationId::new(content_id).unwrap(),
        &SubscriberIdentity::new(subscriber).unwrap(),
    )
}

/// What `write` writes to a buffer of `bound` octets.
fn written(bound: usize, write: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>) -> Vec<u8> {
    let mut out = vec![0xee; bound];
    let length = write(&mut out).unwrap();
    out.truncate(length);
    out
}

pub(crate) fn block(
    it: &Intercept,
    time: UtcMicros,
    direction: Option<Direction>,
    number: u64,
    packet: &[u8],
) -> Vec<u8> {
    written(it.content_bound(packet.len()), |out| it.content(out, time, direction, number, packet))
}

fn line(octets: &[u8]) -> Value {
    let (end, text) = octets.split_last().unwrap();
    assert_eq!(*end, b'\n');
    assert!(!text.contains(&b'\n'), "one line");
    serde_json::from_slice(text).unwrap()
}

/// Names that JSON has to write otherwise, and the same as values.
const HARD: (&str, &[u8], &str) = (r#"CASE "1"\, {x}"#, b"c\"\\", "Zo\u{eb} \"Z\" \\");

proptest! {
    #[test]
    fn packets_come_back(
        case_id in "[ -~]{1,25}",
        content_id in "[ -~]{1,64}",
        time in any_time(),
        direction in any_direction(),
        sequence in any_sequence(),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let template = template(&case_id, content_id.as_bytes(), "line");
        let octets = block(&template, time, direction, sequence, &payload);
        let names = Names { case_id, content_id, probe: "IAP-1".to_owned() };
        prop_assert_eq!(template.names(), &names);
        let packet = Packet { names, timestamp: time, direction, sequence, payload: &payload };
        prop_assert_eq!(decode_block(&octets), Ok(Some((Block::Packet(packet), octets.len()))));
        for end in 0..octets.len() {
            prop_assert_eq!(decode_block(&octets[..end]), Ok(None));
        }
        for room in [0, 20, 40, octets.len() - 1] {
            prop_assert_eq!(template.content(&mut vec![0; room], time, direction, sequence, &payload), Err(NoRoom));
        }
    }

    /// No octets make the reader panic, and a block that is changed in one octet neither.
    #[test]
    fn garbled_blocks_are_refused_or_read(
        payload in proptest::collection::vec(any::<u8>(), 0..40),
        at: prop::sample::Index,
        octet: u8,
        noise in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut octets = block(&template("C", b"c", "s"), time(TIME), None, 1, &payload);
        let at = at.index(octets.len());
        octets[at] = octet;
        let _read_or_refused = decode_block(&octets);
        let _read_or_refused = decode_block(&noise);
    }

    #[test]
    fn header_reports_come_back(
        flow in any_flow(),
        time in any_time(),
        direction in any_direction(),
        sequence in any_sequence(),
        length in 0..=65_535usize,
    ) {
        let (case_id, content_id, subscriber) = HARD;
        let template = template(case_id, content_id, subscriber);
        let write = |out: &mut [u8]| template.header_report(out, time, direction, sequence, &flow, length);
        let read = line(&written(template.line_bound(), write));
        prop_assert_eq!(&serde_json::from_value::<Names>(read.clone()).unwrap(), template.names());
        let mut expected = json!({
            "case_id": case_id, "content_id": r#"c"\"#, "probe": "IAP-1",
            "event": "packet", "time": time.to_string(), "sequence": sequence, "length": length,
            "source": flow.source, "destination": flow.destination, "protocol": flow.protocol,
        });
        if let Some(direction) = direction {
            expected["direction"] = json!(direction);
        }
        if let Some((source, destination)) = flow.ports {
            expected["source_port"] = json!(source);
            expected["destination_port"] = json!(destination);
        }
        if let Some(label) = flow.flow_label {
            expected["flow_label"] = json!(label.get());
        }
        prop_assert_eq!(read, expected);
    }
}

/// The longest of everything fits in what is said to be enough.
#[test]
fn a_line_is_never_longer_than_its_bound() {
    let (template, longest) = (template(&"\"".repeat(25), &[b'\\'; 64], "s"), u64::MAX);
    let mut flow = flow(&"ffff:".repeat(8)[..39], &"ffff:".repeat(8)[..39]);
    (flow.protocol, flow.ports, flow.flow_label) = (255, Some((65_535, 65_535)), FlowLabel::from_word(u32::MAX));
    let time = time(253_402_300_799_999_999);
    let direction = Some(Direction::FromSubject);
    let report = |out: &mut [u8]| template.header_report(out, time, direction, longest, &flow, usize::MAX);
    line(&written(template.line_bound(), report));
    let cause = "x".repeat(32);
    let summary = Summary { flow, packets: longest, octets: longest, first: time, last: time, cause: &cause };
    line(&written(template.line_bound(), |out| template.summary(out, longest, &summary)));
    let too_long = Summary { cause: &"x".repeat(33), ..summary };
    assert_eq!(template.summary(&mut [0; 4096], 1, &too_long), Err(NoRoom));
}

#[test]
fn summaries_and_events_are_lines_too() {
    let (case_id, content_id, subscriber) = HARD;
    let template = template(case_id, content_id, subscriber);
    let flow = flow("10.0.0.1", "2001:db8::1");
    let summary =
        Summary { flow, packets: 300, octets: 40_000, first: time(TIME), last: time(TIME + 1), cause: "idle" };
    let read = line(&written(template.line_bound(), |out| template.summary(out, 7, &summary)));
    assert_eq!(
        read,
        json!({
            "case_id": case_id, "content_id": r#"c"\"#, "probe": "IAP-1",
            "event": "summary", "sequence": 7, "first": "2007-04-19T17:26:28.406000Z",
            "last": "2007-04-19T17:26:28.406001Z", "packets": 300, "octets": 40_000, "cause": "idle",
            "source": "10.0.0.1", "destination": "2001:db8::1", "protocol": 6,
            "source_port": 1234, "destination_port": 5678,
        })
    );

    let session = SessionId::new("s\"1").unwrap();
    let prefix = Assignment {
        address: "10.0.0.0".parse::<IpAddr>().unwrap(),
        prefix_length: Some(24),
        allocation: Allocation::NotApplicable,
    };
    let reason = Reason::new("the \"end\"").unwrap();
    let read = line(&template.event(time(TIME), 8, &session, prefix, Event::SessionEnd(&reason)));
    assert_eq!(
        read,
        json!({
            "case_id": case_id, "content_id": r#"c"\"#, "probe": "IAP-1", "subscriber": subscriber,
            "event": "session-end", "sequence": 8, "time": "2007-04-19T17:26:28.406000Z", "session": "s\"1",
            "address": "10.0.0.0", "prefix_length": 24, "allocation": prefix.allocation, "reason": "the \"end\"",
        })
    );
    let read = line(&template.event(time(TIME), 9, &session, Assignment::without_address(), Event::SessionStart));
    assert_eq!((&read["event"], read.get("address")), (&json!("session-start"), None));
}

#[test]
fn octets_that_are_no_text_are_told_in_digits() {
    assert_eq!(template("C", &[0xff, 0x0a], "s").names().content_id, "ff0a");
}

/// A file of three packets, one of each direction.
pub(crate) fn file() -> Vec<u8> {
    let template = template("CASE-1", b"C-7", "line 42");
    let mut file = section(template.names());
    let directions = [None, Some(Direction::FromSubject), Some(Direction::ToSubject)];
    for (number, direction) in (1..).zip(directions) {
        // Of a length that needs no zeros behind it, and of ones that do.
        let payload = tshark::udp(5000, &b"payloads"[..5 + number as usize]);
        file.extend(block(&template, time(TIME + number), direction, 1000 + number as u64, &payload));
    }
    file
}

#[test]
fn a_file_is_read_block_by_block() {
    let file = file();
    let (mut rest, mut kinds) = (&file[..], Vec::new());
    while let Some((block, length)) = decode_block(rest).unwrap() {
        kinds.push(match block {
            Block::Section => 0,
            Block::Interface => 1,
            Block::Packet(packet) => packet.sequence,
        });
        rest = &rest[length..];
    }
    assert_eq!((kinds, rest), (vec![0, 1, 1001, 1002, 1003], &[][..]));
    let mut foreign = file.clone();
    foreign[8..12].reverse();
    assert_eq!(
        decode_block(&foreign).unwrap_err().to_string(),
        "no block of a file of packets: octet 8: another order of octets than little endian"
    );
    foreign[4] += 1;
    assert!(decode_block(&foreign).unwrap_err().to_string().contains("octet 4: a length that no block has"));
}

#[test]
fn tshark_reads_the_file() {
    let fields = ["frame.time_epoch", "frame.packet_id", "frame.packet_flags_direction", "frame.comment", "data.data"];
    let more = ["frame.interface_name", "frame.interface_description"];
    let Some(read) = tshark::fields("drop.pcapng", &file(), &[], &[&fields[..], &more].concat()) else { return };
    let row = |micros: u32, number: u64, way: &str, word: &str, data: &[u8]| {
        let comment = format!("{word}case CASE-1,content C-7,probe IAP-1");
        let data: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
        let time = format!("1177003588.40600{micros}000");
        [time, number.to_string(), way.to_owned(), comment, data, "IAP-1".to_owned(), "C-7".to_owned()].to_vec()
    };
    assert_eq!(
        read,
        [
            row(1, 1001, "0x00000000", "", b"payloa"),
            row(2, 1002, "0x00000002", "fromSubject,", b"payload"),
            row(3, 1003, "0x00000001", "toSubject,", b"payloads"),
        ]
    );
}
