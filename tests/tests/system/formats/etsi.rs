//! TS 102 232: more than ten thousand PDUs of every kind from a real run, read by ETSI's own modules and held against what
//! was sent. Capture is killed in the middle and the probe started anew, and each series goes on with its numbers.

use super::flows::{Flows, Kind, Sum, back, conversation};
use super::receivers::{Received, tcp};
use super::{add_destination, burst, ends_of, kill, revoke, whose};
use crate::scene::{ALICE, BOB, PATIENCE, Scene, net, order, seconds_ahead};
use crate::traffic::{Delivered, hold, now_ns, of_reports};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{
    Cc, CcContents, DecodeError, Direction, Fault, Hi1Change, Iri, IriContents, IriType, Payload, Pdu, decode,
};
use writ_lab::documents::Order;
use writ_lab::{Ends, IpPacket, until};

/// A third subscriber, whose flows are summed up.
const CAROL: [&str; 2] = ["198.51.100.40", "2001:db8:1:4::10"];
const SINGLE: [u16; 2] = [8443, 8444];
const TOGETHER: [u16; 2] = [8453, 8454];
const SUMS: [u16; 2] = [8463, 8464];
/// Packets in one PDU at most, where the agency takes several.
const MOST: usize = 8;
const TERMS: &str = "operator = \"EXNET\", country = \"DE\", network_element = \"PROBE1\", hi1 = true";

/// The kind of a series of PDUs, and its intercept.
type Series = (&'static str, String);

/// A PDU and its octets.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) octets: Vec<u8>,
    pub(super) pdu: Pdu,
}

/// The whole PDUs of one connection.
pub(super) fn pdus_of(connection: &[u8]) -> Vec<Whole> {
    let (mut pdus, mut rest) = (Vec::new(), connection);
    while !rest.is_empty() {
        let (pdu, length) = match decode(rest) {
            // Where the connection ended.
            Err(DecodeError { fault: Fault::Cut, offset: 0, .. }) => break,
            decoded => decoded.unwrap_or_else(|error| panic!("{error}: {rest:02x?}")),
        };
        let (octets, behind) = rest.split_at(length);
        pdus.push(Whole { octets: octets.to_vec(), pdu });
        rest = behind;
    }
    pdus
}

/// Those of all connections. What came again on a later connection is there once.
pub(super) fn pdus(received: &Received) -> Vec<Whole> {
    let mut seen = BTreeSet::new();
    let all = received.all().into_iter().flat_map(|connection| pdus_of(&connection));
    all.filter(|it| seen.insert(it.octets.clone())).collect()
}

fn series(pdu: &Pdu) -> Series {
    let kind = match pdu.payload {
        Payload::Cc(_) => "cc",
        Payload::Iri(_) => "iri",
        Payload::Hi1(_) => "hi1",
        _ => panic!("nobody asked for {pdu:?}"),
    };
    (kind, pdu.header.liid.to_string())
}

fn nanoseconds(time: Option<UtcMicros>) -> u64 {
    u64::try_from(time.expect("a time").unix_micros()).expect("it is past 1970") * 1000
}

pub(super) fn contents<'a>(pdus: &'a [Whole], order: &Order) -> Vec<(&'a Pdu, &'a [Cc])> {
    let of_order = pdus.iter().filter(|Whole { pdu, .. }| pdu.header.liid.to_string() == order.case_id);
    let content = |Whole { pdu, .. }: &'a Whole| match &pdu.payload {
        Payload::Cc(all) => Some((pdu, &all[..])),
        _ => None,
    };
    of_order.filter_map(content).collect()
}

fn reports<'a>(pdus: &'a [Whole], order: &Order) -> Vec<(&'a Pdu, &'a Iri)> {
    let of_order = pdus.iter().filter(|Whole { pdu, .. }| pdu.header.liid.to_string() == order.case_id);
    let report = |Whole { pdu, .. }: &'a Whole| match &pdu.payload {
        Payload::Iri(all) => Some(all.iter().map(move |iri| (pdu, iri))),
        _ => None,
    };
    of_order.filter_map(report).flatten().collect()
}

