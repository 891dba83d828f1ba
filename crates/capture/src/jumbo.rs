//! Whether this machine can capture jumbo frames. Two must agree: the kernel, which hands frames of several buffers to
//! AF_XDP sockets since Linux 6.6, and the port's driver, which has to give such frames to XDP.

use crate::kernel::xdp_socket;
use libxdp_sys::{bpf_xdp_query, bpf_xdp_query_opts};
use rustix::io::Errno;
use rustix::net::bind;
use rustix::net::xdp::{SocketAddrXdp, SocketAddrXdpFlags};
use std::io;
use std::mem::offset_of;

/// Of `enum netdev_xdp_act` in `linux/netdev.h`: XDP at all, and frames of several buffers.
const BASIC: u64 = 1;
const SCATTERED_RECEIVE: u64 = 1 << 5;

/// What a driver says of itself. Drivers say such things since Linux 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// It gives XDP frames of several buffers.
    Scatters,
    /// It has XDP, for frames of one buffer only.
    OneBuffer,
    /// It has no XDP, or does not say.
    Silent,
}

/// Whether this kernel hands frames of several buffers to AF_XDP sockets. Asking takes CAP_NET_RAW.
pub fn kernel_can() -> io::Result<bool> {
    let nowhere = SocketAddrXdp::new(SocketAddrXdpFlags::XDP_USE_SG, 0, 0);
    match bind(&xdp_socket()?, &nowhere) {
        // The flag is looked at first: a kernel that knows it goes on to miss the interface.
        Err(Errno::NODEV) | Ok(()) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What the driver of an interface says.
pub(crate) fn driver(ifindex: u32) -> Driver {
    let mut answer = bpf_xdp_query_opts {
        // Without the padding behind the last field, which libbpf would take for a field that it does not know.
        sz: offset_of!(bpf_xdp_query_opts, xdp_zc_max_segs) + size_of::<u32>(),
        prog_id: 0,
        drv_prog_id: 0,
        hw_prog_id: 0,
        skb_prog_id: 0,
        attach_mode: 0,
        feature_flags: 0,
        xdp_zc_max_segs: 0,
    };
    // SAFETY: `answer` says how long it is, and is valid for reading and writing as long.
    let result = unsafe { bpf_xdp_query(ifindex.cast_signed(), 0, &raw mut answer) };
    match answer.feature_flags {
        flags if result == 0 && flags & SCATTERED_RECEIVE != 0 => Driver::Scatters,
        flags if result == 0 && flags & BASIC != 0 => Driver::OneBuffer,
        _ => Driver::Silent,
    }
}
