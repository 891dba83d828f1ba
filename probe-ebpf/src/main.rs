//! The XDP program: decides in the kernel which frames of a tap port an intercept gets, and what of them.
//!
//! A frame comes from the driver. Its link layer is walked to the IP header (`ethernet`; what is not plain, `link` with
//! `mpls` and `pppoe`; on a mirror port out of its `tunnel` first), whose two addresses are looked up (`network`, `ipv4`,
//! `ipv6`, `lookup`), and its MAC addresses and VLAN if there are such targets (`link_target`). Only where one of them
//! belongs to an intercept, the slots are asked whether they want the packet now (`slots`, `condition`), the headers behind
//! the base header are walked (`extensions`, `transport`), where a target names a kind of traffic the ports are looked at
//! (`traffic`, `fragments`), content that nobody may have is cut off (`cut`), and the frame goes to the AF_XDP socket of its
//! queue with a
//! [`FrameHeader`](writ_abi::FrameHeader) in front (`handover`). Every other frame is dropped or goes its way, unless a
//! packet within its packet is to be looked at (`inner`).
//!
//! `survey` is another program over the same headers, for `writ tap survey`: it only counts.
//!
//! The base IP header alone decides, unless the target names a kind of traffic. What cannot be read behind it only shortens
//! what is handed over.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod condition;
mod count;
mod cut;
mod ethernet;
mod extensions;
mod fragments;
mod handover;
mod inner;
mod ipv4;
mod ipv6;
mod link;
mod link_target;
mod lookup;
mod maps;
mod mpls;
mod network;
mod packet;
mod pppoe;
mod scratch;
mod slots;
mod survey;
mod traffic;
mod transport;
mod tunnel;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::count::Counters;
use crate::ethernet::Plain;
use crate::network::{Family, Network};
use crate::scratch::Scratch;
use crate::slots::Fate;

/// For a tap port: what hits no target is dropped.
#[xdp]
#[inline(always)]
pub fn writ_drop(ctx: XdpContext) -> u32 {
    decide(&ctx, packet::length_of_one_buffer(&ctx), XDP_DROP)
}

/// For a shared port: what hits no target goes on to the host's network stack.
#[xdp]
#[inline(always)]
pub fn writ_pass(ctx: XdpContext) -> u32 {
    decide(&ctx, packet::length_of_one_buffer(&ctx), XDP_PASS)
}

/// For a port that mirrors send to in tunnels: what is no such tunnel is dropped.
#[xdp]
#[inline(always)]
pub fn writ_tun_drop(ctx: XdpContext) -> u32 {
    decide_mirrored(&ctx, packet::length_of_one_buffer(&ctx), XDP_DROP)
}

/// The same, on a port that the host uses too: what is no such tunnel goes on to the host's network stack.
#[xdp]
#[inline(always)]
pub fn writ_tun_pass(ctx: XdpContext) -> u32 {
    decide_mirrored(&ctx, packet::length_of_one_buffer(&ctx), XDP_PASS)
}

/// [`writ_drop`] on a port with jumbo frames, which come in several buffers. The kernel has to be told that a program can
/// live with those, and a port that has none is spared what drivers do differently then.
#[xdp(frags)]
#[inline(always)]
pub fn writ_jumbo_drop(ctx: XdpContext) -> u32 {
    decide(&ctx, packet::length(&ctx), XDP_DROP)
}

/// [`writ_pass`] on a port with jumbo frames.
#[xdp(frags)]
#[inline(always)]
pub fn writ_jumbo_pass(ctx: XdpContext) -> u32 {
    decide(&ctx, packet::length(&ctx), XDP_PASS)
}

/// [`writ_tun_drop`] on a port with jumbo frames.
#[xdp(frags)]
#[inline(always)]
pub fn writ_jtun_drop(ctx: XdpContext) -> u32 {
    decide_mirrored(&ctx, packet::length(&ctx), XDP_DROP)
}

/// [`writ_tun_pass`] on a port with jumbo frames.
#[xdp(frags)]
#[inline(always)]
pub fn writ_jtun_pass(ctx: XdpContext) -> u32 {
    decide_mirrored(&ctx, packet::length(&ctx), XDP_PASS)
}

