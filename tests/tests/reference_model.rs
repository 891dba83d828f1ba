//! The reference model against parsers by other people, etherparse and tshark: wherever they find an IP packet, the model
//! finds the same. Needs no root.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use writ_capture::Tunnel;
use writ_tests::grammar::Dice;
use writ_tests::reference::{Outline, outline};

/// Where a part of the frame begins.
fn offset(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
}

#[test]
fn etherparse_finds_the_same_packets() {
    let mut dice = Dice::new(0x7217);
    let (mut packets, mut transports) = (0, 0);
    for round in 0..300_000 {
        let frame = dice.frame();
        let Ok(parsed) = LaxSlicedPacket::from_ethernet(&frame) else { continue };
        let found = outline(&frame, Tunnel::None);
        let Some(net) = &parsed.net else {
            // Of what etherparse knows, nothing was found: then the model found it behind what etherparse does not know.
            continue;
        };
        let (start, addresses): (usize, [IpAddr; 2]) = match net {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                (offset(&frame, header.slice()), [header.source_addr().into(), header.destination_addr().into()])
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                (offset(&frame, header.slice()), [header.source_addr().into(), header.destination_addr().into()])
            }
            LaxNetSlice::Arp(_) => continue,
        };
        // etherparse goes by the version alone; where it is not what the EtherType says, the probe takes nothing.
        let announced: &[u8] = if addresses[0].is_ipv4() { &[0x08, 0x00] } else { &[0x86, 0xdd] };
        if &frame[start - 2..start] != announced {
            continue;
        }
        let Some(Outline { ip, addresses: ours, transport, protocol, complete }) = found else {
            panic!("frame {round}: etherparse finds IP at {start}, the model none: {frame:02x?}");
        };
        assert_eq!((ip.start, ours), (start, addresses), "frame {round}: {frame:02x?}");
        packets += 1;
        // The model stops at the probe's limits and at damage that etherparse is lax about.
        if !complete || parsed.stop_err.is_some() {
            continue;
        }
        let theirs = match &parsed.transport {
            Some(TransportSlice::Tcp(segment)) => (6, offset(&frame, segment.slice())),
            Some(TransportSlice::Udp(segment)) => (17, offset(&frame, segment.slice())),
            _ => continue,
        };
        assert_eq!((protocol, transport), (theirs.0, Some(theirs.1)), "frame {round}: {frame:02x?}");
        transports += 1;
    }
    assert!(
        packets > 50_000 && transports > 10_000,
        "{packets} packets and {transports} transport headers are no proof"
    );
}

/// tshark's view of frames to which nothing has happened: the addresses of the packet that the model finds.
#[test]
fn tshark_finds_the_same_packets() {
    let folder = tempfile::tempdir().expect("a folder");
    for tunnel in [Tunnel::None, Tunnel::Gre, Tunnel::Erspan, Tunnel::Vxlan, Tunnel::Tzsp] {
        let mut dice = Dice::new(0x7217);
        let frames: Vec<_> = (0..5000).map(|_| dice.whole_frame(tunnel)).collect();
        let file = folder.path().join("frames.pcap");
        fs::write(&file, pcap(&frames)).expect("a file");
        let Ok(output) = Command::new("tshark")
            .args(["-n", "-T", "fields", "-E", "occurrence=a", "-r"])
            .arg(&file)
            .args(["-e", "frame.protocols", "-e", "ip.src", "-e", "ip.dst", "-e", "ipv6.src", "-e", "ipv6.dst"])
            .output()
        else {
            // Where there is no tshark, etherparse has to do.
            return;
        };
        let text = String::from_utf8(output.stdout).expect("text");
        let mut agreed = 0;
        for (frame, line) in frames.iter().zip(text.lines()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [protocols, sources4, destinations4, sources6, destinations6] = fields[..] else { panic!("{line}") };
            let versions: Vec<&str> = protocols.split(':').filter(|name| ["ip", "ipv6"].contains(name)).collect();
            // On a mirror port the first packet is the mirror's own.
            let which = usize::from(tunnel != Tunnel::None);
            let (Some(version), Some(ours)) = (versions.get(which), outline(frame, tunnel)) else { continue };
            let before = versions[..which].iter().filter(|name| *name == version).count();
            let (sources, destinations) =
                if *version == "ip" { (sources4, destinations4) } else { (sources6, destinations6) };
            // tshark shows no address of a header whose lengths cannot be.
            let [Some(source), Some(destination)] =
                [sources, destinations].map(|list| list.split(',').nth(before).and_then(|text| text.parse().ok()))
            else {
                continue;
            };
            let theirs: [IpAddr; 2] = [source, destination];
            assert_eq!(ours.addresses, theirs, "{tunnel:?}, {protocols}: {frame:02x?}");
            agreed += 1;
        }
        assert!(agreed > 1500, "{tunnel:?}: only {agreed} frames that both understand");
    }
}

/// A capture file of Ethernet frames.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    let records = frames.iter().flat_map(|frame| {
        let length = frame.len() as u32;
        [0, 0, length, length].into_iter().flat_map(u32::to_le_bytes).chain(frame.iter().copied())
    });
    header.into_iter().flat_map(u32::to_le_bytes).chain(records).collect()
}
