//! An agency that only counts: takes the two streams of a destination over plain TCP or TLS, walks from PDU to PDU, and
//! holds the sequence numbers of content against each other. Asked for it, it also looks when each packet was sent. What a
//! real collector does with a PDU is not in the figures.

use std::collections::HashMap;
use std::io::{self, Read};
use std::mem;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use writ_capture::boot_now_ns;
use writ_lab::{Certificates, Namespace};

/// What a sink has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Whole PDUs of both streams.
    pub(crate) pdus: AtomicU64,
    /// Bytes of both streams.
    pub(crate) bytes: AtomicU64,
    /// Sequence numbers of content that did not come, or not in order.
    pub(crate) out_of_order: AtomicU64,
    /// Connections that broke off, or brought something else than PDUs.
    pub(crate) broken: AtomicU64,
    /// Whether packets carry the time of their sending.
    stamped: AtomicBool,
    /// From the sending of each packet to the reading of its PDU, in nanoseconds.
    latencies: Mutex<Vec<u64>>,
}

impl Counts {
    /// From now on packets carry the time of their sending, or no longer. The latencies so far.
    pub(crate) fn stamped(&self, stamped: bool) -> Vec<u64> {
        self.stamped.store(stamped, Ordering::SeqCst);
        mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sink; its threads end with the process.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Port for identifying information.
    pub(crate) cmii: u16,
    /// Port for content.
    pub(crate) cmc: u16,
    /// What it counts.
    pub(crate) counts: Arc<Counts>,
}

impl Sink {
    /// Listens on the loopback of the namespace: with certificates for TLS 1.3, without them for plain TCP.
    pub(crate) fn start(namespace: &Namespace, certificates: Option<&Certificates>) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let tls = certificates.map(server).transpose()?;
        let listen = || -> Result<u16> {
            let listener = namespace.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))??;
            let port = listener.local_addr()?.port();
            let (counts, tls) = (counts.clone(), tls.clone());
            thread::Builder::new().name("sink".into()).spawn(move || {
                for connection in listener.incoming() {
                    if connection.and_then(|connection| accept(connection, tls.as_ref(), &counts)).is_err() {
                        counts.broken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })?;
            Ok(port)
        };
        let (cmii, cmc) = (listen()?, listen()?);
        Ok(Self { cmii, cmc, counts })
    }
}

/// TLS as an agency speaks it: version 1.3, and a client certificate or no session.
fn server(certificates: &Certificates) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificates.authority)?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let chain = vec![CertificateDer::from_pem_file(&certificates.agency.certificate)?];
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&certificates.agency.key)?)?;
    Ok(Arc::new(config))
}

fn accept(connection: TcpStream, tls: Option<&Arc<ServerConfig>>, counts: &Counts) -> io::Result<()> {
    let Some(tls) = tls else { return serve(connection, counts) };
    let session = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
    serve(StreamOwned::new(session, connection), counts)
}

/// Reads a connection to its end.
fn serve(mut connection: impl Read, counts: &Counts) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    let mut sequences = Sequences::default();
    loop {
        let read = connection.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if read == 0 {
            return if filled == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let mut latencies = counts.stamped.load(Ordering::Relaxed).then(|| {
            let now = boot_now_ns();
            (now, counts.latencies.lock().unwrap_or_else(PoisonError::into_inner))
        });
        filled += read;
        let (mut rest, mut pdus) = (&buffer[..filled], 0);
        while let Some(Value { contents, behind, .. }) = value(rest)? {
            if let Some(content) = Content::read(contents)? {
                counts.out_of_order.fetch_add(u64::from(!sequences.follows(&content)), Ordering::Relaxed);
                if let Some((now, latencies)) = &mut latencies
                    && let Some(sent) = content.stamp()
                {
                    latencies.push(now.saturating_sub(sent));
                }
            }
            pdus += 1;
            rest = behind;
        }
        counts.pdus.fetch_add(pdus, Ordering::Relaxed);
        counts.bytes.fetch_add(read as u64, Ordering::Relaxed);
        let kept = filled - rest.len()..filled;
        filled = kept.len();
        buffer.copy_within(kept, 0);
    }
}

/// The next sequence number of each intercept.
#[derive(Default)]
struct Sequences {
    /// By correlation; a handful at most come in turn.
    next: HashMap<Vec<u8>, u64>,
    /// The one that came last: most follow their own kind.
    last: (Vec<u8>, u64),
}