/// For `writ tap survey` on a tap port: counts, and drops every frame. Whether there are jumbo frames is among the questions.
#[xdp(frags)]
pub fn writ_srv_drop(ctx: XdpContext) -> u32 {
    survey::look(&ctx);
    XDP_DROP
}

/// The same on a shared port: every frame goes on to the host's network stack.
#[xdp(frags)]
pub fn writ_srv_pass(ctx: XdpContext) -> u32 {
    survey::look(&ctx);
    XDP_PASS
}

#[inline(always)]
fn decide(ctx: &XdpContext, length: u32, on_miss: u32) -> u32 {
    // Without its counters the program could not account for what it takes, so it takes nothing.
    let Some(counters) = begin(length) else { return on_miss };
    if !maps::look_inside() && ethernet::is_bystanders(ctx) {
        counters.count(ProbeCounter::Misses);
        return on_miss;
    }
    match take(ctx, counters, length) {
        Ok(action) => action,
        Err(reason) => {
            counters.count_reason(reason);
            on_miss
        }
    }
}

#[inline(always)]
fn decide_mirrored(ctx: &XdpContext, length: u32, on_miss: u32) -> u32 {
    let Some(counters) = begin(length) else { return on_miss };
    let (reason, action) = match tunnel::open(ctx, reach(length)) {
        Ok(carried) => match take_mirrored(ctx, counters, length, carried) {
            Ok(action) => return action,
            // The host has no use for it, and would send the mirror an ICMP error.
            Err(reason) => (reason, XDP_DROP),
        },
        Err(reason) => (reason, on_miss),
    };
    counters.count_reason(reason);
    action
}

/// Counts the frame. `None`: it cannot be counted on this CPU.
#[inline(always)]
fn begin(length: u32) -> Option<Counters> {
    let counters = Counters::of_this_cpu()?;
    counters.add(ProbeCounter::Bytes, u64::from(length));
    Some(counters)
}

/// How far into a frame of this length the FrameHeader's offsets reach.
#[inline(always)]
fn reach(length: u32) -> u16 {
    if length > u32::from(u16::MAX) { u16::MAX } else { length as u16 }
}

/// Takes the frame if an intercept wants it, or says why not.
#[inline(always)]
fn take(ctx: &XdpContext, counters: Counters, length: u32) -> Result<u32, ProbeCounter> {
    let end = reach(length);
    let found = match ethernet::plain(ctx) {
        Plain::V4(ip) => {
            let (source, destination) = ipv4::addresses(ctx, ip)?;
            let found = lookup::v4(source, destination);
            go_on(length, found, Network { family: Family::V4, offset: ip as u16, end })?
        }
        Plain::V6(ip) => {
            let (source, destination) = ipv6::addresses(ctx, ip)?;
            let found = lookup::v6(source, destination);
            go_on(length, found, Network { family: Family::V6, offset: ip as u16, end })?
        }
        Plain::Other => look_up(ctx, length, link::find(ctx, 0, end)?, 0)?,
    };
    take_packet(ctx, counters, found)
}

/// Takes the frame if an intercept wants what the tunnel carries, or says why not.
#[inline(always)]
fn take_mirrored(
    ctx: &XdpContext,
    counters: Counters,
    length: u32,
    carried: tunnel::Carried,
) -> Result<u32, ProbeCounter> {
    let found = look_up(ctx, length, carried.network(ctx)?, FrameFlags::MIRRORED)?;
    take_packet(ctx, counters, found)
}

/// Enters a packet into the scratch if there is more to be asked about it.
#[inline(always)]
fn go_on(length: u32, found: bool, network: Network) -> Result<bool, ProbeCounter> {
    if !found && !maps::look_inside() && link_target::kinds() == 0 {
        return Err(ProbeCounter::Misses);
    }
    let Some(scratch) = Scratch::of_this_cpu() else { return Err(ProbeCounter::Misses) };
    scratch.header.link_offset = 0;
    scratch.begin(length, network, 0);
    Ok(found)
}

