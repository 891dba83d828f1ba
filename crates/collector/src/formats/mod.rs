//! The formats of handover: octets go in, and what they say comes out, in the few kinds that every format knows.
//!
//! A [`Reader`] reads the PDUs of one connection or one sender and gives what each says as [`Said`], which prints as
//! JSON. [`Said::items`] takes that apart into [`Item`]s: packets of a case, messages of a case, checks, answers. Whoever
//! files or prints them need not know the format. A module per format knows both.

mod about;
mod datagram;
mod etsi;
mod opencalea;
mod t1_ias;
mod x3;

use std::{fmt, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use writ_encoder::{
    Malformed, UtcMicros, ccc, etsi::CaseKeys, handover, jmirror, opencalea as calea, t1_ias as ias, tzsp, x2x3,
};

pub(crate) use about::About;
pub(crate) use t1_ias::{name_source, read_message};

use etsi::Verifiers;

use crate::{
    Stream,
    config::Reading,
    originals::Original,
    pcapng::{Packet, Source},
};

/// A format of handover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// ATIS-1000013: broadband Internet access.
    #[default]
    T1Ias,
    /// ETSI TS 102 232-1 and -3.
    Etsi,
    /// ETSI TS 103 221-2: X2 and X3.
    X3,
    /// PacketCable's call content connections over UDP.
    Ccc,
    /// OpenCALEA's datagrams of 2007.
    Opencalea,
    /// The mirror header of Juniper routers, over UDP.
    Jmirror,
    /// TaZmen Sniffer Protocol, over UDP.
    Tzsp,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::T1Ias, Self::Etsi, Self::X3, Self::Ccc, Self::Opencalea, Self::Jmirror, Self::Tzsp];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name in settings, files and logs.
    pub const fn name(self) -> &'static str {
        self.handover().name()
    }

    /// The same among all formats of handover. Those of `files` are fetched, and so none that can arrive.
    const fn handover(self) -> handover::Format {
        match self {
            Self::T1Ias => handover::Format::T1Ias,
            Self::Etsi => handover::Format::Etsi,
            Self::X3 => handover::Format::X3,
            Self::Ccc => handover::Format::Ccc,
            Self::Opencalea => handover::Format::Opencalea,
            Self::Jmirror => handover::Format::Jmirror,
            Self::Tzsp => handover::Format::Tzsp,
        }
    }

    /// Whether it comes as datagrams, else as a stream.
    pub const fn is_datagrams(self) -> bool {
        self.handover().is_datagrams()
    }

    /// Whether there is identifying information in it. The others have content alone.
    pub const fn has_identifying_information(self) -> bool {
        self.handover().has_identifying_information()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a PDU says, in the words of its format.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Said<'a> {
    /// T1.IAS, identifying information.
    Cmii(Box<ias::Cmii>),
    /// T1.IAS, the optional module.
    Optional(Box<t1_ias::Optional>),
    /// T1.IAS, a module that is not known.
    UnknownModule(t1_ias::UnknownModule),
    /// T1.IAS, content.
    Cmcc(ias::Cmcc),
    /// ETSI TS 102 232.
    Etsi(Box<etsi::Read>),
    /// X2 or X3.
    X3(x2x3::Pdu<'a>),
    /// Call content connection.
    Ccc(ccc::Content<'a>),
    /// Juniper's mirror.
    Jmirror(jmirror::Content<'a>),
    /// TZSP, and who sent it.
    Tzsp(datagram::Sniffed<'a>),
    /// OpenCALEA, identifying information.
    CaleaCmii(calea::Cmii<'a>),
    /// OpenCALEA, content.
    CaleaCmc(calea::Cmc<'a>),
}

impl Said<'_> {
    /// Which format it is in.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Cmii(_) | Self::Optional(_) | Self::UnknownModule(_) | Self::Cmcc(_) => Format::T1Ias,
            Self::Etsi(_) => Format::Etsi,
            Self::X3(_) => Format::X3,
            Self::Ccc(_) => Format::Ccc,
            Self::Jmirror(_) => Format::Jmirror,
            Self::Tzsp(_) => Format::Tzsp,
            Self::CaleaCmii(_) | Self::CaleaCmc(_) => Format::Opencalea,
        }
    }

    /// Whether it belongs to identifying information or to content.
    pub(crate) fn stream(&self) -> Stream {
        match self {
            Self::Cmii(_) | Self::Optional(_) | Self::UnknownModule(_) | Self::CaleaCmii(_) => Stream::Cmii,
            Self::Etsi(read) => read.stream(),
            Self::X3(pdu) => x3::stream(pdu),
            Self::Cmcc(_) | Self::Ccc(_) | Self::Jmirror(_) | Self::Tzsp(_) | Self::CaleaCmc(_) => Stream::Cmc,
        }
    }

    /// Takes it apart. `pdu` are its octets.
    ///
    /// # Errors
    /// The first that `take` gives.
    pub(crate) fn items<E>(&self, pdu: &[u8], take: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Cmii(message) => t1_ias::message(message, take),
            Self::Optional(message) => t1_ias::optional(message, take),
            Self::UnknownModule(_) => t1_ias::of_unknown_module(take),
            Self::Cmcc(content) => t1_ias::content(content, pdu, take),
            Self::Etsi(read) => read.items(pdu, take),
            Self::X3(said) => x3::items(said, pdu, take),
            Self::Ccc(content) => datagram::ccc(content, pdu, take),
            Self::Jmirror(content) => datagram::jmirror(content, pdu, take),
            Self::Tzsp(sniffed) => sniffed.items(pdu, take),
            Self::CaleaCmii(message) => opencalea::message(message, take),
            Self::CaleaCmc(content) => opencalea::content(content, pdu, take),
        }
    }
}

/// One of the things that a PDU can say in any format.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// Content of a case: the packets of one PDU, which share its number.
    Packets {
        /// The case; none where the PDU names none.
        case: Option<String>,
        /// Whose numbers they bear.
        source: Source,
        /// The number.
        sequence: Option<u64>,
        /// In the order of the PDU.
        packets: &'a [Packet<'a>],
    },
    /// Identifying information of a case. What it says is the PDU whole.
    Message {
        /// The case; none where it is not known.
        case: Option<String>,
        /// Whose numbers it bears.
        source: Source,
        /// The number; none where messages are not numbered.
        sequence: Option<u32>,
        /// What is told of it in the same words whatever the format; none for T1.IAS, whose own words these are.
        about: Option<Box<About>>,
        /// Whether it tells of the headers of packets.
        is_header_report: bool,
        /// Whether it says that the numbers of the source's sessions begin anew.
        begins_anew: bool,
    },
    /// What only a key opens that is not here, or another.
    Sealed {
        /// The case.
        case: String,
        /// Whose numbers it bears.
        source: Source,
        /// The number.
        sequence: u32,
        /// Why it is not open.
        why: &'static str,
    },
    /// What an integrity check is worth.
    Check {
        /// The case.
        case: String,
        /// The series that it is over.
        source: Source,
        /// The stream of that series; none if it is not named.
        over: Option<Stream>,
        /// The check and its verdict.
        check: Check<'a>,
    },
    /// What OpenCALEA's own collector would write.
    Original {
        /// The case.
        case: String,
        /// What is added, and to which file.
        original: Original,
    },
    /// What the sender wants to hear, once everything before is filed.
    Answer(Vec<u8>),
}

