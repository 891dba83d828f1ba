//! The wall clock is set by hours, in both directions, under a probe at work: no order runs longer by that, and nothing
//! is put in force by a clock that nobody can believe. Boot time goes on as it does; that is what the kernel stops by.

use crate::scene::{ALICE, BOB, BYSTANDER, PATIENCE, Scene, ns, order, seconds_ahead};
use crate::traffic::{Sent, Traffic, now_ns};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{WallClock, ready, until};

const HOUR: i64 = 3600;
/// A stop comes so much earlier at most: by the doubt of a clock that nothing keeps.
const DOUBT_NS: u64 = 300_000_000;

/// A scene with a clock of its own, and that clock; none if tools are missing.
fn scene_with_clock() -> Option<(Scene, WallClock)> {
    if !ready(&["faketime"]).unwrap() {
        return None;
    }
    let scene = Scene::build(&[("tap0", 1)])?;
    let clock = WallClock::new(&scene.path("")).unwrap();
    Some((scene, clock))
}

fn wait_until_ns(moment: u64) {
    while now_ns() < moment {
        sleep(Duration::from_millis(10));
    }
}

fn wait_for_phase(scene: &Scene, order: &Order, phase: &str) {
    until(&format!("{} to be {phase}", order.case_id), PATIENCE, || Ok((scene.phase(order) == phase).then_some(())))
        .unwrap();
}

/// What an agency has under an order: each packet once, of those sent `surely` all, and none sent outside `possibly`.
/// The stamps in the records are of the clock that was set, so only the numbers say when a packet passed.
fn hold(scene: &Scene, order: &Order, sent: &[Sent], surely: (u64, u64), possibly: (u64, u64)) {
    let delivered = scene.packets(order);
    let there: BTreeSet<usize> = delivered.iter().map(|(number, _)| *number).collect();
    assert_eq!(there.len(), delivered.len(), "{}: a packet is there twice", order.case_id);
    for number in &there {
        let Sent { before_ns, after_ns } = sent[*number];
        assert!(
            after_ns >= possibly.0 && before_ns < possibly.1,
            "{}: {number} was sent too early or too late",
            order.case_id
        );
    }
    let wanted = |it: &Sent| it.before_ns >= surely.0 && it.after_ns < surely.1;
    let missing: Vec<_> = (0..sent.len()).filter(|number| wanted(&sent[*number]) && !there.contains(number)).collect();
    assert!(sent.iter().filter(|it| wanted(it)).count() > 50, "{}: too few to prove anything", order.case_id);
    assert!(missing.is_empty(), "{}: {} are missing, from {:?} on", order.case_id, missing.len(), missing.first());
}

#[test]
fn a_clock_set_forward_by_hours_ends_what_is_over_and_lets_begin_what_is_due() {
    let Some((mut scene, clock)) = scene_with_clock() else { return };
    scene.run_by(&clock);
    let short = Order { stop: seconds_ahead(3 * HOUR), ..order(0, ALICE, "CASE-SHORT") };
    let long = Order { stop: seconds_ahead(9 * HOUR), ..order(1, BOB, "CASE-LONG") };
    let ahead =
        Order { start: seconds_ahead(4 * HOUR), stop: seconds_ahead(9 * HOUR), ..order(2, BYSTANDER, "CASE-AHEAD") };
    [&short, &long, &ahead].into_iter().for_each(|order| scene.arm(order));
    let parties: Vec<IpAddr> = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap()).to_vec();
    let begun_ns = now_ns();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(900));
    let set_ns = now_ns();
    clock.set(5 * HOUR).unwrap();
    wait_for_phase(&scene, &short, "expired");
    wait_for_phase(&scene, &ahead, "active");
    let settled_ns = now_ns();
    // One that was over by then is not put in force, whoever signed it.
    let late = Order { stop: seconds_ahead(2 * HOUR), ..order(3, ALICE, "CASE-LATE") };
    let answer = scene.probe().submit(&late, &[&scene.officers[0], &scene.officers[1]]).unwrap();
    assert!(!answer.accepted && answer.words.contains("window.stop"), "{}", answer.words);
    sleep(Duration::from_millis(900));
    let ended_ns = now_ns();
    let sent = traffic.stop();
    hold(&scene, &short, &sent, (begun_ns, set_ns), (begun_ns, settled_ns));
    hold(&scene, &long, &sent, (begun_ns, ended_ns), (begun_ns, ended_ns));
    hold(&scene, &ahead, &sent, (settled_ns, ended_ns), (set_ns, ended_ns));

    // Set right again, it is behind what it was: what has ended does not come back, what is in force goes on.
    clock.set(0).unwrap();
    until("the clock to be in doubt", PATIENCE, || {
        let held = scene.probe().status()?["held"].to_string();
        Ok(held.contains("clock-behind").then_some(()))
    })
    .unwrap();
    assert_eq!([scene.phase(&short), scene.phase(&long)], ["expired", "active"]);
    scene.stop();
    scene.run_by(&clock);
    assert_eq!(scene.phase(&short), "expired");
    scene.assert_log_names_nobody();
}

