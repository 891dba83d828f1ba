//! Which series a PDU belongs to, at one look; and messages about the delivery in the name of such a series.
//!
//! For whoever carries PDUs that somebody else has written: checks and acknowledgements go between them, and need a
//! header too.

use super::asn1;
use super::decode::decode;
use super::intercept::Intercept;
use super::read::{Result, Value};
use super::records::Tri;
use super::terms::{DataType, TimeQualifier};
use crate::UtcMicros;

/// What one look at a PDU shows of its header. Nothing is copied and nothing but the header is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The members that are the same in all PDUs of a session: li-psDomainId to communicationIdentifier, as they stand there.
    pub series: &'a [u8],
    /// lawfulInterceptionIdentifier.
    pub liid: &'a [u8],
    /// sequenceNumber.
    pub sequence: u32,
    /// Content or IRI; none of anything else, what is encrypted included.
    pub data: Option<DataType>,
}

impl<'a> Glance<'a> {
    /// Looks at the PDU at the front of `pdu`.
    pub fn at(pdu: &'a [u8]) -> Result<Self> {
        let (value, _) = Value::read(pdu, 0)?;
        let mut members = value.members()?;
        let (series, liid, sequence) = members.required(1, "pSHeader", |value| {
            let mut members = value.members()?;
            let first = members.required(0, "li-psDomainId", |value| Ok(value.offset))?;
            let liid = members.required(1, "lawfulInterceptionIdentifier", |value| value.octets(1..=25))?;
            members.optional(2, "authorizationCountryCode", |_| Ok(()))?;
            members.required(3, "communicationIdentifier", |_| Ok(()))?;
            let (end, sequence) =
                members.required(4, "sequenceNumber", |value| Ok((value.offset, value.unsigned_32()?)))?;
            Ok((pdu.get(first..end).unwrap_or_default(), liid, sequence))
        })?;
        let data = members.required(2, "payload", |value| {
            Ok(match value.choice()?.alternative()? {
                0 => Some(DataType::Iri),
                1 => Some(DataType::Cc),
                _ => None,
            })
        })?;
        Ok(Self { series, liid, sequence, data })
    }
}

/// Writes messages about the delivery under one header.
#[derive(Clone, Debug)]
pub struct Messenger {
    header: asn1::PsHeader,
}

impl Messenger {
    /// In the name of the series that this PDU belongs to.
    pub fn of(pdu: &[u8]) -> Result<Self> {
        let (domain, _) = Value::read(Glance::at(pdu)?.series, 0)?;
        let (decoded, _) = decode(pdu)?;
        let name = decoded.header;
        let header = asn1::PsHeader {
            li_ps_domain_id: asn1::octets(domain.contents),
            lawful_interception_identifier: asn1::octets(&name.liid.0),
            authorization_country_code: name.authorization_country.as_deref().map(asn1::printable),
            communication_identifier: asn1::CommunicationIdentifier {
                network_identifier: asn1::NetworkIdentifier {
                    operator_identifier: asn1::octets(&name.operator.0),
                    network_element_identifier: name.network_element.map(|element| asn1::octets(&element.0)),
                },
                // Every PDU of content and IRI has one.
                communication_identity_number: name.cin.unwrap_or_default(),
                delivery_country_code: name.delivery_country.as_deref().map(asn1::printable),
            },
            sequence_number: 0,
            interception_point_id: name.interception_point.as_deref().map(asn1::printable),
            micro_second_time_stamp: asn1::MicroSecondTimeStamp { seconds: 0, micro_seconds: 0 },
            time_stamp_qualifier: TimeQualifier::Mediation,
        };
        Ok(Self { header })
    }

    /// A message with this sequence number. What an operator's message may hold is the caller's care.
    pub fn tri(&self, time: UtcMicros, sequence: u32, tri: &Tri) -> Vec<u8> {
        let ps_header = asn1::PsHeader {
            sequence_number: sequence,
            micro_second_time_stamp: time.into(),
            time_stamp_qualifier: TimeQualifier::Mediation,
            ..self.header.clone()
        };
        asn1::encode(&asn1::PsPdu { ps_header, payload: asn1::Payload::Tri(tri.into()) })
    }
}

/// In the name of an intercept.
impl From<Intercept> for Messenger {
    fn from(intercept: Intercept) -> Self {
        Self { header: intercept.into_header() }
    }
}
