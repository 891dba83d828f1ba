//! The probe: roles, wiring, configuration, control socket and command line.
