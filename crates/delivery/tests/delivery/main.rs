//! Sessions against agencies of the tests' own, over loopback.

mod certificates;
mod drop;
mod folder;
mod rig;
mod sessions;
mod words;
