//! Random histories, with crashes and tampering, against plain models.

use crate::probe::{Probe, START, at, before, emergency, hours, identity};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use uuid::Uuid;
use writ_authority::{DOCUMENTS, Digest, Register};

/// What somebody does to the register.
#[derive(Clone, Debug)]
enum Step {
    Submit {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Emergency {
        signers: BTreeSet<usize>,
    },
    Narrow {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Approve {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Revoke {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Expire,
    /// The power fails while the last act is recorded: of so many of the log's last bytes nothing is left.
    Crash {
        lost: usize,
    },
    /// The clock goes on, or is set back.
    Wait {
        hours: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 1u8..4;
    let signers = || prop::collection::btree_set(0usize..3, 0..3);
    let step = prop_oneof![
        4 => (which(), signers()).prop_map(|(which, signers)| Step::Submit { which, signers }),
        1 => signers().prop_map(|signers| Step::Emergency { signers }),
        2 => (which(), signers()).prop_map(|(which, signers)| Step::Narrow { which, signers }),
        3 => (which(), signers()).prop_map(|(which, signers)| Step::Approve { which, signers }),
        1 => (which(), signers()).prop_map(|(which, signers)| Step::Revoke { which, signers }),
        1 => Just(Step::Expire),
        3 => (1usize..2000).prop_map(|lost| Step::Crash { lost }),
        2 => (-100i64..400).prop_map(|hours| Step::Wait { hours }),
    ];
    prop::collection::vec(step, 1..14)
}

/// A plain model of one paper: who signed it, and until when it may hold by the word of somebody on call.
#[derive(Clone, Debug, Default)]
struct Known {
    signers: BTreeSet<usize>,
    on_call_until: Option<Timestamp>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done and wherever it crashes: nothing is in force without its quorum, past its stop, or after its end.
    #[test]
    fn no_sequence_of_acts_and_crashes_puts_anything_in_force_that_may_not_be(steps in steps()) {
        let mut probe = Probe::new();
        let mut now = before();
        let mut latest: BTreeMap<u8, (Uuid, String)> = BTreeMap::new();
        let mut papers: BTreeMap<Digest, Known> = BTreeMap::new();
        let mut ended: BTreeSet<Uuid> = BTreeSet::new();
        let mut summaries: Vec<(u64, BTreeMap<Uuid, String>)> = Vec::new();
        for step in steps {
            let length = fs::metadata(probe.log()).unwrap().len();
            summaries.push((length, probe.summary()));
            let mut note = |text: &str, signers: &BTreeSet<usize>, done: bool, until: Option<Timestamp>| {
                let known = papers.entry(Digest::of(text.as_bytes())).or_default();
                if done {
                    known.signers.extend(signers);
                    known.on_call_until = known.on_call_until.or(until);
                }
            };
            match step {
                Step::Submit { which, signers } => {
                    let text = match latest.get(&which) {
                        Some((_, text)) => text.clone(),
                        None => probe.warrant(which).replace("192.0.2.7", &format!("192.0.2.{}", 10 + which)),
                    };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    note(&text, &signers, done.is_ok(), None);
                    if let Ok(uuid) = done {
                        latest.insert(which, (uuid, text));
                    }
                }
                Step::Emergency { signers } => {
                    let text = latest.get(&9).map_or_else(|| emergency(&mut probe), |(_, text)| text.clone());
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    let clock = probe.register().clock(now);
                    let until = clock.checked_add(hours(4)).unwrap();
                    note(&text, &signers, done.is_ok(), signers.contains(&2).then_some(until));
                    if let Ok(uuid) = done {
                        latest.insert(9, (uuid, text));
                    }
                }
                Step::Narrow { which, signers } => {
                    let Some((uuid, text)) = latest.get(&which).cloned() else { continue };
                    if probe.register().case(uuid).is_none_or(|case| case.latest().is_none()) {
                        continue;
                    }
                    let base = String::from_utf8(probe.last(text.lines().next().unwrap())).unwrap();
                    let revision = probe.register().case(uuid).unwrap().warrant().unwrap().revision() + 1;
                    let was = probe.register().case(uuid).unwrap().warrant().unwrap().window().stop();
                    let stop = was.checked_sub(hours(24)).unwrap();
                    let text = probe.revision(&base, revision, &was.to_string(), &stop.to_string(), "26-mc-0117");
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    note(&text, &signers, done.is_ok(), None);
                    if done.is_ok() {
                        latest.insert(which, (uuid, text));
                    }
                }
                Step::Approve { which, signers } => {
                    let Some((uuid, text)) = latest.get(&which).cloned() else { continue };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.approve(uuid, &text, &who, now).is_ok();
                    note(&text, &signers, done, None);
                }
                Step::Revoke { which, signers } => {
                    let Some((uuid, _)) = latest.get(&which).cloned() else { continue };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.revoke(uuid, "revoked", &who, now).is_ok();
                    prop_assert!(!done || !signers.is_empty());
                    if done {
                        ended.insert(uuid);
                    }
                }
                Step::Expire => {
                    let expired = probe.register().expire(now).unwrap();
                    ended.extend(expired);
                }
                Step::Crash { lost } => {
                    probe.register = None;
                    let log = fs::read(probe.log()).unwrap();
                    let last = log[..log.len().saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    // What the last act wrote may not have been confirmed yet; all before it was.
                    let confirmed = summaries.iter().rev().nth(1).map_or(log.len() as u64, |(length, _)| *length);
                    let last = last.max(usize::try_from(confirmed).unwrap());
                    let left = log.len().saturating_sub(lost).max(last).min(log.len());
                    fs::write(probe.log(), &log[..left]).unwrap();
                    probe.open(now);
                    prop_assert_eq!(&probe.findings, &[]);
                    let summary = probe.summary();
                    let is_prefix = summaries.iter().any(|(_, known)| *known == summary);
                    let is_whole = left == log.len();
                    prop_assert!(is_prefix || is_whole, "no state that ever was: {:?}", summary);
                    ended.retain(|uuid| probe.register().case(*uuid).is_some_and(|case| case.ending().is_some()));
                    latest.retain(|_, (uuid, _)| probe.register().case(*uuid).is_some());
                }
                Step::Wait { hours: some } => now = now.checked_add(hours(some)).unwrap(),
            }
            let clock = probe.register().clock(now);
            for force in probe.register().in_force(now) {
                let warrant = force.warrant();
                let known = papers.get(&warrant.digest()).cloned().unwrap_or_default();
                // All three have another role each.
                let quorum = known.signers.len() >= 2;
                let narrowing = warrant.revision() > 1 && known.signers.contains(&0);
                let on_call = known.on_call_until.is_some_and(|until| force.window.stop() <= until);
                prop_assert!(quorum || narrowing || on_call, "revision {} by {:?}", warrant.revision(), known.signers);
                prop_assert!(clock < force.window.stop() && force.window.stop() <= warrant.window().stop());
                prop_assert!(!ended.contains(&force.uuid), "an ended warrant came back");
            }
        }
    }

    /// A log cut off or altered anywhere is not opened, or holds, or is a shorter history that no document contradicts.
    #[test]
    fn no_tampering_with_log_or_documents_puts_more_in_force(place in 0.0f64..1.0, what in 0u8..3) {
        let mut probe = Probe::new();
        let texts = [1, 2].map(|n| probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n)));
        let [first, second] = [0, 1].map(|i| probe.submit(&texts[i], &[0, 1], before()).unwrap());
        probe.revoke(first, "revoked", &[1], before()).unwrap();
        // Drafted when the revocation was in the log: it witnesses that.
        let last = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
        probe.submit(&last, &[], before()).unwrap();
        probe.register = None;
        let files: Vec<_> = fs::read_dir(probe.folder().join(DOCUMENTS)).unwrap().map(|it| it.unwrap().path()).collect();
        let file = match what {
            0 | 1 => probe.log(),
            _ => files[((files.len() - 1) as f64 * place) as usize].clone(),
        };
        let mut bytes = fs::read(&file).unwrap();
        let at_byte = ((bytes.len() - 1) as f64 * place) as usize;
        match what {
            0 => bytes.truncate(at_byte),
            _ => bytes[at_byte] ^= 4,
        }
        fs::write(&file, &bytes).unwrap();
        if let Ok((mut register, findings)) = Register::open(&probe.folder(), identity(), before()) {
            let in_force: Vec<_> = register.in_force(at(START)).into_iter().map(|force| force.uuid).collect();
            prop_assert!(!in_force.contains(&first), "an ended warrant came back");
            prop_assert!(what == 0 || !findings.is_empty() || in_force == [second], "{in_force:?} {findings:?}");
            prop_assert!(register.expire(before()).unwrap().is_empty());
        } else {
            prop_assert!(what < 2, "a damaged document stops nothing else");
        }
    }
}
