//! How many frames a worker should take at once (`ring.batch`): the whole way inline over veth, with a probe of its own
//! for each size. Each round measures all of them in turn, beside a link whose frames are purely dropped, so that what
//! else the machine does falls on all alike.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

use crate::Effort;
use crate::bed::{Bed, Layout, Subject};
use crate::distance::{At, Distance};
use crate::generator::{Length, Traffic};
use crate::inline::{COLUMNS, Run, TARGET, percent, row};
use crate::report::{Section, median};

/// This part of the bench: only on demand.
pub const PART: &str = "batch";

/// Short frames come oftenest.
const LENGTH: Length = Length::Bytes(60);
/// Of a thousand frames, so many are a target's.
const HITS: [u32; 3] = [10, 100, 1000];

/// Measures each size; `directory` is an empty directory for the probes' files.
pub fn measure(
    subject: &Subject,
    sizes: &[u32],
    directory: &Path,
    effort: Effort,
    distance: &mut Distance,
    doing: &mut dyn FnMut(&str),
) -> Result<Vec<Section>> {
    crate::keep_user_space_off(1)?;
    let mut beds = Vec::new();
    for size in sizes {
        let subject = Subject { batch: Some(*size), ..subject.clone() };
        let mut bed = Bed::build(&subject, &directory.join(format!("batch-{size}")), Layout::PLAIN)?;
        bed.order(vec![IpAddr::from(TARGET).into()], 1)?;
        bed.in_force()?;
        beds.push((*size, bed, HITS.map(|_| Vec::new())));
    }
    for round in 1..=effort.repeats {
        for (size, bed, runs) in &mut beds {
            doing(&format!("batches of {size}, round {round} of {}", effort.repeats));
            let traffic = Traffic { length: LENGTH, hits: 0, first: TARGET, targets: 1, stamp: false };
            let dropped = bed.dropped(&traffic, effort.time)?;
            for (hits, runs) in HITS.into_iter().zip(runs) {
                let traffic = Traffic { hits, ..traffic };
                let At { result, apart } = distance.near(|| bed.taken(&traffic, effort.time)).last;
                runs.push(result.map(|passage| Run { passage, dropped, apart }));
            }
        }
    }
    let mut sections = Vec::new();
    for (place, hits) in HITS.into_iter().enumerate() {
        let title = format!(
            "Batch sizes, inline over veth, {}, {} hits, median of {} rounds",
            LENGTH.name(),
            percent(hits),
            effort.repeats
        );
        let mut section = Section::new(PART, title, COLUMNS);
        for (size, _, runs) in &beds {
            let ratio = median(runs[place].iter().flatten().map(Run::of_drop));
            let row = row(format!("ring.batch = {size}"), true, &runs[place]);
            section.rows.push(row.beside("frames/s of XDP_DROP", ratio, None));
        }
        sections.push(section);
    }
    for (_, bed, _) in beds {
        bed.take_down()?;
    }
    Ok(sections)
}
