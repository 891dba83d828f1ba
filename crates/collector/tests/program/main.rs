//! The program `writ-collect` from outside.

mod command;
mod listen;
mod support;
