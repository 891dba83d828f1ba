//! The ledger over the end of everything: killed, ended in due form, or with the machine.

use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use writ_spool::{
    Consumer, JUMP, KeepError, Kept, Ledger, LedgerFiles, LossReason, MEMO_WORDS, Origin, Producer, Record, RecordKind,
    SlotSnapshot, Wake, create_stream,
};

const SLOT: u16 = 3;
const GENERATION: u16 = 9;
const SLOTS: usize = 8;
/// Two times since the machine was started.
const BOOT: u128 = 11;
const NEXT_BOOT: u128 = 12;

struct Rig {
    folder: TempDir,
    runs: u128,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["run", "state"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, runs: 0 }
    }

    fn start(&mut self, slots: usize, boot: u128) -> Result<(Kept, Ledger), KeepError> {
        self.runs += 1;
        let folder = self.folder.path();
        let files = LedgerFiles::new(&folder.join("run"), &folder.join("state"));
        let kept = files.open(slots, 2, boot, self.runs)?;
        let ledger = Ledger::open(kept.memory()).unwrap();
        Ok((kept, ledger))
    }

    fn copy(&self) -> std::path::PathBuf {
        self.folder.path().join("state/ledger")
    }
}

fn account(ledger: &Ledger) -> SlotSnapshot {
    ledger.slot(SLOT).unwrap().snapshot().unwrap()
}

/// Receives packets and queues them; the agency acknowledges some of them, and one event of two.
fn work(ledger: Ledger, packets: u64, acknowledged: u64) {
    let ledger = Arc::new(ledger);
    let slot = ledger.slot(SLOT).unwrap();
    let (memory, wake) = (create_stream("test", 4, 4096).unwrap(), Wake::create().unwrap());
    let mut producer = Producer::open(&memory, wake.try_clone().unwrap(), Arc::clone(&ledger)).unwrap();
    let mut append = |kind, sequence| {
        let record = Record { slot: SLOT, generation: GENERATION, delivery: 0, kind, sequence };
        let write = |room: &mut [u8]| {
            room.fill(1);
            Ok::<_, ()>(10)
        };
        assert_eq!(producer.append(10, record, write).unwrap(), 10);
    };
    append(RecordKind::Event, 0);
    slot.mark(0);
    slot.receive(packets, packets * 10);
    let first = slot.reserve_sequence(0, packets).unwrap();
    for sequence in first..first + packets {
        append(RecordKind::Content, sequence);
    }
    producer.commit().unwrap();
    let mut consumer = Consumer::open(&memory, wake, Arc::clone(&ledger)).unwrap();
    let sent = consumer.unsent(usize::MAX).unwrap().unwrap().len();
    consumer.sent(sent);
    consumer.acknowledged((1 + acknowledged) * 10).unwrap();
}

fn assert_balanced(account: &SlotSnapshot) {
    let delivery = account.deliveries[0];
    let known = delivery.delivered(RecordKind::Content) + delivery.waiting(RecordKind::Content) + delivery.lost_total();
    assert_eq!(account.received, known, "{account:?}");
}

