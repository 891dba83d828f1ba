//! Documents in words, for whoever decides about them: what would be taken, of whom, from when to when, under which
//! authority, to whom it goes, what a revision changes, and who must sign.

use crate::approval::{self, Basis};
use crate::calendar;
use crate::change::Change;
use crate::grant::Directions;
use crate::limit::Limit;
use crate::policy::Policy;
use crate::roster::{Officer, Roster};
use crate::target::{Criteria, Target};
use crate::warrant::{Delivery, Streams, Warrant};
use std::collections::BTreeSet;

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

/// All that somebody who is to sign the warrant has to know, a line for each thing. It names targets.
pub fn reading(warrant: &Warrant, before: Option<&Warrant>, policy: &Policy) -> Vec<String> {
    let (grant, window, order) = (warrant.grant(), warrant.window(), warrant.order());
    let whose = match grant.directions() {
        Directions::From => "what the subject sends",
        Directions::To => "what comes to the subject",
        Directions::Both => "what the subject sends and what comes to the subject",
    };
    let show = |moment| calendar::show(moment, warrant.calendar());
    let subscribers: BTreeSet<_> = warrant.targets().iter().map(|target| target.subscriber.as_str()).collect();
    let subscribers: Vec<_> = subscribers.into_iter().collect();
    let zone = warrant.calendar().iana_name().map(|zone| format!(" ({zone})")).unwrap_or_default();
    let limit = Limit::of(warrant, before, policy);
    let mut lines = vec![
        format!(
            "warrant {}, revision {}, for {} at {}",
            warrant.uuid(),
            warrant.revision(),
            warrant.probe(),
            warrant.operator()
        ),
        format!("takes: {} of {whose}", grant.scope()),
        format!("of: {} ({})", targets(warrant.targets()), subscribers.join(", ")),
        format!("from {} to {}{zone}", show(window.start()), show(window.stop())),
        format!("latest lawful stop: {}, {}", show(limit.stop), limit.reason),
        format!("under: {}{}", grant.authority(), court(warrant)),
        format!("presented by: {} of {}; signed by: {}", order.presented_by, order.agency, order.signed_by),
    ];
    if let Some(receipt) = &order.receipt {
        let under = |is: bool, what: &str| if is { format!(", {what}") } else { String::new() };
        lines.push(format!(
            "served: {} by {}, {}{}{}",
            order.served,
            receipt.served_by,
            receipt.served_how,
            under(receipt.sealed, "under seal"),
            under(receipt.non_disclosure, "not to be disclosed to the subscriber")
        ));
        lines.push(format!("verified by: {}, {}", receipt.verified_by, receipt.verified_how));
    }
    for delivery in warrant.deliveries() {
        lines.push(format!("to: {}", delivery_in_words(delivery)));
    }
    lines.push(format!("known to: compartment {}", warrant.compartment()));
    lines.push(format!(
        "to be signed by {}; drafted when the audit log ended with record {}",
        show(warrant.heading().sign_by),
        warrant.heading().seen.number
    ));
    match Change::to(warrant, before) {
        Ok(Some(Change::Narrowing(changes))) if changes.is_empty() => lines.push("changes nothing".to_owned()),
        Ok(Some(change)) => {
            let kind = if matches!(change, Change::Narrowing(_)) { "takes less" } else { "takes more, or other" };
            lines.push(format!("{kind} than revision {}: {}", warrant.revision() - 1, change.words().join("; ")));
        }
        Ok(None) | Err(_) => {}
    }
    lines
}

/// Who must sign a warrant and who of them has, in words.
pub fn signing(warrant: &Warrant, before: Option<&Warrant>, roster: &Roster, signers: &[&Officer]) -> Vec<String> {
    let change = Change::to(warrant, before).ok().flatten();
    let wanted = approval::wanted(warrant, change.as_ref(), roster.policy());
    let names: Vec<_> = signers.iter().map(|officer| officer.name.as_str()).collect();
    let standing = match approval::stand(warrant, change.as_ref(), roster.policy(), signers) {
        Ok((Basis::OnCall, Some(hours))) => format!("enough to begin; the others must sign within {hours} hours"),
        Ok(_) => "enough".to_owned(),
        Err((_, lacks)) => format!("still missing: {}", lacks.join(", ")),
    };
    let signed = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    vec![format!("must sign: {wanted} (roster version {})", roster.version()), format!("signed: {signed}; {standing}")]
}

fn court(warrant: &Warrant) -> String {
    let order = warrant.order();
    let parts = [
        order.court.clone(),
        order.judge.clone(),
        order.docket.as_ref().map(|docket| format!("docket {docket}")),
        order.entered.map(|entered| format!("entered {entered}")),
        order.applied.map(|applied| format!("order applied for {applied}")),
        order.reference.as_ref().map(|reference| format!("kept in {reference}")),
    ];
    parts.into_iter().flatten().map(|part| format!(", {part}")).collect()
}

fn delivery_in_words(delivery: &Delivery) -> String {
    let streams = match delivery.streams {
        Streams::Cmii => "identifying information",
        Streams::Cmc => "content",
        Streams::Both => "identifying information and content",
    };
    let content = delivery.content_identifier.as_ref().map(|id| format!(", content as {id}")).unwrap_or_default();
    format!("{} as {}{content}: {streams}", delivery.destination, delivery.case_id)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

    #[test]
    fn the_words_name_few_targets_and_count_many() {
        let first = "vlan = \"200.100\"\ntraffic = [\"tcp either 25\"]";
        let document = WARRANT.replacen("address = \"192.0.2.7\"", first, 1);
        let words_of = |document: &str| words(&Warrant::parse(document.as_bytes(), Path::new("w.toml")).unwrap());
        let few = words_of(&document);
        assert!(few.contains(": VLAN 200.100, only TCP port 25 at either end; 2001:db8:20:117::7; from"), "{few}");
        let section = &WARRANT[WARRANT.find("[[target]]").unwrap()..WARRANT.find("[[delivery]]").unwrap()];
        let section = &section[..section.rfind("[[target]]").unwrap()];
        let more: String = (1..10).map(|last| section.replace("192.0.2.7", &format!("198.51.100.{last}"))).collect();
        let many = words_of(&document.replacen("[[delivery]]", &format!("{more}[[delivery]]"), 1));
        assert!(many.contains(": 10 addresses and prefixes and 1 VLANs; from"), "{many}");
    }
}
