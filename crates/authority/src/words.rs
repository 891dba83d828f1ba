//! A warrant in words, for whoever decides about it: what would be taken, of whom, from when to when, under which
//! authority, and to whom it goes.

use crate::calendar;
use crate::grant::Directions;
use crate::target::{Criteria, Target};
use crate::warrant::Warrant;

/// Most targets that are named one by one.
const MOST_NAMED: usize = 10;

/// The warrant in one sentence. It names targets.
pub fn words(warrant: &Warrant) -> String {
    let grant = warrant.grant();
    let destinations: Vec<_> = warrant.deliveries().iter().map(|it| it.destination.as_str()).collect();
    let whose = match grant.directions() {
        Directions::From => "what the subject sends",
        Directions::To => "what comes to the subject",
        Directions::Both => "what the subject sends and what comes to the subject",
    };
    format!(
        "{} of {whose}: {}; from {} to {}, under {}, to {}",
        grant.scope(),
        targets(warrant.targets()),
        calendar::show(warrant.window().start(), warrant.calendar()),
        calendar::show(warrant.window().stop(), warrant.calendar()),
        grant.authority(),
        destinations.join(" and ")
    )
}

/// The targets in words; of many, how many there are of each kind.
fn targets(targets: &[Target]) -> String {
    if targets.len() <= MOST_NAMED {
        let named: Vec<_> = targets.iter().map(|target| target.criteria.to_string()).collect();
        return named.join("; ");
    }
    let count = |of: fn(&Criteria) -> bool| targets.iter().filter(|target| of(&target.criteria)).count();
    [
        ("addresses and prefixes", count(|it| matches!(it, Criteria::Address { .. }))),
        ("MAC addresses", count(|it| matches!(it, Criteria::Mac { .. }))),
        ("VLANs", count(|it| matches!(it, Criteria::Vlan { .. }))),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(kind, count)| format!("{count} {kind}"))
    .collect::<Vec<_>>()
    .join(" and ")
}
