//! Who sends in the formats other than T1.IAS.

use std::{fs, net::UdpSocket, path::Path, sync::Arc};

use etherparse::PacketBuilder;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use writ_encoder::{
    etsi::{
        AccessEvent, AccessReport, AccessType, Cadence, DataType, Direction, Edition, Hi1Change, Identity, Integrity,
        Intercept, IpVersion, Label, Liid, Member, NetworkElementId, OperatorId, Packet, PublicKey, SigningKey, Tri,
    },
    x2x3::{self, Task},
};

use crate::support::{direction, packet, time};

/// Writes the PS-PDUs of one session of one intercept.
pub(crate) struct Etsi {
    intercept: Intercept,
}

impl Etsi {
    pub(crate) fn new(liid: &str, cin: u32) -> Self {
        let identity = Identity {
            liid: Liid::new(liid).expect("fits"),
            authorization_country: None,
            operator: OperatorId::new("OPER1").expect("fits"),
            network_element: Some(NetworkElementId::new("NE01").expect("fits")),
            delivery_country: None,
            interception_point: None,
            edition: Edition::default(),
        };
        Self { intercept: Intercept::new(&identity, cin) }
    }

    /// The packet with this number, as the support's `packet` has it.
    pub(crate) fn content(&self, sequence: u32) -> Vec<u8> {
        let packet = packet(sequence.into());
        let mut out = vec![0; self.intercept.content_bound(packet.len())];
        let way = way(sequence);
        let length = self.intercept.content(&mut out, time(sequence.into()), way, sequence, packet[..].into());
        out.truncate(length.expect("room"));
        out
    }

    pub(crate) fn contents(&self, sequences: impl IntoIterator<Item = u32>) -> Vec<u8> {
        sequences.into_iter().flat_map(|sequence| self.content(sequence)).collect()
    }

    /// The packets with the numbers `of`, in the PDU of this number.
    pub(crate) fn several(&self, sequence: u32, of: &[u32]) -> Vec<u8> {
        let packets: Vec<Vec<u8>> = of.iter().map(|number| packet((*number).into())).collect();
        let members: Vec<Member<'_>> = of
            .iter()
            .zip(&packets)
            .map(|(number, packet)| Member {
                time: time((*number).into()),
                direction: way(*number),
                packet: packet[..].into(),
            })
            .collect();
        let mut out = vec![0; self.intercept.contents_bound(&members)];
        let length = self.intercept.contents(&mut out, time(0), sequence, &members).expect("room");
        out.truncate(length);
        out
    }

    /// The first octets of the packet with this number.
    pub(crate) fn cut_off(&self, sequence: u32, octets: usize) -> Vec<u8> {
        let packet = packet(sequence.into());
        let original_length = u32::try_from(packet.len()).ok();
        let mut out = vec![0; self.intercept.content_bound(octets)];
        let part = Packet { octets: &packet[..octets], original_length };
        let length = self.intercept.content(&mut out, time(sequence.into()), way(sequence), sequence, part);
        out.truncate(length.expect("room"));
        out
    }

    /// The headers of a packet from this port.
    pub(crate) fn report(&self, sequence: u32, port: u16) -> Vec<u8> {
        let headers = udp(port, 53);
        let mut out = vec![0; self.intercept.header_report_bound(headers.len())];
        let way = way(sequence);
        let length = self.intercept.header_report(&mut out, time(sequence.into()), way, sequence, &headers);
        out.truncate(length.expect("room"));
        out
    }

    pub(crate) fn session(&self, sequence: u32, event: AccessEvent) -> Vec<u8> {
        let report = AccessReport::new(event, Label::from("account 7"), AccessType::Fttx, IpVersion::V4);
        self.intercept.access(time(0), sequence, &report).expect("fits")
    }

    pub(crate) fn tri(&self, sequence: u32, tri: &Tri) -> Vec<u8> {
        self.intercept.tri(time(0), sequence, tri).expect("fits")
    }

    pub(crate) fn activated(&self) -> Vec<u8> {
        self.intercept.hi1(time(0), 0, Hi1Change::Activated, None).expect("fits")
    }

