//! The values of IPAccessPDU (TS 102 232-3): content of IP packets, events of access, reports of packets.

use std::net::{IpAddr, Ipv4Addr};

use super::{CcContents, IriContents, unsupported};
use crate::etsi::read::{Fault, Result, Value};
use crate::etsi::records::{AccessReport, Address, Indications, PopIdentifier, Summary};

/// A RELATIVE-OID of li-ps(5) iPAccess(3), of any version, and of this part of it. Some write it as an OBJECT
/// IDENTIFIER, with all arcs.
fn object(value: Value<'_>, part: u8) -> Result<()> {
    let octets = value.octets(1..=usize::MAX)?;
    let relative = octets.strip_prefix(&[4, 0, 2, 2]).unwrap_or(octets);
    match *relative {
        [5, 3, 0..0x80, last] | [5, 3, 0x81..=0xff, 0..0x80, last] if last == part => Ok(()),
        _ => Err(value.fault(Fault::Object)),
    }
}

/// IPCC.
pub(super) fn content(value: Value<'_>) -> Result<CcContents> {
    let mut members = value.members()?;
    members.required(0, "iPCCObjId", |value| object(value, 2))?;
    let contents = members.required(1, "iPCCContents", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            0 => value.any_octets().map(CcContents::Packet),
            1 => {
                let mut members = value.members()?;
                let packet = members.required(0, "truncatedPacket", Value::any_octets)?;
                let original_length = members.optional(1, "originalLength", |value| value.unsigned(u64::MAX))?;
                members.finish(2)?;
                Ok(CcContents::Truncated { packet, original_length })
            }
            _ => Ok(CcContents::Unsupported(unsupported("IPCCContents", value))),
        }
    })?;
    members.finish(2)?;
    Ok(contents)
}

/// IPIRIPacketReport.
pub(super) fn report(value: Value<'_>) -> Result<IriContents> {
    let mut members = value.members()?;
    members.required(0, "iPIRIPacketReportObjId", |value| object(value, 4))?;
    let report = members.required(1, "report", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            1 => {
                let mut members = value.members()?;
                let header = members.required(1, "header", Value::any_octets)?;
                members.finish(2)?;
                Ok(IriContents::Header(header))
            }
            2 => summary(value).map(IriContents::Summary),
            _ => Ok(IriContents::Unsupported(unsupported("PacketReport", value))),
        }
    })?;
    members.finish(2)?;
    Ok(report)
}

fn summary(value: Value<'_>) -> Result<Summary> {
    let mut members = value.members()?;
    let summary = Summary {
        header: members.required(1, "header", Value::any_octets)?,
        indications: Indications(members.required(2, "indications", Value::bits)?),
        trigger: members.required(3, "trigger", Value::enumerated)?,
        packets: members.optional(4, "packetCount", |value| value.unsigned(u64::MAX))?,
        octets: members.optional(5, "byteCount", |value| value.unsigned(u64::MAX))?,
        first: members.optional(6, "firstTimestamp", Value::time)?,
        last: members.optional(7, "lastTimestamp", Value::time)?,
    };
    members.finish(8)?;
    Ok(summary)
}

/// IPIRI.
pub(super) fn event(value: Value<'_>) -> Result<IriContents> {
    let mut members = value.members()?;
    members.required(0, "iPIRIObjId", |value| object(value, 1))?;
    let contents = members.required(1, "iPIRIContents", access)?;
    members.finish(2)?;
    Ok(contents)
}

