//! One frame, many runs. `BPF_PROG_TEST_RUN` gives each run the frame that the run before has left, so from the second
//! run on a hit would be timed as a miss. The entry puts the frame back as it was and then calls the program under
//! test, whatever that is; so every program is timed through it, and its own cost stands on both sides of a comparison.

use aya_ebpf::bindings::xdp_action::XDP_ABORTED;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::XdpContext;
use core::arch::asm;
use core::ptr;
use writ_abi::FrameHeader;

/// The program under test, alone.
#[map]
static BENCH_TESTED: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Source and destination address as they stand in the packet: 8 bytes for IPv4, 32 for IPv6.
#[map]
static BENCH_PAIRS: Array<[u64; 4]> = Array::with_max_entries(PAIRS, 0);

/// How many pairs there are: more look-ups than a cache near the processor holds.
const PAIRS: u32 = 1 << 17;

/// Runs so far.
#[map]
static BENCH_RUNS: Array<u64> = Array::with_max_entries(1, 0);

/// Length of the frame before any run; set at load.
#[unsafe(no_mangle)]
static BENCH_LENGTH: u32 = 60;

/// Undoes the run before and runs the program under test.
#[xdp]
pub fn bench_entry(ctx: XdpContext) -> u32 {
    // SAFETY: a reference to a static is good for a read.
    let wanted = unsafe { ptr::read_volatile(&raw const BENCH_LENGTH) };
    // SAFETY: the context is the program's own.
    let found = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
    if found != wanted {
        // A header in front; behind it perhaps less than there was, and content is not looked at again.
        // SAFETY: the helpers check the bounds.
        _ = unsafe { bpf_xdp_adjust_head(ctx.ctx, FrameHeader::SIZE as i32) };
        let cut = wanted as i32 - (found as i32 - FrameHeader::SIZE as i32);
        if cut != 0 {
            // SAFETY: as above.
            _ = unsafe { bpf_xdp_adjust_tail(ctx.ctx, cut) };
        }
    }
    address(&ctx);
    // SAFETY: the map holds XDP programs only; the kernel sees to that.
    unsafe { BENCH_TESTED.tail_call(&ctx, 0) };
    XDP_ABORTED
}

/// Writes the next pair of addresses into the frame.
#[inline(always)]
fn address(ctx: &XdpContext) {
    let Some(runs) = BENCH_RUNS.get_ptr_mut(0) else { return };
    // SAFETY: map memory; one CPU runs the bench.
    let number = unsafe {
        *runs += 1;
        *runs
    };
    let Some(pair) = BENCH_PAIRS.get_ptr(number as u32 % PAIRS) else { return };
    let start = ctx.data();
    if start + 14 + 40 > ctx.data_end() {
        return;
    }
    // SAFETY: map memory, which nobody writes to while the bench runs, and bytes of the frame that were just checked.
    unsafe {
        let [first, second, third, fourth] = *pair;
        if *((start + 12) as *const u8) == 0x86 {
            put::<{ 14 + 8 }>(start, first);
            put::<{ 14 + 16 }>(start, second);
            put::<{ 14 + 24 }>(start, third);
            put::<{ 14 + 32 }>(start, fourth);
        } else {
            put::<{ 14 + 12 }>(start, first);
        }
    }
}

/// Writes eight bytes at once. The compiler would take them apart, and a program that reads several of them at once then waits
/// until all stores before it have left for the cache, those of the run before included: no run would overlap the next, as the
/// ways of two packets do that a card has written to memory.
///
/// # Safety
/// They are within the frame.
#[inline(always)]
unsafe fn put<const OFFSET: usize>(start: usize, word: u64) {
    // SAFETY: as the caller has it.
    unsafe {
        asm!("*(u64 *)({start} + {offset}) = {word}", start = in(reg) start, word = in(reg) word,
            offset = const OFFSET, options(nostack));
    }
}
