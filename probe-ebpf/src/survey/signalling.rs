//! Which signalling and which mirror tunnels a tap shows, told by port numbers and, where that is cheap, by the first
//! bytes of the message.

use aya_ebpf::programs::XdpContext;
use writ_abi::SurveyCounter;

use super::tally::Tally;
use crate::ethernet::{IPV4, IPV6};
use crate::packet;
use crate::tunnel::{BRIDGED, ERSPAN_I_OR_II, ERSPAN_III, TZSP_PORT, VXLAN_PORT};

/// EtherType of PPPoE discovery (RFC 2516).
pub const PPPOE_DISCOVERY: u16 = 0x8863;

const UDP_HEADER: u16 = 8;
/// RADIUS (RFC 2865, 2866, 5176), and the ports in use before these.
const RADIUS: [u16; 5] = [1812, 1813, 1645, 1646, 3799];
const DHCP_V4: [u16; 2] = [67, 68];
const DHCP_V6: [u16; 2] = [546, 547];
const DIAMETER: u16 = 3868;
const L2TP: u16 = 1701;
const GTP_C: u16 = 2123;

/// What runs over TCP or SCTP: Diameter.
#[inline(always)]
pub fn stream(ctx: &XdpContext, tally: Tally, offset: u16) {
    let Some([s0, s1, d0, d1]) = packet::load::<4>(ctx, offset) else { return };
    let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
    tally.count_if(SurveyCounter::Diameter, ports[0] == DIAMETER || ports[1] == DIAMETER);
}

/// What runs over UDP.
#[inline(always)]
pub fn datagram(ctx: &XdpContext, tally: Tally, offset: u16) {
    let Some(header) = packet::load::<8>(ctx, offset) else { return };
    let Some([first, second, length @ ..]) = packet::load::<4>(ctx, offset + UDP_HEADER) else { return };
    let source = u16::from_be_bytes([header[0], header[1]]);
    let destination = u16::from_be_bytes([header[2], header[3]]);
    let either = |port| source == port || destination == port;
    let payload = u16::from_be_bytes([header[4], header[5]]).wrapping_sub(UDP_HEADER);
    if either(RADIUS[0]) || either(RADIUS[1]) || either(RADIUS[2]) || either(RADIUS[3]) || either(RADIUS[4]) {
        // Its own length is that of the datagram (RFC 2865 section 3).
        tally.count_if(SurveyCounter::Radius, u16::from_be_bytes(length) == payload);
    } else if either(DHCP_V4[0]) || either(DHCP_V4[1]) {
        // A request or a reply.
        tally.count_if(SurveyCounter::DhcpV4, first == 1 || first == 2);
    } else if either(DHCP_V6[0]) || either(DHCP_V6[1]) {
        tally.count_if(SurveyCounter::DhcpV6, first != 0);
    } else if either(L2TP) {
        // Version 2 or 3 (RFC 2661, 3931).
        tally.count_if(SurveyCounter::L2tp, second & 15 == 2 || second & 15 == 3);
    } else if either(GTP_C) {
        // Version 1 or 2.
        tally.count_if(SurveyCounter::GtpC, first >> 5 == 1 || first >> 5 == 2);
    } else if destination == VXLAN_PORT {
        tally.count_if(SurveyCounter::Vxlan, first & 8 != 0);
    } else if destination == TZSP_PORT {
        tally.count_if(SurveyCounter::Tzsp, first == 1);
    }
}

/// What GRE carries.
#[inline(always)]
pub fn gre(ctx: &XdpContext, tally: Tally, offset: u16) {
    let Some([_, _, kind @ ..]) = packet::load::<4>(ctx, offset) else { return };
    match u16::from_be_bytes(kind) {
        BRIDGED | IPV4 | IPV6 => tally.count(SurveyCounter::Gre),
        ERSPAN_I_OR_II | ERSPAN_III => tally.count(SurveyCounter::Erspan),
        _ => {}
    }
}
