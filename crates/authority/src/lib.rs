//! Orders, windows, approvals, signatures and the audit chain: who may start what, and what was done.
