//! How far apart the sender's processor and that of user space are: the time that a cache line takes to the other one and
//! back. The host of a virtual machine moves its processors about, between cores that share a third-level cache and cores
//! that do not, every few seconds; every frame that goes from kernel to user space crosses that distance twice. On a machine
//! of its own a worker is put near the processor that receives, so a run that found them far apart is made again, and told
//! of apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{pin, processors};

/// There and back in one burst, and how many bursts, of which the quickest counts.
const TRIPS: u64 = 2000;
const BURSTS: u32 = 5;
/// Looks at the line before a burst is given up: some seconds.
const MOST_LOOKS: u64 = 1 << 28;
/// From here on they are far apart, in nanoseconds there and back. On the machine that the figures are of, cores with a
/// cache in common took 45 to 150, others 310 to 550.
const FAR: f64 = 200.0;
/// How long is tried in all until processors are near, and for one run.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_OF_ONE: Duration = Duration::from_secs(30);

/// The distance of the two processors, and how much patience with it is left.
pub struct Distance {
    /// Measures it, in nanoseconds there and back.
    gauge: fn() -> Result<f64>,
    waited: Duration,
}

impl Default for Distance {
    fn default() -> Self {
        Self { gauge: apart, waited: Duration::ZERO }
    }
}

/// A result, and how far apart the processors were, in nanoseconds there and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<T> {
    pub(crate) result: T,
    pub(crate) apart: f64,
}

/// What was measured while the processors were near, and what was before that.
pub(crate) struct Measured<T> {
    /// Near each other, unless that did not come in time.
    pub(crate) last: At<Result<T>>,
    /// Far apart from beginning to end.
    pub(crate) far: Vec<At<T>>,
}

impl Distance {
    /// Measures until the processors were near before and behind it, or patience is at its end.
    pub(crate) fn near<T>(&mut self, mut measure: impl FnMut() -> Result<T>) -> Measured<T> {
        let (begun, mut far) = (Instant::now(), Vec::new());
        // What a first try takes is no waiting.
        let mut is_again = false;
        loop {
            let before = (self.gauge)();
            let result = measure();
            let (before, after) = match (before, (self.gauge)()) {
                (Ok(before), Ok(after)) => (before, after),
                (Err(error), _) | (_, Err(error)) => {
                    return Measured { last: At { result: Err(error), apart: f64::NAN }, far };
                }
            };
            let apart = before.max(after);
            let last = At { result, apart };
            let out_of_patience = begun.elapsed() > PATIENCE_OF_ONE || self.waited + begun.elapsed() > PATIENCE;
            if apart < FAR || out_of_patience {
                if is_again {
                    self.waited += begun.elapsed();
                }
                return Measured { last, far };
            }
            match last.result {
                Ok(result) if before.min(after) >= FAR => far.push(At { result, apart }),
                // They were moved meanwhile.
                Ok(_) => {}
                Err(_) => return Measured { last, far },
            }
            is_again = true;
        }
    }
}

/// Nanoseconds there and back.
fn apart() -> Result<f64> {
    (0..BURSTS).map(|_| burst()).try_fold(f64::INFINITY, |least, burst| burst.map(|ns| least.min(ns)))
}

/// A line of its own, whatever a processor fetches beside it.
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    /// Waits until the other one has written a number, and writes the next.
    fn answer(&self, awaited: u64) -> Result<()> {
        for _ in 0..MOST_LOOKS {
            if self.0.load(Ordering::Acquire) == awaited {
                self.0.store(awaited + 1, Ordering::Release);
                return Ok(());
            }
            std::hint::spin_loop();
        }
        bail!("the other processor does not answer")
    }
}

/// Nanoseconds there and back, the mean of a burst.
fn burst() -> Result<f64> {
    let [first, second, ..] = *processors() else { bail!("2 processors are needed") };
    let line = Arc::new(Line(AtomicU64::new(0)));
    let other = Arc::clone(&line);
    let there = thread::spawn(move || -> Result<()> {
        pin(&[second])?;
        (0..=TRIPS).try_for_each(|trip| other.answer(2 * trip + 1))
    });
    let here = thread::spawn(move || -> Result<f64> {
        pin(&[first])?;
        // The first trip waits for the other thread's start.
        line.answer(0)?;
        line.answer(2)?;
        let begun = Instant::now();
        (2..=TRIPS).try_for_each(|trip| line.answer(2 * trip))?;
        Ok(begun.elapsed().as_nanos() as f64 / (TRIPS - 1) as f64)
    });
    let panicked = |_| anyhow!("a thread panicked");
    let ns = here.join().map_err(panicked)?;
    there.join().map_err(panicked)?.context("the distance of two processors")?;
    ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    fn look() -> usize {
        LOOKS.replace(LOOKS.get() + 1)
    }

    #[test]
    fn what_was_measured_far_apart_is_measured_again_and_kept_apart() {
        // Before and behind each of three runs: far, moved meanwhile, near.
        let gauge = || Ok([400.0, 350.0, 350.0, 90.0, 90.0, 100.0][look()]);
        let mut runs = 0;
        let measured = Distance { gauge, waited: Duration::ZERO }.near(|| {
            runs += 1;
            Ok(runs)
        });
        assert_eq!((measured.last.result.unwrap(), measured.last.apart), (3, 100.0));
        let far: Vec<_> = measured.far.iter().map(|run| (run.result, run.apart)).collect();
        assert_eq!(far, [(1, 400.0)]);
    }

    #[test]
    fn processors_that_stay_far_apart_are_measured_all_the_same() {
        let mut distance = Distance { gauge: || Ok(500.0), waited: PATIENCE };
        let measured = distance.near(|| Ok(()));
        assert!(measured.last.result.is_ok() && measured.last.apart == 500.0 && measured.far.is_empty());
    }

    #[test]
    fn two_processors_answer_each_other() {
        if processors().len() < 2 {
            eprintln!("skipped: 2 processors are needed");
            return;
        }
        assert!(apart().unwrap() > 0.0);
    }
}
