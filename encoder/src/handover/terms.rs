//! What a carrier and an agency agreed on: the format, and what is said in it that no warrant knows. The `[[destination]]`
//! section of the configuration is read into this.

use crate::t1_ias::{CcFormat, OptionalModule};
use crate::{ccc, etsi, opencalea};
use serde::Deserialize;
use std::fmt;

/// A handover format, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// ATIS-1000013, broadband Internet access.
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
    /// Files for the agency to fetch: pcapng and JSON lines.
    Files,
}

impl Format {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::T1Ias => "t1-ias",
            Self::Etsi => "etsi",
            Self::X3 => "x3",
            Self::Ccc => "ccc",
            Self::Opencalea => "opencalea",
            Self::Jmirror => "jmirror",
            Self::Tzsp => "tzsp",
            Self::Files => "files",
        }
    }

    /// Whether there is identifying information in it. The others have content alone.
    pub const fn has_identifying_information(self) -> bool {
        !matches!(self, Self::Ccc | Self::Jmirror | Self::Tzsp)
    }

    /// Whether every PDU of it is a datagram.
    pub const fn is_datagrams(self) -> bool {
        matches!(self, Self::Ccc | Self::Opencalea | Self::Jmirror | Self::Tzsp)
    }

    /// Whether flows can be summed up in it.
    pub const fn has_summaries(self) -> bool {
        matches!(self, Self::T1Ias | Self::Etsi | Self::Files)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format with all that is settled for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Format")]
pub enum Terms {
    T1Ias(T1IasTerms),
    Etsi(EtsiTerms),
    X3(X3Terms),
    Ccc(CccTerms),
    Opencalea(OpencaleaTerms),
    Jmirror,
    Tzsp,
    Files,
}

impl Terms {
    /// Of which format they are.
    pub const fn format(&self) -> Format {
        match self {
            Self::T1Ias(_) => Format::T1Ias,
            Self::Etsi(_) => Format::Etsi,
            Self::X3(_) => Format::X3,
            Self::Ccc(_) => Format::Ccc,
            Self::Opencalea(_) => Format::Opencalea,
            Self::Jmirror => Format::Jmirror,
            Self::Tzsp => Format::Tzsp,
            Self::Files => Format::Files,
        }
    }

    /// Whether content is named by a number, which the content identifier then has to be.
    pub const fn name_content_by_number(&self) -> bool {
        match self {
            Self::T1Ias(terms) => matches!(terms.cc_format, CcFormat::ScteDatagram),
            Self::Ccc(_) | Self::Jmirror => true,
            _ => false,
        }
    }
}

/// `t1-ias = { ... }`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct T1IasTerms {
    /// How content goes.
    #[serde(default)]
    pub cc_format: CcFormat,
    /// The agency's number for the optional module: with one it is told that a surveillance begins, changes and ends.
    pub optional_module: Option<OptionalModule>,
}

/// `etsi = { ... }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtsiTerms {
    /// The operator as the agency names it (operatorIdentifier).
    pub operator: etsi::OperatorId,
    /// The probe (networkElementIdentifier).
    pub network_element: Option<etsi::NetworkElementId>,
    /// The country whose law allows the intercepts (authorizationCountryCode).
    pub country: Option<etsi::CountryCode>,
    /// The country of the agency (deliveryCountryCode).
    pub delivery_country: Option<etsi::CountryCode>,
    /// Where in the network the traffic is taken (interceptionPointID).
    pub interception_point: Option<etsi::InterceptionPoint>,
    /// Over what subscribers are connected (internetAccessType).
    #[serde(default = "undefined")]
    pub access_type: etsi::AccessType,
    /// The versions of LI-PS-PDU and of IPAccessPDU that PDUs name.
    pub edition: Option<[u8; 2]>,
    /// Packets of content in one PS-PDU at most.
    #[serde(default = "one")]
    pub packets_per_pdu: u16,
    /// Whether the agency is told by HI1 notifications that an intercept begins, changes and ends.
    #[serde(default)]
    pub hi1: bool,
}

impl EtsiTerms {
    /// What headers say of an intercept under these terms.
    ///
    /// # Errors
    /// When the edition is none that can be written.
    pub fn identity(&self, liid: etsi::Liid) -> Result<etsi::Identity, etsi::NameError> {
        let edition = self.edition.map(|[header, ip_access]| etsi::Edition::new(header, ip_access)).transpose()?;
        Ok(etsi::Identity {
            liid,
            authorization_country: self.country.clone(),
            operator: self.operator.clone(),
            network_element: self.network_element.clone(),
            delivery_country: self.delivery_country.clone(),
            interception_point: self.interception_point.clone(),
            edition: edition.unwrap_or_default(),
        })
    }
}

const fn undefined() -> etsi::AccessType {
    etsi::AccessType::Undefined
}

const fn one() -> u16 {
    1
}

/// `x3 = { ... }`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct X3Terms {
    /// Domain id.
    pub domain_id: Option<String>,
    /// The network function.
    pub network_function: Option<String>,
    /// The point of interception in it.
    pub interception_point: Option<String>,
}

/// `ccc = { ... }`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CccTerms {
    /// Which header stands in front of each packet, by its octets.
    pub header: ccc::Layout,
}

/// `opencalea = { ... }`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpencaleaTerms {
    /// How long a CmII datagram is.
    pub cmii_octets: opencalea::Length,
}

/// `summaries = { ... }`: in place of a report of every packet, now and then how many a flow had. What was counted is told at
/// the latest when a flow falls silent or its intercept ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SummaryTerms {
    /// At a flow's first packet.
    pub at_start: bool,
    /// At a packet that ends it: TCP's FIN or RST.
    pub at_end: bool,
    /// When it has had no packet for so long, in seconds.
    pub idle_seconds: u32,
    /// So many seconds after the last summary of it; 0: never for that.
    pub period_seconds: u32,
    /// At so many packets; 0: never for that.
    pub packet_count: u64,
    /// Most flows at once for each receive queue. Beyond, the one that was silent for longest is told of.
    pub most_flows: u32,
}

impl Default for SummaryTerms {
    fn default() -> Self {
        Self {
            at_start: false,
            at_end: true,
            idle_seconds: 60,
            period_seconds: 300,
            packet_count: 0,
            most_flows: 65_536,
        }
    }
}
