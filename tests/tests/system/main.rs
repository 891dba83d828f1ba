//! The whole probe from outside: the real `writ` and `writ-collect` in network namespaces, numbered packets on the tap,
//! and what the agencies have held against what was sent.
//!
//! | module | what it proves |
//! |---|---|
//! | [`warrants`] | warrants begin, end and overlap under load, and none disturbs another |
//! | [`targets`] | overlapping prefixes, as many as can be, and one too many; ten thousand targets |
//! | [`lines`] | lines told by VLAN and MAC address, kinds of traffic, and their fragments |
//! | [`roles`] | each role is killed under load, and the supervisor; what is missing is counted; nothing is left behind |
//! | [`ports`] | queues, interfaces and modes; the tap says nothing |
//! | [`bad_input`] | every fault of a document, a port or a certificate is named, and nothing is started |
//! | [`storage`] | damaged files and a full disk stop what is new, not what is in force |
//! | [`replay`] | a capture file gives what a port would have given |
//!
//! All of it needs root and the tools of `cargo xtask setup`.
#![forbid(unsafe_code)]

mod bad_input;
mod lines;
mod ports;
mod replay;
mod roles;
mod scene;
mod storage;
mod targets;
mod traffic;
mod warrants;