#[test]
fn a_clock_set_back_by_hours_lengthens_nothing_and_arms_nothing() {
    let Some((mut scene, clock)) = scene_with_clock() else { return };
    scene.run_by(&clock);
    let short = Order { stop: seconds_ahead(14), ..order(0, ALICE, "CASE-SHORT") };
    let long = order(1, BOB, "CASE-LONG");
    scene.arm(&short);
    scene.arm(&long);
    let parties: Vec<IpAddr> = [ALICE, BOB].map(|address| address.parse().unwrap()).to_vec();
    let begun_ns = now_ns();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(500));
    clock.set(-5 * HOUR).unwrap();
    until("the clock to be in doubt", PATIENCE, || {
        let held = scene.probe().status()?["held"].to_string();
        Ok(held.contains("clock-behind").then_some(()))
    })
    .unwrap();
    let new = order(2, BYSTANDER, "CASE-NEW");
    let answer = scene.probe().submit(&new, &[&scene.officers[0], &scene.officers[1]]).unwrap();
    assert!(!answer.accepted && answer.words.contains("nothing new is armed"), "{}", answer.words);
    let stop_ns = ns(short.stop);
    assert!(now_ns() < stop_ns, "the test is too slow to prove anything");
    wait_until_ns(stop_ns + 1_000_000_000);
    wait_for_phase(&scene, &short, "expired");
    let ended_ns = now_ns();
    let sent = traffic.stop();
    hold(&scene, &short, &sent, (begun_ns, stop_ns - DOUBT_NS), (begun_ns, stop_ns));
    hold(&scene, &long, &sent, (begun_ns, ended_ns), (begun_ns, ended_ns));

    // A probe that is started by such a clock puts nothing into the kernel, until the clock has caught up.
    scene.stop();
    scene.run_by(&clock);
    let before = scene.probe().counts(&long).unwrap().matched;
    let again = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(900));
    assert_eq!(scene.probe().counts(&long).unwrap().matched, before, "nothing is taken by a clock in doubt");
    clock.set(0).unwrap();
    until("the order to be in force again", PATIENCE, || {
        Ok((scene.probe().counts(&long)?.matched > before).then_some(()))
    })
    .unwrap();
    again.stop();
    assert_eq!(scene.phase(&short), "expired");
    scene.assert_log_names_nobody();
}

