#![no_std]
#![no_main]
use aya_ebpf::{macros::xdp, programs::XdpContext, bindings::xdp_action};
mod maps;
mod scratch;
#[xdp]
pub fn writ_drop(_ctx: XdpContext) -> u32 { xdp_action::XDP_DROP }
#[xdp]
pub fn writ_pass(_ctx: XdpContext) -> u32 { xdp_action::XDP_PASS }
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
#[unsafe(link_section = "writ_abi")]
#[unsafe(no_mangle)]
static WRIT_ABI: u32 = writ_abi::ABI_VERSION;
