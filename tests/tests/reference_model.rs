//! The reference model against etherparse, a parser by other people: wherever etherparse finds an IP packet and a transport
//! header, the model finds the same. Needs no root.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::net::IpAddr;
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
    for round in 0..200_000 {
        let frame = dice.frame();
        let Ok(parsed) = LaxSlicedPacket::from_ethernet(&frame) else { continue };
        let found = outline(&frame);
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
