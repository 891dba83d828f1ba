//! `kill -9` at random moments while warrants change: of control, capture, deliver and the supervisor in turn. After each
//! kill what was acknowledged is held against the list, against the kernel's own tables and against packets: nothing is
//! lost, nothing that ended or ran out is in force, nothing is there by half.
//!
//! `WRIT_KILLS` says how often, `WRIT_SEED` where chance begins. The seed is printed.

use crate::scene::{FIRST, PATIENCE, Scene, net, ns, order, seconds_ahead};
use crate::traffic::{frame, now_ns, of_packets};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::net::IpAddr;
use std::sync::mpsc::channel;
use std::thread::{scope, sleep};
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Answer, FrameSender, LabError, until};
use writ_tests::grammar::Dice;

/// How often somebody is killed where nobody says.
const KILLS: u64 = 8;
const VICTIMS: [&str; 4] = ["control", "capture", "deliver", "supervisor"];
/// Packets of each subscriber after each kill.
const BURST: usize = 20;
/// At most so many warrants are in force or wait at a time.
const OPEN: usize = 6;

/// What is known of a warrant by what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    InForce,
    Ended,
}

impl State {
    fn of(phase: &str) -> Self {
        match phase {
            "submitted" => Self::Waiting,
            "approved" | "armed" | "active" => Self::InForce,
            "revoked" | "expired" => Self::Ended,
            other => panic!("no warrant of this test is {other}"),
        }
    }
}

#[derive(Debug)]
struct Known {
    order: Order,
    revision: u32,
    state: State,
    /// The act in hand may have changed it.
    unsure: bool,
    /// It was never taken.
    is_void: bool,
    /// Bursts that it must have, and bursts that it must not have.
    bursts: Vec<usize>,
    not: Vec<usize>,
}

