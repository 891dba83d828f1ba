//! One intercept's PDUs, in whatever format its agency takes.
//!
//! [`Terms`] come from the configuration, [`Names`] from the warrant. Out of both is made a [`Handover`]: it writes the
//! packets' [`Content`], and the identifying [`Information`] where the format has any. Who asks need not know which format
//! it is; only for what is written for every packet it is asked once a batch, so that the writer of each format stands
//! in a loop of its own.

mod content;
mod information;
mod terms;

pub use content::{Content, Moment, Scratch, WriteContent};
pub use information::{Count, Headers, Information, News, Session};
pub use terms::{CccTerms, EtsiTerms, Format, OpencaleaTerms, SummaryTerms, T1IasTerms, Terms, X3Terms};

use crate::ccc::{Connection, Form, Layout};
use crate::jmirror::{Mirror, MirrorId};
use crate::opencalea::{self, Tap};
use crate::t1_ias::{
    self, CaseId, CcFormat, CccName, ContentIdentifier, CorrelationId, Delivery, DeliveryIdentifier, IapSystemId,
    IdentifierError, SubscriberIdentity,
};
use crate::tzsp::{Encapsulation, Sniffer};
use crate::x2x3::{self, Task};
use crate::{etsi, files};
use ring::digest;

/// How the parties of a warrant call what they hand over.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The agency's name for the case (caseId, LIID).
    pub case_id: &'a str,
    /// Its name for the content.
    pub content_identifier: &'a str,
    /// The probe (iAPSystemId).
    pub probe: &'a str,
    /// The carrier's label for the line.
    pub subscriber: &'a str,
    /// The warrant, which stays the same over all its revisions and over restarts.
    pub warrant: u128,
}

