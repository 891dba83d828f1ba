//! The ETSI handover as an agency meets it: what is written, both ways; what is read, of friends and of enemies; what
//! other programs make of it.

mod checks;
mod content;
mod foreign;
mod given;
mod hostile;
mod page;
mod records;
mod sealed;
mod series;
