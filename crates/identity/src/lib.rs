//! Who has which address; warrants in force x bindings gives the kernel's entries.
//!
//! The control role gives each warrant in force a slot ([`SlotTable`]), looks up what its targets are found by
//! ([`Bindings`]: addresses, MAC addresses, VLANs, and what their packets must be besides) and works out from both what the kernel is to hold ([`reconcile`]): a pure function, computed anew each time. What
//! changes against the state before ([`difference`]) goes to the capture role, step by step in an order in which no
//! moment takes more than the state before or the state after would, or less than both. Times here are UTC; the capture role turns them
//! into the kernel's clock.
#![forbid(unsafe_code)]

mod binding;
mod change;
mod entries;
mod reconcile;
mod slots;

pub use binding::{Bindings, FixedAddresses, Want};
pub use change::{Change, difference};
pub use entries::{Claims, Entries, Table};
pub use reconcile::{Desired, LeftOut, NoRoom, Reconciled, Room, Tenant, Terms, reconcile};
pub use slots::{AdoptError, NoFreeSlot, SlotTable};
