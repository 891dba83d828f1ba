//! What the encoder writes, read by tshark: its fields are what was put in.
//!
//! `cargo xtask setup` installs it. Where it is missing the test says so and passes, unless `WRIT_REQUIRE_TOOLS=1` is set,
//! as it is in CI.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use crate::given::*;
use crate::x2x3::{content, event, identity, pdus};
use writ_encoder::ccc::{Connection, Form};
use writ_encoder::jmirror::{self, Mirror, MirrorId};
use writ_encoder::tzsp::{self, Encapsulation, Sniffer};
use writ_encoder::x2x3::Task;

/// The fields of each packet of a capture file as tshark prints them, or none where there is no tshark.
pub(crate) fn fields(name: &str, pcap: &[u8], arguments: &[&str], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), name].iter().collect();
    std::fs::write(&file, pcap).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&file).args(arguments).args(["-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = match tshark.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert_ne!(std::env::var("WRIT_REQUIRE_TOOLS").as_deref(), Ok("1"), "no tshark: run `cargo xtask setup`");
            eprintln!("skipped: no tshark, run `cargo xtask setup`");
            return None;
        }
        Err(error) => panic!("tshark: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// An IPv4 packet of a transport, between documentation addresses.
fn ipv4(protocol: u8, transport: &[u8]) -> Vec<u8> {
    let length = (20 + transport.len() as u16).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0];
    [&head[..], &[192, 0, 2, 1, 192, 0, 2, 2], transport].concat()
}

pub(crate) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let fields = [4000, port, 8 + payload.len() as u16, 0].map(u16::to_be_bytes);
    ipv4(17, &[fields.as_flattened(), payload].concat())
}

fn tcp(port: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let ports = [4000, port].map(u16::to_be_bytes);
    let rest = [0, 0, 0, 0, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0];
    ipv4(6, &[ports.as_flattened(), &sequence.to_be_bytes(), &rest, payload].concat())
}

/// Packets as a capture file, from their IP headers on.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    const RAW_IP: u8 = 101;
    let mut pcap = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, RAW_IP, 0, 0, 0];
    for packet in packets {
        let length = packet.len() as u32;
        pcap.extend([0, 0, length, length].map(u32::to_le_bytes).as_flattened());
        pcap.extend(packet);
    }
    pcap
}

/// The packet that is handed over: IPv4 and UDP, to a port of its own.
fn inner() -> Vec<u8> {
    let mut packet = udp(53, b"payload");
    packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    packet
}

/// Addresses of the outer packet and of the inner one.
const SOURCES: &str = "192.0.2.1,10.0.0.1";

#[test]
fn ccc() {
    let inner = inner();
    for (form, dissector, expected) in [
        (Form::Channel, "pcli", ["305419896", "", "", SOURCES]),
        (Form::Timed, "pcli12", ["305419896", "Apr 19, 2007 17:26:28.406123", "", SOURCES]),
        (Form::Case(42), "pcli20", ["305419896", "Apr 19, 2007 17:26:28.406123", "0x000000000000002a", SOURCES]),
    ] {
        let mut out = vec![0; Connection::LONGEST_HEADER + inner.len()];
        let length = Connection::new(0x1234_5678, form).content(&mut out, time(TIME + 123), &inner).unwrap();
        let port = format!("udp.port==9000,{dissector}");
        let names = ["pcli.cccid", "pcli.timestamp", "pcli.case_id", "ip.src"];
        let capture = pcap(&[udp(9000, &out[..length])]);
        let Some(rows) = fields(dissector, &capture, &["-d", &port, "-d", "pcli.payload,ip"], &names) else { return };
        assert_eq!(rows.len(), 1);
        for (found, expected) in rows[0].iter().zip(expected) {
            assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}: {expected}");
        }
    }
}

