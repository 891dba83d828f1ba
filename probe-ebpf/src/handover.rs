//! The way out of the kernel: the FrameHeader in front of the frame, and the frame to the socket of its queue.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_REDIRECT};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameHeader, ProbeCounter};

use crate::count::Counters;
use crate::maps::{WRIT_PORTS, WRIT_QUEUENO, WRIT_SOCKETS};
use crate::packet;
use crate::scratch::Scratch;
use crate::slots::Fate;

/// Place of the socket that reads this queue of this interface. `None`: there is none, which has been counted.
#[inline(always)]
pub fn port(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) -> Option<u32> {
    let interface = ctx.ingress_ifindex() as u32;
    if scratch.interface != interface {
        // SAFETY: a port is entered once, by `Kernel::capture`, and stays as it is.
        let Some(port) = (unsafe { WRIT_PORTS.get(interface) }) else {
            counters.count(ProbeCounter::NoPort);
            return None;
        };
        (scratch.interface, scratch.first_socket, scratch.queues) = (interface, port.first_socket, port.queues);
    }
    scratch.settle();
    let queue = ctx.rx_queue_index();
    let socket = scratch.first_socket + queue;
    // Asked before the frame is touched, so that a frame that nobody reads takes no number.
    if queue >= scratch.queues || WRIT_SOCKETS.get(socket).is_none() {
        counters.count(ProbeCounter::NoSocket);
        return None;
    }
    Some(socket)
}

/// Puts the header in front and hands the frame over.
#[inline(always)]
pub fn redirect(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters, socket: u32) -> Fate {
    let Some(number) = WRIT_QUEUENO.get_ptr_mut(socket) else {
        counters.count(ProbeCounter::NoSocket);
        return Fate::NoSocket;
    };
    scratch.header.ifindex = ctx.ingress_ifindex() as u32;
    scratch.header.queue = ctx.rx_queue_index();
    // SAFETY: map memory. One CPU at a time serves a queue, so nobody else counts here.
    scratch.header.number = unsafe { *number };
    if !put_in_front(ctx, &scratch.header) {
        counters.count(ProbeCounter::NoHeadroom);
        return Fate::CutFailed;
    }
    if WRIT_SOCKETS.redirect(socket, XDP_DROP.into()) != Ok(XDP_REDIRECT) {
        counters.count(ProbeCounter::NoSocket);
        return Fate::NoSocket;
    }
    // SAFETY: as above.
    unsafe { *number += 1 };
    Fate::HandedOver
}

#[inline(always)]
fn put_in_front(ctx: &XdpContext, header: &FrameHeader) -> bool {
    // SAFETY: the helper checks the bounds.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, -(FrameHeader::SIZE as i32)) } != 0 {
        return false;
    }
    // Room in front is in the first buffer, of a jumbo frame too.
    let Some(room) = packet::at::<[u8; FrameHeader::SIZE]>(ctx, 0) else { return false };
    // SAFETY: `at` has checked the bounds, and the frame is the program's to write to.
    unsafe { packet::put(room, header) };
    true
}
