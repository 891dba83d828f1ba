//! Which addresses a target has. Fixed addresses stand in the warrant itself; sources that learn leased addresses from
//! signalling come behind the same trait.

use ipnet::IpNet;
use writ_authority::Target;

/// A source of knowledge about who has which address.
pub trait Bindings {
    /// All addresses and prefixes that the target has now.
    fn prefixes(&self, target: &Target) -> Vec<IpNet>;
}

/// The addresses that the warrant names and a person confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedAddresses;

impl Bindings for FixedAddresses {
    fn prefixes(&self, target: &Target) -> Vec<IpNet> {
        vec![target.prefix]
    }
}