#[test]
fn juniper() {
    let inner = inner();
    let mut out = vec![0; Mirror::HEADER + inner.len()];
    Mirror::new(MirrorId::new(0x2345_6789).unwrap(), 0x9abc_def0).content(&mut out, &inner).unwrap();
    let capture = pcap(&[udp(jmirror::PORT, &out)]);
    let Some(rows) = fields("jmirror", &capture, &[], &["jmirror.mid", "jmirror.sid", "ip.src", "udp.dstport"]) else {
        return;
    };
    assert_eq!(rows, [["0x23456789", "0x9abcdef0", SOURCES, "30030,53"]]);
}

#[test]
fn sniffers() {
    let inner = inner();
    let ethernet = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &inner].concat();
    let mut packets = Vec::new();
    for (encapsulation, frame) in [(Encapsulation::ETHERNET, &ethernet), (Encapsulation::RAW_IP, &inner)] {
        let mut out = vec![0; Sniffer::HEADER + frame.len()];
        Sniffer::new(encapsulation).content(&mut out, 70_000, frame).unwrap();
        packets.push(udp(tzsp::PORT, &out));
    }
    let names = ["tzsp.version", "tzsp.type", "tzsp.encap", "tzsp.packet_id", "ip.src"];
    let Some(rows) = fields("tzsp", &pcap(&packets), &[], &names) else { return };
    assert_eq!(rows, [["1", "0", "1", "70000", SOURCES], ["1", "0", "7", "70000", SOURCES]]);
}

#[test]
fn x2_and_x3() {
    let task = Task::new(&identity()).unwrap();
    let mut pdus = pdus();
    pdus[0] = content(&task, 300, &inner());
    pdus[1] = event(&task, &flow("10.0.0.1", "10.0.0.2"));
    let mut sequence = 1;
    let packet = |pdu: &Vec<u8>| {
        let packet = tcp(9000, sequence, pdu);
        sequence += pdu.len() as u32;
        packet
    };
    let packets: Vec<_> = pdus.iter().map(packet).collect();
    let names = [
        "li5g.ver",
        "li5g.type",
        "li5g.hl",
        "li5g.pl",
        "li5g.pf",
        "li5g.pd",
        "li5g.xid",
        "li5g.cid",
        "li5g.did",
        "li5g.nfid",
        "li5g.ipid",
        "li5g.mti",
        "li5g.ts",
        "li5g.srcip",
        "li5g.dstip",
        "li5g.srcport",
        "li5g.dstport",
        "li5g.ipproto",
        "li5g.pld",
    ];
    let arguments = ["-d", "tcp.port==9000,5gli", "-E", "occurrence=f"];
    let Some(rows) = fields("x2x3", &pcap(&packets), &arguments, &names) else { return };
    let hexadecimal = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let target = hexadecimal(b"<ipv4Address>192.0.2.7</ipv4Address>");
    let xid = "01234567-89ab-cdef-0123-456789abcdef";
    let (domain, function, point) = (hexadecimal(b"example.net"), hexadecimal(b"probe-1"), hexadecimal(b"tap0"));
    let named = |kind, lengths: [&str; 2], direction| -> Vec<String> {
        let [header, payload] = lengths;
        ["1", kind, header, payload, "5", direction, xid, "000000000000004d", &domain, &function, &point, &target]
            .map(str::to_owned)
            .to_vec()
    };
    assert_eq!(rows[0][..12], named("2", ["134", "35"], "2"));
    assert!(rows[0][12].starts_with("Apr 19, 2007 17:26:28.406123"), "{}", rows[0][12]);
    assert_eq!(rows[0][18], hexadecimal(&inner()));
    assert_eq!(rows[1][..12], named("1", ["167", "20"], "3"));
    assert_eq!(rows[1][13..18], ["10.0.0.1", "10.0.0.2", "1234", "5678", "6"]);
    assert_eq!(rows[2][..6], ["1", "3", "48", "0", "0", "0"]);
    assert_eq!(rows[3][..6], ["1", "4", "48", "0", "0", "0"]);
}
