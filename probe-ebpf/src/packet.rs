//! Reading the frame. Two ways: by pointer where the place is fixed but for VLAN tags, which is what nearly every frame
//! pays for; by a helper where the place depends on what the frame says. The helper checks the bounds in the kernel, so
//! a hostile length is no matter for the verifier, and it reads on where a jumbo frame goes on in its next buffer.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use core::mem::MaybeUninit;

/// Length of a frame that is in one buffer, as every frame is that comes to a program without `xdp.frags`: the same without
/// a call.
#[inline(always)]
pub fn length_of_one_buffer(ctx: &XdpContext) -> u32 {
    (ctx.data_end() - ctx.data()) as u32
}

/// Length of the frame, over all its buffers. (`data_end - data` is the first buffer only.)
#[inline(always)]
pub fn length(ctx: &XdpContext) -> u32 {
    // SAFETY: the context is the program's own.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) as u32 }
}

/// The `T` at a small offset, if it is wholly in the first buffer. `T` must be readable at any address.
#[inline(always)]
pub fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*const T> {
    const { assert!(align_of::<T>() == 1) };
    let start = ctx.data() + offset;
    (start + size_of::<T>() <= ctx.data_end()).then_some(start as *const T)
}

/// A copy of `N` bytes at any offset, if the frame has them.
#[inline(always)]
pub fn load<const N: usize>(ctx: &XdpContext, offset: u16) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the helper writes N bytes, all or none of them in bounds.
    let failed = unsafe { bpf_xdp_load_bytes(ctx.as_ptr().cast(), offset.into(), bytes.as_mut_ptr().cast(), N as u32) };
    if failed != 0 {
        return None;
    }
    // SAFETY: the helper has succeeded, so all N bytes are written.
    Some(unsafe { bytes.assume_init() })
}

/// The same, straight into memory of the program's.
#[inline(always)]
pub fn load_into<const N: usize>(ctx: &XdpContext, offset: u16, to: &mut [u8; N]) -> Option<()> {
    // SAFETY: the helper writes N bytes, all or none of them in bounds.
    let failed = unsafe { bpf_xdp_load_bytes(ctx.as_ptr().cast(), offset.into(), to.as_mut_ptr().cast(), N as u32) };
    (failed == 0).then_some(())
}

/// A copy of `N` bytes at any offset, if they end before `end`: what carries them can be shorter than the frame.
#[inline(always)]
pub fn within<const N: usize>(ctx: &XdpContext, offset: u16, end: u16) -> Option<[u8; N]> {
    if u32::from(offset) + N as u32 > u32::from(end) {
        return None;
    }
    load(ctx, offset)
}
