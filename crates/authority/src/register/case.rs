//! A case: one order from the moment it is handed in until its case is closed, through all its revisions.
//!
//! submitted → approved → armed → active → ended (expired, revoked, denied) → certified → closed. An ended case never
//! comes back. Beside that a case can be held: something outside says that this log has forgotten what happened, or a
//! document of the case is missing; then nothing is taken under it until that is put right.

use crate::approval::ApprovedWarrant;
use crate::certification::Measured;
use crate::digest::Digest;
use crate::grant::{Directions, Scope};
use crate::signature::Signature;
use crate::target::Target;
use crate::warrant::Warrant;
use crate::window::Window;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// So long before a revision of other terms takes the place of the one in force, only what both allow is taken any more:
/// that goes on over the change, wherever in it the kernel is. Longer than a clock in doubt makes the kernel stop early.
pub(super) const LEAD: SignedDuration = SignedDuration::from_secs(1);

/// A revision that has all signatures it needs to take effect.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The warrant with its approval.
    pub warrant: Arc<ApprovedWarrant>,
    /// When it took effect in the register.
    pub approved: Timestamp,
    /// An emergency's force ends here unless the quorum completes: it stands by the signature of somebody on call.
    pub provisional: Option<Timestamp>,
    /// It only takes less than the revision before, and so takes that one's place at once. Any other leaves the one
    /// before until its own start.
    pub narrows: bool,
}

/// A revision that was handed in and waits for signatures.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The warrant.
    pub warrant: Arc<Warrant>,
    /// What it has of signatures.
    pub signatures: Vec<Signature>,
    /// When it was handed in.
    pub at: Timestamp,
    /// What is missing, in words.
    pub missing: String,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its window is over.
    Expired {
        /// When that was noted; nothing was taken after the window's stop.
        at: Timestamp,
    },
    /// An emergency did not get the further signatures in time.
    Unconfirmed {
        /// When that was noted; nothing was taken after the time it had.
        at: Timestamp,
    },
    /// An officer revoked it, for good.
    Revoked {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The order that an emergency was applied for was denied.
    Denied {
        /// When.
        at: Timestamp,
        /// Who said so.
        by: String,
        /// Why.
        reason: String,
    },
    /// A new version of the roster took keys away without which its approvals are no quorum.
    Unvouched {
        /// When.
        at: Timestamp,
        /// The version of the roster.
        version: u32,
    },
}

impl Ending {
    /// When.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Expired { at }
            | Self::Unconfirmed { at }
            | Self::Revoked { at, .. }
            | Self::Denied { at, .. }
            | Self::Unvouched { at, .. } => *at,
        }
    }

    /// Whether its time was over, and nobody ended it.
    pub fn is_expiry(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Unconfirmed { .. })
    }
}

/// Where a case stands at a given moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Handed in; signatures are missing.
    Submitted,
    /// It may take effect, and is not in the kernel yet.
    Approved,
    /// In the kernel; its window has not begun.
    Armed,
    /// In its window.
    Active,
    /// Nothing is taken under it: this log is older than somebody saw it.
    Held,
    /// Nothing is taken under it: a document of it is missing or altered.
    Damaged,
    /// Past its window, or past an emergency's time.
    Expired,
    /// Revoked by an officer, or by a new roster.
    Revoked,
    /// What it waited for was denied.
    Denied,
    /// Ended, and what was measured is certified.
    Certified,
    /// All is done, and its key is destroyed.
    Closed,
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Armed => "armed",
            Self::Active => "active",
            Self::Held => "held",
            Self::Damaged => "damaged",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Certified => "certified",
            Self::Closed => "closed",
        }
    }
}

/// The moment at which a warrant was first put into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// When.
    pub at: Timestamp,
    /// Name and version of the program.
    pub software: String,
    /// Digest of the configuration in force.
    pub configuration: Digest,
    /// How far the clock may have been off then, in milliseconds, where that was known.
    pub clock_doubt_ms: Option<u32>,
}

/// What a revision is to the other revisions of its warrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// A later one stands in its place.
    Superseded,
    /// What the case rests on.
    Standing,
    /// It takes that one's place at its start.
    Next,
}

impl Rank {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Standing => "stands",
            Self::Next => "begins later",
        }
    }
}

