//! Windows against a plain model: whatever is released, said again, lost or interrupted, a window is the digest of the PDUs
//! that came, and both sides' lines are equal when both have the same.

use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use writ_digests::{Difference, Finding, Line, Range, Stream, WINDOW_NUMBERS, Window, compare};

fn pdu(number: u64) -> Vec<u8> {
    format!("PDU {number} ").repeat(1 + (number % 5) as usize).into_bytes()
}

/// The definition, written out: all that came, by number.
fn model(stream: Stream, come: &BTreeMap<u64, Vec<u8>>) -> Vec<Line> {
    let mut by_window: BTreeMap<u64, Vec<(u64, &[u8])>> = BTreeMap::new();
    for (number, pdu) in come {
        by_window.entry(number / WINDOW_NUMBERS).or_default().push((*number, pdu));
    }
    let line = |(window, pdus): (u64, Vec<(u64, &[u8])>)| {
        let name: &[u8] = if stream == Stream::Cmii { b"cmii" } else { b"cmc" };
        let mut octets = [b"writ delivered window", name, &window.to_be_bytes()].concat();
        for (number, pdu) in &pdus {
            octets.extend([&number.to_be_bytes()[..], pdu].concat());
        }
        let value = digest(&SHA256, &octets).as_ref().to_vec();
        let (first, last) = (pdus[0].0, pdus[pdus.len() - 1].0);
        let mut missing: Vec<Range> = Vec::new();
        for number in (window * WINDOW_NUMBERS..last).filter(|number| !come.contains_key(number)) {
            match missing.last_mut() {
                Some(range) if range.last + 1 == number => range.last = number,
                _ => missing.push(Range { first: number, last: number }),
            }
        }
        let sha256 = value.iter().map(|octet| format!("{octet:02x}")).collect();
        Line { stream, window, first, last, count: pdus.len() as u64, missing, sha256, is_broken: false }
    };
    by_window.into_iter().map(line).collect()
}

/// Whoever keeps windows: releases come in batches, what was not stored with a batch comes again.
struct Keeper {
    stream: Stream,
    stored: Option<Window>,
    lines: Vec<Line>,
}

impl Keeper {
    /// A batch of numbers. If killed, its state is not stored, and perhaps its lines are.
    fn release(&mut self, batch: &[u64], killed: Option<bool>) {
        let mut window = self.stored.clone();
        let mut lines = Vec::new();
        for number in batch {
            if let Some(over) = window.take_if(|window| !window.holds(*number)) {
                lines.extend(over.line(self.stream));
            }
            window.get_or_insert_with(|| Window::of(self.stream, *number)).take(*number, &pdu(*number));
        }
        if killed != Some(false) {
            self.lines.extend(lines);
        }
        if killed.is_none() {
            // Through its words, as through a process's end.
            self.stored = window.map(|window| Window::from_words(&window.to_words()).expect("a window"));
        }
    }
}

