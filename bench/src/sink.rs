//! An agency that only counts: takes the two streams of a destination over plain TCP, walks from PDU to PDU, and holds
//! the sequence numbers of content against each other. What a real collector does with a PDU is not in the figures.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;
use writ_lab::Namespace;

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
    /// Listens on the loopback of the namespace.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let listen = || -> Result<u16> {
            let listener = namespace.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))??;
            let port = listener.local_addr()?.port();
            let counts = counts.clone();
            thread::Builder::new().name("sink".into()).spawn(move || {
                for connection in listener.incoming() {
                    if connection.and_then(|connection| serve(connection, &counts)).is_err() {
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

/// Reads a connection to its end.
fn serve(mut connection: TcpStream, counts: &Counts) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    let mut next = 0;
    loop {
        let read = connection.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if read == 0 {
            return if filled == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        filled += read;
        let (mut rest, mut pdus) = (&buffer[..filled], 0);
        while let Some(Value { contents, behind, .. }) = value(rest)? {
            if let Some(number) = sequence(contents)? {
                counts.out_of_order.fetch_add(u64::from(number != next), Ordering::Relaxed);
                next = number + 1;
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

/// sequenceNumber \[3\] in cCDeliveryHeader \[0\] of a CmCC; none of what is sent on CmII.
fn sequence(pdu: &[u8]) -> io::Result<Option<u64>> {
    let Some(Value { identifier: 0xa0, contents: mut header, .. }) = value(pdu)? else { return Ok(None) };
    while let Some(Value { identifier, contents, behind }) = value(header)? {
        if identifier == 0x83 {
            return Ok(Some(contents.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))));
        }
        header = behind;
    }
    Ok(None)
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
            assert_eq!((sequence(contents).unwrap(), behind.len()), (Some(number), 0));
            assert!(value(&pdu[..length - 1]).unwrap().is_none());
        }
    }
}
