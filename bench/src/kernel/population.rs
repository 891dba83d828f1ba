//! Who is a target, and between whom packets go.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use writ_capture::KernelSettings;

/// Address pairs that the entry program takes in turn; as in `bench/ebpf`.
pub(super) const PAIRS: u32 = 1 << 17;

/// Source and destination as they stand in the packet: 8 bytes for IPv4, 32 for IPv6.
pub(super) type Pair = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// An address by its number, of which only as many bits count as the family has.
    fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from_bits(number as u32).into(),
            Self::V6 => Ipv6Addr::from_bits(number).into(),
        }
    }
}

/// How targets and bystanders lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Targets are addresses anywhere, bystanders too.
    Random,
    /// Targets are addresses anywhere; every bystander shares all but its last eight bits with a target.
    Neighbours,
    /// Targets are addresses and prefixes, of six lengths in equal parts.
    SixLengths,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Random, Self::Neighbours, Self::SixLengths];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random addresses",
            Self::Neighbours => "neighbours",
            Self::SixLengths => "prefixes of six lengths",
        }
    }

    /// Behind a case's name.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Random => "",
            Self::Neighbours => ", in the targets' own /24s (/120s)",
            Self::SixLengths => ", prefixes of six lengths",
        }
    }

    pub(super) fn lengths(self, family: Family) -> &'static [u8] {
        match (self, family) {
            (Self::SixLengths, Family::V4) => &[32, 30, 29, 28, 26, 24],
            (Self::SixLengths, Family::V6) => &[128, 64, 60, 56, 52, 48],
            (_, Family::V4) => &[32],
            (_, Family::V6) => &[128],
        }
    }
}

/// Targets, and everybody else.
pub(super) struct Population {
    family: Family,
    kind: Kind,
    random: RandomState,
    targets: Vec<IpNet>,
}

impl Population {
    pub(super) fn new(family: Family, kind: Kind, targets: usize) -> Result<Self> {
        let mut population = Self { family, kind, random: RandomState::new(), targets: Vec::new() };
        let lengths = kind.lengths(family);
        for number in 0..targets {
            let address = family.address(population.number(TARGETS, number));
            let length = lengths.get(number % lengths.len()).copied().unwrap_or(family.bits());
            population.targets.push(IpNet::new(address, length)?.trunc());
        }
        Ok(population)
    }

    pub(super) fn targets(&self) -> &[IpNet] {
        &self.targets
    }

    /// Tables with room for them.
    pub(super) fn settings(&self) -> KernelSettings {
        super::settings(self.targets.len())
    }

    /// Source and destination of a hit.
    pub(super) fn a_hit(&self) -> (IpAddr, IpAddr) {
        (self.bystander(&HashSet::new(), 0), self.target(0))
    }

    /// What the entry program takes in turn: both of a pair are bystanders, or the destination is a target's.
    pub(super) fn pairs(&self, hit: bool) -> Vec<Pair> {
        let targets: HashSet<IpAddr> = match self.kind {
            Kind::Neighbours => self.targets.iter().map(IpNet::addr).collect(),
            // Their first bits tell them apart.
            _ => HashSet::new(),
        };
        let pair = |number: usize| {
            let destination = if hit { self.target(number) } else { self.bystander(&targets, number + PAIRS as usize) };
            pair(self.bystander(&targets, number), destination)
        };
        (0..PAIRS as usize).map(pair).collect()
    }

    fn target(&self, number: usize) -> IpAddr {
        match self.targets.get(number % self.targets.len().max(1)) {
            Some(target) => target.addr(),
            None => self.family.address(0),
        }
    }

    fn bystander(&self, targets: &HashSet<IpAddr>, number: usize) -> IpAddr {
        if self.kind != Kind::Neighbours {
            return self.family.address(self.number(BYSTANDERS, number));
        }
        // Not beside the target of the same number, or with one target all would be of one block of few.
        let beside = match self.target(self.random.hash_one(number) as usize) {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let first = self.random.hash_one((number, number)) as u8;
        let others = (0..=u8::MAX).map(|step| beside & !0xff | u128::from(first.wrapping_add(step)));
        // A /24 full of targets does not come about at random.
        let mut others = others.map(|number| self.family.address(number));
        others.find(|address| !targets.contains(address)).unwrap_or(self.family.address(0))
    }

    /// Number of an address anywhere in the family's space but for its first three bits, which are its group.
    fn number(&self, group: u128, number: usize) -> u128 {
        let high = u128::from(self.random.hash_one((group, number)));
        let bits = high << 64 | u128::from(self.random.hash_one((number, group)));
        let below = self.family.bits() - 3;
        bits & ((1 << below) - 1) | group << below
    }
}

/// First bits of targets.
const TARGETS: u128 = 0b001;
/// First bits of bystanders.
const BYSTANDERS: u128 = 0b011;

fn pair(source: IpAddr, destination: IpAddr) -> Pair {
    let mut pair = [0; 32];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            pair[..4].copy_from_slice(&source.octets());
            pair[4..8].copy_from_slice(&destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            pair[..16].copy_from_slice(&source.octets());
            pair[16..].copy_from_slice(&destination.octets());
        }
        // All addresses of a population are of one family.
        _ => {}
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(population: &Population, hit: bool) -> Vec<IpAddr> {
        let destination = |pair: &Pair| match population.family {
            Family::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(&pair[4..8]).unwrap()).into(),
            Family::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(&pair[16..]).unwrap()).into(),
        };
        population.pairs(hit).iter().map(destination).collect()
    }

    #[test]
    fn hits_hit_and_bystanders_do_not() {
        for (family, kind) in Family::ALL.into_iter().flat_map(|family| Kind::ALL.map(|kind| (family, kind))) {
            let population = Population::new(family, kind, 60).unwrap();
            let is_target = |address: &IpAddr| population.targets().iter().any(|net| net.contains(address));
            let sample = |hit| destinations(&population, hit).into_iter().step_by(97).collect::<Vec<_>>();
            assert!(sample(true).iter().all(is_target), "{family:?} {kind:?}");
            assert!(!sample(false).iter().any(is_target), "{family:?} {kind:?}");
        }
    }

    #[test]
    fn neighbours_share_a_block_with_a_target() {
        let population = Population::new(Family::V4, Kind::Neighbours, 10).unwrap();
        let blocks: HashSet<IpNet> =
            population.targets().iter().map(|net| IpNet::new(net.addr(), 24).unwrap().trunc()).collect();
        for address in destinations(&population, false).into_iter().step_by(97) {
            assert!(blocks.contains(&IpNet::new(address, 24).unwrap().trunc()), "{address}");
        }
    }
}
