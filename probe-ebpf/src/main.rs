//! The XDP program: decides in the kernel which frames of a tap port an intercept gets, and what of them.
//!
//! A frame comes from the driver. Its link layer is walked to the IP header, whose two addresses are looked up
//! (`ethernet`, `ipv4`, `ipv6`, `lookup`). Only where one of them belongs to an intercept, the slots are asked whether
//! they want the packet now (`slots`), the headers behind the base header are walked (`ipv4`, `ipv6`, `transport`),
//! content that nobody may have is cut off (`cut`), and the frame goes to the AF_XDP socket of its queue with a
//! [`FrameHeader`](writ_abi::FrameHeader) in front (`handover`). Every other frame is dropped or goes its way.
//!
//! The base IP header alone decides. What cannot be read behind it only shortens what is handed over.
#![no_std]
#![no_main]

mod count;
mod cut;
mod ethernet;
mod handover;
mod ipv4;
mod ipv6;
mod lookup;
mod maps;
mod packet;
mod scratch;
mod slots;
mod transport;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::count::Counters;
use crate::ethernet::Network;
use crate::slots::Fate;

/// For a tap port: what hits no target is dropped.
#[xdp]
pub fn writ_drop(ctx: XdpContext) -> u32 {
    decide(&ctx, XDP_DROP)
}

/// For a shared port: what hits no target goes on to the host's network stack.
#[xdp]
pub fn writ_pass(ctx: XdpContext) -> u32 {
    decide(&ctx, XDP_PASS)
}

#[inline(always)]
fn decide(ctx: &XdpContext, on_miss: u32) -> u32 {
    // Without its counters the program could not account for what it takes, so it takes nothing.
    let Some(counters) = Counters::of_this_cpu() else { return on_miss };
    let length = packet::length(ctx);
    counters.count(ProbeCounter::Frames);
    counters.add(ProbeCounter::Bytes, u64::from(length));
    take(ctx, counters, length).unwrap_or(on_miss)
}

/// Takes the frame if an intercept wants it. `None`: no intercept does, which has been counted.
#[inline(always)]
fn take(ctx: &XdpContext, counters: Counters, length: u32) -> Option<u32> {
    let network = ethernet::network(ctx, counters)?;
    let (scratch, ip) = match network {
        Network::V4(ip) => (ipv4::look_up(ctx, ip, counters)?, ip),
        Network::V6(ip) => (ipv6::look_up(ctx, ip, counters)?, ip),
    };

    // SAFETY: a helper without arguments. It costs 30 ns, so only packets of a target pay for it.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    scratch.begin(now, length, ip);
    slots::judge(scratch, now);
    if !scratch.wanted() {
        counters.count(ProbeCounter::Misses);
        slots::account(scratch, counters, Fate::NotTaken);
        return None;
    }
    counters.count(ProbeCounter::Hits);

    match network {
        Network::V4(_) => ipv4::walk(ctx, scratch, counters),
        Network::V6(_) => {
            scratch.header.flags |= FrameFlags::IPV6;
            ipv6::walk(ctx, scratch, counters);
        }
    }
    let fate = match handover::port(ctx, counters) {
        Some(socket) if cut::apply(ctx, scratch, counters) => handover::redirect(ctx, scratch, counters, socket),
        Some(_) => Fate::CutFailed,
        None => Fate::NoSocket,
    };
    slots::account(scratch, counters, fate);
    Some(if matches!(fate, Fate::HandedOver) { XDP_REDIRECT } else { XDP_DROP })
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
static WRIT_ABI: u32 = writ_abi::ABI_VERSION;
