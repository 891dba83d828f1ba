//! Makes traffic: the kernel runs this over frames of its own (`BPF_F_TEST_XDP_LIVE_FRAMES`), which go out of the
//! interface that they seem to have come in on. So many of a thousand go to targets; the others go between bystanders,
//! both of whose addresses are different in every frame.

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_TX};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_xdp_adjust_tail};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use core::ptr;

/// The frames made so far. One CPU makes them.
#[map]
static BENCH_SENT: Array<u64> = Array::with_max_entries(1, 0);

/// Frames of a thousand that go to a target; set at load.
#[unsafe(no_mangle)]
static BENCH_HITS: u32 = 0;

/// The first target's IPv4 address as a number; set at load.
#[unsafe(no_mangle)]
static BENCH_FIRST: u32 = 0;

/// How many targets there are, address after address; set at load.
#[unsafe(no_mangle)]
static BENCH_TARGETS: u32 = 1;

/// Not 0: a mix of lengths instead of one; set at load.
#[unsafe(no_mangle)]
static BENCH_IMIX: u32 = 0;

/// Not 0: the time of sending (`CLOCK_BOOTTIME`, nanoseconds, big endian) leads the payload of hits; set at load.
#[unsafe(no_mangle)]
static BENCH_STAMP: u32 = 0;

/// Where things stand in a frame without VLAN tags and IPv4 options.
const IP_LENGTH: usize = 14 + 2;
const ADDRESSES: usize = 14 + 12;
const UDP_LENGTH: usize = 14 + 20 + 4;
const PAYLOAD: usize = 14 + 20 + 8;

/// The longest frame of the mix, and the length of the frame that is given.
const LONGEST: u16 = 1514;

/// Sets the addresses and sends.
#[xdp]
pub fn bench_generate(ctx: XdpContext) -> u32 {
    let Some(sent) = BENCH_SENT.get_ptr_mut(0) else { return XDP_ABORTED };
    let start = ctx.data();
    if start + PAYLOAD + 8 > ctx.data_end() {
        return XDP_ABORTED;
    }
    // SAFETY: map memory; one CPU runs the generator.
    let number = unsafe {
        *sent += 1;
        *sent
    };
    // A multiplication that mixes (Knuth), so that neighbours in time are none in the tables.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b, c, d, e, f, ..] = mixed.to_be_bytes();
    let hits = u64::from(global(&raw const BENCH_HITS));
    // Evenly spread over the thousand.
    let is_hit = (number * hits) % 1000 < hits;
    // 10.0.0.0/8 and 100.64.0.0/16: nobody's in the lab.
    let destination = if is_hit {
        let place = ((mixed >> 32) as u32).checked_rem(global(&raw const BENCH_TARGETS)).unwrap_or(0);
        global(&raw const BENCH_FIRST).wrapping_add(place).to_be_bytes()
    } else {
        [100, 64, a, b]
    };
    let [p, q, r, s] = destination;
    // SAFETY: within the frame, as was just checked; bytes have no alignment.
    unsafe { ptr::write((start + ADDRESSES) as *mut [u8; 8], [10, c ^ d, e, f, p, q, r, s]) };
    if is_hit && global(&raw const BENCH_STAMP) != 0 {
        // SAFETY: the helper takes nothing; within the frame, as was checked.
        unsafe { ptr::write((start + PAYLOAD) as *mut [u8; 8], bpf_ktime_get_boot_ns().to_be_bytes()) };
    }
    if global(&raw const BENCH_IMIX) != 0 {
        return mix(&ctx, start, mixed);
    }
    XDP_TX
}

/// Gives the frame a length of the simple Internet mix: 7 of 60 octets, 4 of 594, 1 of 1514.
#[inline(always)]
fn mix(ctx: &XdpContext, start: usize, mixed: u64) -> u32 {
    let length = match (mixed >> 40) % 12 {
        0..=6 => 60,
        7..=10 => 594,
        _ => LONGEST,
    };
    if start + PAYLOAD > ctx.data_end() {
        return XDP_ABORTED;
    }
    // SAFETY: within the frame, as was just checked; bytes have no alignment.
    unsafe {
        ptr::write((start + IP_LENGTH) as *mut [u8; 2], (length - 14).to_be_bytes());
        ptr::write((start + UDP_LENGTH) as *mut [u8; 2], (length - 34).to_be_bytes());
    }
    // The kernel gives every frame its first length back before it runs the program again.
    // SAFETY: the helper checks the bounds.
    let cut = unsafe { bpf_xdp_adjust_tail(ctx.ctx, i32::from(length) - i32::from(LONGEST)) };
    if cut == 0 { XDP_TX } else { XDP_ABORTED }
}

/// What was set at load.
#[inline(always)]
fn global(place: *const u32) -> u32 {
    // SAFETY: a reference to a static is good for a read.
    unsafe { ptr::read_volatile(place) }
}
