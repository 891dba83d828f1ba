//! The template of one intercept and one session of its target: who and what every PDU names, encoded once.
//!
//! Events, messages about the delivery and HI1 notifications are rare and go through the types of [`asn1`]; what is
//! written for every packet is in `fast`.

use super::asn1::{self, hi1, ip_access};
use super::fast::{Templates, Usual};
use super::names::{CountryCode, Edition, InterceptionPoint, Label, Liid, NameError, NetworkElementId, OperatorId};
use super::records::{AccessReport, Hi1Change, Summary, Tri};
use super::terms::{Direction, IriType, TimeQualifier};
use crate::UtcMicros;
use crate::t1_ias::asn1::{encode_member, generalized};

/// What the agency and the operator agreed on for an intercept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The agency's name for the intercept.
    pub liid: Liid,
    /// The country whose law allows it (authorizationCountryCode).
    pub authorization_country: Option<CountryCode>,
    /// The operator.
    pub operator: OperatorId,
    /// The probe.
    pub network_element: Option<NetworkElementId>,
    /// The country of the agency (deliveryCountryCode).
    pub delivery_country: Option<CountryCode>,
    /// Where in the network the traffic is taken.
    pub interception_point: Option<InterceptionPoint>,
    /// The versions of the modules that PDUs name.
    pub edition: Edition,
}

/// A packet, or as much of it as is handed over. It begins with its IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its octets.
    pub octets: &'a [u8],
    /// How long it was, where its end was cut off (originalLength).
    pub original_length: Option<u32>,
}

impl<'a> From<&'a [u8]> for Packet<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self { octets, original_length: None }
    }
}

/// A packet as a member of a PDU of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// When the probe saw it.
    pub time: UtcMicros,
    /// Which way it went.
    pub direction: Direction,
    /// The packet.
    pub packet: Packet<'a>,
}

/// Writes the PDUs of one communication identity number of one intercept.
///
/// Sequence numbers are the caller's: one series for content, one for IRI, from 0 for each intercept and communication
/// identity number.
#[derive(Clone, Debug)]
pub struct Intercept {
    header: asn1::PsHeader,
    edition: Edition,
    pub(super) templates: Templates,
    pub(super) usual: Option<Usual>,
}

impl Intercept {
    /// The template for one session of the target, which `cin` numbers (communicationIdentityNumber). Its times are
    /// those of interception.
    pub fn new(identity: &Identity, cin: u32) -> Self {
        let header = asn1::PsHeader {
            li_ps_domain_id: asn1::octets(&identity.edition.domain()),
            lawful_interception_identifier: asn1::octets(identity.liid.as_str().as_bytes()),
            authorization_country_code: identity
                .authorization_country
                .as_ref()
                .map(|code| asn1::printable(code.as_str())),
            communication_identifier: asn1::CommunicationIdentifier {
                network_identifier: asn1::NetworkIdentifier {
                    operator_identifier: asn1::octets(identity.operator.as_str().as_bytes()),
                    network_element_identifier: identity
                        .network_element
                        .as_ref()
                        .map(|element| asn1::octets(element.as_str().as_bytes())),
                },
                communication_identity_number: cin,
                delivery_country_code: identity.delivery_country.as_ref().map(|code| asn1::printable(code.as_str())),
            },
            sequence_number: 0,
            interception_point_id: identity.interception_point.as_ref().map(|point| asn1::printable(point.as_str())),
            micro_second_time_stamp: asn1::MicroSecondTimeStamp { seconds: 0, micro_seconds: 0 },
            time_stamp_qualifier: TimeQualifier::Interception,
        };
        let mut head = encode_member(0, &header.li_ps_domain_id);
        head.extend(encode_member(1, &header.lawful_interception_identifier));
        if let Some(country) = &header.authorization_country_code {
            head.extend(encode_member(2, country));
        }
        head.extend(encode_member(3, &header.communication_identifier));
        let point = header.interception_point_id.as_ref().map(|point| encode_member(6, point));
        let templates = Templates::new(head, point.unwrap_or_default(), identity.edition);
        let usual = Usual::new(&templates);
        Self { header, edition: identity.edition, templates, usual }
    }

    /// An event of the target's access, as an IRI of the type that the event has. Says which text is too long or empty.
    pub fn access(&self, time: UtcMicros, sequence: u32, report: &AccessReport) -> Result<Vec<u8>, NameError> {
        if let Some(field) = report.unfit() {
            return Err(NameError {
                field,
                wanted: "a text that is not empty and not longer than the standard allows",
            });
        }
        let contents = asn1::IriContents::Ip(Box::new(ip_access::IpIri {
            ip_iri_obj_id: asn1::octets(&self.edition.object(1)),
            ip_iri_contents: report.into(),
        }));
        Ok(self.iri(time, sequence, report.event.iri_type(), contents, None))
    }

    /// A summary of a flow, as an IRI report (iPIRIPacketReport).
    pub fn summary(&self, time: UtcMicros, direction: Direction, sequence: u32, summary: &Summary) -> Vec<u8> {
        let report = ip_access::PacketReport::Summary(summary.into());
        self.iri(time, sequence, IriType::Report, self.packet_report(report), Some(direction))
    }

    /// What stands at the front of every PDU.
    pub(super) fn into_header(self) -> asn1::PsHeader {
        self.header
    }

