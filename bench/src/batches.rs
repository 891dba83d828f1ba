//! How many frames a worker should take at once (`ring.batch`): the whole way inline over veth, with a probe of its own
//! for each size. Each round measures all of them in turn, beside a link whose frames are purely dropped, so that what
//! else the machine does falls on all alike.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::inline::{Lab, Outcome, Receiver, Subject};
use crate::report::{Row, Section, median};
use crate::{Effort, pin};

/// Bytes of a frame: short ones come oftenest.
const LENGTH: usize = 60;
/// Of a hundred frames, so many are a target's.
const HITS: [u32; 3] = [1, 10, 100];

/// What one probe did in one round: for each of [`HITS`], its share of the pure drop's rate, and the run.
type Round = Vec<(f64, Outcome)>;

/// Measures each size; `directory` is an empty directory for the probes' files.
pub fn measure(
    subject: &Subject,
    sizes: &[u32],
    directory: &Path,
    effort: Effort,
    doing: &mut dyn FnMut(&str),
) -> Result<Vec<Section>> {
    pin(1)?;
    let mut labs = Vec::new();
    for size in sizes {
        let own = directory.join(format!("batch-{size}"));
        fs::create_dir(&own)?;
        let subject = Subject { batch: Some(*size), ..subject.clone() };
        labs.push((*size, Lab::build(&subject, &own)?, Vec::<Round>::new()));
    }
    for round in 1..=effort.repeats {
        for (size, lab, rounds) in &mut labs {
            doing(&format!("batches of {size}, round {round} of {}", effort.repeats));
            let drop = lab.run(Receiver::Drop, LENGTH, effort.time)?.sent;
            let outcome = |hits| {
                let outcome = lab.run(Receiver::Writ { hits }, LENGTH, effort.time)?;
                Ok((outcome.sent / drop, outcome))
            };
            rounds.push(HITS.into_iter().map(outcome).collect::<Result<Round>>()?);
        }
    }
    let columns = ["of XDP_DROP", "M frames/s", "M hits/s out", "% hits lost"].map(String::from);
    let mut sections = Vec::new();
    for (place, hits) in HITS.into_iter().enumerate() {
        let title = format!(
            "Batch sizes, inline over veth, {LENGTH}-byte frames, {hits} % hits, median of {} rounds",
            effort.repeats
        );
        let mut section = Section::new(title, &columns);
        for (size, _, rounds) in &labs {
            let of = |figure: &dyn Fn(&(f64, Outcome)) -> f64| {
                median(rounds.iter().filter_map(|round| round.get(place).map(figure)))
            };
            let figures = vec![
                of(&|(share, _)| *share),
                of(&|(_, outcome)| outcome.sent / 1e6),
                of(&|(_, outcome)| outcome.arrived / 1e6),
                of(&|(_, outcome)| outcome.lost * 100.0),
            ];
            section.rows.push(Row { name: format!("ring.batch = {size}"), figures });
        }
        sections.push(section);
    }
    for (_, lab, _) in labs {
        lab.take_down()?;
    }
    Ok(sections)
}