/// Names that do not fit the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// T1.IAS, and files, which have the same.
    #[error("an identifier does not fit: {0}")]
    T1Ias(#[from] IdentifierError),
    /// ETSI TS 102 232.
    #[error("a name does not fit ETSI TS 102 232: {0}")]
    Etsi(#[from] etsi::NameError),
    /// OpenCALEA.
    #[error("a name does not fit OpenCALEA: {0}")]
    Opencalea(#[from] opencalea::NameError),
    /// X2 and X3.
    #[error("a name does not fit X2 and X3: {0}")]
    X3(#[from] x2x3::IdentityError),
    /// Call content connections in T1.IAS are told by their address or number.
    #[error(
        "content_identifier is no number of {bits} bits, and {format} has room for nothing else: write it in digits"
    )]
    NoNumber {
        /// How wide a number.
        bits: u32,
        /// For which format.
        format: Format,
    },
}

/// The writers of one delivery of one intercept.
#[derive(Clone, Debug)]
pub struct Handover {
    content: Content,
    information: Option<Information>,
}

impl Handover {
    /// The templates for these terms and names.
    ///
    /// # Errors
    /// When a name does not fit the format.
    pub fn new(terms: &Terms, names: &Names<'_>) -> Result<Self, HandoverError> {
        Ok(match terms {
            Terms::T1Ias(terms) => Self::t1_ias(terms, names)?,
            Terms::Etsi(terms) => {
                let mut identity = terms.identity(etsi::Liid::new(names.case_id)?)?;
                // The probe's own name, where it fits.
                identity.network_element =
                    identity.network_element.or_else(|| etsi::NetworkElementId::new(names.probe).ok());
                let intercept = etsi::Intercept::new(&identity, folded(names.warrant));
                let information = Some(Information::etsi(intercept.clone(), terms, names));
                let packets_per_pdu = terms.packets_per_pdu;
                Self { content: Content::Etsi { intercept: Box::new(intercept), packets_per_pdu }, information }
            }
            Terms::X3(terms) => {
                let task = Task::new(&x2x3::Identity {
                    xid: xid(names),
                    correlation_id: (names.warrant >> 64) as u64,
                    domain_id: terms.domain_id.clone(),
                    network_function_id: terms.network_function.clone(),
                    interception_point_id: terms.interception_point.clone(),
                    matched_target: None,
                })?;
                Self { content: Content::X3(task.clone()), information: Some(Information::X2(task)) }
            }
            Terms::Ccc(terms) => {
                let form = match terms.header {
                    Layout::Channel => Form::Channel,
                    Layout::Timed => Form::Timed,
                    Layout::Case => Form::Case(number(names.case_id).unwrap_or_else(|| digested(names.case_id))),
                };
                let channel = channel(names, 32, Format::Ccc)?;
                Self { content: Content::Ccc(Connection::new(channel, form)), information: None }
            }
            Terms::Opencalea(terms) => {
                let name = opencalea::Name::new;
                let names = (name(names.content_identifier)?, name(names.case_id)?, name(names.probe)?);
                let tap = Tap::new(names.0, names.1, names.2, terms.cmii_octets);
                Self { content: Content::Opencalea(tap.clone()), information: Some(Information::Opencalea(tap)) }
            }
            Terms::Jmirror => {
                let no_number = HandoverError::NoNumber { bits: 30, format: Format::Jmirror };
                let id = MirrorId::new(channel(names, 30, Format::Jmirror)?).map_err(|_| no_number)?;
                let session = folded(names.warrant);
                Self { content: Content::Jmirror(Mirror::new(id, session)), information: None }
            }
            Terms::Files => {
                let intercept = files::Intercept::new(
                    &CaseId::new(names.case_id)?,
                    &IapSystemId::new(names.probe)?,
                    &CorrelationId::new(names.content_identifier.as_bytes())?,
                    &SubscriberIdentity::new(names.subscriber)?,
                );
                let information = Some(Information::Files(Box::new(intercept.clone())));
                Self { content: Content::Files(intercept), information }
            }
            Terms::Tzsp => Self { content: Content::Tzsp(Sniffer::new(Encapsulation::ETHERNET)), information: None },
        })
    }

    fn t1_ias(terms: &T1IasTerms, names: &Names<'_>) -> Result<Self, HandoverError> {
        let content_identifier = CorrelationId::new(names.content_identifier.as_bytes())?;
        let intercept = t1_ias::Intercept::new(
            &CaseId::new(names.case_id)?,
            &IapSystemId::new(names.probe)?,
            &ContentIdentifier::Correlation(content_identifier),
            &SubscriberIdentity::new(names.subscriber)?,
        );
        let (content, told) = match terms.cc_format {
            CcFormat::IasDatagram => (Content::Apdu(Box::new(intercept.clone())), None),
            CcFormat::ScteDatagram => {
                let channel = channel(names, 32, Format::Ccc)?;
                let case = number(names.case_id).unwrap_or_else(|| digested(names.case_id));
                // The agency finds the connection's number in what it is told of the session.
                let to = DeliveryIdentifier::Ccc(CccName::new(channel.to_string())?);
                let told = Delivery { to, format: terms.cc_format };
                (Content::Ccc(Connection::new(channel, Form::Case(case))), Some(told))
            }
        };
        let optional_module = terms.optional_module.clone();
        let information = Information::T1Ias { intercept: Box::new(intercept), content: told, optional_module };
        Ok(Self { content, information: Some(information) })
    }

    /// What writes packets.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Whether there is identifying information of each packet beside its content.
    pub fn tells_packets_beside_content(&self) -> bool {
        matches!(self.information, Some(Information::Opencalea(_)))
    }

    /// What writes identifying information, if the format has any.
    pub fn information(&self) -> Option<&Information> {
        self.information.as_ref()
    }
}

/// A number of 32 bits that stays with a warrant: a UUID's bits are as good as chance.
fn folded(warrant: u128) -> u32 {
    let words: [u32; 4] = std::array::from_fn(|word| (warrant >> (32 * word)) as u32);
    words.into_iter().fold(0, |folded, word| folded ^ word)
}

/// The number in a name that is one, in decimal digits.
fn number(name: &str) -> Option<u64> {
    name.bytes().all(|octet| octet.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

/// A number for a name that is none.
fn digested(name: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    digest.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// The number that a format names an intercept by.
fn channel(names: &Names<'_>, bits: u32, format: Format) -> Result<u32, HandoverError> {
    let number = number(names.content_identifier).filter(|number| *number < 1 << bits);
    number.and_then(|number| u32::try_from(number).ok()).ok_or(HandoverError::NoNumber { bits, format })
}

/// The task: the content identifier if it is a UUID, as X1 gives it; else the warrant.
fn xid(names: &Names<'_>) -> [u8; 16] {
    let digits: String = names.content_identifier.chars().filter(|character| *character != '-').collect();
    let given = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    given.unwrap_or(names.warrant).to_be_bytes()
}
