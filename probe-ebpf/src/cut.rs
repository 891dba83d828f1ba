//! The cut: where every slot that wants the packet is entitled to its headers only, the content does not leave the
//! kernel. Where another slot may have the content, user space makes the same cut from the same two numbers.

use aya_ebpf::check_bounds_signed;
use aya_ebpf::helpers::{bpf_xdp_adjust_tail, bpf_xdp_store_bytes};
use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, MAX_OPTION_SPANS, ProbeCounter};

use crate::count::Counters;
use crate::maps::WRIT_ZEROS;
use crate::packet;
use crate::scratch::Scratch;

/// Cuts if nobody may have more. False: the cut failed and has been counted; the frame must not leave the kernel.
#[inline(always)]
pub fn apply(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) -> bool {
    if scratch.content_wanted() {
        return true;
    }
    let done = blank_options(ctx, scratch).is_some() && trim(ctx, scratch);
    if done {
        scratch.header.flags |= FrameFlags::CUT;
        counters.count(ProbeCounter::Cut);
    } else {
        counters.count(ProbeCounter::CutFailed);
    }
    done
}

#[inline(always)]
fn blank_options(ctx: &XdpContext, scratch: &Scratch) -> Option<()> {
    if scratch.option_spans == 0 {
        return Some(());
    }
    let zeros = WRIT_ZEROS.get_ptr_mut(0)?;
    for i in 0..MAX_OPTION_SPANS {
        let span = scratch.header.options[i];
        let length = i64::from(span.length);
        if length == 0 {
            continue;
        }
        // As a range, in this very form: the verifier of Linux 6.1 learns no lower bound from the test above, and the
        // compiler would turn `length < 1` into it. A length that may be 0 is refused with the whole program.
        if !check_bounds_signed(length, 1, Scratch::LONGEST_OPTIONS as i64) {
            return None;
        }
        // SAFETY: the helper reads `length` bytes of the zeros, which are there, and writes within the frame or not
        // at all.
        let failed = unsafe { bpf_xdp_store_bytes(ctx.ctx, span.offset.into(), zeros.cast(), length as u32) };
        if failed != 0 {
            return None;
        }
    }
    Some(())
}

/// Ends the frame where its headers end, and makes sure that it does end there.
#[inline(always)]
fn trim(ctx: &XdpContext, scratch: &Scratch) -> bool {
    let end = u32::from(scratch.header.header_end);
    let surplus = scratch.header.wire_length as i32 - end as i32;
    if surplus != 0 {
        // SAFETY: the helper checks the bounds.
        let failed = unsafe { bpf_xdp_adjust_tail(ctx.ctx, -surplus) };
        if failed != 0 {
            return false;
        }
    }
    packet::length(ctx) == end
}
