//! How the whole way changes as there is more of something: warrants, targets, agencies of one warrant, queues. Each
//! series stands beside its own first row, and every run beside the rate at which the same link is purely dropped.
//!
//! Targets come as an operator would bring them, in warrants of 10,000 addresses; how long that takes and what memory it
//! needs is a table of its own. A million is measured only on demand: a hundred warrants take minutes.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net};

use crate::Effort;
use crate::bed::{Bed, Layout, Subject};
use crate::distance::{At, Distance};
use crate::generator::{Length, Traffic};
use crate::inline::{COLUMNS, Run, percent, row};
use crate::report::{Row, Section, median};

/// This part of the bench.
pub const PART: &str = "growth";

/// Hits of a thousand.
const HITS: [u32; 2] = [10, 100];
const WARRANTS: [u32; 3] = [1, 10, 100];
const TARGETS: [u32; 4] = [1, 10_000, 100_000, 1_000_000];
const AGENCIES: [usize; 3] = [1, 2, 4];
const QUEUES: [u16; 2] = [1, 2];
/// Targets of one warrant, the most that it can have.
const TARGETS_OF_ONE: u32 = 10_000;
/// The first target; all others follow. A network of benchmarks (RFC 2544) would be too small.
const FIRST: Ipv4Addr = Ipv4Addr::new(32, 0, 0, 0);

/// Runs of one row, by share of hits.
type Runs = Vec<(u32, Vec<Result<Run>>)>;

/// Measures; `directory` is an empty directory for the probe's files. Series come one after the other, and one that
/// fails leaves the others.
pub fn measure(
    subject: &Subject,
    directory: &Path,
    effort: Effort,
    distance: &mut Distance,
    doing: &mut dyn FnMut(&str),
) -> Result<Vec<Section>> {
    let mut whole_way = Section::new(
        PART,
        format!("The whole way with more of everything, 60-byte frames, median of {} rounds", effort.growth_repeats),
        COLUMNS,
    );
    let mut loading = Section::new(
        PART,
        "Loading targets, in signed warrants of up to 10,000 addresses",
        ["s", "us a target", "s of the last warrant", "MiB of user space", "MiB of the kernel"],
    );
    let mut bench = Series { subject, effort, distance, doing, section: &mut whole_way };
    for (name, result) in [
        ("warrants", bench.warrants(&directory.join("warrants"))),
        ("agencies", bench.agencies(&directory.join("agencies"))),
        ("queues", bench.queues(directory)),
        ("targets", bench.targets(&directory.join("targets"), &mut loading)),
    ] {
        if let Err(error) = result {
            bench.section.rows.push(Row::failed(name, &error));
        }
    }
    Ok(vec![whole_way, loading])
}

/// What all series share.
struct Series<'a> {
    subject: &'a Subject,
    effort: Effort,
    distance: &'a mut Distance,
    doing: &'a mut dyn FnMut(&str),
    section: &'a mut Section,
}

