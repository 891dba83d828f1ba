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
/// From here on they are far apart, in nanoseconds there and back. Two threads of one core took 45 on the machine that the
/// figures are of, cores with a cache in common 80 to 150, others 310 to 550.
const FAR: f64 = 200.0;
/// How long is tried in all until processors are near, and for one run.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_OF_ONE: Duration = Duration::from_secs(30);
/// How much patience is left.
#[derive(Debug, Default)]
pub struct Distance {
    waited: Duration,
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
        loop {
            let before = apart();
            let result = measure();
            let (before, after) = match (before, apart()) {
                (Ok(before), Ok(after)) => (before, after),
                (Err(error), _) | (_, Err(error)) => {
                    return Measured { last: At { result: Err(error), apart: f64::NAN }, far };
                }
            };
            let apart = before.max(after);
            let last = At { result, apart };
            let out_of_patience = begun.elapsed() > PATIENCE_OF_ONE || self.waited + begun.elapsed() > PATIENCE;
            if apart < FAR || out_of_patience {
                if !far.is_empty() {
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
