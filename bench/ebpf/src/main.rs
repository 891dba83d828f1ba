//! XDP programs of the bench, beside which Writ's own is measured.
//!
//! `reference` holds what Writ is compared with: a program that drops, one that passes, one that only reads the
//! addresses. `entry` runs any program over one frame again and again, also one that changes the frame. `generator`
//! makes traffic. Each is loaded by `writ-bench`; none is part of a probe.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod entry;
mod generator;
mod reference;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier accepts no program in which this could be reached.
    loop {}
}

/// The kernel lends its helpers to programs under the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
