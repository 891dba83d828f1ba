//! What belongs to a case that was closed long ago is removed, and nothing else; the register does not miss it.

use crate::probe::{Probe, START, actor, at, before};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use uuid::Uuid;
use writ_authority::{DOCUMENTS, Digest, Keep, Original, Phase, read_records};

impl Probe {
    /// A case that never began, with its scanned order, ended, noticed and closed.
    fn closed(&mut self, n: u8, now: Timestamp) -> Uuid {
        let order = Original::new("o.pdf", format!("scanned order {n}"));
        let text = self.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n));
        let line = text.lines().find(|line| line.starts_with("sha256 = ")).unwrap().to_owned();
        let text = text.replace(&line, &format!("sha256 = \"{}\"", order.digest()));
        let uuid = self.submit(&text, &[0, 1], now).unwrap();
        self.register().attach(uuid, &order, actor(), now).unwrap();
        self.revoke(uuid, "revoked", &[0], now).unwrap();
        self.register().notify(uuid, "Ada", "revocation", "It has ended.", now).unwrap();
        self.register().close(uuid, Vec::new(), actor(), now).unwrap();
        uuid
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.folder().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn documents_of_a_case_closed_long_ago_go_and_the_register_does_not_miss_them() {
    let mut probe = Probe::new();
    let open = probe.warrant(9).replace("192.0.2.7", "192.0.2.99");
    let open = probe.submit(&open, &[0, 1], before()).unwrap();
    let kept = probe.names(DOCUMENTS);
    let old = probe.closed(1, before());
    let all = probe.names(DOCUMENTS);
    let years = Keep::Years(10);
    let far = at("2036-12-01T00:00:00Z");
    let due = |now| years.closed_before(now).unwrap();
    let early = at("2036-11-19T17:00:00Z");
    assert!(probe.register().discard(due(early), early).unwrap().is_empty(), "ten years are not over");
    assert_eq!(probe.register().discard(due(far), far).unwrap(), [old]);
    assert_eq!(probe.names(DOCUMENTS), kept, "what the open case and the roster need is there");
    assert_eq!(probe.names("notices").len(), 0);
    let records = read_records(&probe.log()).unwrap();
    let record = records.iter().find(|record| record.act == "records-discard").unwrap();
    let named: BTreeSet<_> = record.details["papers"].split(' ').map(str::to_owned).collect();
    assert_eq!(named, all.difference(&kept).cloned().collect());
    for _ in 0..2 {
        assert_eq!(probe.phase(old, before()), Phase::Closed);
        assert!(probe.register().case(old).unwrap().discarded().is_some());
        assert!(probe.in_force(at(START)).is_empty(), "by the log's own clock it is long over");
        assert_eq!(probe.phase(open, before()), Phase::Expired);
        assert!(probe.register().discard(due(far), far).unwrap().is_empty(), "once");
        probe.open(far);
        assert_eq!(probe.findings, []);
    }
    assert_eq!(read_records(&probe.log()).unwrap().len(), records.len(), "the log stays");
}

#[test]
fn what_a_crash_leaves_of_what_is_removed_goes_at_the_next_start() {
    let mut probe = Probe::new();
    probe.closed(1, before());
    let aside = probe.office.path().join("aside");
    let documents = probe.folder().join(DOCUMENTS);
    fs::create_dir(&aside).unwrap();
    for name in probe.names(DOCUMENTS) {
        fs::copy(documents.join(&name), aside.join(&name)).unwrap();
    }
    let far = at("2040-01-01T00:00:00Z");
    probe.register().discard(far, far).unwrap();
    let left = probe.names(DOCUMENTS);
    for entry in fs::read_dir(&aside).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), documents.join(entry.file_name())).unwrap();
    }
    probe.open(far);
    assert_eq!((probe.names(DOCUMENTS), &probe.findings[..]), (left, &[][..]));
}

#[test]
fn nothing_is_removed_while_the_log_is_held() {
    let mut probe = Probe::new();
    probe.closed(1, before());
    let seen = writ_authority::Head { number: 99, hash: Digest::of(b"?") };
    assert!(probe.register().hold_against(seen, before()).unwrap().is_some());
    let far = at("2040-01-01T00:00:00Z");
    assert!(probe.register().discard(far, far).unwrap().is_empty());
}
