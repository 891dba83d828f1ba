//! Why a session could not be opened or came to its end: one list for logs, `status` and the ledger.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::io;

macro_rules! failures {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $label:literal, $message:literal;)+) => {
        /// Why a session could not be opened or came to its end. The code is what the ledger keeps.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FailureKind { $($(#[$doc])+ $name = $code),+ }

        impl FailureKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that `status --json` and metrics use.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            /// What happened and what to do, for a person.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),+ }
            }
        }
    };
}

failures! {
    /// The host's name has no address.
    Unresolved = 1, "unresolved",
        "the agency's host name cannot be resolved; check the destination's host and this machine's DNS";
    /// Nobody listens.
    Refused = 2, "refused",
        "connection refused: nobody listens at the agency's endpoint; check host and port with the agency";
    /// No route, or a router said no.
    Unreachable = 3, "unreachable", "the agency cannot be reached; check routes and firewalls of this machine";
    /// No answer in time, to the connection or to data.
    Timeout = 4, "timeout", "the agency does not answer; check firewalls on the path and that the agency's side runs";
    /// TLS: the agency's certificate comes from an authority that we do not know.
    ServerUnknownIssuer = 5, "server_unknown_issuer",
        "the agency's certificate was refused: it is not from an authority in tls.ca; get the right CA file from the \
         agency, or somebody else is answering";
    /// TLS: the agency's certificate is for another name.
    ServerWrongName = 6, "server_wrong_name",
        "the agency's certificate was refused: it is for another name; set tls.server_name if that name is the agency's";
    /// TLS: the agency's certificate is out of its time.
    ServerExpired = 7, "server_expired",
        "the agency's certificate was refused: it is expired or not valid yet; tell the agency, and check this \
         machine's clock";
    /// TLS: the agency's certificate will not do for another reason.
    ServerCertificate = 8, "server_certificate",
        "the agency's certificate was refused: damaged, revoked or not made for a server; tell the agency";
    /// TLS: the agency refused our certificate.
    ClientCertificate = 9, "client_certificate",
        "the agency refused this probe's certificate; check tls.cert: its issuer, dates and purpose, and with the \
         agency that it is enrolled";
    /// TLS: no version or algorithm in common.
    TlsVersion = 10, "tls_version",
        "the agency's side does not speak TLS 1.3 with this probe's algorithms; it has to be upgraded";
    /// The other side does not speak TLS, or breaks its rules.
    TlsProtocol = 11, "tls_protocol",
        "what answers at the agency's endpoint does not speak TLS properly; check host and port with the agency";
    /// The agency closed the connection.
    Closed = 12, "closed", "the agency closed the connection";
    /// The connection broke.
    Reset = 13, "reset", "the connection to the agency broke";
    /// Anything else that the system reported.
    System = 14, "system", "the system refused an operation on the connection; see the log for its words";
    /// A destination on this machine: no room.
    DiskFull = 15, "disk_full",
        "the disk of the destination's folder is full: records wait in memory, and are lost only once that is full too; \
         make room";
    /// A destination on this machine: its files cannot be written.
    Files = 16, "files",
        "the destination's files cannot be written: records wait in memory; check the folder's owner and mode and the disk \
         (writ check-config), and see the log for the system's words";
    /// The agency's program did not answer in time what it was asked on the connection.
    NoAnswer = 17, "no_answer",
        "the agency's program does not answer on the connection; tell the agency, and check with it that keep_alive and \
         acknowledge are agreed on";
    /// The agency sent what the handover does not know, or answered what it was not asked.
    Nonsense = 18, "nonsense",
        "what the agency sends on the connection is not what the handover knows; check the destination's format and \
         port, and tell the agency";
    /// There is no key for a case of a destination that is to get everything encrypted.
    NoKey = 19, "no_key",
        "a case has no key in encryption.keys: its records and those behind them wait in memory, and are lost only once \
         that is full; add a line for its LIID, or one for `*`, and restart the probe";
    /// A PDU that the handover's own rules do not let through.
    Unsendable = 20, "unsendable",
        "a record of the stream cannot be sent in the destination's format; report it with the log, it is a fault of the \
         probe";
}

impl FailureKind {
    /// As the ledger keeps it; none for 0 (no failure) or a code of another version.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// Whether the fault is on this machine, for its operator to mend.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::DiskFull | Self::Files | Self::NoKey | Self::Unsendable)
    }

    /// For the ledger.
    pub const fn code(self) -> u64 {
        self as u64
    }
}

/// A failure and the words of whoever reported it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::ConnectionRefused => FailureKind::Refused,
            Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => {
                FailureKind::Unreachable
            }
            Io::TimedOut => FailureKind::Timeout,
            Io::UnexpectedEof => FailureKind::Closed,
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => FailureKind::Reset,
            _ => FailureKind::System,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        use AlertDescription as Alert;
        let kind = match &error {
            TlsError::InvalidCertificate(reason) => match reason {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => FailureKind::ServerUnknownIssuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    FailureKind::ServerWrongName
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => FailureKind::ServerExpired,
                _ => FailureKind::ServerCertificate,
            },
            TlsError::NoCertificatesPresented => FailureKind::ServerCertificate,
            TlsError::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
                // What rustls says of a client certificate whose chain does not verify.
                | Alert::DecryptError,
            ) => FailureKind::ClientCertificate,
            TlsError::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity)
            | TlsError::PeerIncompatible(_) => FailureKind::TlsVersion,
            _ => FailureKind::TlsProtocol,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_come_back() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(FailureKind::from_code(0), None);
    }
}
