//! Who has which address; warrants in force x bindings gives the kernel's entries.