/// An integrity check and what it is worth.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Check<'a> {
    /// Its number among the checks of its kind.
    pub number: u32,
    /// Hash or signature.
    pub check: writ_encoder::etsi::CheckType,
    /// How many PDUs, or hashes, it is over.
    pub over: usize,
    /// What it is worth.
    pub verdict: &'a writ_encoder::etsi::Verdict,
}

/// What the formats that are read need to know beside the octets.
#[derive(Clone)]
pub(crate) struct Terms {
    keys: Arc<CaseKeys>,
    ccc: ccc::Layout,
    optional_module: Option<ias::OptionalModule>,
    /// What waits for integrity checks.
    verifiers: Arc<Verifiers>,
}

impl Terms {
    /// Those of the settings.
    pub(crate) fn new(reading: &Reading) -> Self {
        let Reading { ccc, optional_module, keys, verify_key } = reading;
        Self {
            keys: Arc::clone(keys),
            ccc: *ccc,
            optional_module: optional_module.clone(),
            verifiers: Arc::new(Verifiers::new(verify_key.clone())),
        }
    }
}

/// Reads the PDUs of one connection, or the datagrams of one endpoint.
pub(crate) enum Reader {
    /// T1.IAS.
    T1Ias {
        /// Which the first PDU tells, if nobody does.
        stream: Option<Stream>,
        /// If it is known.
        optional_module: Option<ias::OptionalModule>,
    },
    /// ETSI TS 102 232.
    Etsi(Box<etsi::Reader>),
    /// X2 and X3.
    X3,
    /// Call content connections.
    Ccc(ccc::Layout),
    /// Juniper's mirror.
    Jmirror,
    /// TZSP.
    Tzsp,
    /// OpenCALEA; which stream the datagram tells, if nobody does.
    Opencalea(Option<Stream>),
}

