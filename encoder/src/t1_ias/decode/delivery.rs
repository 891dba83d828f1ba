//! What is read of how the content of a session comes to the agency.

use std::net::SocketAddr;

use serde::Serialize;

use super::{Content, DecodeError, bare_address, port, visible};
use crate::t1_ias::asn1;

/// How the content of a session comes to the agency (LEA-CmC-Delivery).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Ties the content to the session.
    pub content_identifier: Content,
    /// Whereto it goes.
    pub to: DeliveryIdentifier,
    /// What it comes as.
    pub format: CcFormat,
}

/// Where content goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryIdentifier {
    /// A call content connection of both directions.
    Ccc(String),
    /// A pair of them.
    CccPair {
        /// What the subject sends.
        transmit: String,
        /// What he receives.
        receive: String,
    },
    /// One of them, of what the subject sends.
    CccTransmit(String),
    /// One of them, of what the subject receives.
    CccReceive(String),
    /// One of them, without a direction (indCCC).
    CccIndividual(String),
    /// An address and port of the agency.
    Address(SocketAddr),
}

/// What content comes as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CcFormat {
    /// Datagrams of SCTE 24-13.
    ScteDatagram,
    /// A module of T1.678, by its object identifier.
    Atis678Asn1(String),
    /// IAS-CC-APDUs.
    IasDatagram,
}

impl TryFrom<asn1::LeaCmcDelivery> for Delivery {
    type Error = DecodeError;

    fn try_from(delivery: asn1::LeaCmcDelivery) -> Result<Self, DecodeError> {
        use asn1::{CccIdentity as Ccc, DeliveryIdentifier as To};
        Ok(Self {
            content_identifier: delivery.content_identifier.into(),
            to: match delivery.delivery_identifier {
                To::CccId(Ccc::CombCcc(name)) => DeliveryIdentifier::Ccc(visible(&name)),
                To::CccId(Ccc::SepCccPair(pair)) => DeliveryIdentifier::CccPair {
                    transmit: visible(&pair.sep_xmit_ccc),
                    receive: visible(&pair.sep_recv_ccc),
                },
                To::CccId(Ccc::IndXmitCcc(name)) => DeliveryIdentifier::CccTransmit(visible(&name)),
                To::CccId(Ccc::IndRecvCcc(name)) => DeliveryIdentifier::CccReceive(visible(&name)),
                To::CccId(Ccc::IndCcc(name)) => DeliveryIdentifier::CccIndividual(visible(&name)),
                To::CcAddress(address) => DeliveryIdentifier::Address(SocketAddr::new(
                    bare_address("leaIPAddress", &address.lea_ip_address)?,
                    port("leaPortNumber", &address.lea_port_number)?,
                )),
            },
            format: match delivery.cc_delivery_format {
                asn1::CcDeliveryFormat::ScteDatagram(()) => CcFormat::ScteDatagram,
                asn1::CcDeliveryFormat::Atis678Asn1(numbers) => {
                    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                    CcFormat::Atis678Asn1(numbers.join("."))
                }
                asn1::CcDeliveryFormat::IasDatagram(()) => CcFormat::IasDatagram,
            },
        })
    }
}
