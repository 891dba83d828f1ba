//! One intercept's PDUs, in whatever format its agency takes.
//!
//! [`Terms`] come from the configuration, names from the warrant. What a worker, a trial or the control role asks for is
//! the same for every format; which format it is they need not know.

mod terms;

pub use terms::{CcFormat, CccHeader, CccTerms, EtsiTerms, Format, OpencaleaTerms, T1IasTerms, Terms, X3Terms};
