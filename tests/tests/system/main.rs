//! The whole probe from outside: the real `writ` and `writ-collect` in network namespaces, numbered packets on the tap,
//! and what the agencies have held against what was sent.
//!
//! | module | what it proves |
//! |---|---|
//! | [`warrants`] | warrants begin, end and overlap under load, and none disturbs another |
//! | [`roles`] | each role is killed under load, and the supervisor; what is missing is counted; nothing is left behind |
//! | [`ports`] | queues, interfaces and modes; the tap says nothing |
//! | [`bad_input`] | every fault of a document, a port or a certificate is named, and nothing is started |
//!
//! All of it needs root and the tools of `cargo xtask setup`.
#![forbid(unsafe_code)]

mod bad_input;
mod ports;
mod roles;
mod scene;
mod traffic;
mod warrants;
