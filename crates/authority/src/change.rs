//! What a revision changes of the warrant before it, and whether it only takes less.
//!
//! Less may be had at once with one signature; anything else is held to be more, so a change that is not understood here
//! needs the quorum.

use crate::calendar;
use crate::error::Fault;
use crate::grant::{Directions, Scope};
use crate::target::{Handle, Target};
use crate::warrant::{Delivery, Warrant};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The difference between a revision and the one before, in words, one for each thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Every packet that is taken now was taken before.
    Narrowing(Vec<String>),
    /// Something may be taken that was not, or something else is said of it.
    Widening(Vec<String>),
}

impl Change {
    /// All that changes, in words.
    pub fn words(&self) -> &[String] {
        match self {
            Self::Narrowing(words) | Self::Widening(words) => words,
        }
    }

    /// The difference between two revisions of a warrant.
    ///
    /// # Errors
    /// Why `after` is no next revision of `before`, each with its field.
    pub fn between(before: &Warrant, after: &Warrant) -> Result<Self, Vec<Fault>> {
        let faults = faults(before, after);
        if !faults.is_empty() {
            return Err(faults);
        }
        let (mut narrower, mut wider) = (Vec::new(), Vec::new());
        of_grant(before, after, &mut narrower, &mut wider);
        of_targets(before, after, &mut narrower, &mut wider);
        of_window(before, after, &mut narrower, &mut wider);
        if before.compartment() != after.compartment() {
            wider.push(format!("compartment {} instead of {}", after.compartment(), before.compartment()));
        }
        if !after.order().continues(before.order()) {
            wider.push("another order".to_owned());
        } else if after.order().applied != before.order().applied {
            narrower.push("the order has been applied for".to_owned());
        }
        if wider.is_empty() {
            return Ok(Self::Narrowing(narrower));
        }
        if !after.order().is_newer_than(before.order()) {
            let problem = format!(
                "this revision does more than take less ({}), and its order is that of revision {}",
                wider.join("; "),
                before.revision()
            );
            let remedy = "enter the new order: another docket, or one entered (without a court: served) later";
            return Err(vec![Fault::new("order", problem, remedy)]);
        }
        wider.append(&mut narrower);
        Ok(Self::Widening(wider))
    }

    /// The change that a warrant is: none of a first revision.
    ///
    /// # Errors
    /// Why it cannot follow `before`, or is a later revision of nothing.
    pub fn to(after: &Warrant, before: Option<&Warrant>) -> Result<Option<Self>, Vec<Fault>> {
        match (before, after.revision()) {
            (Some(before), _) => Self::between(before, after).map(Some),
            (None, 1) => Ok(None),
            (None, revision) => {
                let problem = format!("{revision}, and there is no revision before it here");
                Err(vec![Fault::new("revision", problem, "hand in revision 1 first")])
            }
        }
    }
}

/// Why `after` is not the next revision of `before`.
fn faults(before: &Warrant, after: &Warrant) -> Vec<Fault> {
    let mut faults = Vec::new();
    if after.uuid() != before.uuid() {
        let problem = format!("is not that of the warrant before, {}", before.uuid());
        faults.push(Fault::new("uuid", problem, "a revision keeps its uuid"));
    }
    if Some(after.revision()) != before.revision().checked_add(1) {
        let problem = format!("{}, and revision {} is in force", after.revision(), before.revision());
        let remedy = format!("write revision = {}", before.revision().saturating_add(1));
        faults.push(Fault::new("revision", problem, remedy));
    } else if after.previous() != Some(before.digest()) {
        let problem = format!("is not the digest of revision {}", before.revision());
        faults.push(Fault::new("previous", problem, format!("write previous = \"{}\"", before.digest())));
    }
    for (field, is, was) in
        [("operator", after.operator(), before.operator()), ("probe", after.probe(), before.probe())]
    {
        if is != was {
            faults.push(Fault::new(field, format!("{is:?}, and the revision before is for {was:?}"), "write it alike"));
        }
    }
    if !same_deliveries(before, after) {
        let problem = "not those of the revision before";
        let remedy = "another recipient is another warrant: write one with a new uuid for it";
        faults.push(Fault::new("delivery", problem, remedy));
    }
    faults
}