/// The numbered packets of a party that an order's content holds. Those with an even number come from it.
fn numbered(pdus: &[Whole], order: &Order, party: &str) -> Vec<Delivered> {
    let (mut directions, mut packets) = (Vec::new(), Vec::new());
    for (pdu, cc) in contents(pdus, order).into_iter().flat_map(|(pdu, all)| all.iter().map(move |cc| (pdu, cc))) {
        let CcContents::Packet(octets) = &cc.contents else { panic!("no whole packet: {cc:?}") };
        packets.push(IpPacket { utc_ns: nanoseconds(cc.time.or(pdu.header.time)), bytes: octets.0.clone() });
        directions.push(cc.direction);
    }
    let packets = whose(&packets);
    for (direction, (_, (number, _))) in directions.iter().zip(&packets) {
        let way = if number.is_multiple_of(2) { Direction::FromTarget } else { Direction::ToTarget };
        assert_eq!(*direction, Some(way), "number {number}");
    }
    let party: IpAddr = party.parse().unwrap();
    packets.into_iter().filter(|(whose, _)| *whose == party).map(|(_, packet)| packet).collect()
}

/// The flow that the headers of a summary stand for.
fn flow(headers: &[u8]) -> Ends {
    let (source, destination, ports): (IpAddr, IpAddr, usize) = if headers[0] >> 4 == 4 {
        let [source, destination] = [12, 16].map(|at| *headers[at..].first_chunk::<4>().unwrap());
        (source.into(), destination.into(), 20)
    } else {
        let Ends { source, destination, .. } = ends_of(&headers[..48]);
        (source, destination, 40)
    };
    let port = |at: usize| u16::from_be_bytes(*headers[at..].first_chunk().unwrap());
    Ends { source, destination, ports: Some((port(ports), port(ports + 2))) }
}

/// Some conversations of the third subscriber, each of a few packets more than one summary is of.
fn converse(flows: &mut Flows, first_port: u16) {
    for party in CAROL {
        for port in first_port..first_port + 10 {
            let there = conversation(party, port);
            for length in 0..12 {
                flows.send(there, Kind::Tcp, length);
                flows.send(back(there), Kind::Tcp, 100);
            }
            flows.send(there, Kind::LastOfTcp, 0);
        }
    }
}

/// asn1tools leaves the seconds of a GeneralizedTime out where they are zero, and would write such a PDU again in another
/// way. So nothing that is told with one happens then.
fn beside_the_full_minute() {
    while ![Timestamp::now(), seconds_ahead(3)].iter().all(|time| (1..59).contains(&(time.as_second() % 60))) {
        sleep(Duration::from_millis(100));
    }
}

/// A Python that has asn1tools; none without one, which is an error where tools are demanded.
pub(super) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("venv/bin/python");
    let has_asn1tools = Command::new(&python).args(["-c", "import asn1tools"]).output();
    if has_asn1tools.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "no asn1tools: run `cargo xtask setup`");
    eprintln!("skipped: no asn1tools, run `cargo xtask setup`");
    None
}

/// Has ETSI's modules read a stream; none where they or asn1tools are missing. The last line of what check-etsi says.
fn check_etsi(file: &Path) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let tool = root.ancestors().map(|folder| folder.join("shared/tools/check-etsi")).find(|path| path.exists());
    let (Some(tool), Some(python)) = (tool, python()) else {
        eprintln!("skipped: no check-etsi beside the project");
        return None;
    };
    let output = Command::new(python).arg(tool).arg(file).arg("--quiet").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said.lines().last().map(str::to_owned)
}

