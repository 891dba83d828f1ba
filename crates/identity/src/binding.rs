//! Which addresses a target has. Fixed addresses stand in the warrant itself; sources that learn leased addresses from
//! signalling come behind the same trait.

use std::net::IpAddr;
use writ_authority::Target;

/// A source of knowledge about who has which address.
pub trait Bindings {
    /// All addresses that the target has now, without repeats.
    fn addresses(&self, target: &Target) -> Vec<IpAddr>;
}

/// The addresses that the warrant names and a person confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedAddresses;

impl Bindings for FixedAddresses {
    fn addresses(&self, target: &Target) -> Vec<IpAddr> {
        target.addresses().collect()
    }
}
