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
mod collected;
mod etsi;
mod files;
mod flows;
mod receivers;
mod sealed;
mod summaries;
mod t1_ias;
mod x3;

use crate::destinations::configure;
use crate::scene::{ALICE, BOB, BYSTANDER, Scene, address, ns};
use crate::traffic::{Delivered, Sent, frame, hold, now_ns};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Agency, FrameSender};

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
