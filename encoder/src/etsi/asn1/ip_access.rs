//! IPAccessPDU (TS 102 232-3): content of IP packets, events of access, reports of packets.
#![expect(missing_docs, reason = "types and members bear the names that the standard gives them")]

use std::net::{IpAddr, Ipv4Addr};

use rasn::prelude::*;
use rasn::types::OctetString;

use super::{ObjectId, octets};
use crate::etsi::records;
use crate::etsi::terms::{AccessEvent, AccessType, Assignment, Authentication, EndReason, IpVersion, SummaryTrigger};
use crate::t1_ias::asn1::generalized;

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpCc {
    #[rasn(tag(0))]
    pub ip_cc_obj_id: ObjectId,
    #[rasn(tag(explicit(1)))]
    pub ip_cc_contents: IpCcContents,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum IpCcContents {
    #[rasn(tag(0))]
    IpPackets(OctetString),
    #[rasn(tag(1))]
    IpTruncatedPacket(IpTruncatedPacket),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpTruncatedPacket {
    #[rasn(tag(0))]
    pub truncated_packet: OctetString,
    #[rasn(tag(1))]
    pub original_length: u32,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpIri {
    #[rasn(tag(0))]
    pub ip_iri_obj_id: ObjectId,
    #[rasn(tag(1))]
    pub ip_iri_contents: IpIriContents,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpIriContents {
    #[rasn(tag(0))]
    pub access_event_type: AccessEvent,
    #[rasn(tag(1))]
    pub target_username: OctetString,
    #[rasn(tag(2))]
    pub internet_access_type: AccessType,
    #[rasn(tag(3))]
    pub ip_version: IpVersion,
    #[rasn(tag(4))]
    pub target_ip_address: Option<IpAddress>,
    #[rasn(tag(5))]
    pub target_network_id: Option<Utf8String>,
    #[rasn(tag(6))]
    pub target_cpe_id: Option<Utf8String>,
    #[rasn(tag(7))]
    pub target_location: Option<Utf8String>,
    #[rasn(tag(8))]
    pub pop_port_number: Option<u32>,
    #[rasn(tag(9))]
    pub call_back_number: Option<Utf8String>,
    #[rasn(tag(10))]
    pub start_time: Option<GeneralizedTime>,
    #[rasn(tag(11))]
    pub end_time: Option<GeneralizedTime>,
    #[rasn(tag(12))]
    pub end_reason: Option<EndReason>,
    #[rasn(tag(13))]
    pub octets_received: Option<u64>,
    #[rasn(tag(14))]
    pub octets_transmitted: Option<u64>,
    #[rasn(tag(15))]
    pub raw_aaa_data: Option<OctetString>,
    #[rasn(tag(16))]
    pub expected_end_time: Option<GeneralizedTime>,
    #[rasn(tag(17))]
    pub pop_phone_number: Option<Utf8String>,
    #[rasn(tag(explicit(18)))]
    pub pop_identifier: Option<IpIriIdType>,
    #[rasn(tag(19))]
    pub pop_ip_address: Option<IpAddress>,
    #[rasn(tag(21))]
    pub additional_ip_address: Option<IpAddress>,
    #[rasn(tag(22))]
    pub authentication_type: Option<Authentication>,
    #[rasn(tag(23))]
    pub other_target_identifiers: Option<Vec<OtherTargetIdentifiers>>,
    #[rasn(tag(25))]
    pub pop_port_id: Option<OctetString>,
    #[rasn(tag(26))]
    pub framed_routes: Option<Vec<FramedRoute>>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum IpIriIdType {
    #[rasn(tag(0))]
    PrintableIdType(Utf8String),
    #[rasn(tag(1))]
    MacAddressType(OctetString),
    #[rasn(tag(2))]
    IpAddressType(IpAddress),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum OtherTargetIdentifiers {
    #[rasn(tag(0))]
    IpAddress(IpAddress),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum FramedRoute {
    #[rasn(tag(0))]
    FramedRoute(OctetString),
}

/// IPAddress. Its type, though it is used here, stands in LI-PS-PDU.
#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpAddress {
    #[rasn(tag(1))]
    pub ip_type: IpType,
    #[rasn(tag(explicit(2)))]
    pub ip_value: IpValue,
    #[rasn(tag(3))]
    pub ip_assignment: Option<Assignment>,
    #[rasn(tag(4))]
    pub ipv6_prefix_length: Option<u8>,
    #[rasn(tag(5))]
    pub ipv4_subnet_mask: Option<OctetString>,
    #[rasn(tag(6))]
    pub ip_nat_translated: Option<bool>,
}

#[derive(AsnType, Encode, Clone, Copy, Debug, PartialEq)]
#[rasn(enumerated)]
pub enum IpType {
    IpV4 = 0,
    IpV6 = 1,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum IpValue {
    #[rasn(tag(1))]
    IpBinaryAddress(OctetString),
    #[rasn(tag(2))]
    IpTextAddress(Ia5String),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IpIriPacketReport {
    #[rasn(tag(0))]
    pub ip_iri_packet_report_obj_id: ObjectId,
    #[rasn(tag(explicit(1)))]
    pub report: PacketReport,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum PacketReport {
    #[rasn(tag(1))]
    Header(PacketReportHeader),
    #[rasn(tag(2))]
    Summary(PacketReportSummary),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct PacketReportHeader {
    #[rasn(tag(1))]
    pub header: OctetString,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct PacketReportSummary {
    #[rasn(tag(1))]
    pub header: OctetString,
    #[rasn(tag(2))]
    pub indications: BitString,
    #[rasn(tag(3))]
    pub trigger: SummaryTrigger,
    #[rasn(tag(4))]
    pub packet_count: Option<u64>,
    #[rasn(tag(5))]
    pub byte_count: Option<u64>,
    #[rasn(tag(6))]
    pub first_timestamp: Option<GeneralizedTime>,
    #[rasn(tag(7))]
    pub last_timestamp: Option<GeneralizedTime>,
}

impl From<&records::Address> for IpAddress {
    fn from(given: &records::Address) -> Self {
        let (ip_type, value, ipv6_prefix_length, ipv4_subnet_mask) = match given.address {
            IpAddr::V4(v4) => {
                let mask = |length| u32::MAX.checked_shl(32 - u32::from(u8::min(length, 32))).unwrap_or(0);
                let mask = given.prefix_length.map(|length| octets(&Ipv4Addr::from_bits(mask(length)).octets()));
                (IpType::IpV4, octets(&v4.octets()), None, mask)
            }
            IpAddr::V6(v6) => {
                let length = given.prefix_length.unwrap_or(128).clamp(1, 128);
                (IpType::IpV6, octets(&v6.octets()), Some(length), None)
            }
        };
        Self {
            ip_type,
            ip_value: IpValue::IpBinaryAddress(value),
            ip_assignment: given.assignment,
            ipv6_prefix_length,
            ipv4_subnet_mask,
            ip_nat_translated: given.translated,
        }
    }
}

impl From<&records::AccessReport> for IpIriContents {
    fn from(report: &records::AccessReport) -> Self {
        let others: Vec<_> =
            report.other_addresses.iter().map(|address| OtherTargetIdentifiers::IpAddress(address.into())).collect();
        let routes: Vec<_> =
            report.framed_routes.iter().map(|route| FramedRoute::FramedRoute(octets(&route.0))).collect();
        Self {
            access_event_type: report.event,
            target_username: octets(&report.username.0),
            internet_access_type: report.access_type,
            ip_version: report.ip_version,
            target_ip_address: report.address.as_ref().map(Into::into),
            target_network_id: report.network_id.clone(),
            target_cpe_id: report.cpe_id.clone(),
            target_location: report.location.clone(),
            pop_port_number: report.pop_port,
            call_back_number: report.call_back_number.clone(),
            start_time: report.start.map(generalized),
            end_time: report.end.map(generalized),
            end_reason: report.end_reason,
            octets_received: report.octets_received,
            octets_transmitted: report.octets_transmitted,
            raw_aaa_data: report.raw_aaa.as_ref().map(|raw| octets(&raw.0)),
            expected_end_time: report.expected_end.map(generalized),
            pop_phone_number: report.pop_phone_number.clone(),
            pop_identifier: report.pop_identifier.as_ref().map(|identifier| match identifier {
                records::PopIdentifier::Printable(text) => IpIriIdType::PrintableIdType(text.clone()),
                records::PopIdentifier::Mac(mac) => IpIriIdType::MacAddressType(octets(mac)),
                records::PopIdentifier::Address(address) => IpIriIdType::IpAddressType(address.into()),
            }),
            pop_ip_address: report.pop_address.as_ref().map(Into::into),
            additional_ip_address: report.additional_address.as_ref().map(Into::into),
            authentication_type: report.authentication,
            other_target_identifiers: (!others.is_empty()).then_some(others),
            pop_port_id: report.pop_port_id.as_ref().map(|id| octets(&id.0)),
            framed_routes: (!routes.is_empty()).then_some(routes),
        }
    }
}

impl From<&records::Summary> for PacketReportSummary {
    fn from(summary: &records::Summary) -> Self {
        // DER leaves out the zero bits at the end of a BIT STRING whose bits have names (X.690, 11.2.2).
        let mut indications = BitString::from_slice(&summary.indications.0.to_be_bytes());
        indications.truncate(16 - (summary.indications.0.trailing_zeros() as usize));
        Self {
            header: octets(&summary.header.0),
            indications,
            trigger: summary.trigger,
            packet_count: summary.packets,
            byte_count: summary.octets,
            first_timestamp: summary.first.map(generalized),
            last_timestamp: summary.last.map(generalized),
        }
    }
}
