//! What was delivered, in digests: every record that a session releases goes into the window of its stream, and a window
//! that is over becomes a line of the probe's file.
//!
//! The window that is open lies in the ledger's memory and is brought forward before the records are given back: the lines
//! first, then the state, then the records. So a process that is killed in between writes a line twice at most, takes no
//! record twice, and leaves none out.

use crate::delivered::DeliveredFile;
use std::sync::Arc;
use uuid::Uuid;
use writ_digests::{Delivered, STATE_WORDS, Stream, Window};
use writ_spool::{Ledger, MAX_DELIVERIES, MEMO_WORDS, Memo, Record, Release};

const _: () = assert!(STATE_WORDS == MEMO_WORDS);

/// The digests that a session keeps.
#[derive(Clone)]
pub struct DigestSheet {
    /// Where lines go.
    pub file: Arc<DeliveredFile>,
    /// Of which stream.
    pub stream: Stream,
    /// Whether they are wanted. If not, a window that was open before says that it lacks something.
    pub is_wanted: bool,
}

/// The windows of one stream, of all intercepts that go through it.
pub(crate) struct Windows {
    sheet: DigestSheet,
    ledger: Arc<Ledger>,
    /// By slot and delivery.
    open: Vec<Option<Box<Open>>>,
    /// Which of them have gone on since they were stored.
    touched: Vec<usize>,
    /// Lines of windows that are over.
    lines: Vec<u8>,
}

/// A window that is open, or none yet, of one delivery.
struct Open {
    generation: u16,
    warrant: Uuid,
    window: Option<Window>,
    /// Everything up to this place in the stream is in it.
    place: u64,
    /// The probe ended since, and that is not noted in a window yet.
    is_interrupted: bool,
    is_touched: bool,
}

impl Windows {
    pub(crate) fn new(sheet: DigestSheet, ledger: Arc<Ledger>) -> Self {
        let open = std::iter::repeat_with(|| None).take(ledger.slots() * MAX_DELIVERIES).collect();
        Self { sheet, ledger, open, touched: Vec::new(), lines: Vec::new() }
    }
}

fn memo_of(ledger: &Ledger, slot: u16, delivery: u8, stream: Stream) -> Option<Memo<'_>> {
    ledger.slot(slot)?.memo(delivery, stream as usize)
}

impl Open {
    /// As a predecessor left it; none if the intercept has left its slot.
    fn load(ledger: &Ledger, record: &Record, stream: Stream) -> Option<Box<Self>> {
        let account = ledger.slot(record.slot).filter(|account| account.is_owned_by(record.generation))?;
        let warrant = Uuid::from_u128(account.owner()?);
        let memo = account.memo(record.delivery, stream as usize)?;
        let (words, place) = memo.load();
        let (window, is_interrupted) = (Window::from_words(&words), memo.is_interrupted());
        Some(Box::new(Self {
            generation: record.generation,
            warrant,
            window,
            place,
            is_interrupted,
            is_touched: false,
        }))
    }

    /// Takes a PDU. The window that is over by it becomes a line.
    fn take(&mut self, stream: Stream, record: &Record, pdu: &[u8], lines: &mut Vec<u8>) {
        let number = match stream {
            Stream::Cmc => record.sequence,
            Stream::Cmii => self.window.as_ref().and_then(Window::last).map_or(0, |last| last.saturating_add(1)),
        };
        let interrupted = std::mem::take(&mut self.is_interrupted);
        if interrupted && let Some(window) = &mut self.window {
            window.set_broken();
        }
        if let Some(over) = self.window.take_if(|window| !window.holds(number)) {
            write_line(lines, self.warrant, record.delivery, stream, &over);
        }
        let window = self.window.get_or_insert_with(|| Window::of(stream, number));
        if interrupted {
            window.set_broken();
        }
        window.take(number, pdu);
    }
}

fn write_line(lines: &mut Vec<u8>, warrant: Uuid, delivery: u8, stream: Stream, window: &Window) {
    let Some(line) = window.line(stream) else { return };
    // Plain values become JSON without fail, and a Vec takes every byte.
    if serde_json::to_writer(&mut *lines, &Delivered { warrant: warrant.to_string(), delivery, line }).is_ok() {
        lines.push(b'\n');
    }
}

