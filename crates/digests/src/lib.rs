//! Rolling digests of what was delivered, the same on both sides: the probe makes them of what it released, the agency of
//! what it keeps, and whoever has both can say what is equal, what differs and what is missing where.
//!
//! The PDUs of one stream of one delivery bear running numbers: content its sequence number; identifying information, which
//! has none on the wire, its place in the stream. Every [`WINDOW_NUMBERS`] numbers make a [`Window`] with a digest of its
//! own, which becomes a [`Line`] when the window is over. [`compare`] lays the lines of both sides beside each other.
//!
//! A window's digest is one SHA-256 over these octets, each number as 8 of them, most significant first:
//!
//! ```text
//! "writ delivered window" || "cmii" or "cmc" || number of the window
//!     || number of the PDU || octets of the PDU      for each PDU, in the order of numbers
//! ```
#![forbid(unsafe_code)]

mod comparison;
mod line;
mod running;
mod window;

pub use comparison::{Comparison, Difference, Finding, compare};
pub use line::{Delivered, Kept, Line, Range, Stream, read_lines};
pub use window::{STATE_WORDS, WINDOW_NUMBERS, Window};
