//! What the probe's program is compared with.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use core::ptr;
use writ_abi::FrameHeader;

const ETHERNET: usize = 14;

/// The cheapest program there is, and the rate at which a link can be drained at all.
#[xdp]
pub fn bench_drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Hands every frame to the host's network stack, where a packet socket finds it.
#[xdp]
pub fn bench_pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// Finds the two addresses, as any program has to that decides by them, and does nothing with them.
#[xdp]
pub fn bench_parse(ctx: XdpContext) -> u32 {
    let kind = word::<2>(&ctx, 12);
    let seen = match kind {
        Some([0x08, 0x00]) => word::<20>(&ctx, ETHERNET).map(|header| fold(&header[12..])),
        Some([0x86, 0xdd]) => word::<40>(&ctx, ETHERNET).map(|header| fold(&header[8..])),
        _ => None,
    };
    // An answer that depends on every byte keeps the compiler from leaving out the reads.
    if seen == Some(0) { XDP_PASS } else { XDP_DROP }
}

/// Does to the frame what a hit does, and no more: makes room for the FrameHeader. What a hit is compared with.
#[xdp]
pub fn bench_shift(ctx: XdpContext) -> u32 {
    // SAFETY: the helper checks the bounds.
    _ = unsafe { bpf_xdp_adjust_head(ctx.ctx, -(FrameHeader::SIZE as i32)) };
    XDP_DROP
}

#[inline(always)]
fn word<const N: usize>(ctx: &XdpContext, offset: usize) -> Option<[u8; N]> {
    let start = ctx.data() + offset;
    // SAFETY: within the frame, as was just checked; bytes have no alignment.
    (start + N <= ctx.data_end()).then(|| unsafe { ptr::read(start as *const [u8; N]) })
}

/// All addresses folded to one word.
#[inline(always)]
fn fold(addresses: &[u8]) -> u32 {
    let words = addresses.chunks_exact(4);
    words.fold(0, |sum, word| sum ^ u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}