impl Release for Windows {
    fn record(&mut self, record: &Record, place: u64, pdu: &[u8]) {
        let index = usize::from(record.slot) * MAX_DELIVERIES + usize::from(record.delivery);
        let stream = self.sheet.stream;
        let Some(entry) = self.open.get_mut(index) else { return };
        let open = match entry {
            Some(open) if open.generation == record.generation => open,
            other => match Open::load(&self.ledger, record, stream) {
                Some(open) => other.insert(open),
                None => return,
            },
        };
        if place <= open.place {
            return;
        }
        open.place = place;
        if self.sheet.is_wanted {
            open.take(stream, record, pdu, &mut self.lines);
        } else if let Some(window) = &mut open.window {
            window.set_broken();
        } else {
            return;
        }
        if !std::mem::replace(&mut open.is_touched, true) {
            self.touched.push(index);
        }
    }

    fn give_back(&mut self) {
        if !self.lines.is_empty() {
            self.sheet.file.append(&self.lines);
            self.lines.clear();
        }
        for index in self.touched.drain(..) {
            let Some(open) = self.open.get_mut(index).and_then(Option::as_mut) else { continue };
            open.is_touched = false;
            let (slot, delivery) = (index / MAX_DELIVERIES, index % MAX_DELIVERIES);
            let memo = u16::try_from(slot).ok().zip(u8::try_from(delivery).ok());
            let memo = memo.and_then(|(slot, delivery)| memo_of(&self.ledger, slot, delivery, self.sheet.stream));
            if let (Some(memo), Some(window)) = (memo, &open.window) {
                memo.store(&window.to_words(), open.place);
                if memo.is_interrupted() {
                    memo.interruption_noted();
                }
            }
        }
    }
}