#[test]
fn ten_thousand_mixed_pdus_of_a_real_run_are_as_etsi_has_them_and_hold_what_was_sent() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let ways = [("single", SINGLE, "1"), ("together", TOGETHER, "8"), ("sums", SUMS, "1")];
    for (name, ports, packets_per_pdu) in ways {
        let terms = format!("etsi = {{ {TERMS}, access_type = \"fttx\", packets_per_pdu = {packets_per_pdu} }}");
        let summaries = if name == "sums" { "summaries = { idle_seconds = 1, packet_count = 5 }" } else { "" };
        add_destination(&scene, name, "etsi", ports.map(Some), &format!("{terms}\n{summaries}"));
    }
    let [single, together, sums] = [SINGLE, TOGETHER, SUMS].map(|ports| ports.map(|port| tcp(&scene.office, port)));
    scene.run();
    let content = Order { agency: "single", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, "CASE-SINGLE") };
    let bundled = Order { agency: "together", ..order(1, ALICE, "CASE-TOGETHER") };
    let pen_trap = |agency, order: Order| Order { authority: "pen-trap", scope: "headers", agency, ..order };
    let headers = pen_trap("single", order(2, BOB, "CASE-HEADERS"));
    let of_flows = Order { targets: CAROL.map(net).to_vec(), ..pen_trap("sums", order(3, ALICE, "CASE-FLOWS")) };
    let orders = [&content, &bundled, &headers, &of_flows];
    beside_the_full_minute();
    orders.iter().for_each(|order| scene.arm(order));

    let mut sender = scene.senders(&["tap0"]).remove(0);
    let mut flows = Flows::new(scene.senders(&["tap0"]).remove(0));
    let (mut sent, from_ns) = (Vec::new(), now_ns());
    converse(&mut flows, 20_000);
    burst(&mut sender, &mut sent, 2600);
    for order in orders {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
    }

    // Capture is killed among packets.
    let killed_ns = now_ns();
    burst(&mut sender, &mut sent, 100);
    kill(&scene, "capture");
    until("packets to be taken again", PATIENCE, || {
        burst(&mut sender, &mut sent, 16);
        // The kernel lists a slot once it has counted for it.
        let slot = scene.probe().slot(&content)?;
        Ok(slot.and_then(|slot| scene.probe().kernel_matched(&slot).ok()).filter(|matched| *matched > 0))
    })
    .unwrap();
    let back_ns = now_ns();
    burst(&mut sender, &mut sent, 400);
    for order in orders {
        scene.probe().settled(order).unwrap();
    }
    // The whole probe ends in due form, and comes back.
    scene.stop();
    scene.run();
    let again_ns = now_ns();
    burst(&mut sender, &mut sent, 600);
    beside_the_full_minute();
    converse(&mut flows, 21_000);
    let until_ns = now_ns();
    let mut lost = BTreeMap::new();
    for order in orders {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled(), "{}: {counts:?}", order.case_id);
        lost.insert(order.case_id.to_owned(), counts.lost);
    }
    scene.assert_isolated();
    beside_the_full_minute();
    for order in orders {
        revoke(&scene, order);
    }
    scene.stop();
    scene.assert_log_names_nobody();

    let [single, together, sums] = [single, together, sums].map(|[cmii, cmc]| {
        let (information, content) = (pdus(&cmii), pdus(&cmc));
        assert!(content.iter().all(|Whole { pdu, .. }| matches!(pdu.payload, Payload::Cc(_))), "HI3 is content alone");
        assert!(
            information.iter().all(|Whole { pdu, .. }| !matches!(pdu.payload, Payload::Cc(_))),
            "HI2 is no content"
        );
        [information, content].concat()
    });
    let all = [&single[..], &together, &sums].concat();

    // What was sent is there, once.
    let whole = from_ns..until_ns;
    let spans = [from_ns..killed_ns, back_ns..again_ns, again_ns..until_ns];
    for (what, delivered) in [
        ("content of IPv4", numbered(&single, &content, ALICE)),
        ("content of IPv6", numbered(&single, &content, BOB)),
        ("several packets a PDU", numbered(&together, &bundled, ALICE)),
        ("headers", headers_of(&single, &headers)),
    ] {
        spans.iter().for_each(|span| hold(what, &sent, &delivered, span.clone(), whole.clone()));
    }
    let sizes: Vec<usize> = contents(&together, &bundled).iter().map(|(_, packets)| packets.len()).collect();
    assert!(sizes.iter().max() > Some(&1) && sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
    assert!(contents(&single, &content).iter().all(|(_, packets)| packets.len() == 1));
    assert_eq!(sums_of(&sums, &of_flows), flows.sent);

    // Each series is one run of numbers; what is missing in it is counted lost.
    let mut numbers: BTreeMap<Series, Vec<u32>> = BTreeMap::new();
    let mut identities = BTreeMap::new();
    for Whole { pdu, .. } in &all {
        assert_eq!(pdu.header.operator.to_string(), "EXNET");
        assert_eq!(identities.entry(pdu.header.liid.to_string()).or_insert(pdu.header.cin), &pdu.header.cin);
        numbers.entry(series(pdu)).or_default().push(pdu.header.sequence);
    }
    for ((kind, liid), numbers) in numbers {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{kind} of {liid}: {numbers:?}");
        let [first, last] = [numbers.first(), numbers.last()].map(|number| u64::from(*number.unwrap()));
        let missing = last + 1 - first - numbers.len() as u64;
        assert!(missing <= lost[&liid], "{kind} of {liid}: {missing} are missing, {} lost", lost[&liid]);
    }

    // Each intercept is said to begin and to end, once, for its life and not for the probe's.
    for order in orders {
        let kinds: Vec<_> = reports(&all, order).iter().filter_map(|(_, iri)| iri.kind).collect();
        let places = |kind| kinds.iter().filter(|it| **it == kind).count();
        assert_eq!((places(IriType::Begin), places(IriType::End)), (1, 1), "{}", order.case_id);
        let is_of = |pdu: &Pdu| pdu.header.liid.to_string() == order.case_id;
        let changes: Vec<_> =
            all.iter().filter(|Whole { pdu, .. }| is_of(pdu)).filter_map(|Whole { pdu, .. }| hi1(pdu)).collect();
        assert_eq!(changes, [Hi1Change::Activated, Hi1Change::Deactivated], "{}", order.case_id);
    }

    // ETSI's modules agree with every octet.
    let stream: Vec<u8> = all.iter().flat_map(|it| it.octets.iter().copied()).collect();
    assert!(all.len() >= 10_000, "{} PDUs", all.len());
    let file = scene.path("run.ber");
    fs::write(&file, &stream).unwrap();
    let Some(said) = check_etsi(&file) else { return };
    assert_eq!(said, format!("{} PDUs, {length} of {length} bytes, 0 bad", all.len(), length = stream.len()));
}

