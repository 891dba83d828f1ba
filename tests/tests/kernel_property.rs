//! The XDP program against the reference model, over random and mutated frames: no false hit, no miss, the same cut,
//! the same bytes, the same counters. Needs root.
//!
//! `WRIT_SEED` repeats a run, `WRIT_FRAMES` makes it longer.

use std::collections::BTreeMap;
use std::env;
use writ_abi::{FrameFlags, SlotCounters};
use writ_capture::{OnMiss, Tunnel, boot_now_ns};
use writ_tests::agreement::Agreement;
use writ_tests::cast;
use writ_tests::grammar::Dice;
use writ_tests::reference::World;

#[test]
fn program_and_model_agree_on_every_frame() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seed = number("WRIT_SEED").unwrap_or_else(boot_now_ns);
    let frames = number("WRIT_FRAMES").unwrap_or(100_000);
    let mut dice = Dice::new(seed);
    for tunnel in [Tunnel::Gre, Tunnel::Erspan, Tunnel::Vxlan, Tunnel::Tzsp] {
        let seen = run(seed, frames / 10, &mut dice, World { tunnel, ..cast::world() });
        for (counter, share) in [("hits", 6), ("misses", 20), ("cut", 40), ("not_tunnel", 20), ("tunnel_fragment", 100)]
        {
            let count = seen.get(counter).copied().unwrap_or(0);
            assert!(count >= frames / 10 / share, "{tunnel:?}: {counter} is too rare: {seen:?}");
        }
    }
    let frames = frames - 4 * (frames / 10);
    run(seed, frames / 8, &mut dice, World { look_inside: false, ..cast::world() });
    run(seed, frames / 8, &mut dice, World { look_inside: false, ..cast::world_of_addresses() });
    let seen = run(seed, frames - frames / 4, &mut dice, cast::world());

    // A generator that makes only misses, or never reaches a corner, would prove nothing.
    for (counter, share) in [
        ("hits", 4),
        ("misses", 20),
        ("cut", 20),
        ("later_fragments", 500),
        ("bad_transport", 500),
        ("bad_ip_header", 500),
        ("bad_extension", 500),
        ("extension_depth", 500),
        ("unknown_transport", 500),
        ("too_short", 500),
        ("vlan_depth", 100),
        ("mpls_depth", 500),
        ("inner_depth", 500),
        ("bad_version", 500),
        ("not_ip", 500),
    ] {
        assert!(seen.get(counter).is_some_and(|count| *count >= frames / share), "{counter} is too rare: {seen:?}");
    }
}

/// Returns how often each corner was reached.
#[expect(clippy::print_stdout, reason = "how often each corner was reached is worth reading")]
fn run(seed: u64, frames: u64, dice: &mut Dice, world: World) -> BTreeMap<&'static str, u64> {
    let World { look_inside, tunnel, .. } = world;
    let mut agreement = Agreement::new(world);
    for round in 0..frames {
        let frame = if tunnel == Tunnel::None { dice.frame() } else { dice.mirrored_frame(tunnel) };
        let on_miss = if dice.one_in(2) { OnMiss::Drop } else { OnMiss::Pass };
        if let Err(difference) = agreement.try_frame(on_miss, &frame) {
            panic!("seed {seed}, frame {round}: {difference}");
        }
        if round % 1000 == 0
            && let Err(difference) = agreement.counts()
        {
            panic!("seed {seed}, after frame {round}: {difference}");
        }
    }
    let seen = match agreement.counts() {
        Ok(counts) => {
            let sum = |count: fn(&SlotCounters) -> u64| counts.slots.values().map(count).sum::<u64>();
            let (other, unknown) = (sum(|it| it.other_traffic), sum(|it| it.unknown_traffic));
            assert!(
                other >= frames / 500 && unknown >= frames / 1000,
                "{other} of other traffic, {unknown} of unknown"
            );
            counts.probe.clone()
        }
        Err(difference) => panic!("seed {seed}, at the end: {difference}"),
    };
    println!("seed {seed}, {tunnel:?}: {frames} frames, of which {} handed over: {seen:?}", agreement.handed_over());
    for flag in [FrameFlags::TRANSPORT, FrameFlags::IPV6, FrameFlags::CUT, FrameFlags::FRAGMENT] {
        let count = agreement.with_flag(flag);
        assert!(count >= frames / 200, "only {count} frames with flag {flag}");
    }
    let mirrored = agreement.with_flag(FrameFlags::MIRRORED);
    assert_eq!(mirrored, if tunnel == Tunnel::None { 0 } else { agreement.handed_over() });
    let inner = agreement.with_flag(FrameFlags::INNER);
    assert!(if look_inside { inner >= frames / 500 } else { inner == 0 }, "{inner} inner packets");
    seen
}
