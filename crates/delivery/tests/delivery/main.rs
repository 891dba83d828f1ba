//! Sessions against agencies of the tests' own, over loopback.

mod certificates;
mod datagrams;
mod drop;
mod etsi;
mod folder;
mod rig;
mod sessions;
mod words;
mod x3;
