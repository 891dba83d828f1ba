//! What crosses process or machine borders, tried from outside. The tests are in `tests/`; here is what several of
//! them share.
#![forbid(unsafe_code)]

pub mod agreement;
pub mod cast;
pub mod finding;
pub mod grammar;
pub mod kernel;
pub mod reference;
pub mod stack;