/// Octets that are no PDU of the format. May quote them: this is the agency's side, whose case it is.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No PDU of T1.IAS.
    #[error(transparent)]
    T1Ias(#[from] ias::DecodeError),
    /// A PDU of neither stream.
    #[error("neither CmII ({cmii}) nor CmC ({cmc})")]
    Neither {
        /// Why it is not CmII.
        cmii: ias::DecodeError,
        /// Why it is not CmC.
        cmc: ias::DecodeError,
    },
    /// No PS-PDU.
    #[error(transparent)]
    Etsi(#[from] writ_encoder::etsi::DecodeError),
    /// None of a format of fixed layout.
    #[error(transparent)]
    Fixed(#[from] Malformed),
}

impl Reader {
    /// A reader of what `from` sends in `format`. `stream` is the endpoint's, if that is known.
    pub(crate) fn new(format: Format, stream: Option<Stream>, from: SocketAddr, terms: &Terms) -> Self {
        match format {
            Format::T1Ias => Self::T1Ias { stream, optional_module: terms.optional_module.clone() },
            Format::Etsi => Self::Etsi(Box::new(etsi::Reader::new(stream, from, &terms.keys, &terms.verifiers))),
            Format::X3 => Self::X3,
            Format::Ccc => Self::Ccc(terms.ccc),
            Format::Jmirror => Self::Jmirror,
            Format::Tzsp => Self::Tzsp,
            Format::Opencalea => Self::Opencalea(stream),
        }
    }

    /// What a PDU says. `from` is who sent it.
    ///
    /// # Errors
    /// Octets that are none.
    pub(crate) fn read<'a>(&mut self, pdu: &'a [u8], from: SocketAddr) -> Result<Said<'a>, Unreadable> {
        Ok(match self {
            Self::T1Ias { stream, optional_module } => {
                let said = t1_ias::read(pdu, *stream, optional_module.as_ref())?;
                *stream = Some(said.stream());
                said
            }
            Self::Etsi(reader) => Said::Etsi(Box::new(reader.read(pdu)?)),
            Self::X3 => Said::X3(x2x3::decode(pdu)?.0),
            Self::Ccc(layout) => Said::Ccc(ccc::decode(*layout, pdu)?),
            Self::Jmirror => Said::Jmirror(jmirror::decode(pdu)?),
            Self::Tzsp => Said::Tzsp(datagram::Sniffed { from, datagram: tzsp::decode(pdu)? }),
            Self::Opencalea(stream) => opencalea::read(pdu, *stream)?,
        })
    }
}

/// The present moment, for what bears no time.
fn arrival_us() -> u64 {
    jiff::Timestamp::now().as_microsecond().unsigned_abs()
}

/// Microseconds since 1970.
fn unix_us(time: UtcMicros) -> u64 {
    time.unix_micros().unsigned_abs()
}
