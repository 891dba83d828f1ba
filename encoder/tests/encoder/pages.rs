//! The dumps in the pages about the handovers (`docs/handover-*.md`) are what the encoder writes. With `WRIT_WRITE_DOCS=1`
//! they are written anew.

use std::fmt::Write as _;
use std::path::Path;

use crate::files;
use crate::given::*;
use crate::x2x3::identity;
use writ_encoder::ccc::{Connection, Form};
use writ_encoder::files::{Event as FileEvent, Summary as FileSummary};
use writ_encoder::jmirror::{Mirror, MirrorId};
use writ_encoder::opencalea::{Ends, Length, Name, Tap};
use writ_encoder::t1_ias::{Allocation, Assignment, Direction, Intercept, Reason, SessionId, Summary};
use writ_encoder::tzsp::{Encapsulation, Sniffer};
use writ_encoder::x2x3::{Direction as Way, Format, Identity, Task};

/// An IPv4 packet with UDP and four octets in it.
const PACKET: [u8; 32] = [
    0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 17, 0x26, 0xc9, 10, 0, 0, 1, 10, 0, 0, 2, 4, 210, 22, 46, 0, 12, 0, 0, b'w',
    b'r', b'i', b't',
];
const PACKET_NOTE: &str = "the packet: IPv4, UDP, 4 octets";

/// Octets and what they are, line by line. Of a part that is longer than three lines the begin alone.
fn dump(pdu: &[u8], parts: &[(usize, &str)]) -> String {
    let mut text = String::new();
    let mut rest = pdu;
    for (length, note) in parts {
        let (part, behind) = rest.split_at_checked(*length).unwrap_or_else(|| panic!("{note}: the PDU has ended"));
        rest = behind;
        let is_long = part.len() > 48;
        let shown = if is_long { &part[..8] } else { part };
        for (number, line) in shown.chunks(16).enumerate() {
            let octets: Vec<_> = line.iter().map(|octet| format!("{octet:02x}")).collect();
            let more = if is_long { format!(" ... {} octets", part.len()) } else { String::new() };
            let note = if number == 0 { *note } else { "" };
            writeln!(text, "{}", format!("{:<48} {note}", octets.join(" ") + &more).trim_end()).unwrap();
        }
    }
    assert!(rest.is_empty(), "{} octets are not explained", rest.len());
    text
}

/// Holds the dump under `name` in a page to what it should be.
fn hold(page: &str, name: &str, dump: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let head = format!("<!-- {name}: made by encoder/tests/encoder/pages.rs -->\n```text\n");
    let (before, after) = text.split_once(&head).unwrap_or_else(|| panic!("{page}: no dump {name}"));
    let (found, behind) = after.split_once("```\n").unwrap_or_else(|| panic!("{page}: {name} has no end"));
    if std::env::var_os("WRIT_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{head}{dump}```\n{behind}")).unwrap();
    } else {
        assert!(found == dump, "{page}, {name}: run this test with WRIT_WRITE_DOCS=1. It is\n{dump}");
    }
}

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, writ_encoder::NoRoom>) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let length = write(&mut out).unwrap();
    out.truncate(length);
    out
}

// A test for each page: those that write one must not meet.

#[test]
fn t1_ias() {
    let intercept = intercept("CASE-1", &correlation(b"x"));
    let moment = time(TIME);
    let flow = flow("10.0.0.1", "10.0.0.2");
    let content = written(|out| intercept.content(out, moment, Direction::FromSubject, 5, &PACKET));
    let parts = [
        (2, "IAS-CC-APDU"),
        (2, "  ccDeliveryHeader [0]"),
        (2, "    correlationInfo [0]"),
        (8, "      caseId [0] CASE-1"),
        (7, "      iapId [1] IAP-1"),
        (5, "      contentIdentifier [2]: correlationID [0]"),
        (21, "    timeStamp [1] 20070419172628.406Z"),
        (3, "    packetDirection [2] fromSubject"),
        (3, "    sequenceNumber [3] 5"),
        (2, "  payload [1]"),
        (32, PACKET_NOTE),
    ];
    hold("handover-t1-ias.md", "content", &dump(&content, &parts));

    let summary = Summary { flow, packets: 300 };
    let report = written(|out| {
        let mut room = [0; Intercept::SUMMARY_REPORT_BOUND];
        let length = intercept.summary_report(&mut room, moment, &summary)?;
        out[..length].copy_from_slice(&room[..length]);
        Ok(length)
    });
    let parts = [
        (2, "IasProtocol"),
        (13, "  protocolIdentifier 1.2.840.113737.2.1.1.0.0"),
        (2, "  data-Summary-Report [11]"),
        (8, "    caseId [0] CASE-1"),
        (7, "    iAPSystemId [1] IAP-1"),
        (21, "    timestamp [2] 20070419172628.406Z"),
        (5, "    contentIdentifier [3]: correlationID [0]"),
        (2, "    streamSet [4]"),
        (20, "      streamID [0]: the flow, 16 digits"),
        (14, "      sourceIPaddress [1] 10.0.0.1, unknown"),
        (14, "      destinationIPaddress [2] 10.0.0.2, unknown"),
        (4, "      packetCount [3] 300"),
        (6, "      sourcePortNumber [4] 1234"),
        (6, "      destinationPortNumber [5] 5678"),
    ];
    hold("handover-t1-ias.md", "summary report", &dump(&report, &parts));
}