/// Writes the last windows of every intercept whose end control has told and of which nothing waits any more, and empties its
/// memos once the disk has them.
pub fn close_windows(ledger: &Ledger, file: &DeliveredFile) {
    for slot in 0..u16::try_from(ledger.slots()).unwrap_or(u16::MAX) {
        let Some(account) = ledger.slot(slot).filter(|account| account.is_closing_memos()) else { continue };
        if account.has_waiting() {
            continue;
        }
        let Some(warrant) = account.owner().map(Uuid::from_u128).filter(|_| !account.has_no_memos()) else { continue };
        // A disk that does not take what it has been given already gets nothing more.
        if !file.sync() {
            return;
        }
        let mut lines = Vec::new();
        let mut memos = Vec::new();
        for delivery in (0u8..).take(account.deliveries()) {
            for stream in Stream::ALL {
                let Some(memo) = account.memo(delivery, stream as usize) else { continue };
                if let Some(mut window) = Window::from_words(&memo.load().0) {
                    if memo.is_interrupted() {
                        window.set_broken();
                    }
                    write_line(&mut lines, warrant, delivery, stream, &window);
                }
                memos.push(memo);
            }
        }
        file.append(&lines);
        if file.sync() {
            for memo in memos {
                memo.store(&[0; MEMO_WORDS], u64::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use writ_digests::{Line, compare, read_lines};
    use writ_spool::{Consumer, Producer, RecordKind, Wake, create_stream};

    /// Where the process is killed.
    #[derive(Clone, Copy, PartialEq)]
    enum Killed {
        Never,
        /// Before anything of the batch is stored.
        Before,
        /// When all is stored, and the records are not given back.
        Behind,
    }

    struct Dying<'a>(&'a mut Windows, Killed);

    impl Release for Dying<'_> {
        fn record(&mut self, record: &Record, place: u64, pdu: &[u8]) {
            self.0.record(record, place, pdu);
        }

        fn give_back(&mut self) {
            assert!(self.1 != Killed::Before, "killed");
            self.0.give_back();
            assert!(self.1 != Killed::Behind, "killed");
        }
    }

    fn pdu(number: u64) -> Vec<u8> {
        vec![number as u8; 20 + (number % 30) as usize]
    }

    /// What is in the file, of delivery 0.
    fn lines(path: &std::path::Path) -> Vec<Line> {
        let (lines, unreadable) = read_lines::<Delivered>(&std::fs::read_to_string(path).unwrap());
        assert!(unreadable.is_empty());
        let warrant = Uuid::from_u128(77).to_string();
        assert!(lines.iter().all(|it: &Delivered| it.warrant == warrant && it.delivery == 0));
        lines.into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn whenever_the_process_is_killed_every_pdu_is_in_its_window_once() {
        for (stream, kind) in [(Stream::Cmc, RecordKind::Content), (Stream::Cmii, RecordKind::HeaderReport)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("delivered.jsonl");
            let file = || {
                let file = OpenOptions::new().create(true).read(true).append(true).open(&path).unwrap();
                Arc::new(DeliveredFile::open(file.into()).unwrap())
            };
            let ledger = Arc::new(Ledger::open(Ledger::create(2, 2).unwrap()).unwrap());
            let slot = ledger.slot(1).unwrap();
            slot.reset(5, 1);
            slot.set_owner(77);
            let (memory, wake) = (create_stream("test", 8, 1 << 16).unwrap(), Wake::create().unwrap());
            let mut producer = Producer::open(&memory, wake.try_clone().unwrap(), Arc::clone(&ledger)).unwrap();
            let mut mine: Vec<Window> = Vec::new();
            let (mut number, mut place) = (1000, 0);
            let mut life = None;
            for step in 0..200u64 {
                for _ in 0..step % 37 + 1 {
                    let record = Record { slot: 1, generation: 5, delivery: 0, kind, sequence: number };
                    let write = |room: &mut [u8]| {
                        room.copy_from_slice(&pdu(number));
                        Ok::<_, ()>(room.len())
                    };
                    producer.append(pdu(number).len(), record, write).unwrap();
                    let as_numbered = if stream == Stream::Cmc { number } else { place };
                    if mine.last().is_none_or(|window| !window.holds(as_numbered)) {
                        mine.push(Window::of(stream, as_numbered));
                    }
                    assert!(mine.last_mut().unwrap().take(as_numbered, &pdu(number)));
                    (number, place) = (number + 1, place + 1);
                }
                // Some are lost on the way, some in whole windows.
                number += [0, 0, 3, 0, 2000][step as usize % 5];
                producer.commit().unwrap();
                let killed = [Killed::Never, Killed::Before, Killed::Never, Killed::Behind][step as usize % 4];
                let (consumer, windows) = life.get_or_insert_with(|| {
                    let wake = wake.try_clone().unwrap();
                    let sheet = DigestSheet { file: file(), stream, is_wanted: true };
                    (
                        Consumer::open(&memory, wake, Arc::clone(&ledger)).unwrap(),
                        Windows::new(sheet, Arc::clone(&ledger)),
                    )
                });
                while let Some(length) = consumer.unsent(usize::MAX).unwrap().map(<[u8]>::len) {
                    consumer.sent(length);
                }
                let sent = consumer.sent_bytes();
                let released =
                    catch_unwind(AssertUnwindSafe(|| consumer.release(sent, &mut Dying(windows, killed)).unwrap()));
                assert_eq!(released.is_err(), killed != Killed::Never);
                if killed != Killed::Never {
                    life = None;
                }
            }
            let (mut consumer, mut windows) = life.take().unwrap_or_else(|| {
                let sheet = DigestSheet { file: file(), stream, is_wanted: true };
                let consumer = Consumer::open(&memory, wake.try_clone().unwrap(), Arc::clone(&ledger)).unwrap();
                (consumer, Windows::new(sheet, Arc::clone(&ledger)))
            });
            while let Some(length) = consumer.unsent(usize::MAX).unwrap().map(<[u8]>::len) {
                consumer.sent(length);
            }
            consumer.release(consumer.sent_bytes(), &mut windows).unwrap();

            let file = file();
            close_windows(&ledger, &file);
            assert!(!slot.has_no_memos(), "nobody has asked for the end");
            slot.close_memos();
            close_windows(&ledger, &file);
            assert!(slot.has_no_memos());
            let mine: Vec<Line> = mine.iter().filter_map(|window| window.line(stream)).collect();
            let found = lines(&path);
            for line in &found {
                assert!(mine.contains(line), "{line:?}");
            }
            let comparison = compare(&found, &mine);
            assert!(comparison.findings.is_empty(), "{comparison}");
            assert_eq!(comparison.equal[&stream].0, place);
        }
    }
}
