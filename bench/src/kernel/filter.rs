//! What the filter costs a bystander's packet, beside the two look-ups in hash tables that it saves.
//!
//! Three of the probe's own programs, one after the other, again and again: as it is, built without the filter (feature
//! `no-filter`), and as it is with empty tables, which looks for nothing. The first less the third is the filter whole,
//! look-ups that it lets through by mistake included; the second less the third are two look-ups. Differences are taken
//! between neighbours in time, and the median of them counts. Each runs over all pairs of addresses untimed before it is timed:
//! else it would be timed with the cache that the program before it has left, and the tables without a filter leave nothing in
//! it.

use anyhow::{Context as _, Result, ensure};
use writ_capture::{Action, Kernel, OnMiss};

use super::population::{Family, Kind, Population};
use super::timer::Timer;
use super::{LENGTH, arm, fill};
use crate::report::{Row, Section, Target, median};
use crate::{Effort, frame, programs};

/// This part of the bench.
pub const PART: &str = "filter";

const TARGETS: [usize; 3] = [1, 10_000, 1_000_000];

/// Measures, and gives nanoseconds a packet.
pub fn measure(effort: Effort, doing: &mut dyn FnMut(&str)) -> Result<Section> {
    let title = format!(
        "The filter beside two look-ups, ns that each adds to a bystander's packet, median of {} paired differences",
        effort.pairs
    );
    let mut section = Section::new(PART, title, ["filter", "2 look-ups"]);
    for family in Family::ALL {
        for kind in [Kind::Random, Kind::Neighbours] {
            for targets in TARGETS {
                let name = format!("{}, {}, {targets} targets", family.name(), kind.name());
                doing(&format!("filter: {name}"));
                section.rows.push(match compare(&Population::new(family, kind, targets)?, effort) {
                    Ok((filter, lookups)) => Row::new(name, [Some(filter), Some(lookups)]).beside(
                        "two look-ups",
                        Some(filter / lookups),
                        target(targets),
                    ),
                    Err(error) => Row::failed(name, &error),
                });
            }
        }
    }
    Ok(section)
}

/// No slower where there is one target, and a twentieth where there are a million.
fn target(targets: usize) -> Option<Target> {
    match targets {
        1 => Some(Target::AtMost(1.0)),
        1_000_000 => Some(Target::AtMost(0.05)),
        _ => None,
    }
}

/// What the filter and what two look-ups add.
fn compare(population: &Population, effort: Effort) -> Result<(f64, f64)> {
    let settings = population.settings();
    let mut filtered = Kernel::load(&settings)?;
    let mut direct = Kernel::load_object(programs::WITHOUT_FILTER, &settings)?;
    let mut empty = Kernel::load(&settings)?;
    let (source, destination) = population.a_hit();
    let hit = frame::udp(source, destination, LENGTH).context("addresses of one family")?;
    for (kernel, is_filled) in [(&mut filtered, true), (&mut direct, true), (&mut empty, false)] {
        if is_filled {
            fill(kernel, population)?;
        }
        arm(kernel, false)?;
        let action = kernel.try_frame(OnMiss::Drop, &hit)?.action;
        ensure!(action == if is_filled { Action::Redirect } else { Action::Drop }, "a hit is {action:?}");
    }
    let mut timer = Timer::new(&hit)?;
    timer.set_pairs(&population.pairs(false))?;
    let (mut by_filter, mut by_lookups) = (Vec::new(), Vec::new());
    for _ in 0..effort.pairs {
        let mut time = |kernel: &Kernel| timer.time_warm(kernel.program(OnMiss::Drop)?, effort.pair_runs);
        let (filtered, direct, empty) = (time(&filtered)?, time(&direct)?, time(&empty)?);
        by_filter.push(filtered - empty);
        by_lookups.push(direct - empty);
    }
    median(by_filter).zip(median(by_lookups)).context("no pairs were measured")
}