fn hi1(pdu: &Pdu) -> Option<Hi1Change> {
    match &pdu.payload {
        Payload::Hi1(told) => Some(told.change),
        _ => None,
    }
}

/// The numbered packets of which there is a report with headers.
fn headers_of(pdus: &[Whole], order: &Order) -> Vec<Delivered> {
    let report = |(pdu, iri): (&Pdu, &Iri)| match &iri.contents {
        IriContents::Header(octets) => Some((nanoseconds(iri.time.or(pdu.header.time)), ends_of(&octets.0))),
        _ => None,
    };
    of_reports(&reports(pdus, order).into_iter().filter_map(report).collect::<Vec<_>>())
}

/// What the summaries say of each flow.
fn sums_of(pdus: &[Whole], order: &Order) -> HashMap<Ends, Sum> {
    let mut sums: HashMap<Ends, Sum> = HashMap::new();
    for (_, iri) in reports(pdus, order) {
        let IriContents::Summary(summary) = &iri.contents else { continue };
        assert!(summary.first.unwrap() <= summary.last.unwrap() && summary.packets <= Some(5), "{summary:?}");
        let sum = sums.entry(flow(&summary.header.0)).or_default();
        sum.packets += summary.packets.unwrap();
        sum.octets += summary.octets.unwrap();
    }
    sums
}
