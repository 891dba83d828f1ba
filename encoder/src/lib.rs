//! Bytes of the handover standards, both directions: no I/O, no clock.
