//! The encoder as its users meet it: both paths held equal, everything read back, by us, by asn1tools and by tshark, and
//! streams that are not what they should be.

mod asn1tools;
mod corpus;
mod datagrams;
mod events;
mod files;
mod given;
mod handover;
mod hostile;
mod pages;
mod t1_ias;
mod tshark;
mod x2x3;
