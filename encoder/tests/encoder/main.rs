//! The encoder as its users meet it: both paths held equal, everything read back, by us and by asn1tools, and streams
//! that are not what they should be.

mod asn1tools;
mod given;
mod hostile;
mod t1_ias;
