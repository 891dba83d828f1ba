//! Every handover format, from the tap to an agency: what is on the wire, held against what was sent.
//!
//! | module | what it proves |
//! |---|---|
//! | [`summaries`] | T1.IAS: a flow is told of by sums, and every packet is in one of them or counted lost |
//! | [`t1_ias`] | ATIS-1000013: asn1tools reads a real run |
//! | [`etsi`] | TS 102 232: ETSI's own modules read a real run, whose numbers go on over a kill and a restart |
//! | [`sealed`] | the same with everything encrypted and signed: the agency's program and openssl open and verify it |
//! | [`collected`] | in every format, what `writ-collect` files; of the datagrams also what tshark reads on the wire |
//! | [`agencies`] | agencies that are slow, silent, talk nonsense or go away: nothing is lost |
//! | [`files`] | files that an agency fetches: whole, each with its sum, though deliver is killed |
//! | [`x3`] | TS 103 221-2: tshark reads in both streams what was put in |
//!
//! [`receivers`] are agencies that only take what comes, so that what a test reads is what was on the wire.

mod agencies;
pub(crate) mod collected;
mod etsi;
mod files;
mod flows;
mod receivers;
mod sealed;
mod summaries;
mod t1_ias;
mod x3;

use crate::destinations::configure;
use crate::scene::{ALICE, BOB, BYSTANDER, PATIENCE, Scene, address, ns};
use crate::traffic::{Delivered, Sent, frame, hold, now_ns, of_packets};
use rustix::process::Signal;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Agency, Ends, FrameSender, IpPacket, LabError, until};

/// Adds a destination at the agencies' address, over an unprotected path. `terms` are further lines of its section.
fn add_destination(scene: &Scene, name: &str, format: &str, ports: [Option<u16>; 2], terms: &str) {
    let mut section = format!(
        "[[destination]]\nname = \"{name}\"\nformat = \"{format}\"\n\
         plain = {{ path_protected_otherwise = \"a link of the lab\" }}\n{terms}\n"
    );
    for (stream, port) in ["cmii", "cmc"].iter().zip(ports) {
        section.extend(port.map(|port| format!("{stream} = \"{}:{port}\"\n", address())));
    }
    configure(scene, &section);
}

/// Starts `writ-collect` for such a destination. `told` are further lines of its configuration.
fn collector(scene: &Scene, name: &str, ports: [Option<u16>; 2], told: &str) -> Agency {
    let at = |port: u16| SocketAddr::from((address(), port));
    let endpoints: Vec<SocketAddr> = ports.into_iter().flatten().map(at).collect();
    let configuration = |directory: &Path| {
        let mut text = format!("directory = {directory:?}\n{told}\n");
        for (stream, port) in ["cmii", "cmc"].iter().zip(ports) {
            text.extend(port.map(|port| format!("{stream} = \"{}\"\n", at(port))));
        }
        text + "[plain]\npath_protected_otherwise = \"a link of the lab\"\n"
    };
    let (folder, binary) = (scene.path("agencies"), &scene.binaries.writ_collect);
    Agency::start_as(&scene.office, binary, &folder, name, &endpoints, configuration).unwrap()
}

/// Arms an order whose document is changed before it is signed.
fn arm_document(scene: &Scene, order: &Order, change: impl FnOnce(String) -> String) {
    let document = change(order.warrant(&scene.head()).unwrap());
    let [ada, ben, _] = &scene.officers;
    let answer = scene.probe().submit_document(order.case_id, &document, &[ada, ben]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
}

/// Ends an order by an officer's word.
fn revoke(scene: &Scene, order: &Order) {
    let answer = scene.probe().revoke(order, &scene.officers[1]).unwrap();
    assert!(answer.accepted, "{}", answer.words);
}

/// Kills the process of a role, and waits for the one that takes its place.
fn kill(scene: &Scene, role: &str) {
    let killed = scene.probe().role(&scene.host, role).unwrap();
    scene.probe().signal_role(&scene.host, role, Signal::KILL).unwrap();
    until("the role to come back", PATIENCE, || {
        Ok(scene.probe().role(&scene.host, role)?.filter(|now| Some(*now) != killed))
    })
    .unwrap();
}

/// The packets that an agency's program has filed, once they are so many.
fn filed(agency: &Agency, case: &str, count: usize) -> Result<Vec<IpPacket>, LabError> {
    until("the agency's file", PATIENCE, || match agency.packets(case) {
        // The file ends in a packet that is being written.
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => Ok(Some(packets?).filter(|packets| packets.len() >= count)),
    })
}

/// Sends the next packets of two targets and a bystander, some at once: only those can go into one PDU.
fn burst(sender: &mut FrameSender, sent: &mut Vec<Sent>, count: usize) {
    let parties = [ALICE, BOB, BYSTANDER].map(|party| party.parse().unwrap());
    for _ in 0..count {
        let (number, before_ns) = (sent.len(), now_ns());
        parties.iter().for_each(|party| sender.send(&frame(*party, number)).unwrap());
        sent.push(Sent { before_ns, after_ns: now_ns() });
        if number % 16 == 15 {
            sleep(Duration::from_millis(4));
        }
    }
}

/// Holds what an agency has of both parties against what was sent.
fn hold_both(what: &str, sent: &[Sent], packets: &[(IpAddr, Delivered)], whole: Range<u64>) {
    for party in [ALICE, BOB] {
        let party: IpAddr = party.parse().unwrap();
        let of_party: Vec<_> = packets.iter().filter(|(whose, _)| *whose == party).map(|(_, packet)| *packet).collect();
        hold(&format!("{what}, {party}"), sent, &of_party, whole.clone(), whole.clone());
    }
}

/// Whose packet it is of those that talk to somebody of these ends.
fn party([source, destination]: [IpAddr; 2]) -> IpAddr {
    let is_party = |address: &IpAddr| [ALICE, BOB].iter().any(|party| party.parse() == Ok(*address));
    [source, destination].into_iter().find(is_party).expect("nobody but a target is handed over")
}

/// Numbered packets, and whose each is.
fn whose(packets: &[IpPacket]) -> Vec<(IpAddr, Delivered)> {
    let ends = packets.iter().map(|packet| packet.ends().expect("an IP packet"));
    ends.map(|ends| party([ends.source, ends.destination])).zip(of_packets(packets)).collect()
}

/// Who sends to whom, by the headers of a packet of IPv6 and UDP.
fn ends_of(headers: &[u8]) -> Ends {
    assert_eq!((headers.len(), headers[0] >> 4), (48, 6), "headers alone: {headers:02x?}");
    let address = |at: usize| Ipv6Addr::from(*headers[at..].first_chunk::<16>().unwrap()).into();
    let port = |at: usize| u16::from_be_bytes(*headers[at..].first_chunk().unwrap());
    Ends { source: address(8), destination: address(24), ports: Some((port(40), port(42))) }
}

/// The fields of each packet of a capture file as tshark prints them; of what is there several times, all with commas.
fn tshark(file: &Path, arguments: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.env("TZ", "UTC").arg("-r").arg(file).args(arguments).args(["-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The octets that hexadecimal digits stand for.
fn octets(digits: &str) -> Vec<u8> {
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(octet).collect()
}

/// Nanoseconds since 1970 of a time as tshark prints it where `TZ` is UTC.
fn utc_ns(time: &str) -> u64 {
    let time = jiff::civil::DateTime::strptime("%b %d, %Y %H:%M:%S%.f UTC", time).unwrap();
    ns(time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp())
}
