//! The program and the reference model over the same frames: verdict, header, bytes, time, and the counters of both.

use crate::kernel::{Counts, Outcome, Trial};
use crate::reference::{Fragments, Judgement, Taken, World};
use std::ops::RangeInclusive;
use writ_abi::{ABI_VERSION, FrameHeader, MAX_OPTION_SPANS, OptionSpan};
use writ_capture::{OnMiss, boot_now_ns};

/// Both, and what the counters should say so far.
pub struct Agreement {
    world: World,
    fragments: Fragments,
    trial: Trial,
    expected: Counts,
    handed_over: u64,
    flags: [u64; 32],
}

impl Agreement {
    /// Loads the program with the targets of a world. Needs root.
    pub fn new(world: World) -> Self {
        let trial = Trial::load(&world);
        Self { world, fragments: Fragments::default(), trial, expected: Counts::zero(), handed_over: 0, flags: [0; 32] }
    }

    /// Shows both a frame. The error says what they do not agree on.
    pub fn try_frame(&mut self, on_miss: OnMiss, frame: &[u8]) -> Result<(), String> {
        let from = boot_now_ns();
        let judgement = self.world.judge(frame, from, &mut self.fragments);
        let outcome = self.trial.run(on_miss, frame);
        let to = boot_now_ns();
        compare(&judgement, &outcome, on_miss, frame, from..=to, self.handed_over).map_err(|difference| {
            format!("{difference}\nframe: {}\nmodel: {judgement:#?}\nprogram: {outcome:#?}", hex(frame))
        })?;
        self.expected.add_frame(&judgement.counted, frame.len());
        for (slot, entry) in judgement.accounts {
            if usize::from(slot) < self.world.slots.len() {
                self.expected.add_entry(slot, entry, frame.len());
            }
        }
        if let Some(taken) = judgement.taken {
            self.handed_over += 1;
            for (bit, count) in self.flags.iter_mut().enumerate() {
                *count += u64::from(taken.flags >> bit & 1);
            }
        }
        Ok(())
    }

    /// Frames that were handed over.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Of these, how many with this flag of [`writ_abi::FrameFlags`].
    pub fn with_flag(&self, flag: u32) -> u64 {
        self.flags[flag.trailing_zeros() as usize]
    }

    /// The counters, if both agree on them.
    pub fn counts(&self) -> Result<&Counts, String> {
        let found = self.trial.counts();
        if found == self.expected {
            Ok(&self.expected)
        } else {
            Err(format!("counters\nmodel: {:#?}\nprogram: {found:#?}", self.expected))
        }
    }
}

fn compare(
    judgement: &Judgement,
    outcome: &Outcome,
    on_miss: OnMiss,
    frame: &[u8],
    time: RangeInclusive<u64>,
    number: u64,
) -> Result<(), String> {
    match (&judgement.taken, outcome) {
        (None, Outcome::Dropped) if on_miss == OnMiss::Drop || judgement.withheld => Ok(()),
        (None, Outcome::Passed) if on_miss == OnMiss::Pass && !judgement.withheld => Ok(()),
        (None, Outcome::HandedOver(..)) => Err("a false hit".into()),
        (Some(_), Outcome::Dropped | Outcome::Passed) => Err("a miss".into()),
        (Some(taken), Outcome::HandedOver(header, bytes)) => {
            if !time.contains(&header.time_ns) {
                return Err(format!("time {} is not in {time:?}", header.time_ns));
            }
            let wanted = header_of(taken, frame.len(), header.time_ns, number);
            if **header != wanted {
                return Err(format!("header, wanted {wanted:#?}"));
            }
            if *bytes != taken.bytes {
                return Err("other bytes".into());
            }
            Ok(())
        }
        _ => Err("the wrong verdict over a miss".into()),
    }
}

fn header_of(taken: &Taken, length: usize, time_ns: u64, number: u64) -> FrameHeader {
    let mut options = [OptionSpan::default(); MAX_OPTION_SPANS];
    for (place, span) in options.iter_mut().zip(&taken.options) {
        *place = OptionSpan { offset: span.start as u16, length: span.len() as u16 };
    }
    FrameHeader {
        abi: ABI_VERSION,
        link_offset: taken.link_offset(),
        flags: taken.flags,
        time_ns,
        number,
        wire_length: length as u32,
        ifindex: 1,
        ip_offset: taken.ip.start as u16,
        ip_end: taken.ip.end as u16,
        header_end: taken.header_end as u16,
        transport_offset: taken.transport.unwrap_or(0) as u16,
        protocol: taken.protocol,
        source_live: taken.source.live,
        destination_live: taken.destination.live,
        undirected: taken.source.undirected,
        queue: 0,
        source: taken.source.padded(),
        destination: taken.destination.padded(),
        options,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