#[test]
fn opencalea() {
    let name = |name| Name::new(name).unwrap();
    let tap = Tap::new(name("x"), name("y"), name("z"), Length::Whole);
    let ends = Ends {
        source: "69.143.202.28".parse().unwrap(),
        destination: "140.211.166.3".parse().unwrap(),
        source_port: 32_819,
        destination_port: 6667,
    };
    let cmii = written(|out| tap.cmii(out, time(TIME), 0, &ends));
    let parts = [
        (128, "case id: y, zeros"),
        (128, "IAP system id: z, zeros"),
        (23, "time 2007-04-19T17:26:28.406"),
        (128, "content id: x, zeros"),
        (1, "filler"),
        (4, "stream id"),
        (4, "source 69.143.202.28, last octet first"),
        (4, "destination 140.211.166.3, likewise"),
        (2, "source port 32819"),
        (2, "destination port 6667"),
    ];
    hold("handover-opencalea.md", "CmII", &dump(&cmii, &parts));
}

#[test]
fn ccc() {
    let connection = Connection::new(0x1234_5678, Form::Case(42));
    let datagram = written(|out| connection.content(out, time(TIME), &PACKET));
    let parts = [
        (4, "CCC-ID 0x12345678"),
        (8, "NTP time: seconds since 1900, parts of 2^32"),
        (8, "case 42"),
        (32, PACKET_NOTE),
    ];
    hold("handover-ccc.md", "datagram", &dump(&datagram, &parts));
}

#[test]
fn mirrors() {
    let mirror = Mirror::new(MirrorId::new(0x0123_4567).unwrap(), 77);
    let datagram = written(|out| mirror.content(out, &PACKET));
    let parts = [(4, "form 0 in two bits, mirror id 0x01234567"), (4, "session id 77"), (32, PACKET_NOTE)];
    hold("handover-mirrors.md", "Juniper", &dump(&datagram, &parts));

    let datagram = written(|out| Sniffer::new(Encapsulation::RAW_IP).content(out, 5, &PACKET));
    let parts = [
        (2, "version 1, type 0: received"),
        (2, "encapsulation 7: raw IP (1: Ethernet)"),
        (6, "tag 40, 4 octets: packet 5"),
        (1, "tag 1: end"),
        (32, PACKET_NOTE),
    ];
    hold("handover-mirrors.md", "TZSP", &dump(&datagram, &parts));
}

#[test]
fn x2x3() {
    let identity = Identity { domain_id: None, interception_point_id: None, matched_target: None, ..identity() };
    let task = Task::new(&identity).unwrap();
    let pdu = written(|out| task.content(out, time(TIME), Way::FromTarget, 5, Format::IPV4, &PACKET));
    let parts = [
        (4, "version 1, type 2: X3"),
        (4, "header of 71 octets"),
        (4, "payload of 32 octets"),
        (2, "payload format 5: IPv4"),
        (2, "direction 3: from target"),
        (16, "XID"),
        (8, "correlation id 77"),
        (11, "attribute 6: network function probe-1"),
        (8, "attribute 8: sequence number 5"),
        (12, "attribute 9: timestamp, seconds and nanoseconds"),
        (32, PACKET_NOTE),
    ];
    hold("handover-x2x3.md", "X3", &dump(&pdu, &parts));
}

#[test]
fn files() {
    let template = files::template("CASE-1", b"CASE-1-C", "line 42");
    let block = files::block(&template, time(TIME), Some(Direction::FromSubject), 5, &PACKET);
    let parts = [
        (8, "Enhanced Packet Block, 156 octets"),
        (4, "  interface 0"),
        (8, "  microseconds since 1970, the high word first"),
        (8, "  captured and original length: 32"),
        (32, PACKET_NOTE),
        (16, "  comment: fromSubject"),
        (16, "  comment: case CASE-1"),
        (20, "  comment: content CASE-1-C"),
        (16, "  comment: probe IAP-1"),
        (8, "  flags: outbound"),
        (12, "  packet id 5"),
        (4, "  end of options"),
        (4, "156 octets"),
    ];
    hold("handover-files.md", "packet", &dump(&block, &parts));

    let mut flow = flow("10.0.0.1", "10.0.0.2");
    (flow.protocol, flow.ports) = (17, Some((1234, 5678)));
    let session = SessionId::new("6f1c2a90-0b7d4f6e12a98c35").unwrap();
    let address = Assignment::of("10.0.0.1".parse().unwrap(), Allocation::Static);
    let direction = Some(Direction::FromSubject);
    let report = |out: &mut [u8]| template.header_report(out, time(TIME + 1), direction, 2, &flow, PACKET.len());
    let (packets, octets) = (300, 9600);
    let summary =
        FileSummary { flow, packets, octets, first: time(TIME + 2), last: time(TIME + 9_000_000), cause: "silence" };
    let reason = Reason::new("surveillance ended: period of the order is over").unwrap();
    let lines = [
        template.event(time(TIME), 1, &session, address, FileEvent::SessionAlreadyEstablished),
        written(report),
        written(|out| template.summary(out, 3, &summary)),
        template.event(time(TIME + 10_000_000), 4, &session, address, FileEvent::SessionEnd(&reason)),
    ];
    hold("handover-files.md", "lines", str::from_utf8(&lines.concat()).unwrap());
}