proptest! {
    #[test]
    fn any_interleaving_of_releases_repeats_and_gaps_is_the_model(
        begin in prop_oneof![0u64..3000, Just((1 << 40) + 1000), Just(u64::MAX / 2)],
        steps in prop::collection::vec((1u64..700, 0u64..2000, prop::option::weighted(0.3, any::<bool>())), 1..20),
        content in any::<bool>(),
    ) {
        let stream = if content { Stream::Cmc } else { Stream::Cmii };
        let mut keeper = Keeper { stream, stored: None, lines: Vec::new() };
        let mut come = BTreeMap::new();
        let mut number = begin;
        for (count, gap, killed) in steps {
            let batch: Vec<u64> = (number..number + count).collect();
            if let Some(lines_written) = killed {
                keeper.release(&batch, Some(lines_written));
            }
            // What comes again is what came, whatever a batch is then.
            for part in batch.chunks(1 + gap as usize % 300) {
                keeper.release(part, None);
            }
            come.extend(batch.iter().map(|number| (*number, pdu(*number))));
            number += count + if gap < 1000 { 0 } else { gap };
        }
        keeper.lines.extend(keeper.stored.as_ref().and_then(|window| window.line(stream)));
        let mut lines = keeper.lines;
        // A line that is there twice is the same line.
        lines.dedup();
        lines.sort_by_key(|line| line.window);
        lines.dedup();
        let model = model(stream, &come);
        prop_assert_eq!(&lines, &model);
        let comparison = compare(&lines, &model);
        prop_assert!(comparison.is_equal() && comparison.findings.is_empty());
        prop_assert_eq!(comparison.equal.get(&stream), Some(&(come.len() as u64, come.keys().next_back().copied())));
    }

    #[test]
    fn one_octet_or_one_pdu_is_found_in_its_window(
        count in 1u64..5000,
        at in any::<prop::sample::Index>(),
        octet in any::<prop::sample::Index>(),
        bit in 0u32..8,
    ) {
        let all: BTreeMap<u64, Vec<u8>> = (0..count).map(|number| (number, pdu(number))).collect();
        let number = at.index(count as usize) as u64;
        let mine = model(Stream::Cmc, &all);

        let mut altered = all.clone();
        let bytes = altered.get_mut(&number).unwrap();
        let place = octet.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let window = number / WINDOW_NUMBERS;
        let comparison = compare(&mine, &model(Stream::Cmc, &altered));
        let range = Range { first: window, last: window };
        prop_assert_eq!(&comparison.findings, &[Finding { stream: Stream::Cmc, what: Difference::Octets, range }]);
        prop_assert!(!comparison.is_equal());
        prop_assert_eq!(comparison.equal[&Stream::Cmc].1, (window * WINDOW_NUMBERS).checked_sub(1));

        let mut lacking = all.clone();
        lacking.remove(&number);
        let theirs = model(Stream::Cmc, &lacking);
        let range = Range { first: number, last: number };
        let is_last = number + 1 == count;
        let [there, here] = if is_last {
            [Difference::EndsThere, Difference::EndsHere]
        } else {
            [Difference::MissingThere, Difference::MissingHere]
        };
        let only = |what| [Finding { stream: Stream::Cmc, what, range }];
        prop_assert_eq!(&compare(&mine, &theirs).findings, &only(there));
        prop_assert_eq!(&compare(&theirs, &mine).findings, &only(here));
    }
}

#[test]
fn a_window_never_runs_back_and_says_when_it_was_interrupted() {
    let mut window = Window::of(Stream::Cmii, 1030);
    assert_eq!(window.line(Stream::Cmii), None);
    assert!(
        window.take(1030, b"a") && !window.take(1030, b"a") && !window.take(1029, b"b") && !window.take(2048, b"c")
    );
    window.set_broken();
    let line = window.line(Stream::Cmii).unwrap();
    assert_eq!((line.first, line.last, line.count, line.is_broken), (1030, 1030, 1, true));
    assert_eq!(line.missing, [Range { first: 1024, last: 1029 }]);
    let text = serde_json::to_string(&line).unwrap();
    assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    assert_eq!(Window::from_words(&window.to_words()), Some(window));
    assert_eq!(Window::from_words(&[0; writ_digests::STATE_WORDS]), None);
}

#[test]
fn behind_an_interruption_nothing_is_claimed_that_is_not_known() {
    let all = |numbers: std::ops::Range<u64>| numbers.map(|number| (number, pdu(number))).collect::<BTreeMap<_, _>>();
    // Here the end came at 1500, and at 4500 it went on; there everything arrived.
    let mut known = all(0..1500);
    known.extend(all(4500..6000));
    let mut mine = model(Stream::Cmc, &known);
    for line in mine.iter_mut().filter(|line| [1, 4].contains(&line.window)) {
        line.is_broken = true;
    }
    let comparison = compare(&mine, &model(Stream::Cmc, &all(0..6000)));
    let range = Range { first: 1500, last: 4499 };
    let stream = Stream::Cmc;
    assert_eq!(comparison.findings, [Finding { stream, what: Difference::UnknownHere, range }]);
    assert!(comparison.is_equal());
    assert_eq!(comparison.equal[&stream], (1024 + 6000 - 5120, Some(1023)));

    // Messages are counted: behind it the two sides count differently.
    let messages = |numbers: Vec<u64>| (0..).zip(numbers.into_iter().map(pdu)).collect::<BTreeMap<_, _>>();
    let stream = Stream::Cmii;
    let mut mine = model(stream, &messages((0..1500).chain(1600..5000).collect()));
    mine[1].is_broken = true;
    let comparison = compare(&mine, &model(stream, &messages((0..5000).collect())));
    let range = Range { first: 1, last: 3 };
    assert_eq!(comparison.findings[0], Finding { stream, what: Difference::Uncomparable, range });
    assert!(!comparison.is_equal() && comparison.equal[&stream] == (1024, Some(1023)));
    assert!(!comparison.to_string().contains("differs"), "{comparison}");
}
