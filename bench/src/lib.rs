//! Criterion benches and the load lab.
#![forbid(unsafe_code)]
