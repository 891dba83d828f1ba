//! ETSI TS 102 232-1 and -3: the handover of Europe and much of the world, for Internet access.
//!
//! Everything is a PS-PDU: a header that says whose it is, and a payload that is content (CC), intercept-related
//! information (IRI), a message about the delivery (TRI) or about the warrant (HI1). IRI go over one connection (HI2),
//! content over another (HI3), as BER values one behind the other; [`stream`](crate::stream) cuts them apart again.
//!
//! An [`Intercept`] is the template of one intercept and one session: it writes content and reports of packet headers
//! without allocation (`fast`), and the same PDUs and all others through the types of the standard's modules
//! ([`asn1`]). A [`Sealer`] puts payloads into the encryption container, an [`Integrity`] makes hashes and signatures
//! over what is sent. On the other side [`decode`] gives plain values, a [`CaseKey`] opens containers and a
//! [`Verifier`] checks.

pub mod asn1;
mod container;
mod decode;
mod fast;
mod front;
mod generalized;
mod integrity;
mod intercept;
mod keys;
mod names;
mod read;
mod records;
mod series;
mod terms;

pub use container::{CaseKey, KeyLength, SealError, Sealer};
pub use decode::{Cc, CcContents, Container, Iri, IriContents, Payload, Pdu, PsHeader, Unsupported, decode};
pub use integrity::{Cadence, Due, Integrity, KeyError, PublicKey, SigningKey, Verdict, Verifier};
pub use intercept::{Identity, Intercept, Member, Packet};
pub use keys::{CaseKeys, CaseKeysError};
pub use names::{
    CountryCode, Edition, InterceptionPoint, Label, Liid, NameError, NetworkElementId, Octets, OperatorId,
};
pub use read::{DecodeError, Fault, Unread};
pub use records::{
    AccessReport, Address, DeliveryOption, Hi1, Hi1Change, Indications, IntegrityCheck, PopIdentifier, Summary, Tri,
};
pub use series::{Glance, Messenger};
pub use terms::{
    AccessEvent, AccessType, Assignment, Authentication, CheckType, DataType, Direction, EncryptedPayloadType,
    EncryptionType, EndReason, HashAlgorithm, IpVersion, IriType, NoticePriority, SignatureAlgorithm, SummaryTrigger,
    TimeQualifier,
};
