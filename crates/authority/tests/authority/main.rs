//! What the crate promises to those who use it: one program, because all of it needs officers with keys.

mod approval;
mod audit;
mod officers;
mod register;
mod target;
mod warrant;
