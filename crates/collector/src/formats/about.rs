//! What messages of all formats but T1.IAS have in common, in the words that T1.IAS has for it: the table of identifying
//! information is made of these.

use std::net::IpAddr;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use serde::Serialize;
use writ_encoder::UtcMicros;

/// A message in the words that the table of identifying information has columns for.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct About {
    /// What kind of message.
    pub message: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<UtcMicros>,
    /// The target, as the message names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriber_identity: Option<Text>,
    /// The target's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<End>,
    /// Sender and receiver of the packet or the flow.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Ends>,
    /// Packets of the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_count: Option<u64>,
    /// Why something ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// A text, in the form that T1.IAS's own have.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Text {
    /// The text.
    pub value: String,
}

/// An address, likewise.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct End {
    /// The address.
    pub address: IpAddr,
}

/// Sender and receiver, likewise.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ends {
    /// Sender.
    pub source: End,
    /// Receiver.
    pub destination: End,
    /// Sender's port.
    pub source_port: Option<u16>,
    /// Receiver's port.
    pub destination_port: Option<u16>,
}

impl Ends {
    /// Those that stand in the headers of an IP packet, if it is one.
    pub(super) fn of_packet(headers: &[u8]) -> Option<Self> {
        let sliced = LaxSlicedPacket::from_ip(headers).ok()?;
        let (source, destination) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            _ => return None,
        };
        let ports = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => Some((tcp.source_port(), tcp.destination_port())),
            Some(TransportSlice::Udp(udp)) => Some((udp.source_port(), udp.destination_port())),
            _ => None,
        };
        Some(Self {
            source: End { address: source },
            destination: End { address: destination },
            source_port: ports.map(|(port, _)| port),
            destination_port: ports.map(|(_, port)| port),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    #[test]
    fn ends_are_read_from_headers_whose_packet_is_not_there() {
        let addresses = ([198, 51, 100, 7], [203, 0, 113, 9]);
        let v4 = || PacketBuilder::ipv4(addresses.0, addresses.1, 64);
        let v6 = || PacketBuilder::ipv6([1; 16], [2; 16], 64);
        let [mut udp4, mut udp6, mut tcp4, mut tcp6] = [const { Vec::new() }; 4];
        let content = [0; 400];
        v4().udp(1031, 53).write(&mut udp4, &content).expect("written");
        v6().udp(1031, 53).write(&mut udp6, &content).expect("written");
        v4().tcp(1031, 53, 0, 0).write(&mut tcp4, &content).expect("written");
        v6().tcp(1031, 53, 0, 0).write(&mut tcp6, &content).expect("written");
        for packet in [udp4, udp6, tcp4, tcp6] {
            let headers = &packet[..packet.len() - content.len()];
            let ends = Ends::of_packet(headers).expect("ends");
            assert_eq!((ends.source_port, ends.destination_port), (Some(1031), Some(53)), "{headers:02x?}");
            // Without the transport there are addresses alone.
            let ip = if headers[0] >> 4 == 4 { 20 } else { 40 };
            let ends = Ends::of_packet(&headers[..ip]).expect("addresses");
            assert_eq!(ends.source_port, None);
            assert!(Ends::of_packet(&headers[..ip - 1]).is_none());
        }
        assert!(Ends::of_packet(&[]).is_none());
    }
}
