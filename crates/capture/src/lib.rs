//! Loads the XDP program, owns the AF_XDP sockets and their frames, and keeps the kernel's maps.
