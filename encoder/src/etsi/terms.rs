//! The enumerations of the standard that mean the same in what is written and in what is read.
#![expect(missing_docs, reason = "types and values bear the names that the standard gives them")]

use rasn::prelude::*;
use serde::{Deserialize, Serialize};

/// An ENUMERATED of the modules, with the names that JSON shows. The numbers have to reach the derive as bare tokens:
/// of a `literal` it sees none, and counts.
macro_rules! enumerated {
    ($(#[$doc:meta])* $name:ident { $($value:ident = $number:tt,)* }) => {
        $(#[$doc])*
        #[derive(AsnType, Encode, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[rasn(enumerated)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($value = $number,)*
        }
    };
}

enumerated! {
    /// PayloadDirection: which way a packet goes, seen from the target.
    Direction { FromTarget = 0, ToTarget = 1, Indeterminate = 2, Combined = 3, NotApplicable = 4, }
}
enumerated! {
    /// TimeStampQualifier: of what a time is the time.
    TimeQualifier { Unknown = 0, Interception = 1, Mediation = 2, Aggregation = 3, }
}
enumerated! {
    /// IRIType: where in a session an event stands.
    IriType { Begin = 1, End = 2, Continue = 3, Report = 4, }
}
enumerated! {
    /// AccessEventType: what happened to the target's access.
    AccessEvent {
        Attempt = 0, Accept = 1, Reject = 2, Failed = 3, SessionStart = 4, SessionEnd = 5, InterimUpdate = 6,
        StartOfInterceptionWithSessionActive = 7, AccessEnd = 8, EndOfInterceptionWithSessionActive = 9, Unknown = 10,
        StartOfInterceptionWithoutNetworkSession = 11, EndOfInterceptionWithoutNetworkSession = 12, SessionExpired = 13,
    }
}
enumerated! {
    /// InternetAccessType: over what the target is connected.
    AccessType {
        Undefined = 0, DialUp = 1, Xdsl = 2, CableModem = 3, Lan = 4, WirelessLan = 5, Fttx = 6, Wimax = 7,
        Satellite = 8, WirelessOther = 9,
    }
}
enumerated! {
    /// IPVersion: what the target's session carries.
    IpVersion { V4 = 1, V6 = 2, Both = 3, }
}
enumerated! {
    /// EndReason: why a session ended.
    EndReason { Undefined = 0, RegularLogoff = 1, ConnectionLoss = 2, ConnectionTimeout = 3, LeaseExpired = 4, }
}
enumerated! {
    /// AuthenticationType: how the operator knows the target.
    Authentication { Unknown = 0, Static = 1, Radius = 2, Dhcp = 3, Diameter = 4, }
}
enumerated! {
    /// iP-assignment: how an address came to the target.
    Assignment { Static = 1, Dynamic = 2, NotKnown = 3, }
}
enumerated! {
    /// PacketReportTrigger: why a summary was made.
    SummaryTrigger {
        FlowStart = 1, FlowEnd = 2, FlowTimeout = 3, FlowTimerExpiration = 4, FlowPacketCount = 5, FlowByteCount = 6,
        SessionTimerExpiration = 7, SessionPacketCount = 8, SessionByteCount = 9, ReportEnd = 10,
    }
}
enumerated! {
    /// CheckType: what the value of an integrity check is.
    CheckType { Hash = 1, Signature = 2, }
}
enumerated! {
    /// DataType: which series of PDUs an integrity check is of.
    DataType { Iri = 1, Cc = 2, Ilhi = 3, }
}
enumerated! {
    /// HashAlgorithm.
    HashAlgorithm { Sha1 = 1, Sha256 = 2, Sha384 = 3, Sha512 = 4, }
}
enumerated! {
    /// SignatureAlgorithm.
    SignatureAlgorithm { Dsa = 1, Ecdsa = 2, Eddsa = 3, }
}
enumerated! {
    /// OperatorLeaMessagePriority: whether what is reported hurts the intercepted data.
    NoticePriority { Error = 1, Informational = 2, }
}
enumerated! {
    /// EncryptionType: the cipher of an encryption container.
    EncryptionType {
        None = 1, National = 2, Aes192Cbc = 3, Aes256Cbc = 4, Blowfish192Cbc = 5, Blowfish256Cbc = 6, ThreeDesCbc = 7,
    }
}
enumerated! {
    /// EncryptedPayloadType: which part of the standard an encrypted payload belongs to.
    EncryptedPayloadType {
        Unknown = 1, Part2 = 2, Part3 = 3, Part4 = 4, Part5 = 5, Part6 = 6, Part7 = 7, Part1 = 8,
    }
}

impl AccessEvent {
    /// Where in a session this event stands.
    pub const fn iri_type(self) -> IriType {
        match self {
            Self::Accept
            | Self::SessionStart
            | Self::StartOfInterceptionWithSessionActive
            | Self::StartOfInterceptionWithoutNetworkSession => IriType::Begin,
            Self::InterimUpdate => IriType::Continue,
            Self::SessionEnd
            | Self::AccessEnd
            | Self::EndOfInterceptionWithSessionActive
            | Self::EndOfInterceptionWithoutNetworkSession
            | Self::SessionExpired => IriType::End,
            Self::Attempt | Self::Reject | Self::Failed | Self::Unknown => IriType::Report,
        }
    }
}
