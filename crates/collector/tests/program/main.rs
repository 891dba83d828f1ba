//! The program `writ-collect` from outside.

mod command;
mod datagrams;
mod digests;
mod etsi;
mod listen;
mod optional_module;
mod senders;
mod support;
mod x3;
