//! Makes traffic: the kernel runs this over frames of its own (`BPF_F_TEST_XDP_LIVE_FRAMES`), which go out of the
//! interface that they seem to have come in on. So many of a hundred go to a target; the others go between bystanders,
//! both of whose addresses are different in every frame.

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_TX};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use core::ptr;

/// The frames made so far. One CPU makes them.
#[map]
static BENCH_SENT: Array<u64> = Array::with_max_entries(1, 0);

/// Frames of a hundred that go to the target; set at load.
#[unsafe(no_mangle)]
static BENCH_HITS: u32 = 0;

/// The target's IPv4 address in the order in which it stands in the packet; set at load.
#[unsafe(no_mangle)]
static BENCH_TARGET: [u8; 4] = [0; 4];

/// Where the source address stands in a frame without VLAN tags; the destination follows.
const ADDRESSES: usize = 14 + 12;

/// Sets the addresses and sends.
#[xdp]
pub fn bench_generate(ctx: XdpContext) -> u32 {
    let Some(sent) = BENCH_SENT.get_ptr_mut(0) else { return XDP_ABORTED };
    let start = ctx.data() + ADDRESSES;
    if start + 8 > ctx.data_end() {
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
    // SAFETY: references to statics are good for a read.
    let (hits, target) =
        unsafe { (ptr::read_volatile(&raw const BENCH_HITS), ptr::read_volatile(&raw const BENCH_TARGET)) };
    // 10.0.0.0/8 and 100.64.0.0/16: nobody's in the lab.
    let destination = if (number % 100) < u64::from(hits) { target } else { [100, 64, a, b] };
    let [p, q, r, s] = destination;
    // SAFETY: within the frame, as was just checked; bytes have no alignment.
    unsafe { ptr::write(start as *mut [u8; 8], [10, c ^ d, e, f, p, q, r, s]) };
    XDP_TX
}
