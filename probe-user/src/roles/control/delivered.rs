//! What was delivered of a case, in digests: the lines that deliver has written, and the windows that are still open, from
//! the ledger. And the digests that agencies countersigned.

use super::authority::reply;
use super::{Control, answer};
use crate::ipc::{CountersignedDigests, DeliveredLines, NamedSignature, Reply};
use crossbeam::channel::Sender;
use jiff::Timestamp;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use uuid::Uuid;
use writ_authority::{Actor, Countersigned, Original, Warrant};
use writ_digests::{Delivered, Line, Stream, Window};
use writ_spool::Ledger;

/// Lines of one answer.
const LINES_AT_ONCE: usize = 20_000;

/// The lines of a warrant in the file that deliver writes, in order, from `skip` on and at most `most`. A line that a crash
/// cut short is passed over.
///
/// # Errors
/// What the system says to reading it. No file is no line.
pub fn lines_of(file: &Path, warrant: Uuid, skip: usize, most: usize) -> io::Result<Vec<Delivered>> {
    let file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let name = warrant.to_string();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut found = Vec::new();
    let (mut line, mut skip) = (Vec::new(), skip);
    while found.len() < most {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let Ok(delivered) = serde_json::from_slice::<Delivered>(&line) else { continue };
        if delivered.warrant != name {
            continue;
        }
        match skip.checked_sub(1) {
            Some(rest) => skip = rest,
            None => found.push(delivered),
        }
    }
    Ok(found)
}

/// The windows of a warrant that are open, with how far they have come.
fn open_windows(ledger: &Ledger, warrant: Uuid) -> Vec<(u8, Line)> {
    let slots = (0..u16::try_from(ledger.slots()).unwrap_or(u16::MAX)).filter_map(|slot| ledger.slot(slot));
    let accounts = slots.filter(|account| account.owner() == Some(warrant.as_u128()));
    accounts
        .flat_map(|account| {
            let memos = (0u8..).take(account.deliveries());
            let memos = memos.flat_map(move |delivery| Stream::ALL.map(|stream| (delivery, stream)));
            memos.filter_map(move |(delivery, stream)| {
                let memo = account.memo(delivery, stream as usize)?;
                let mut window = Window::from_words(&memo.load().0)?;
                if memo.is_interrupted() {
                    window.set_broken();
                }
                Some((delivery, window.line(stream)?))
            })
        })
        .collect()
}

/// The deliveries of a warrant as its agencies know them, each without lines yet.
fn deliveries(warrant: &Warrant, iap: &str) -> Vec<DeliveredLines> {
    let deliveries = warrant.deliveries().iter().map(|delivery| DeliveredLines {
        destination: delivery.destination.clone(),
        case_id: delivery.case_id.as_str().to_owned(),
        content_identifier: delivery.content_name().to_owned(),
        iap: iap.to_owned(),
        lines: Vec::new(),
    });
    deliveries.collect()
}

impl Control {
    /// Answers with the digests of a case from a line of the file on. The file can be long: a thread of its own reads it.
    pub(super) fn case_digests(&mut self, uuid: Uuid, skip: usize, actor: Actor, to: Sender<Reply>) {
        if let Err(reply) = self.authority.viewed(Some(uuid), actor) {
            return answer(&to, reply);
        }
        let Some(warrant) = self.authority.register().case(uuid).and_then(writ_authority::Case::warrant) else {
            return answer(&to, Reply::Failed { error: format!("the documents of warrant {uuid} cannot be read") });
        };
        let mut deliveries = deliveries(warrant, &self.config.probe.id);
        let file = super::Files::of(&self.config).delivered;
        let open = open_windows(&self.ledger, uuid);
        let refuse = to.clone();
        let read = std::thread::Builder::new().name("digests".into()).spawn(move || {
            let written = match lines_of(&file, uuid, skip, LINES_AT_ONCE) {
                Ok(written) => written,
                Err(error) => {
                    let error = format!("the digests of what was delivered cannot be read: {error}");
                    return answer(&to, Reply::Failed { error });
                }
            };
            let next = (written.len() == LINES_AT_ONCE).then_some(skip + LINES_AT_ONCE);
            let written = written.into_iter().map(|delivered| (delivered.delivery, delivered.line));
            // The open windows belong behind the last line.
            let open = open.into_iter().filter(|_| next.is_none());
            for (delivery, line) in written.chain(open) {
                if let Some(delivery) = deliveries.get_mut(usize::from(delivery)) {
                    delivery.lines.push(line);
                }
            }
            answer(&to, Reply::CaseDigests { deliveries, next });
        });
        if let Err(error) = read {
            answer(&refuse, Reply::Failed { error: format!("no thread to read the digests: {error}") });
        }
    }

    /// Keeps digests that an agency countersigned.
    pub(super) fn countersigned(&mut self, papers: &CountersignedDigests, actor: Actor) -> Reply {
        let CountersignedDigests { uuid, file, digests, signature, key } = papers;
        let uuid = *uuid;
        let paper = |paper: &NamedSignature| Original::new(&paper.file, paper.text.as_str());
        let digests = Original::new(file, digests.as_str());
        let papers = Countersigned { digests, signature: paper(signature), key: paper(key) };
        match self.authority.register_mut().countersigned(uuid, papers, actor, Timestamp::now()) {
            Ok(fingerprint) => Reply::Countersigned { uuid, fingerprint },
            Err(error) => reply("the countersigned digests are not kept", error),
        }
    }
}