/// A certification that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The document.
    pub certification: Digest,
    /// Who signed it.
    pub by: String,
    /// When it was handed in.
    pub at: Timestamp,
}

/// Digests of what was delivered that an agency countersigned: documents of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// When they were handed in.
    pub at: Timestamp,
    /// The agency's lines.
    pub digests: Digest,
    /// Its signature over them.
    pub signature: Digest,
    /// The public key that the signature was checked by.
    pub key: Digest,
    /// That key's fingerprint.
    pub fingerprint: String,
}

/// What the kernel may be told for a case at a given moment.
#[derive(Clone, Debug)]
pub struct Force {
    /// The case.
    pub uuid: Uuid,
    approved: Arc<ApprovedWarrant>,
    /// The revision that takes its place in a moment: nothing is taken any more that this one does not allow.
    next: Option<Arc<ApprovedWarrant>>,
    /// When. Never more than the warrant's own window, but where the next revision begins before this one is over and
    /// allows the same as well: then it reaches to that one's stop.
    pub window: Window,
}

impl Force {
    /// The terms, with their approval.
    pub fn approved(&self) -> &ApprovedWarrant {
        &self.approved
    }

    /// The terms.
    pub fn warrant(&self) -> &Warrant {
        self.approved.warrant()
    }

    /// What is taken of a packet.
    pub fn scope(&self) -> Scope {
        let next = self.next.as_ref().map(|next| next.warrant().grant().scope());
        if next == Some(Scope::Headers) { Scope::Headers } else { self.warrant().grant().scope() }
    }

    /// Which packets are taken; none if the two revisions have no direction in common.
    pub fn directions(&self) -> Option<Directions> {
        let own = self.warrant().grant().directions();
        match self.next.as_ref().map_or(own, |next| next.warrant().grant().directions()) {
            other if other == own || other == Directions::Both => Some(own),
            other if own == Directions::Both => Some(other),
            _ => None,
        }
    }

    /// Whose packets are taken.
    pub fn targets(&self) -> Vec<&Target> {
        let own = self.warrant().targets();
        let Some(next) = &self.next else { return own.iter().collect() };
        let next = next.warrant().targets();
        // What stays needs no search, so that long lists are not compared each with each.
        let known: BTreeSet<_> = next.iter().map(|it| it.criteria.to_string()).collect();
        let (kept, others): (Vec<_>, Vec<_>) = own.iter().partition(|it| known.contains(&it.criteria.to_string()));
        let inside = others.into_iter().filter(|it| next.iter().any(|outer| it.criteria.lies_in(&outer.criteria)));
        let known: BTreeSet<_> = own.iter().map(|it| it.criteria.to_string()).collect();
        let narrower = next.iter().filter(|it| !known.contains(&it.criteria.to_string()));
        let narrower = narrower.filter(|it| own.iter().any(|outer| it.criteria.lies_in(&outer.criteria)));
        kept.into_iter().chain(inside).chain(narrower).collect()
    }
}

/// The same terms of the same case for the same time.
impl PartialEq for Force {
    fn eq(&self, other: &Self) -> bool {
        let next = |force: &Self| force.next.as_ref().map(|next| next.warrant().digest());
        let key = |force: &Self| (force.uuid, force.warrant().digest(), next(force), force.window);
        key(self) == key(other)
    }
}

/// A case. See the module.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) uuid: Uuid,
    pub(super) opened: u64,
    pub(super) submitted: Timestamp,
    pub(super) waiting: Option<Submission>,
    pub(super) revisions: Vec<Revision>,
    pub(super) documents: Vec<Digest>,
    pub(super) ending: Option<Ending>,
    pub(super) enabled: Option<Enabled>,
    pub(super) begun: Option<Timestamp>,
    pub(super) stopped: Option<Timestamp>,
    pub(super) figures: BTreeMap<String, String>,
    pub(super) certified: Option<Certified>,
    pub(super) overdue: bool,
    pub(super) orders: BTreeMap<Digest, Digest>,
    pub(super) agreed: Vec<Agreed>,
    pub(super) closed: Option<Timestamp>,
    /// When its documents were removed.
    pub(super) discarded: Option<Timestamp>,
    /// The records by which it is held.
    pub(super) held: BTreeSet<u64>,
    pub(super) damage: Option<String>,
}

