//! The program of `writ tap survey`: looks at what a tap shows and keeps numbers of it. Frames come from the driver as to
//! the capture program, and their headers are walked by the same code; on a mirror port those of the frame in its
//! tunnel. Nothing but counters leaves the kernel: no frame reaches user space, and flows and packets are known by keyed
//! digests alone (`digest`), whose key nobody keeps.
//!
//! A flow's two directions can come in on two CPUs at once, and then an update of its entry can get lost: these are
//! figures of a tap, not evidence.

mod digest;
mod flow;
mod packets;
mod signalling;
mod tally;

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter, SurveyCounter};

use crate::ethernet::{self, CUSTOMER_TAG, MAX_LENGTH, OLD_SERVICE_TAG, SERVICE_TAG};
use crate::network::{Family, Network};
use crate::scratch::Scratch;
use crate::transport::{SCTP, TCP, UDP};
use crate::tunnel::{self, Carried, GRE};
use crate::{ipv4, ipv6, link, mpls, packet, pppoe};
use tally::Tally;

/// Length of a MAC header without tags.
const ETHERNET: u16 = 14;
const TAG: u16 = 4;

/// Counts a frame, and all that its headers say.
#[inline(always)]
pub fn look(ctx: &XdpContext) {
    let Some(tally) = Tally::of_this_cpu() else { return };
    let length = packet::length(ctx);
    tally.size(length);
    let end = crate::reach(length);
    if let Err(reason) = surveyed(ctx, tally, length, end) {
        tally.count(match reason {
            ProbeCounter::NotIp => SurveyCounter::NotIp,
            _ => SurveyCounter::Unreadable,
        });
    }
}

#[inline(always)]
fn surveyed(ctx: &XdpContext, tally: Tally, length: u32, end: u16) -> Result<(), ProbeCounter> {
    let Some(scratch) = Scratch::of_this_cpu() else { return Err(ProbeCounter::NotIp) };
    // What is no tunnel on a mirror port is looked at as it is, and so is a packet that a tunnel carries without a frame.
    let (start, end) = match tunnel::open(ctx, end) {
        Ok(Carried::Frame { start, end }) => (start, end),
        _ => (0, end),
    };
    let (start, end) = scratch.settled(start, end);
    link_layer(ctx, tally, start, end)?;
    let network = link::find(ctx, start, end)?;
    scratch.begin(length, network, 0);
    let stated_end = stated_end(ctx, scratch.network())?;
    match scratch.family() {
        Family::V4 => {
            tally.count(SurveyCounter::Ipv4);
            tally.add(SurveyCounter::Ipv4Bytes, length.into());
        }
        Family::V6 => {
            tally.count(SurveyCounter::Ipv6);
            tally.add(SurveyCounter::Ipv6Bytes, length.into());
        }
    }
    let truncated = stated_end > scratch.network().end.into();
    tally.count_if(SurveyCounter::Truncated, truncated);
    // What ends the walk makes no difference here.
    let _ = crate::walk(ctx, scratch);
    scratch.settle();
    let fragment = scratch.header.flags & FrameFlags::FRAGMENT != 0;
    tally.count_if(SurveyCounter::Fragments, fragment);
    if !fragment {
        transport(ctx, tally, scratch, stated_end);
    }
    packets::compare(ctx, tally, scratch);
    Ok(())
}

/// Tags, labels and sessions.
#[inline(always)]
fn link_layer(ctx: &XdpContext, tally: Tally, start: u16, end: u16) -> Result<(), ProbeCounter> {
    let (kind, offset) = match ethernet::payload(ctx, start, end) {
        Err(ProbeCounter::VlanDepth) => {
            tally.count(SurveyCounter::MoreTags);
            return Err(ProbeCounter::VlanDepth);
        }
        found => found?,
    };
    match (offset - start - ETHERNET) / TAG {
        0 => {}
        1 => tally.count(SurveyCounter::OneTag),
        2 => tally.count(SurveyCounter::TwoTags),
        _ => tally.count(SurveyCounter::ThreeTags),
    }
    if let Some(first) = packet::load::<2>(ctx, start + ETHERNET - 2) {
        match u16::from_be_bytes(first) {
            CUSTOMER_TAG => tally.count(SurveyCounter::CustomerTag),
            SERVICE_TAG => tally.count(SurveyCounter::ServiceTag),
            OLD_SERVICE_TAG => tally.count(SurveyCounter::OldServiceTag),
            _ => {}
        }
    }
    match kind {
        pppoe::SESSION => tally.count(SurveyCounter::PppoeSession),
        signalling::PPPOE_DISCOVERY => tally.count(SurveyCounter::PppoeDiscovery),
        ..=MAX_LENGTH => tally.count(SurveyCounter::Llc),
        kind if mpls::announced(kind) => tally.count(SurveyCounter::Mpls),
        _ => {}
    }
    Ok(())
}

/// Where the packet ends by its base header: in the frame, or behind it.
#[inline(always)]
fn stated_end(ctx: &XdpContext, network: Network) -> Result<u32, ProbeCounter> {
    let ip = u32::from(network.offset);
    let Some(base) = packet::load::<8>(ctx, network.offset) else { return Err(ProbeCounter::TooShort) };
    Ok(match network.family {
        Family::V4 => ip + u32::from(u16::from_be_bytes([base[2], base[3]])),
        Family::V6 => ip + u32::from(ipv6::BASE_LENGTH) + u32::from(u16::from_be_bytes([base[4], base[5]])),
    })
}

/// What is behind the IP headers of a packet that is no fragment.
#[inline(always)]
fn transport(ctx: &XdpContext, tally: Tally, scratch: &mut Scratch, packet_end: u32) {
    let known = scratch.header.flags & FrameFlags::TRANSPORT != 0;
    let offset = scratch.header.transport_offset;
    match scratch.header.protocol {
        TCP if known => {
            flow::follow(ctx, tally, scratch, packet_end);
            signalling::stream(ctx, tally, offset);
        }
        SCTP if known => signalling::stream(ctx, tally, offset),
        UDP if known => signalling::datagram(ctx, tally, offset),
        GRE => signalling::gre(ctx, tally, scratch.header.header_end),
        _ => {}
    }
}

/// The addresses of the packet, as the words of a digest.
#[inline(always)]
fn addresses(ctx: &XdpContext, network: Network) -> Option<[[u64; 2]; 2]> {
    match network.family {
        Family::V4 => {
            let source: [u8; 4] = packet::load(ctx, network.offset + ipv4::SOURCE)?;
            let destination: [u8; 4] = packet::load(ctx, network.offset + ipv4::DESTINATION)?;
            let word = |address: [u8; 4]| [u64::from(u32::from_ne_bytes(address)), 0];
            Some([word(source), word(destination)])
        }
        Family::V6 => {
            let source: [u8; 16] = packet::load(ctx, network.offset + ipv6::SOURCE)?;
            let destination: [u8; 16] = packet::load(ctx, network.offset + ipv6::DESTINATION)?;
            Some([digest::words(source), digest::words(destination)])
        }
    }
}