    /// A message about the delivery. Says if an operator's message is empty or too long.
    pub fn tri(&self, time: UtcMicros, sequence: u32, tri: &Tri) -> Result<Vec<u8>, NameError> {
        if let Tri::OperatorMessage { message, .. } = tri
            && !(1..=255).contains(&message.0.len())
        {
            return Err(NameError { field: "operatorLeaMessage", wanted: "1 to 255 octets" });
        }
        Ok(self.encoded(time, sequence, TimeQualifier::Mediation, asn1::Payload::Tri(tri.into())))
    }

    /// That the intercept began, changed or ended. `target` is the target as the agency named it.
    pub fn hi1(
        &self,
        time: UtcMicros,
        sequence: u32,
        change: Hi1Change,
        target: Option<&Label>,
    ) -> Result<Vec<u8>, NameError> {
        if target.is_some_and(|target| !(1..=256).contains(&target.0.len())) {
            return Err(NameError { field: "target-Information", wanted: "1 to 256 octets" });
        }
        let notification = hi1::Notification {
            lawful_interception_identifier: self.header.lawful_interception_identifier.clone(),
            time_stamp: hi1::TimeStamp::LocalTime(hi1::LocalTimeStamp {
                generalized_time: generalized(time),
                winter_summer_indication: hi1::WinterSummerIndication::NotProvided,
            }),
            target_information: target.map(|target| asn1::octets(&target.0)),
        };
        let operation = match change {
            Hi1Change::Activated => hi1::Hi1Operation::LiActivated(notification),
            Hi1Change::Deactivated => hi1::Hi1Operation::LiDeactivated(notification),
            Hi1Change::Modified => hi1::Hi1Operation::LiModified(notification),
        };
        Ok(self.encoded(time, sequence, TimeQualifier::Mediation, asn1::Payload::Hi1(operation)))
    }

    /// What [`content`](Self::content) writes, as the type of the standard.
    pub fn content_pdu(&self, time: UtcMicros, direction: Direction, sequence: u32, packet: Packet<'_>) -> asn1::PsPdu {
        let payload = asn1::CcPayload {
            payload_direction: Some(direction),
            cc_contents: self.cc_contents(packet),
            micro_second_time_stamp: None,
            time_stamp_qualifier: None,
        };
        self.pdu(time, sequence, TimeQualifier::Interception, asn1::Payload::Cc(vec![payload]))
    }

    /// What [`contents`](Self::contents) writes, as the type of the standard.
    pub fn contents_pdu(&self, time: UtcMicros, sequence: u32, members: &[Member<'_>]) -> asn1::PsPdu {
        let payload = |member: &Member<'_>| asn1::CcPayload {
            payload_direction: Some(member.direction),
            cc_contents: self.cc_contents(member.packet),
            micro_second_time_stamp: Some(member.time.into()),
            time_stamp_qualifier: Some(TimeQualifier::Interception),
        };
        let payload = asn1::Payload::Cc(members.iter().map(payload).collect());
        self.pdu(time, sequence, TimeQualifier::Aggregation, payload)
    }

    /// What [`header_report`](Self::header_report) writes, as the type of the standard.
    pub fn header_report_pdu(
        &self,
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        header: &[u8],
    ) -> asn1::PsPdu {
        let header = ip_access::PacketReportHeader { header: asn1::octets(header) };
        let payload = asn1::IriPayload {
            iri_type: Some(IriType::Report),
            iri_contents: self.packet_report(ip_access::PacketReport::Header(header)),
            payload_direction: Some(direction),
        };
        self.pdu(time, sequence, TimeQualifier::Interception, asn1::Payload::Iri(vec![payload]))
    }

    fn cc_contents(&self, packet: Packet<'_>) -> asn1::CcContents {
        let whole = asn1::octets(packet.octets);
        asn1::CcContents::Ip(ip_access::IpCc {
            ip_cc_obj_id: asn1::octets(&self.edition.object(2)),
            ip_cc_contents: match packet.original_length {
                None => ip_access::IpCcContents::IpPackets(whole),
                Some(original_length) => ip_access::IpCcContents::IpTruncatedPacket(ip_access::IpTruncatedPacket {
                    truncated_packet: whole,
                    original_length,
                }),
            },
        })
    }

    fn packet_report(&self, report: ip_access::PacketReport) -> asn1::IriContents {
        asn1::IriContents::PacketReport(ip_access::IpIriPacketReport {
            ip_iri_packet_report_obj_id: asn1::octets(&self.edition.object(4)),
            report,
        })
    }

    fn iri(
        &self,
        time: UtcMicros,
        sequence: u32,
        iri_type: IriType,
        iri_contents: asn1::IriContents,
        payload_direction: Option<Direction>,
    ) -> Vec<u8> {
        let payload = asn1::IriPayload { iri_type: Some(iri_type), iri_contents, payload_direction };
        self.encoded(time, sequence, TimeQualifier::Interception, asn1::Payload::Iri(vec![payload]))
    }

    fn encoded(&self, time: UtcMicros, sequence: u32, qualifier: TimeQualifier, payload: asn1::Payload) -> Vec<u8> {
        asn1::encode(&self.pdu(time, sequence, qualifier, payload))
    }

    fn pdu(&self, time: UtcMicros, sequence: u32, qualifier: TimeQualifier, payload: asn1::Payload) -> asn1::PsPdu {
        let ps_header = asn1::PsHeader {
            sequence_number: sequence,
            micro_second_time_stamp: time.into(),
            time_stamp_qualifier: qualifier,
            ..self.header.clone()
        };
        asn1::PsPdu { ps_header, payload }
    }
}
