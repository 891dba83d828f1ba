//! Who must sign: people, roles, rules of some authorities, emergencies. Whatever the set of signers, nobody counts twice.

use crate::officers::{Key, Office, WARRANT, probe, roster, signing_day};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use writ_authority::{
    AMEND, APPROVE, Basis, CERTIFY, Namespace, Officer, POLICY, REVOKE, Refusal, Roster, Signature, Standing,
    TrustedRoster, Warrant, judge,
};

/// Whether `places` can be filled with different people, tried in every way.
fn can_fill(places: &[&str], people: &[&Officer], taken: &mut BTreeSet<String>) -> bool {
    let Some((place, rest)) = places.split_first() else { return true };
    people.iter().any(|person| {
        let holds = person.roles.iter().any(|role| role.as_str() == *place);
        holds && taken.insert(person.name.clone()) && {
            let filled = can_fill(rest, people, taken);
            taken.remove(&person.name);
            filled
        }
    })
}

const ROLES: [&str; 4] = ["legal", "operations", "on-call", "audit"];

/// A roster of people with these roles, and real keys that nobody signs with here.
fn people(keys: &[Key], roles: &[Vec<usize>], policy: &str) -> Option<Roster> {
    let mut text = format!("version = 1\noperator = \"ExampleNet\"\n\n[policy]\n{policy}");
    for (i, (roles, key)) in roles.iter().zip(keys).enumerate() {
        let roles: BTreeSet<_> = roles.iter().map(|role| format!("{:?}", ROLES[*role])).collect();
        let roles: Vec<_> = roles.into_iter().collect();
        text += &format!("\n[[officer]]\nname = \"P{i}\"\nroles = [{}]\nkeys = [{:?}]\n", roles.join(", "), key.public);
    }
    Roster::parse(text.as_bytes(), Path::new("roster.toml")).ok()
}

/// No set of signers is enough that does not hold the people and the roles that are asked for; every other one is.
#[test]
fn a_set_of_signers_is_enough_exactly_if_it_has_the_people_and_the_roles() {
    let office = Office::open();
    let keys: Vec<_> = (0..5).map(|i| office.key(&format!("key{i}"))).collect();
    let roles_of_all = prop::collection::vec(prop::collection::vec(0..ROLES.len(), 1..4), 5);
    let named = prop::collection::vec(0..ROLES.len(), 0..4);
    let mut runner = proptest::test_runner::TestRunner::default();
    let strategy = (roles_of_all, 2u32..4, 1u32..4, named, 2u32..5, prop::collection::vec(any::<bool>(), 5));
    let judged = std::cell::Cell::new((0, 0));
    runner
        .run(&strategy, |(roles, approvals, different, named, rule_approvals, signs)| {
            let names: Vec<_> = named.iter().map(|role| format!("{:?}", ROLES[*role])).collect();
            let rule = format!(
                "[[policy.rule]]\nauthority = [\"title-iii\"]\napprovals = {rule_approvals}\n{}",
                if names.is_empty() { String::new() } else { format!("roles = [{}]\n", names.join(", ")) }
            );
            let policy = format!("approvals = {approvals}\nroles = {different}\n{rule}");
            // A policy that nobody could meet is refused; there is nothing to try then.
            let Some(roster) = people(&keys, &roles, &policy) else { return Ok(()) };
            let signers: Vec<&Officer> =
                roster.officers().iter().zip(&signs).filter(|(_, signs)| **signs).map(|(it, _)| it).collect();
            let authority = writ_authority::Authority::TitleIii;
            let enough = roster.policy().lacks(authority, &signers).is_empty();

            let places: Vec<_> = named.iter().map(|role| ROLES[*role]).collect();
            let rule_met = signers.len() as u32 >= rule_approvals && can_fill(&places, &signers, &mut BTreeSet::new());
            let different_met = (0u32..16)
                .filter(|set| set.count_ones() == different)
                .map(|set| (0..4).filter(|bit| set >> bit & 1 == 1).map(|bit| ROLES[bit as usize]).collect::<Vec<_>>())
                .any(|set| can_fill(&set, &signers, &mut BTreeSet::new()));
            let met = rule_met && different_met && signers.len() as u32 >= approvals;
            prop_assert_eq!(enough, met, "{:?} of {:?}, {}", signs, roles, policy);
            let (yes, no) = judged.get();
            judged.set(if met { (yes + 1, no) } else { (yes, no + 1) });
            Ok(())
        })
        .unwrap();
    let (yes, no) = judged.get();
    assert!(yes > 5 && no > 5, "both answers came up: {yes} and {no}");
}

struct Case {
    _office: Office,
    ada: Key,
    ada_too: Key,
    ben: Key,
    cleo: Key,
    roster: TrustedRoster,
}

