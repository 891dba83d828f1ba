//! What the crate promises to those who use it: one program, because all of it needs officers with keys.

mod approval;
mod audit;
#[path = "../chain/mod.rs"]
mod chain;
mod change;
mod evidence;
mod officers;
mod papers;
mod quorum;
mod target;
mod warrant;
mod window;
