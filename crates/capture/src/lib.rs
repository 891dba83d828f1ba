//! Loads the XDP program, owns the AF_XDP sockets and their frames, and keeps the kernel's maps.

mod object;

pub use object::{AbiMismatch, abi_version, check_abi, object};