/// Ada is legal with two keys, Ben has two roles, Cleo is on call.
fn case() -> Case {
    let office = Office::open();
    let [ada, ada_too, ben, cleo] = ["ada", "ada2", "ben", "cleo"].map(|name| office.key(name));
    let text = format!(
        "version = 1\noperator = \"ExampleNet\"\n\n[policy.emergency]\nroles = [\"on-call\"]\nsecond_within_hours = 4\n\n\
         [[policy.rule]]\nauthority = [\"fisa-surveillance\"]\napprovals = 3\nroles = [\"legal\", \"operations\"]\n\n\
         [[officer]]\nname = \"Ada\"\nroles = [\"legal\"]\nkeys = [{:?}, {:?}]\n\n\
         [[officer]]\nname = \"Ben\"\nroles = [\"legal\", \"operations\"]\nkeys = [{:?}]\n\n\
         [[officer]]\nname = \"Cleo\"\nroles = [\"on-call\"]\nkeys = [{:?}]\n",
        ada.public, ada_too.public, ben.public, cleo.public
    );
    let signatures = [&ada, &ben].map(|key| key.sign(POLICY, text.as_bytes())).to_vec();
    let roster = TrustedRoster::first(roster(&text), signatures).unwrap();
    Case { _office: office, ada, ada_too, ben, cleo, roster }
}

impl Case {
    fn judge(&self, text: &str, signers: &[&Key]) -> Result<Standing, Refusal> {
        let signatures = signers.iter().map(|key| key.sign(APPROVE, text.as_bytes())).collect();
        let warrant = Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap();
        judge(warrant, None, signatures, &self.roster, &probe(), signing_day())
    }

    fn waits_for(&self, text: &str, signers: &[&Key]) -> Vec<String> {
        match self.judge(text, signers).unwrap() {
            Standing::Waiting(missing) => missing.lacks,
            standing => panic!("{standing:?}"),
        }
    }
}

#[test]
fn keys_and_roles_of_one_person_fill_one_place() {
    let case = case();
    let one_more = ["1 more person".to_owned(), "somebody of 1 more role(s) than legal".to_owned()];
    assert_eq!(case.waits_for(WARRANT, &[&case.ada, &case.ada_too]), one_more);
    let two_roles = ["1 more person".to_owned(), "somebody of 1 more role(s) than legal, operations".to_owned()];
    assert_eq!(case.waits_for(WARRANT, &[&case.ben]), two_roles);
    // Ben is operations, so that Ada can be legal.
    assert!(matches!(case.judge(WARRANT, &[&case.ada, &case.ben]), Ok(Standing::Approved(_))));
    let fisa = WARRANT.replace("title-iii", "fisa-surveillance");
    assert_eq!(
        case.waits_for(&fisa, &[&case.ben, &case.cleo]),
        [
            "1 more person",
            // Ben cannot be both.
            "somebody with the role operations"
        ]
    );
    let Standing::Approved(approved) = case.judge(&fisa, &[&case.ada, &case.ben, &case.cleo]).unwrap() else {
        panic!()
    };
    assert_eq!((approved.approval().officers.len(), approved.approval().basis), (3, Basis::Quorum));
}

#[test]
fn one_on_call_lets_an_emergency_begin_and_nothing_else() {
    let case = case();
    let emergency = WARRANT.replace("title-iii", "emergency-2518").replace("12-20T09", "11-22T09");
    let Standing::Emergency(approved, 4) = case.judge(&emergency, &[&case.cleo]).unwrap() else { panic!() };
    assert_eq!(
        (approved.approval().officers.as_slice(), approved.approval().basis),
        (&["Cleo".to_owned()][..], Basis::OnCall)
    );
    // Somebody who is not on call cannot, on call or not nobody can without an emergency, and with all it is for good.
    assert!(matches!(case.judge(&emergency, &[&case.ada]), Ok(Standing::Waiting(_))));
    assert!(matches!(case.judge(WARRANT, &[&case.cleo]), Ok(Standing::Waiting(_))));
    assert!(matches!(case.judge(&emergency, &[&case.cleo, &case.ada]), Ok(Standing::Approved(_))));
}

/// A signature of one namespace counts in no other.
#[test]
fn namespaces_are_not_interchangeable() {
    let case = case();
    let key = &case.ada;
    for made in Namespace::ALL {
        let signature: Signature = key.sign(made, WARRANT.as_bytes());
        for asked in Namespace::ALL {
            let judged = case.roster.roster().signer(&signature, asked, WARRANT.as_bytes());
            assert_eq!(judged.is_ok(), made == asked, "{} as {}", made.as_str(), asked.as_str());
        }
    }
    assert_eq!(Namespace::ALL, [APPROVE, AMEND, REVOKE, POLICY, CERTIFY]);
}

#[test]
fn a_document_handed_in_too_late_is_refused_whoever_signed() {
    let case = case();
    let warrant = Warrant::parse(WARRANT.as_bytes(), Path::new("w.toml")).unwrap();
    let signatures = [&case.ada, &case.ben].map(|key| key.sign(APPROVE, WARRANT.as_bytes())).to_vec();
    let sign_by = warrant.heading().sign_by;
    let judge = |now| judge(warrant.clone(), None, signatures.clone(), &case.roster, &probe(), now);
    assert!(matches!(judge(sign_by), Ok(Standing::Approved(_))));
    let late = judge("2026-11-21T14:00:01Z".parse().unwrap()).unwrap_err().to_string();
    assert!(late.starts_with("w.toml: sign_by: it was to be signed and handed in by 2026-11-21T14:00:00Z"), "{late}");
}
