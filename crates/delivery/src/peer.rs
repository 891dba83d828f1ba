//! Who is at the other end of a connection: for the eyes of whoever tests a destination.

use crate::link::Link;
use serde::{Deserialize, Serialize};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Address and port that answered.
    pub address: String,
    /// What TLS shows of it; none over plain TCP.
    pub tls: Option<TlsPeer>,
}

/// What TLS shows of the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPeer {
    /// `TLS 1.3`.
    pub version: String,
    /// Subject of its certificate; where that is empty, as modern ones may be, its names (RFC 6125).
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Until when it is good.
    pub until: String,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
}

impl Link {
    /// Who is at the other end. The handshake must be over.
    pub(crate) fn peer(&self) -> Peer {
        let address = self.address().map_or_else(|error| error.to_string(), |address| address.to_string());
        let tls = self.certificate().map(|(version, certificate)| TlsPeer::of(version, certificate));
        Peer { address, tls }
    }
}

impl TlsPeer {
    fn of(version: Option<rustls::ProtocolVersion>, certificate: &[u8]) -> Self {
        let version = match version {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            other => format!("{other:?}"),
        };
        let sha256 = ring::digest::digest(&ring::digest::SHA256, certificate);
        let sha256 = sha256.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let (subject, issuer, until) = match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, certificate)) => (
                subject(&certificate),
                printable(&certificate.issuer().to_string()),
                printable(&certificate.validity().not_after.to_string()),
            ),
            // rustls has verified it: another parser's objection is no reason to fail.
            Err(_) => Default::default(),
        };
        Self { version, subject, issuer, until, sha256 }
    }
}

fn subject(certificate: &x509_parser::certificate::X509Certificate<'_>) -> String {
    let subject = certificate.subject().to_string();
    if !subject.is_empty() {
        return printable(&subject);
    }
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    printable(&names.map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// A certificate is the other side's text: no control character of it reaches a terminal, and no flood.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(256).collect()
}