impl Sequences {
    /// Whether this is the next of its intercept.
    fn follows(&mut self, content: &Content<'_>) -> bool {
        if self.last.0 != content.correlation {
            let (former, next) = mem::take(&mut self.last);
            self.next.insert(former, next);
            let next = self.next.get(content.correlation).copied().unwrap_or(0);
            self.last = (content.correlation.to_vec(), next);
        }
        let follows = self.last.1 == content.number;
        self.last.1 = content.number + 1;
        follows
    }
}

/// A BER value.
struct Value<'a> {
    identifier: u8,
    contents: &'a [u8],
    /// What follows it.
    behind: &'a [u8],
}

/// The first value of definite length; none if it is not all there.
fn value(bytes: &[u8]) -> io::Result<Option<Value<'_>>> {
    let [identifier, first, rest @ ..] = bytes else { return Ok(None) };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let Some((octets, rest)) = rest.split_at_checked(usize::from(first & 0x7f)) else { return Ok(None) };
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let parts = rest.split_at_checked(length);
    Ok(parts.map(|(contents, behind)| Value { identifier: *identifier, contents, behind }))
}

/// What matters here of a CmCC.
#[derive(Debug, PartialEq)]
struct Content<'a> {
    /// correlationInfo: whose it is.
    correlation: &'a [u8],
    /// sequenceNumber.
    number: u64,
    /// The packet.
    packet: &'a [u8],
}

impl<'a> Content<'a> {
    /// From cCDeliveryHeader \[0\], with correlationInfo \[0\] and sequenceNumber \[3\], and payload \[1\]; none of what is
    /// sent on CmII.
    fn read(pdu: &'a [u8]) -> io::Result<Option<Self>> {
        let Some(Value { identifier: 0xa0, contents: mut header, behind }) = value(pdu)? else { return Ok(None) };
        let (mut correlation, mut number) = (None, None);
        while let Some(Value { identifier, contents, behind }) = value(header)? {
            match identifier {
                0xa0 => correlation = Some(contents),
                0x83 => number = Some(contents.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))),
                _ => {}
            }
            header = behind;
        }
        let (Some(correlation), Some(number)) = (correlation, number) else { return Ok(None) };
        let packet = value(behind)?.filter(|value| value.identifier == 0x81).map(|value| value.contents);
        Ok(packet.map(|packet| Self { correlation, number, packet }))
    }

    /// The time of sending at the front of the payload of UDP in IPv4 without options.
    fn stamp(&self) -> Option<u64> {
        let stamp = self.packet.get(20 + 8..20 + 8 + 8)?;
        Some(u64::from_be_bytes(stamp.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_encoder::UtcMicros;
    use writ_encoder::t1_ias::{
        CaseId, ContentIdentifier, CorrelationId, Direction, IapSystemId, Intercept, SubscriberIdentity,
    };

    #[test]
    fn the_sequence_number_of_a_real_pdu_is_found() {
        let intercept = Intercept::new(
            &CaseId::new("CASE-1").unwrap(),
            &IapSystemId::new("probe").unwrap(),
            &ContentIdentifier::Correlation(CorrelationId::new([0; 8]).unwrap()),
            &SubscriberIdentity::new("line").unwrap(),
        );
        let mut pdu = vec![0; 2000];
        let time = UtcMicros::from_unix_nanos(1_795_291_200_123_456_000);
        for number in [0, 200, 70_000] {
            let length = intercept.content(&mut pdu, time, Direction::ToSubject, number, &[7; 1000]).unwrap();
            let Value { contents, behind, .. } = value(&pdu[..length]).unwrap().unwrap();
            let content = Content::read(contents).unwrap().unwrap();
            assert_eq!((content.number, content.packet, behind.len()), (number, [7; 1000].as_slice(), 0));
            assert_eq!(content.stamp(), Some(0x0707_0707_0707_0707));
            assert!(value(&pdu[..length - 1]).unwrap().is_none());
        }
    }

    #[test]
    fn numbers_follow_each_other_for_each_intercept_alone() {
        let mut sequences = Sequences::default();
        let mut follows = |correlation: &[u8], number| sequences.follows(&Content { correlation, number, packet: &[] });
        assert!(follows(b"a", 0) && follows(b"a", 1) && follows(b"b", 0) && follows(b"a", 2) && follows(b"b", 1));
        assert!(!follows(b"b", 3));
        assert!(follows(b"b", 4) && follows(b"a", 3));
    }
}
