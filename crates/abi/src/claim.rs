//! What the kernel's tables are told, in the words of user space: which packets somebody is found by, and who wants them
//! on which condition. The tables turn this into keys, entries and rows of the condition table.

use crate::condition::Condition;
use crate::key::SlotRef;

/// By what a target's packets are found.
#[cfg(feature = "selector")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// An address, or all of a prefix.
    Prefix(ipnet::IpNet),
    /// A MAC address.
    Mac(crate::link::MacAddress),
    /// The VLAN tags of the frame.
    Vlan(crate::link::VlanMatch),
}

/// An intercept that wants what a selector finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The intercept. It can claim one selector several times, each on another condition.
    pub slot: SlotRef,
    /// What else the packets have to meet.
    pub condition: Option<Condition>,
}