#[test]
fn a_killed_probe_goes_on_to_the_last_number_and_what_waited_is_lost() {
    let mut rig = Rig::new();
    let (kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    assert_eq!(ledger.restart().origin, Origin::New);
    let slot = ledger.slot(SLOT).unwrap();
    slot.reset(GENERATION, 1);
    slot.set_owner(77);
    slot.stop_no_later(10, 500);
    slot.keep_former([1; 11]);
    slot.keep_current([2; 11]);
    work(ledger, 20, 15);
    // Nothing is saved, nothing closed.
    drop(kept);

    let (_kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    let restart = ledger.restart();
    assert_eq!((restart.origin, restart.jumped, restart.undelivered), (Origin::Continued, 0, 5));
    let slot = ledger.slot(SLOT).unwrap();
    let account = account(&ledger);
    assert_balanced(&account);
    let delivery = account.deliveries[0];
    assert_eq!((delivery.next_sequence, delivery.delivered(RecordKind::Content)), (20, 15));
    assert_eq!((delivery.waiting(RecordKind::Content), delivery.lost(LossReason::ProbeEnded)), (0, 5));
    assert_eq!((slot.owner(), slot.generation(), slot.former()), (Some(77), Some(GENERATION), [3; 11]));
    assert_eq!(slot.stop_no_later(10, 600), 500, "it is the same boot");
    assert!(slot.is_marked(0), "the event arrived");
    // The ordinals go on as well: what is delivered now is counted on top.
    work(ledger, 3, 3);
}

#[test]
fn an_event_that_did_not_arrive_is_to_be_told_again() {
    let mut rig = Rig::new();
    let (kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    let slot = ledger.slot(SLOT).unwrap();
    slot.reset(GENERATION, 1);
    slot.mark(0);
    slot.set_told_revision(4);
    let memory = create_stream("test", 4, 4096).unwrap();
    let ledger = Arc::new(ledger);
    let mut producer = Producer::open(&memory, Wake::create().unwrap(), Arc::clone(&ledger)).unwrap();
    let record = Record { slot: SLOT, generation: GENERATION, delivery: 0, kind: RecordKind::Event, sequence: 0 };
    producer.append(1, record, |_| Ok::<_, ()>(1)).unwrap();
    producer.commit().unwrap();
    drop((kept, producer, ledger));
    let (_kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    let slot = ledger.slot(SLOT).unwrap();
    assert_eq!((slot.is_marked(0), slot.told_revision()), (false, 0));
    assert_eq!(account(&ledger).deliveries[0].lost_total(), 0, "an event is no packet");
}

#[test]
fn after_a_power_loss_no_number_is_used_twice() {
    let mut rig = Rig::new();
    let (mut kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    ledger.slot(SLOT).unwrap().reset(GENERATION, 1);
    ledger.slot(SLOT).unwrap().stop_no_later(10, 500);
    work(ledger, 20, 15);
    kept.save().unwrap();
    // These are on no disk.
    work(Ledger::open(kept.memory()).unwrap(), 7, 0);
    drop(kept);

    let (kept, ledger) = rig.start(SLOTS, NEXT_BOOT).unwrap();
    assert_eq!((ledger.restart().origin, ledger.restart().jumped), (Origin::Recovered, JUMP));
    let delivery = account(&ledger).deliveries[0];
    assert!(delivery.next_sequence >= 27 && delivery.next_sequence == 20 + JUMP, "{delivery:?}");
    assert_eq!(ledger.slot(SLOT).unwrap().stop_no_later(10, 600), 600, "boot time began anew");
    assert_balanced(&account(&ledger));
    // And once more, before anything was saved.
    drop((kept, ledger));
    let (_kept, ledger) = rig.start(SLOTS, NEXT_BOOT + 1).unwrap();
    assert_eq!(account(&ledger).deliveries[0].next_sequence, 20 + 2 * JUMP);
}

#[test]
fn memos_go_on_and_know_of_an_end_with_something_on_its_way() {
    let words = [7; MEMO_WORDS];
    for (acknowledged, boot, interrupted) in [(20, BOOT, false), (15, BOOT, true), (20, NEXT_BOOT, true)] {
        let mut rig = Rig::new();
        let (mut kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
        let slot = ledger.slot(SLOT).unwrap();
        slot.reset(GENERATION, 1);
        assert!(slot.has_no_memos() && slot.memo(1, 0).is_none() && slot.memo(0, 2).is_none());
        let memo = slot.memo(0, 1).unwrap();
        memo.store(&[6; MEMO_WORDS], 8);
        memo.store(&words, 9);
        assert_eq!(memo.load(), (words, 9));
        assert_eq!(slot.memo(0, 0).unwrap().load(), ([0; MEMO_WORDS], 0));
        work(ledger, 20, acknowledged);
        kept.save().unwrap();
        drop(kept);
        let (_kept, ledger) = rig.start(SLOTS, boot).unwrap();
        let slot = ledger.slot(SLOT).unwrap();
        let memo = slot.memo(0, 1).unwrap();
        // The streams are new, and so are the places in them.
        assert_eq!((memo.load(), memo.is_interrupted()), ((words, 0), interrupted));
        memo.interruption_noted();
        assert!(!memo.is_interrupted() && !slot.has_no_memos() && !slot.is_closing_memos());
        slot.close_memos();
        assert!(slot.is_closing_memos());
        slot.reset(GENERATION + 1, 1);
        assert!(slot.has_no_memos() && !slot.is_closing_memos());
    }
}

#[test]
fn a_probe_that_ended_in_due_form_goes_on_after_the_machine_was_down() {
    let mut rig = Rig::new();
    let (mut kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    ledger.slot(SLOT).unwrap().reset(GENERATION, 1);
    work(ledger, 20, 20);
    kept.save().unwrap();
    work(Ledger::open(kept.memory()).unwrap(), 7, 7);
    kept.close().unwrap();
    let (_kept, ledger) = rig.start(SLOTS, NEXT_BOOT).unwrap();
    assert_eq!((ledger.restart().origin, ledger.restart().undelivered), (Origin::Continued, 0));
    let account = account(&ledger);
    assert_balanced(&account);
    assert_eq!((account.received, account.deliveries[0].next_sequence), (27, 27));
}

#[test]
fn the_table_grows_and_does_not_shrink_below_what_is_in_use() {
    let mut rig = Rig::new();
    let (kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    let slot = ledger.slot(SLOT).unwrap();
    slot.reset(GENERATION, 1);
    slot.set_owner(77);
    drop((kept, ledger));
    let refused = rig.start(usize::from(SLOT), BOOT).err().expect("too small").to_string();
    assert_eq!(refused, "tables.slots: 3, and slot 3 is in use; write at least 4, or end that intercept first");
    let (kept, ledger) = rig.start(SLOTS * 2, BOOT).unwrap();
    assert_eq!((ledger.slots(), ledger.slot(SLOT).unwrap().owner()), (SLOTS * 2, Some(77)));
    ledger.slot(SLOT).unwrap().give_back();
    drop((kept, ledger));
    let (_kept, ledger) = rig.start(usize::from(SLOT), BOOT).unwrap();
    assert_eq!(ledger.slots(), usize::from(SLOT));
}

#[test]
fn a_copy_that_is_spoilt_is_named_and_nothing_is_numbered_anew() {
    let mut rig = Rig::new();
    drop(rig.start(SLOTS, BOOT).unwrap());
    let sound = fs::read(rig.copy()).unwrap();
    for (spoilt, what) in [
        (&b"nothing"[..], "this is no ledger"),
        (&sound[..sound.len() - 8], "the ledger is cut short"),
        (&[&sound[..8], &99u64.to_ne_bytes(), &sound[16..]].concat(), "another version"),
    ] {
        fs::write(rig.copy(), spoilt).unwrap();
        let error = rig.start(SLOTS, BOOT).err().expect("spoilt").to_string();
        assert!(error.contains("state/ledger") && error.contains(what), "{error}");
    }
}

#[test]
fn a_start_waits_for_those_who_still_work_with_the_former_ledger() {
    let mut rig = Rig::new();
    let (kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    ledger.slot(SLOT).unwrap().reset(GENERATION, 1);
    // The supervisor is gone, a role is not.
    drop(kept);
    let role = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        ledger.slot(SLOT).unwrap().receive(1, 1);
    });
    let (_kept, ledger) = rig.start(SLOTS, BOOT).unwrap();
    assert_eq!(account(&ledger).received, 1, "its last word counts");
    role.join().unwrap();
}