#[test]
fn an_emergency_ends_in_the_kernel_unless_the_others_sign_and_goes_on_if_they_do() {
    let Some((mut scene, clock)) = scene_with_clock() else { return };
    // Of the four hours that the policy gives, all but some seconds go by at one stroke.
    let stroke = 4 * HOUR - 22;
    scene.run_by(&clock);
    let emergency = |number, target, case_id| Order {
        authority: "emergency-2518",
        stop: seconds_ahead(20 * HOUR),
        ..order(number, target, case_id)
    };
    let (alone, confirmed) = (emergency(0, ALICE, "CASE-ALONE"), emergency(1, BOB, "CASE-CONFIRMED"));
    let [ada, ben, cleo] = scene.officers.clone();
    // Who is not on call starts nothing.
    let answer = scene.probe().submit(&emergency(2, BYSTANDER, "CASE-NOBODY"), &[&cleo]).unwrap();
    assert!(answer.accepted && answer.words.contains("not in force"), "{}", answer.words);
    for order in [&alone, &confirmed] {
        let answer = scene.probe().submit(order, &[&ben]).unwrap();
        assert!(answer.accepted && answer.words.contains("armed"), "{}", answer.words);
    }
    let parties: Vec<IpAddr> = [ALICE, BOB].map(|address| address.parse().unwrap()).to_vec();
    let begun_ns = now_ns();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    clock.set(stroke).unwrap();
    let shown = scene.show(&alone);
    let (_, until_when) = shown["waits_for"].as_str().unwrap().rsplit_once("by ").unwrap();
    let stop_ns = ns(until_when.parse::<Timestamp>().unwrap()) - stroke.unsigned_abs() * 1_000_000_000;
    let due = shown["application"].as_str().unwrap();
    assert!(due.contains("due by") && due.contains("2518(7)"), "{due}");
    let answer = scene.probe().approve(&confirmed, &[&ada]).unwrap();
    assert!(answer.accepted && answer.words.contains("armed"), "{}", answer.words);

    // Nobody but the kernel is awake when the time is over.
    wait_until_ns(stop_ns - 1_000_000_000);
    assert!(now_ns() < stop_ns - DOUBT_NS, "the test is too slow to prove anything");
    let roles = ["control", "capture"];
    roles.iter().for_each(|role| scene.probe().signal_role(&scene.host, role, Signal::STOP).unwrap());
    wait_until_ns(stop_ns + 1_000_000_000);
    roles.iter().for_each(|role| scene.probe().signal_role(&scene.host, role, Signal::CONT).unwrap());
    wait_for_phase(&scene, &alone, "expired");
    sleep(Duration::from_millis(900));
    let ended_ns = now_ns();
    let sent = traffic.stop();
    // What waited for capture may be more than its ring holds.
    hold(&scene, &alone, &sent, (begun_ns, stop_ns - 1_200_000_000), (begun_ns, stop_ns));
    hold(&scene, &confirmed, &sent, (ended_ns - 800_000_000, ended_ns), (begun_ns, ended_ns));
    assert_eq!(scene.phase(&confirmed), "active");
    let answer = scene.probe().approve(&alone, &[&ada]).unwrap();
    assert!(!answer.accepted && answer.words.contains("has ended"), "{}", answer.words);
    let digest = scene.agency(&confirmed).directory.join(confirmed.case_id).join("digest.json");
    until("the agency's digest", PATIENCE, || {
        let digest: Value = serde_json::from_slice(&fs::read(&digest).unwrap_or_default()).unwrap_or_default();
        let numberings = digest["numberings"].as_array().map(Vec::len);
        Ok((numberings == Some(1)).then_some(()))
    })
    .unwrap();

    // The order has to be applied for within 48 hours, and the alarm comes before that.
    for (hours, soon, overdue) in [(30, 0, 0), (40, 2, 0), (49, 0, 2)] {
        clock.set(hours * HOUR).unwrap();
        until("the alarm", PATIENCE, || {
            let status = scene.probe().status()?;
            let is = (status["applications_due_soon"].as_u64(), status["applications_overdue"].as_u64());
            Ok((is == (Some(soon), Some(overdue))).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{hours} hours later: {error}"));
    }
    scene.assert_log_names_nobody();
}
