//! The program `writ-collect` from outside.

mod command;
mod digests;
mod listen;
mod support;
