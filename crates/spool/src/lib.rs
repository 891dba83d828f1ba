//! The queue between capture and delivery, in shared memory, and the ledger.
