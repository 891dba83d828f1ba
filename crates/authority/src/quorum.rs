//! How many people of which roles must sign, and whether they have.
//!
//! A person counts once, whatever number of keys and roles they have: each place that asks for a role is filled by
//! another person. Whether enough places can be filled at once is a matching of people and places.

use crate::role::Role;
use crate::roster::Officer;
use std::collections::BTreeSet;
use std::fmt;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// How many different people.
    pub approvals: u32,
    /// Of which roles.
    pub roles: Roles,
}

/// The roles that a quorum asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roles {
    /// So many different ones, each held by another of the people who sign.
    Different(u32),
    /// These, each held by another of the people who sign.
    Named(Vec<Role>),
}

impl Quorum {
    /// What these people lack of it, in words; nothing if they are enough. Each must be in `signers` once.
    pub fn lacks(&self, signers: &[&Officer]) -> Vec<String> {
        let mut lacks = Vec::new();
        let missing = u64::from(self.approvals).saturating_sub(signers.len() as u64);
        if missing > 0 {
            lacks.push(if missing == 1 { "1 more person".to_owned() } else { format!("{missing} more people") });
        }
        match &self.roles {
            Roles::Different(wanted) => {
                let held: BTreeSet<_> = signers.iter().flat_map(|officer| &officer.roles).collect();
                let places: Vec<_> = held.into_iter().collect();
                let filled = fill(&places, signers).iter().flatten().count() as u64;
                let missing = u64::from(*wanted).saturating_sub(filled);
                let held: Vec<_> = places.iter().map(|role| role.as_str()).collect();
                if missing > 0 {
                    let people = if missing == 1 { "somebody" } else { "people" };
                    lacks.push(match &held[..] {
                        [] => format!("people of {wanted} different roles"),
                        held => format!("{people} of {missing} more role(s) than {}", held.join(", ")),
                    });
                }
            }
            Roles::Named(wanted) => {
                let places: Vec<_> = wanted.iter().collect();
                for (place, filled) in places.iter().zip(fill(&places, signers)) {
                    if filled.is_none() {
                        lacks.push(format!("somebody with the role {place}"));
                    }
                }
            }
        }
        lacks
    }

    /// Whether these people are enough.
    pub fn is_met(&self, signers: &[&Officer]) -> bool {
        self.lacks(signers).is_empty()
    }
}

/// For people: `2 different people of 2 different roles`.
impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} different people", self.approvals)?;
        match &self.roles {
            Roles::Different(0 | 1) => Ok(()),
            Roles::Different(roles) => write!(f, " of {roles} different roles"),
            Roles::Named(roles) => {
                let roles: Vec<_> = roles.iter().map(Role::as_str).collect();
                write!(f, ", among them one each for {}", roles.join(", "))
            }
        }
    }
}

/// Who fills each place, with as many places filled as can be (augmenting paths).
fn fill(places: &[&Role], people: &[&Officer]) -> Vec<Option<usize>> {
    let mut filled = vec![None; places.len()];
    for person in 0..people.len() {
        seat(person, places, people, &mut vec![false; places.len()], &mut filled);
    }
    filled
}

/// Finds a place for a person, moving others if need be.
fn seat(
    person: usize,
    places: &[&Role],
    people: &[&Officer],
    tried: &mut Vec<bool>,
    filled: &mut Vec<Option<usize>>,
) -> bool {
    for place in 0..places.len() {
        if tried[place] || !people[person].roles.contains(places[place]) {
            continue;
        }
        tried[place] = true;
        if filled[place].is_none_or(|holder| seat(holder, places, people, tried, filled)) {
            filled[place] = Some(person);
            return true;
        }
    }
    false
}
