//! Reading the frame. Two ways: by pointer where the place is fixed but for VLAN tags, which is what nearly every frame
//! pays for; by a helper where the place depends on what the frame says. The helper checks the bounds in the kernel, so
//! a hostile length is no matter for the verifier, and it reads on where a jumbo frame goes on in its next buffer.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr;
use writ_abi::FrameHeader;

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

/// Four bytes of what `at` has found, at once. (The compiler takes every load that may be unaligned apart into bytes; the
/// processors that Writ runs on have no need of that, and the kernel knows.)
///
/// # Safety
/// They are within `found`.
#[inline(always)]
pub unsafe fn four<T, const OFFSET: usize>(found: *const T) -> [u8; 4] {
    let word: u64;
    // SAFETY: a load of four bytes that are there, as the caller has it.
    unsafe {
        asm!("{word} = *(u32 *)({found} + {offset})", word = out(reg) word, found = in(reg) found, offset = const OFFSET,
            options(pure, readonly, nostack));
    }
    (word as u32).to_ne_bytes()
}

/// Eight bytes likewise.
///
/// # Safety
/// As of [`four`].
#[inline(always)]
pub unsafe fn eight<T, const OFFSET: usize>(found: *const T) -> [u8; 8] {
    let word: u64;
    // SAFETY: as above.
    unsafe {
        asm!("{word} = *(u64 *)({found} + {offset})", word = out(reg) word, found = in(reg) found, offset = const OFFSET,
            options(pure, readonly, nostack));
    }
    word.to_ne_bytes()
}

/// Writes a header at a place that `at` has found, by words. (The helper that copies takes twice as long.)
///
/// # Safety
/// The place is the first buffer's.
#[inline(always)]
pub unsafe fn put(place: *const [u8; FrameHeader::SIZE], header: &FrameHeader) {
    const { assert!(FrameHeader::SIZE == 16 * size_of::<u64>() && align_of::<FrameHeader>() == align_of::<u64>()) };
    let words = ptr::from_ref(header).cast::<u64>();
    macro_rules! put {
        ($($number:literal)*) => {$(
            // SAFETY: within the header, which is aligned as a word is and has no padding.
            let word = unsafe { words.add($number).read() };
            // SAFETY: within the place, as the caller has it.
            unsafe {
                asm!("*(u64 *)({place} + {offset}) = {word}", place = in(reg) place, word = in(reg) word,
                    offset = const $number * size_of::<u64>(), options(nostack));
            }
        )*};
    }
    put!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
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