impl Series<'_> {
    fn warrants(&mut self, directory: &Path) -> Result<()> {
        crate::keep_user_space_off(1)?;
        let mut bed = Bed::build(self.subject, directory, Layout::PLAIN)?;
        let (mut orders, mut first) = (0, None);
        for warrants in WARRANTS {
            for number in orders..warrants {
                bed.order(vec![address(number)], 1)?;
            }
            orders = warrants;
            bed.in_force()?;
            let runs = self.runs(&bed, &format!("{warrants} warrants"), FIRST, warrants);
            self.rows(&format!("{warrants} warrants"), "1 warrant", runs, &mut first);
        }
        bed.take_down()
    }

    fn agencies(&mut self, directory: &Path) -> Result<()> {
        crate::keep_user_space_off(1)?;
        let most = AGENCIES.into_iter().max().unwrap_or(1);
        let mut bed = Bed::build(self.subject, directory, Layout { agencies: most, ..Layout::PLAIN })?;
        let mut first = None;
        for (number, agencies) in (0..).zip(AGENCIES) {
            bed.order(vec![address(number)], agencies)?;
            bed.in_force()?;
            let target = Ipv4Addr::from_bits(FIRST.to_bits() + number);
            let runs = self.runs(&bed, &format!("{agencies} agencies"), target, 1);
            self.rows(&format!("1 warrant, {agencies} agencies"), "1 agency", runs, &mut first);
        }
        bed.take_down()
    }

    /// As many senders as queues. Where processors are few, senders and user space share them, also in the reference.
    fn queues(&mut self, directory: &Path) -> Result<()> {
        let mut first = None;
        for queues in QUEUES {
            crate::keep_user_space_off(usize::from(queues))?;
            let directory = directory.join(format!("queues-{queues}"));
            let mut bed = Bed::build(self.subject, &directory, Layout { queues, ..Layout::PLAIN })?;
            bed.order(vec![address(0)], 1)?;
            bed.in_force()?;
            let runs = self.runs(&bed, &format!("{queues} queues"), FIRST, 1);
            self.rows(&format!("{queues} queues, {queues} senders"), "1 queue", runs, &mut first);
            bed.take_down()?;
        }
        Ok(())
    }

    /// All in tables of one size, that of the most.
    fn targets(&mut self, directory: &Path, loading: &mut Section) -> Result<()> {
        crate::keep_user_space_off(1)?;
        let most = self.effort.most_targets;
        let layout = Layout { addresses: Some(most.next_power_of_two()), ..Layout::PLAIN };
        let mut bed = Bed::build(self.subject, directory, layout)?;
        let (mut held, mut first, mut seconds) = (0, None, 0.0);
        let before = bed.memory()?;
        for targets in TARGETS.into_iter().filter(|targets| *targets <= most) {
            (self.doing)(&format!("growth: loading {targets} targets"));
            let begun = Instant::now();
            let mut last = begun;
            while held < targets {
                last = Instant::now();
                let next = (held + TARGETS_OF_ONE).min(targets);
                bed.order((held..next).map(address).collect(), 1)?;
                held = next;
            }
            bed.in_force()?;
            seconds += begun.elapsed().as_secs_f64();
            let of_last = last.elapsed().as_secs_f64();
            let memory = [bed.memory()?.saturating_sub(before), bed.kernel_memory()?];
            let [user, kernel] = memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
            let figures = [seconds, seconds * 1e6 / f64::from(targets), of_last, user, kernel];
            loading.rows.push(Row::new(format!("{targets} targets"), figures.map(Some)));
            let runs = self.runs(&bed, &format!("{targets} targets"), FIRST, targets);
            self.rows(&format!("{targets} targets, table for {most}"), "1 target", runs, &mut first);
        }
        bed.take_down()
    }

    fn runs(&mut self, bed: &Bed, what: &str, first: Ipv4Addr, targets: u32) -> Runs {
        (self.doing)(&format!("growth: {what}"));
        let (time, distance) = (self.effort.time, &mut *self.distance);
        let mut run = |hits| -> Result<Run> {
            let traffic = Traffic { length: Length::Bytes(60), hits, first, targets, stamp: false };
            let pair = || Ok((bed.dropped(&traffic, time)?, bed.taken(&traffic, time)?));
            let At { result, apart } = distance.near(pair).last;
            result.map(|(dropped, passage)| Run { passage, dropped, apart })
        };
        HITS.map(|hits| (hits, (0..self.effort.growth_repeats).map(|_| run(hits)).collect())).into()
    }

    /// A row for each share of hits, beside that of the series' first.
    fn rows(&mut self, what: &str, reference: &str, runs: Runs, first: &mut Option<Vec<Option<f64>>>) {
        let of_drop: Vec<Option<f64>> =
            runs.iter().map(|(_, runs)| median(runs.iter().flatten().map(Run::of_drop))).collect();
        let is_first = first.is_none();
        let first = first.get_or_insert_with(|| of_drop.clone());
        for (((hits, runs), of_drop), first) in runs.iter().zip(of_drop).zip(first) {
            let row = row(format!("{what}, {} hits", percent(*hits)), true, runs);
            let ratio = of_drop.zip(*first).map(|(here, first)| here / first).filter(|_| !is_first);
            self.section.rows.push(row.beside(format!("the share of XDP_DROP with {reference}"), ratio, None));
        }
    }
}

/// Target number `number`.
fn address(number: u32) -> IpNet {
    Ipv4Net::from(Ipv4Addr::from_bits(FIRST.to_bits() + number)).into()
}