/// What is to be done to a warrant.
#[derive(Clone, Copy, Debug)]
enum Act {
    SubmitWhole,
    Submit,
    Approve(usize),
    Narrow(usize),
    Revoke(usize),
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn new_order(number: usize, dice: &mut Dice) -> Order {
    let [_, _, high, low] = (number as u32 + 1).to_be_bytes();
    let uuid = format!("5b0f8c7e-3a49-4b7c-9f1d-{number:012x}");
    // Some run out while others are killed.
    let seconds = if dice.below(4) == 0 { 8 } else { 3600 };
    Order {
        uuid: uuid.leak(),
        targets: vec![net(&format!("198.18.{high}.{low}"))],
        stop: seconds_ahead(seconds),
        ..order(0, "198.18.0.0", format!("CASE-KILL-{number}").leak())
    }
}

fn party(order: &Order) -> IpAddr {
    order.targets[0].addr()
}

/// What is to be done next.
fn plan(known: &[Known], dice: &mut Dice) -> Act {
    let of = |state| -> Vec<usize> { (0..known.len()).filter(|at| known[*at].state == state).collect() };
    let (waiting, in_force) = (of(State::Waiting), of(State::InForce));
    let pick = |from: &[usize], dice: &mut Dice| from[dice.below(from.len())];
    let is_full = waiting.len() + in_force.len() >= OPEN;
    match dice.below(7) {
        0 | 1 if !is_full => Act::SubmitWhole,
        2 if !is_full => Act::Submit,
        3 if !waiting.is_empty() => Act::Approve(pick(&waiting, dice)),
        4 if !in_force.is_empty() => Act::Narrow(pick(&in_force, dice)),
        _ if !in_force.is_empty() && dice.below(2) == 0 || is_full && !in_force.is_empty() => {
            Act::Revoke(pick(&in_force, dice))
        }
        _ if !waiting.is_empty() => Act::Revoke(pick(&waiting, dice)),
        _ => Act::SubmitWhole,
    }
}

/// One act from beginning to end. What it concerns is in doubt until it is acknowledged.
fn carry_out(scene: &Scene, known: &mut Vec<Known>, act: Act, dice: &mut Dice) -> Result<bool, LabError> {
    let [ada, ben, _] = &scene.officers;
    let probe = scene.probe();
    let at = match act {
        Act::SubmitWhole | Act::Submit => {
            let order = new_order(known.len(), dice);
            let (bursts, not) = (Vec::new(), Vec::new());
            let state = State::Waiting;
            known.push(Known { order, revision: 1, state, unsure: true, is_void: false, bursts, not });
            known.len() - 1
        }
        Act::Approve(at) | Act::Narrow(at) | Act::Revoke(at) => at,
    };
    known[at].unsure = true;
    let it = &mut known[at];
    let answer: Answer = match act {
        Act::SubmitWhole => probe.submit(&it.order, &[ada, ben])?,
        Act::Submit => probe.submit(&it.order, &[ada])?,
        Act::Approve(_) => probe.approve(&it.order, &[ben])?,
        Act::Narrow(_) => {
            it.order.stop -= Duration::from_secs(1);
            probe.narrow(&it.order, it.revision + 1, ada)?
        }
        Act::Revoke(_) => probe.revoke(&it.order, ben)?,
    };
    if !answer.accepted {
        return Ok(false);
    }
    it.unsure = false;
    match act {
        Act::SubmitWhole | Act::Approve(_) => it.state = State::InForce,
        Act::Submit => it.state = State::Waiting,
        Act::Narrow(_) => it.revision += 1,
        Act::Revoke(_) => it.state = State::Ended,
    }
    Ok(true)
}

/// Kills one process and waits until the probe is whole again.
fn kill(scene: &mut Scene, victim: &str, killed: Option<u32>) {
    if victim == "supervisor" {
        let mut probe = scene.probe.take().unwrap();
        until("the end of everything", PATIENCE, || Ok(scene.host.processes()?.is_empty().then_some(()))).unwrap();
        probe.supervisor().wait(PATIENCE).unwrap();
        drop(probe);
        scene.run();
    } else {
        until("the role to come back", PATIENCE, || {
            Ok(scene.probe().role(&scene.host, victim)?.filter(|now| Some(*now) != killed))
        })
        .unwrap();
    }
    until("control to answer", PATIENCE, || Ok(scene.probe().status().ok())).unwrap();
}

/// The slots that the probe says are in use, and the packets that the kernel counts in each.
fn kernel_counts(scene: &Scene) -> Result<BTreeMap<u64, u64>, LabError> {
    let answer = scene.probe().kernel_status()?;
    let slots = answer["slots"].as_array().cloned().unwrap_or_default();
    let figures = slots.iter().map(|line| (line["slot"].as_u64(), line["matched"].as_u64()));
    Ok(figures.filter_map(|(slot, matched)| slot.zip(matched)).collect())
}

/// Holds what the probe says against what was acknowledged, and takes up what became of the act in hand.
fn settle(scene: &Scene, known: &mut [Known], what: &dyn Debug) {
    // The kernel stops a little early: the clock is in doubt.
    let has_run_out = |it: &Known| now_ns() + 500_000_000 >= ns(it.order.stop);
    let phases = scene.phases();
    let mut ours = BTreeSet::new();
    for it in known.iter_mut() {
        ours.insert(it.order.uuid);
        let Some(phase) = phases.get(it.order.uuid) else {
            assert!(std::mem::take(&mut it.unsure) || it.is_void, "{what:?}: {} is lost", it.order.case_id);
            (it.state, it.is_void) = (State::Ended, true);
            continue;
        };
        let found = State::of(phase);
        if !it.unsure && it.state != found {
            let ran_out = found == State::Ended && phase == "expired" && has_run_out(it);
            assert!(ran_out, "{what:?}: {} was {:?}, and is {phase}", it.order.case_id, it.state);
        }
        if std::mem::take(&mut it.unsure) {
            // What its last approved revision is, the next act rests on.
            let shown = scene.show(&it.order);
            it.revision = u32::try_from(shown["revision"].as_u64().unwrap()).unwrap();
            let document = shown["document"].as_str().unwrap();
            fs::write(scene.path(&format!("{}.toml", it.order.case_id)), document).unwrap();
        }
        it.state = found;
    }
    assert!(phases.keys().all(|uuid| ours.contains(uuid.as_str())), "{what:?}: nobody asked for one of {phases:?}");
}

/// Waits until the agency has these packets of an order; gives all that it has.
fn arrived(scene: &Scene, order: &Order, wanted: &BTreeSet<usize>) -> Result<BTreeSet<usize>, LabError> {
    let agency = scene.agency(order);
    until("the agency's file", PATIENCE, || match agency.packets(order.case_id) {
        Err(LabError::Malformed { .. }) => Ok(None),
        packets => {
            let numbers = of_packets(&packets?).into_iter().map(|(number, _)| number).collect::<BTreeSet<_>>();
            Ok(numbers.is_superset(wanted).then_some(numbers))
        }
    })
}

/// The number of a packet that only shows whether packets are taken.
const TRIAL: usize = 49_999;

/// Waits until all that is in force is in the kernel, and sends a burst of everybody's packets.
fn burst(scene: &Scene, sender: &mut FrameSender, known: &mut [Known], first: usize, what: &dyn Debug) {
    let slots = |known: &[Known]| -> Result<Option<BTreeMap<usize, u64>>, LabError> {
        let mut slots = BTreeMap::new();
        for (at, it) in known.iter().enumerate().filter(|(_, it)| it.state == State::InForce) {
            let Some(slot) = scene.probe().slot(&it.order)? else { return Ok(None) };
            slots.insert(at, slot["slot"].as_u64().expect("a slot has a number"));
        }
        Ok(Some(slots))
    };
    let active = |known: &[Known]| -> Result<bool, LabError> {
        let status = scene.probe().status()?;
        let lines = status["intercepts"].as_array().cloned().unwrap_or_default();
        let active = lines.iter().filter(|line| line["phase"] == "active").count();
        Ok(active == known.iter().filter(|it| it.state == State::InForce).count())
    };
    // What control says can be older than the death of capture: that packets are taken, packets show.
    let (found, before) = until("what is in force to be in the kernel", PATIENCE, || {
        settle(scene, known, what);
        let Some(found) = slots(known)?.filter(|_| active(known).unwrap_or(false)) else { return Ok(None) };
        let Ok(before) = kernel_counts(scene) else { return Ok(None) };
        for it in known.iter() {
            sender.send(&frame(party(&it.order), TRIAL))?;
        }
        sleep(Duration::from_millis(20));
        let Ok(counts) = kernel_counts(scene) else { return Ok(None) };
        let count = |counts: &BTreeMap<u64, u64>, slot| counts.get(slot).copied().unwrap_or_default();
        let all = found.iter().all(|(at, slot)| {
            let is_over = ns(known[*at].order.stop) < now_ns() + 500_000_000;
            is_over || count(&counts, slot) > count(&before, slot)
        });
        Ok(all.then_some((found, counts)))
    })
    .unwrap_or_else(|error| panic!("{what:?}: {error}: {:?}", scene.probe().status()));
    let begun_ns = now_ns();
    for number in first..first + BURST {
        for it in known.iter() {
            sender.send(&frame(party(&it.order), number)).unwrap();
        }
        sleep(Duration::from_millis(1));
    }
    for (at, slot) in &found {
        if ns(known[*at].order.stop) < now_ns() + 500_000_000 {
            continue;
        }
        until("the kernel to have counted the burst", PATIENCE, || {
            let now = kernel_counts(scene)?.get(slot).copied().unwrap_or_default();
            Ok((now - before.get(slot).copied().unwrap_or_default() >= BURST as u64).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{what:?}: {}: {error}", known[*at].order.case_id));
        // What waits in memory when the supervisor is killed is lost by design; what the agency has is not.
        let wanted: BTreeSet<usize> = (first..first + BURST).collect();
        arrived(scene, &known[*at].order, &wanted)
            .unwrap_or_else(|error| panic!("{what:?}: {}: {error}", known[*at].order.case_id));
        known[*at].bursts.push(first);
    }
    for it in known.iter_mut() {
        if it.state != State::InForce || ns(it.order.stop) + 2_000_000_000 < begun_ns {
            it.not.push(first);
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed has to be known to repeat a run")]
fn whoever_is_killed_while_warrants_change_nothing_acknowledged_is_lost_and_nothing_ended_comes_back() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    let seed = number_of("WRIT_SEED", now_ns() / 1_000_000_000);
    let kills = number_of("WRIT_KILLS", KILLS);
    println!("{kills} kills from seed {seed}");
    let mut dice = Dice::new(seed);
    let mut sender = scene.senders(&["tap0"]).remove(0);
    let mut known: Vec<Known> = Vec::new();
    let mut in_hand = 0;
    for kill_number in 0..kills {
        let victim = VICTIMS[(kill_number % 4) as usize];
        let delay = Duration::from_millis(dice.below(700) as u64);
        let pid = match victim {
            "supervisor" => scene.probe.as_mut().map(|probe| probe.supervisor().id()),
            role => scene.probe().role(&scene.host, role).unwrap(),
        };
        let (stop, stopped) = channel();
        let what = format!("kill {kill_number} of {victim} after {delay:?}");
        let (here, known_here, dice_here) = (&scene, &mut known, &mut dice);
        let hit = scope(|scope| {
            let client = scope.spawn(move || {
                // Until it is told to stop, or an act fails: then nobody knows what became of it.
                while stopped.try_recv().is_err() {
                    let act = plan(known_here, dice_here);
                    match carry_out(here, known_here, act, dice_here) {
                        // So that the agency has no more cases than a collector holds open.
                        Ok(true) => sleep(Duration::from_millis(40)),
                        Ok(false) | Err(_) => return true,
                    }
                }
                false
            });
            sleep(delay);
            let pid = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("the victim is there");
            kill_process(pid, Signal::KILL).unwrap();
            stop.send(()).unwrap_or_default();
            client.join().expect("the client does not panic")
        });
        in_hand += u64::from(hit);
        kill(&mut scene, victim, pid);
        settle(&scene, &mut known, &what);
        burst(&scene, &mut sender, &mut known, kill_number as usize * BURST, &what);
    }
    scene.assert_isolated();
    println!("{} warrants, {in_hand} kills in the middle of an act", known.len());

    // What the agency has: every burst that passed under a warrant in force, and no packet of any other.
    for it in &known {
        let wanted: BTreeSet<usize> = it.bursts.iter().flat_map(|first| *first..*first + BURST).collect();
        assert_eq!(it.order.agency, FIRST.name);
        let there = arrived(&scene, &it.order, &wanted).unwrap_or_else(|error| panic!("{}: {error}", it.order.case_id));
        let forbidden = it.not.iter().flat_map(|first| *first..*first + BURST).find(|number| there.contains(number));
        assert_eq!(forbidden, None, "{} took a packet while it was not in force", it.order.case_id);
    }
    scene.assert_log_names_nobody();
}
