//! Sessions with agencies: TLS, TCP, back-off, what counts as delivered.