/// Deliveries stay as they are, but that content streams come and go with the scope.
fn same_deliveries(before: &Warrant, after: &Warrant) -> bool {
    let scopes_differ = before.grant().scope() != after.grant().scope();
    let alike = |one: &Delivery, two: &Delivery| {
        let but_streams = Delivery { streams: one.streams, ..two.clone() };
        *one == but_streams && (one.streams == two.streams || scopes_differ && one.streams.cmii() && two.streams.cmii())
    };
    let (before, after) = (before.deliveries(), after.deliveries());
    before.len() == after.len() && before.iter().zip(after).all(|(one, two)| alike(one, two))
}

fn of_grant(before: &Warrant, after: &Warrant, narrower: &mut Vec<String>, wider: &mut Vec<String>) {
    let (was, is) = (before.grant(), after.grant());
    if was.authority() != is.authority() {
        wider.push(format!("under {} instead of {}", is.authority(), was.authority()));
    }
    match (was.scope(), is.scope()) {
        (Scope::Content, Scope::Headers) => narrower.push("headers instead of content".to_owned()),
        (Scope::Headers, Scope::Content) => wider.push("content instead of headers".to_owned()),
        _ => {}
    }
    let words = format!("direction {} instead of {}", is.directions(), was.directions());
    match (was.directions(), is.directions()) {
        (was, is) if was == is => {}
        (Directions::Both, _) => narrower.push(words),
        _ => wider.push(words),
    }
}

/// Whether everything taken for `inner` was taken for `outer`, the same subscriber's.
fn lies_in(inner: &Target, outer: &Target) -> bool {
    inner.subscriber == outer.subscriber && inner.criteria.lies_in(&outer.criteria)
}

fn of_targets(before: &Warrant, after: &Warrant, narrower: &mut Vec<String>, wider: &mut Vec<String>) {
    // What stays needs no search.
    let key = |target: &Target| (target.criteria.to_string(), target.subscriber.clone());
    let was: HashSet<_> = before.targets().iter().map(key).collect();
    let is: HashSet<_> = after.targets().iter().map(key).collect();
    let gone: Vec<_> = before.targets().iter().filter(|target| !is.contains(&key(target))).collect();
    let mut found_by: HashMap<Handle, Vec<usize>> = HashMap::new();
    for (place, target) in gone.iter().enumerate() {
        found_by.entry(target.criteria.handle()).or_default().push(place);
    }
    let mut is_narrowed = vec![false; gone.len()];
    for target in after.targets().iter().filter(|target| !was.contains(&key(target))) {
        let near = target.criteria.wider_handles().into_iter().filter_map(|handle| found_by.get(&handle)).flatten();
        let outers: BTreeSet<_> = near.copied().filter(|place| lies_in(target, gone[*place])).collect();
        outers.iter().for_each(|place| is_narrowed[*place] = true);
        match outers.first() {
            Some(outer) => {
                narrower.push(format!("target {} instead of {}", target.criteria, gone[*outer].criteria));
            }
            None => wider.push(format!("target {} is new", target.criteria)),
        }
    }
    for (target, _) in gone.iter().zip(is_narrowed).filter(|(_, is_narrowed)| !is_narrowed) {
        narrower.push(format!("target {} is no longer taken", target.criteria));
    }
}

fn of_window(before: &Warrant, after: &Warrant, narrower: &mut Vec<String>, wider: &mut Vec<String>) {
    let show = |moment| calendar::show(moment, after.calendar());
    let (was, is) = (before.window(), after.window());
    let words = format!("start {} instead of {}", show(is.start()), show(was.start()));
    match is.start().cmp(&was.start()) {
        std::cmp::Ordering::Less => wider.push(words),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => narrower.push(words),
    }
    let words = format!("stop {} instead of {}", show(is.stop()), show(was.stop()));
    match is.stop().cmp(&was.stop()) {
        std::cmp::Ordering::Less => narrower.push(words),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => wider.push(words),
    }
}