fn access(value: Value<'_>) -> Result<IriContents> {
    let mut members = value.members()?;
    let event = members.required(0, "accessEventType", Value::enumerated)?;
    let username = members.required(1, "targetUsername", |value| value.label(0..=usize::MAX))?;
    let access_type = members.required(2, "internetAccessType", Value::enumerated)?;
    let ip_version = members.required(3, "iPVersion", Value::enumerated)?;
    let mut report = AccessReport::new(event, username, access_type, ip_version);
    report.address = members.optional(4, "targetIPAddress", address)?;
    report.network_id = members.optional(5, "targetNetworkID", |value| value.utf8(1..=20))?;
    report.cpe_id = members.optional(6, "targetCPEID", |value| value.utf8(1..=128))?;
    report.location = members.optional(7, "targetLocation", |value| value.utf8(1..=64))?;
    report.pop_port = members.optional(8, "pOPPortNumber", Value::unsigned_32)?;
    report.call_back_number = members.optional(9, "callBackNumber", |value| value.utf8(1..=20))?;
    report.start = members.optional(10, "startTime", Value::time)?;
    report.end = members.optional(11, "endTime", Value::time)?;
    report.end_reason = members.optional(12, "endReason", Value::enumerated)?;
    report.octets_received = members.optional(13, "octetsReceived", |value| value.unsigned(u64::MAX))?;
    report.octets_transmitted = members.optional(14, "octetsTransmitted", |value| value.unsigned(u64::MAX))?;
    report.raw_aaa = members.optional(15, "rawAAAData", Value::any_octets)?;
    report.expected_end = members.optional(16, "expectedEndTime", Value::time)?;
    report.pop_phone_number = members.optional(17, "pOPPhoneNumber", |value| value.utf8(1..=20))?;
    report.pop_identifier = members.optional(18, "pOPIdentifier", |value| pop(value.choice()?))?.flatten();
    report.pop_address = members.optional(19, "pOPIPAddress", address)?;
    let mut unread = members.unread(|tag| tag == 20)?;
    report.additional_address = members.optional(21, "additionalIPAddress", address)?;
    report.authentication = members.optional(22, "authenticationType", Value::enumerated)?;
    report.other_addresses = members
        .optional(23, "otherTargetIdentifiers", |value| {
            value.each(|value| match value.alternative()? {
                0 => address(value).map(Some),
                _ => Ok(None),
            })
        })?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    unread.extend(members.unread(|tag| tag == 24)?);
    report.pop_port_id = members.optional(25, "pOPPortID", |value| value.label(0..=usize::MAX))?;
    report.framed_routes = members
        .optional(26, "framedRoutes", |value| {
            value.each(|value| match value.alternative()? {
                0 => value.label(0..=usize::MAX).map(Some),
                _ => Ok(None),
            })
        })?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    unread.extend(members.unread(|tag| tag > 26)?);
    members.finish(27)?;
    Ok(IriContents::Access { report: Box::new(report), unread })
}

fn pop(value: Value<'_>) -> Result<Option<PopIdentifier>> {
    Ok(match value.alternative()? {
        0 => Some(PopIdentifier::Printable(value.utf8(1..=128)?)),
        1 => {
            let mac = value.octets(6..=6)?.try_into().map_err(|_| value.fault(Fault::Size))?;
            Some(PopIdentifier::Mac(mac))
        }
        2 => Some(PopIdentifier::Address(address(value)?)),
        _ => None,
    })
}

/// IPAddress.
fn address(value: Value<'_>) -> Result<Address> {
    let mut members = value.members()?;
    let is_v6 = members.required(1, "iP-type", |value| value.unsigned(1))? == 1;
    let (address, length) = members.required(2, "iP-value", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            1 => binary(value.octets(4..=16)?).map(|address| (address, None)),
            2 => text(value.octets(7..=45)?),
            _ => return Err(value.fault(Fault::Unexpected)),
        }
        .filter(|(address, _)| address.is_ipv6() == is_v6)
        .ok_or(value.fault(Fault::Address))
    })?;
    let assignment = members.optional(3, "iP-assignment", Value::enumerated)?;
    let prefix = members.optional(4, "iPv6PrefixLength", |value| match value.unsigned(128)? {
        0 => Err(value.fault(Fault::Range)),
        length => u8::try_from(length).map_err(|_| value.fault(Fault::Range)),
    })?;
    let mask = members.optional(5, "iPv4SubnetMask", |value| {
        let octets: [u8; 4] = value.octets(4..=4)?.try_into().map_err(|_| value.fault(Fault::Size))?;
        let mask = Ipv4Addr::from(octets).to_bits();
        // Ones, then zeros: at most 32.
        if mask.leading_ones() + mask.trailing_zeros() < 32 {
            return Err(value.fault(Fault::Address));
        }
        Ok(mask.leading_ones() as u8)
    })?;
    let translated = members.optional(6, "iP-NAT-translated", Value::boolean)?;
    members.finish(7)?;
    let prefix_length = if is_v6 { prefix } else { mask }.or(length);
    Ok(Address { address, prefix_length, assignment, translated })
}

fn binary(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// An address, perhaps with the length of a prefix behind a slash.
fn text(octets: &[u8]) -> Option<(IpAddr, Option<u8>)> {
    let text = std::str::from_utf8(octets).ok()?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| length <= most).then_some((address, length))
}