    /// Content and a check over it: a hash after every four PDUs, a signature over all the hashes at the end.
    pub(crate) fn checked(
        &self,
        sequences: impl IntoIterator<Item = u32>,
        key: Option<&Arc<SigningKey>>,
    ) -> Vec<Vec<u8>> {
        let cadence = Cadence { pdus: 4, ..Cadence::default() };
        let mut integrity = Integrity::new(DataType::Cc, cadence, key.cloned());
        let mut pdus = Vec::new();
        for sequence in sequences {
            let pdu = self.content(sequence);
            integrity.sent(time(0), sequence, &pdu);
            pdus.push(pdu);
            while let Some(due) = integrity.due(time(0)).expect("signed") {
                pdus.push(self.tri(due.sequence, &due.check));
            }
        }
        while let Some(due) = integrity.last(time(0)).expect("signed") {
            pdus.push(self.tri(due.sequence, &due.check));
        }
        pdus
    }
}

fn way(sequence: u32) -> Direction {
    match direction(sequence.into()) {
        writ_encoder::t1_ias::Direction::FromSubject => Direction::FromTarget,
        writ_encoder::t1_ias::Direction::ToSubject => Direction::ToTarget,
    }
}

/// A key that signs.
pub(crate) fn signing_key() -> Arc<SigningKey> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("key");
    Arc::new(SigningKey::from_pkcs8(key.as_ref()).expect("key"))
}

/// Its public key as a file, in DER (RFC 8410).
pub(crate) fn write_public_key(key: &SigningKey, file: &Path) {
    let PublicKey::Ed25519(octets) = key.public() else { panic!("an Ed25519 key") };
    let begin = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    fs::write(file, [&begin[..], &octets].concat()).expect("written");
}

/// Writes the PDUs of one task.
pub(crate) struct X3 {
    task: Task,
}

impl X3 {
    pub(crate) fn new(xid: [u8; 16], correlation_id: u64) -> Self {
        let identity = x2x3::Identity {
            xid,
            correlation_id,
            network_function_id: Some("probe-1".to_owned()),
            ..x2x3::Identity::default()
        };
        Self { task: Task::new(&identity).expect("fits") }
    }

    pub(crate) fn content(&self, sequence: u64) -> Vec<u8> {
        let packet = packet(sequence);
        let format = if packet[0] >> 4 == 4 { x2x3::Format::IPV4 } else { x2x3::Format::IPV6 };
        let mut out = vec![0; self.task.overhead() + packet.len()];
        let micros = i64::try_from(sequence).expect("small");
        let way = x2x3::Direction::FromTarget;
        let length = self.task.content(&mut out, time(micros), way, sequence, format, &packet).expect("room");
        out.truncate(length);
        out
    }

    pub(crate) fn contents(&self, sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
        sequences.into_iter().flat_map(|sequence| self.content(sequence)).collect()
    }

    pub(crate) fn event(&self, sequence: u64, port: u16) -> Vec<u8> {
        let flow = writ_encoder::t1_ias::Flow {
            source: "198.51.100.7".parse().expect("address"),
            destination: "203.0.113.9".parse().expect("address"),
            protocol: 17,
            ports: Some((port, 53)),
            flow_label: None,
        };
        let mut out = vec![0; self.task.overhead() + 28];
        let (headers, way) = (udp(port, 53), x2x3::Direction::FromTarget);
        let length = self.task.event(&mut out, time(0), way, sequence, &flow, x2x3::Format::IPV4, &headers);
        out.truncate(length.expect("room"));
        out
    }
}

/// An IPv4 packet of UDP between these ports, without content.
pub(crate) fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = PacketBuilder::ipv4([198, 51, 100, 7], [203, 0, 113, 9], 64).udp(source, destination);
    builder.write(&mut out, &[]).expect("written");
    out
}

/// Sends datagrams, each from the same port.
pub(crate) fn send_datagrams(to: std::net::SocketAddr, datagrams: &[Vec<u8>]) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
    for datagram in datagrams {
        socket.send_to(datagram, to).expect("sent");
    }
    socket
}

/// A buffer that a writer fills, cut to what it wrote.
pub(crate) fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, writ_encoder::NoRoom>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let length = write(&mut out).expect("room");
    out.truncate(length);
    out
}
