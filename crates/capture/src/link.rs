//! The attachment of an XDP program to an interface: a BPF link and nothing else. The kernel undoes a link when its
//! last descriptor is closed, also after `kill -9`; an attachment by netlink would stay. That is why the system call
//! is made here: aya's `attach` falls back to netlink when the kernel answers EINVAL.

use crate::settings::AttachMode;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `BPF_LINK_CREATE` of `enum bpf_cmd`.
const BPF_LINK_CREATE: libc::c_long = 28;
/// `BPF_XDP` of `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of `linux/if_link.h`.
const SKB_MODE: u32 = 1 << 1;
const DRV_MODE: u32 = 1 << 2;

/// A program on an interface, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Link {
    _fd: OwnedFd,
}

/// The start of `union bpf_attr` for `BPF_LINK_CREATE`; the rest of the union is zero.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 4],
}

impl Link {
    /// Attaches a program, or says with which error the kernel refused.
    pub(crate) fn create(program: impl AsFd, ifindex: u32, mode: AttachMode) -> io::Result<Self> {
        let attributes = LinkCreate {
            prog_fd: program.as_fd().as_raw_fd().cast_unsigned(),
            target_ifindex: ifindex,
            attach_type: BPF_XDP,
            flags: match mode {
                AttachMode::Driver => DRV_MODE,
                AttachMode::Generic => SKB_MODE,
            },
            ..LinkCreate::default()
        };
        // SAFETY: the kernel reads as many bytes as `attributes` is long, and writes none for this command.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attributes, size_of::<LinkCreate>()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(|_| io::Error::other("the kernel returned no descriptor"))?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        Ok(Self { _fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }
}
