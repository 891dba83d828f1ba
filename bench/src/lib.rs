//! Criterion benches and the load lab.
