//! The queue between capture and delivery, in shared memory, and the ledger.
//!
//! The capture role encodes into a [`Producer`]; the deliver role sends from the [`Consumer`] of the same stream and
//! gives the room back once the agency has acknowledged. Both map memory that the supervisor created
//! ([`create_stream`], [`Ledger::create`]) and keeps open, so what waits outlives either of them: a role that comes
//! back goes on where the memory says, and nothing else has to be remembered. The ledger of a probe outlives all of its
//! processes, and the machine's end ([`LedgerFiles`]).
//!
//! Nothing read from shared memory is believed: a wrong offset or count is [`StreamError::Corrupt`], never a panic.

mod consumer;
mod layout;
mod ledger;
mod map;
mod producer;
mod stream;
mod wake;

pub use consumer::{Consumer, Release, UnsentRecords};
pub use ledger::{
    DeliverySnapshot, FORMER_FIGURES, JUMP, KeepError, Kept, Ledger, LedgerFiles, LossReason, MAX_DELIVERIES,
    MEMO_WORDS, Memo, Origin, Restart, SessionState, SlotAccount, SlotSnapshot, StreamAccount, StreamSnapshot,
};
pub use map::MapError;
pub use producer::{AppendError, Producer};
pub use stream::{Record, RecordKind, StreamError, StreamView, Waiting, create_stream};
pub use wake::Wake;