impl Case {
    pub(super) fn new(uuid: Uuid, record: u64, at: Timestamp) -> Self {
        Self {
            uuid,
            opened: record,
            submitted: at,
            waiting: None,
            revisions: Vec::new(),
            documents: Vec::new(),
            ending: None,
            enabled: None,
            begun: None,
            stopped: None,
            figures: BTreeMap::new(),
            certified: None,
            overdue: false,
            orders: BTreeMap::new(),
            agreed: Vec::new(),
            closed: None,
            discarded: None,
            held: BTreeSet::new(),
            damage: None,
        }
    }

    /// Its name, for good.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Number of the record by which it was opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// What agencies countersigned of it, oldest first.
    pub fn agreed(&self) -> &[Agreed] {
        &self.agreed
    }

    /// When it was first handed in.
    pub fn submitted(&self) -> Timestamp {
        self.submitted
    }

    /// The revision that waits for signatures. An emergency's waits beside the same one that is in force provisionally.
    pub fn waiting(&self) -> Option<&Submission> {
        self.waiting.as_ref()
    }

    /// All revisions that were approved, the last one last.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// The last revision that was approved.
    pub fn latest(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// What a revision is to the others: an earlier one is superseded by the one that stands, a later one waits for its start.
    pub fn rank(&self, revision: &Revision, now: Timestamp) -> Rank {
        let standing = self.force(now).map(|force| force.warrant().revision());
        let standing = standing.or_else(|| self.latest().map(|latest| latest.warrant.warrant().revision()));
        match Some(revision.warrant.warrant().revision()).cmp(&standing) {
            Ordering::Less => Rank::Superseded,
            Ordering::Equal => Rank::Standing,
            Ordering::Greater => Rank::Next,
        }
    }

    /// The warrant that the case rests on: the last revision that was approved, or else what was handed in. None if
    /// its documents are damaged.
    pub fn warrant(&self) -> Option<&Warrant> {
        let waiting = || self.waiting.as_ref().map(|waiting| &*waiting.warrant);
        self.latest().map(|latest| latest.warrant.warrant()).or_else(waiting)
    }

    /// The digests of all documents of all revisions that were handed in, the first one first.
    pub fn documents(&self) -> &[Digest] {
        &self.documents
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// When and by what it was first put into the kernel.
    pub fn enabled(&self) -> Option<&Enabled> {
        self.enabled.as_ref()
    }

    /// What a certification says was measured; none before the interception has begun.
    pub fn measured(&self) -> Option<Measured> {
        let enabled = self.enabled.as_ref()?;
        Some(Measured {
            enabled: enabled.at,
            began: self.begun?,
            ended: self.stopped.filter(|_| self.ending.is_some()),
            clock_doubt_ms: enabled.clock_doubt_ms,
            software: enabled.software.clone(),
            configuration: enabled.configuration,
        })
    }

    /// The revision with this digest: approved, or waiting.
    pub(super) fn revision(&self, digest: Digest) -> Option<&Warrant> {
        let approved = self.revisions.iter().map(|revision| revision.warrant.warrant());
        let waiting = self.waiting.iter().map(|waiting| &*waiting.warrant);
        approved.chain(waiting).find(|warrant| warrant.digest() == digest)
    }

    /// When the interception first began, by capture's clock.
    pub fn begun(&self) -> Option<Timestamp> {
        self.begun
    }

    /// When the interception's last figures were recorded.
    pub fn stopped(&self) -> Option<Timestamp> {
        self.stopped
    }

    /// The figures that were recorded with that, by name.
    pub fn figures(&self) -> &BTreeMap<String, String> {
        &self.figures
    }

    /// The last certification.
    pub fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }

    /// The scanned orders: SHA-256 of each, and the digest of what was sealed.
    pub fn orders(&self) -> &BTreeMap<Digest, Digest> {
        &self.orders
    }

    /// When it was closed, if it is.
    pub fn closed(&self) -> Option<Timestamp> {
        self.closed
    }

    /// What is wrong with its documents, if anything.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// When its documents were removed, because it was closed long before; what is left is that there was a case.
    pub fn discarded(&self) -> Option<Timestamp> {
        self.discarded
    }

    /// Whether nothing is taken under it because this log has forgotten something, or may have. A revision with the
    /// signatures of the full quorum puts it in force again.
    pub fn is_held(&self) -> bool {
        !self.held.is_empty() && self.ending.is_none()
    }

    /// What is left of it when its documents are removed.
    pub(super) fn discard(&mut self, at: Timestamp) {
        self.ending.get_or_insert(Ending::Expired { at });
        self.closed.get_or_insert(at);
        self.discarded = Some(at);
        self.damage = None;
        self.waiting = None;
        self.revisions.clear();
        self.documents.clear();
        self.orders.clear();
    }

    /// Where it stands.
    pub fn phase(&self, now: Timestamp) -> Phase {
        match &self.ending {
            Some(_) if self.closed.is_some() => Phase::Closed,
            Some(_) if self.certified.is_some() => Phase::Certified,
            Some(Ending::Expired { .. } | Ending::Unconfirmed { .. }) => Phase::Expired,
            Some(Ending::Revoked { .. } | Ending::Unvouched { .. }) => Phase::Revoked,
            Some(Ending::Denied { .. }) => Phase::Denied,
            None if self.damage.is_some() => Phase::Damaged,
            None if self.is_over(now) => Phase::Expired,
            None if self.is_held() => Phase::Held,
            None => match self.force(now) {
                None => Phase::Submitted,
                Some(_) if self.enabled.is_none() => Phase::Approved,
                Some(force) if force.window.is_ahead(now) => Phase::Armed,
                Some(_) => Phase::Active,
            },
        }
    }

    /// What the kernel may be told. Nothing for a case that has ended, is held, or waits for its first approval.
    pub(super) fn force(&self, now: Timestamp) -> Option<Force> {
        if self.ending.is_some() || self.is_held() || self.damage.is_some() {
            return None;
        }
        let (latest, earlier) = self.revisions.split_last()?;
        let last = latest.window()?;
        let of = |revision: &Revision, next: Option<&Revision>, window| Force {
            uuid: self.uuid,
            approved: Arc::clone(&revision.warrant),
            next: next.map(|next| Arc::clone(&next.warrant)),
            window,
        };
        // An extension that is yet to begin.
        let former = earlier.last().filter(|_| last.is_ahead(now) && !latest.narrows).and_then(|before| {
            let window = before.window()?;
            let both = Window::new(window.start(), last.stop()).ok()?;
            if window.stop() >= last.start() {
                // With the same terms it is one time; else what both allow goes on over the change.
                let lead = last.start().saturating_sub(LEAD).unwrap_or(Timestamp::MIN);
                let meets = of(before, Some(latest), both);
                if latest.same_terms(before) {
                    return Some(of(before, None, both));
                } else if now >= lead && meets.directions().is_some() && !meets.targets().is_empty() {
                    return Some(meets);
                }
            }
            Some(of(before, None, Window::new(window.start(), window.stop().min(last.start())).ok()?))
        });
        let force = former.filter(|it| !it.window.is_over(now)).unwrap_or_else(|| of(latest, None, last));
        (!force.window.is_over(now)).then_some(force)
    }

    /// Whether nothing can be taken under it any more by its own terms.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        match (self.latest(), &self.waiting) {
            (Some(latest), _) => now >= latest.stop(),
            (None, Some(waiting)) => waiting.warrant.window().is_over(now) || now > waiting.warrant.heading().sign_by,
            (None, None) => false,
        }
    }

    /// The ending that its own terms bring about.
    pub(super) fn expiry(&self, at: Timestamp) -> Ending {
        let unconfirmed = |latest: &Revision| latest.stop() < latest.warrant.warrant().window().stop();
        if self.latest().is_some_and(unconfirmed) { Ending::Unconfirmed { at } } else { Ending::Expired { at } }
    }
}

impl Revision {
    /// First moment at which nothing may be taken any more: the warrant's stop, or before it an emergency's.
    pub fn stop(&self) -> Timestamp {
        let stop = self.warrant.warrant().window().stop();
        self.provisional.map_or(stop, |until| until.min(stop))
    }

    /// The warrant's window, cut to what an emergency may have; none if that leaves nothing.
    pub fn window(&self) -> Option<Window> {
        Window::new(self.warrant.warrant().window().start(), self.stop()).ok()
    }

    /// Whether the same packets are taken as under another.
    fn same_terms(&self, other: &Self) -> bool {
        let (one, two) = (self.warrant.warrant(), other.warrant.warrant());
        one.grant() == two.grant() && one.targets() == two.targets()
    }
}