/// Enters a packet into the scratch, and looks up its addresses.
#[inline(always)]
fn look_up(ctx: &XdpContext, length: u32, network: Network, flags: u32) -> Result<bool, ProbeCounter> {
    let Some(scratch) = Scratch::of_this_cpu() else { return Err(ProbeCounter::Misses) };
    scratch.begin(length, network, flags);
    Ok(scratch.network().look_up(ctx))
}

/// Takes the frame if an intercept wants the packet in the scratch or the one in that. `found`: an intercept has one of its
/// addresses.
#[inline(always)]
fn take_packet(ctx: &XdpContext, counters: Counters, found: bool) -> Result<u32, ProbeCounter> {
    let Some(scratch) = Scratch::of_this_cpu() else { return Err(ProbeCounter::Misses) };
    let found = link_target::look_up(ctx, scratch, found);
    if found && let Some(action) = offer(ctx, scratch, counters) {
        return Ok(action);
    }
    if maps::look_inside() { look_inside(ctx, scratch, counters) } else { Err(ProbeCounter::Misses) }
}

/// Takes the frame if an intercept wants the packet within its packet.
#[inline(always)]
fn look_inside(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) -> Result<u32, ProbeCounter> {
    match inner::enter(ctx, scratch) {
        Ok(()) => {}
        Err(reason) => {
            if reason != ProbeCounter::Misses {
                counters.count_reason(reason);
            }
            return Err(ProbeCounter::Misses);
        }
    }
    if scratch.network().look_up(ctx)
        && let Some(action) = offer(ctx, scratch, counters)
    {
        return Ok(action);
    }
    if inner::is_outer(ctx, scratch) {
        counters.count(ProbeCounter::InnerDepth);
    }
    Err(ProbeCounter::Misses)
}

/// Offers a packet to the slots that its addresses refer to. `None`: none of them wants it.
#[inline(always)]
fn offer(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) -> Option<u32> {
    // SAFETY: a helper without arguments. It costs 30 ns, so only packets of a target pay for it.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    scratch.header.time_ns = now;
    if scratch.is_conditional() {
        ethernet::identify(ctx, scratch);
    }
    scratch.settle();
    slots::writ_judge(now);
    scratch.settle();
    if scratch.waiting != 0 || scratch.wanted() {
        walk(ctx, scratch);
    }
    if scratch.waiting != 0 {
        traffic::resolve(ctx, scratch, now);
    }
    let fate = if scratch.wanted() { hand_over(ctx, scratch, counters) } else { Fate::NotTaken };
    scratch.fate = fate as u32;
    scratch.settle();
    slots::writ_account();
    scratch.settle();
    // Read back, and not from a register: see `slots`.
    if scratch.fate == Fate::NotTaken as u32 {
        None
    } else if scratch.fate == Fate::HandedOver as u32 {
        Some(XDP_REDIRECT)
    } else {
        Some(XDP_DROP)
    }
}

/// Takes a packet that is wanted and whose headers have been walked: cuts what nobody may have, and hands over the rest.
#[inline(always)]
fn hand_over(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) -> Fate {
    counters.count(ProbeCounter::Hits);
    counters.count_place(scratch.stop);
    match handover::port(ctx, scratch, counters) {
        Some(socket) if cut::apply(ctx, scratch, counters) => handover::redirect(ctx, scratch, counters, socket),
        Some(_) => Fate::CutFailed,
        None => Fate::NoSocket,
    }
}

/// Walks the headers of a packet, once. What ended the walk before a transport header was read is in the scratch.
#[inline(always)]
fn walk(ctx: &XdpContext, scratch: &mut Scratch) {
    if scratch.stop != scratch::NOT_WALKED {
        return;
    }
    let stop = match scratch.family() {
        Family::V4 => ipv4::walk(ctx, scratch),
        Family::V6 => ipv6::walk(ctx, scratch),
    };
    scratch.stop = stop.map_or(scratch::ARRIVED, |stop| stop as u32);
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier accepts no program in which this could be reached.
    loop {}
}

/// The kernel lends its helpers to programs under the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// What user space compares with its own before it loads the object.
#[unsafe(link_section = "writ_abi")]
#[unsafe(no_mangle)]
static WRIT_ABI: [u8; 2] = writ_abi::ABI_VERSION.to_le_bytes();
