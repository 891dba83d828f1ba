//! Finds an eBPF toolchain on this machine and builds probe-ebpf with it.
