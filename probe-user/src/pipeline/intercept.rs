//! An intercept in force, as the workers see it: encoder templates, streams, and the events of its life. No name of
//! a person, no document; its targets are in the [`TargetView`] beside it.

use super::{Outlets, Recipient, whole};
use crate::ipc::{ArmedIntercept, ArmedTarget, EndReason};
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;
use writ_abi::{Selector, SlotRef};
use writ_authority::Digest;
use writ_capture::TargetView;
use writ_encoder::UtcMicros;
use writ_encoder::etsi::Hi1Change;
use writ_encoder::handover::{Content, Format, Handover, HandoverError, Information, Names, News, Session};
use writ_encoder::t1_ias::{Allocation, Assignment, IdentifierError, Reason, SessionId};
use writ_spool::{Ledger, Record, RecordKind};

/// Ledger marks of an intercept: which of its events have been written.
const BEGUN: u8 = 0;
const ENDED: u8 = 1;
/// reasonForTermination of a target that a later revision of the warrant does not name.
const AMENDED: &str = "surveillance ended: order amended";

/// What becomes of each packet for one delivery. A headers-only intercept is given one of the last two, and nothing in this
/// program makes content of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packets {
    /// The whole packet.
    Content {
        /// The CmC stream.
        stream: usize,
        /// The CmII stream, for a format that tells of each packet beside its content.
        beside: Option<usize>,
    },
    /// A report of its headers.
    Reports {
        /// The CmII stream.
        stream: usize,
    },
    /// It is counted, and its flow is told of now and then.
    Summaries {
        /// The CmII stream.
        stream: usize,
        /// Place of the destination in the configuration.
        destination: usize,
    },
}

impl Packets {
    /// What the records are.
    pub fn kind(self) -> RecordKind {
        match self {
            Self::Content { .. } => RecordKind::Content,
            Self::Reports { .. } | Self::Summaries { .. } => RecordKind::HeaderReport,
        }
    }

    /// Where the records go.
    pub fn stream(self) -> usize {
        match self {
            Self::Content { stream, .. } | Self::Reports { stream } | Self::Summaries { stream, .. } => stream,
        }
    }
}

/// One destination of an intercept.
#[derive(Debug)]
pub struct Delivery {
    handover: Handover,
    packets: Packets,
    /// The CmII stream, if this destination is told of sessions.
    events: Option<usize>,
}

impl Delivery {
    /// What writes its packets.
    pub fn content(&self) -> &Content {
        self.handover.content()
    }

    /// What writes its identifying information.
    pub fn information(&self) -> Option<&Information> {
        self.handover.information()
    }

    /// The stream of its identifying information, if it gets any.
    pub fn information_stream(&self) -> Option<usize> {
        self.events
    }

    /// What becomes of each packet.
    pub fn packets(&self) -> Packets {
        self.packets
    }
}

/// An intercept cannot be carried out as it was ordered.
#[derive(Debug, thiserror::Error)]
pub enum InterceptError {
    /// An identifier does not fit the handover.
    #[error("delivery {place}: {error}")]
    Handover {
        /// Which of the deliveries, from 1.
        place: usize,
        /// What does not fit.
        error: HandoverError,
    },
    /// A target's session has no name.
    #[error("an identifier does not fit T1.IAS: {0}")]
    Identifier(#[from] IdentifierError),
    /// A headers-only delivery without CmII: there is nothing to deliver.
    #[error("a delivery takes only CmC, and the scope is headers: nothing would be delivered")]
    NothingToDeliver,
    /// Identifying information for a format that has none.
    #[error("a delivery takes identifying information, and its destination's format, {0}, has content alone")]
    NoInformation(Format),
    /// The configuration has no such destination.
    #[error("a delivery's destination is not in the configuration")]
    NoDestination,
    /// A target cannot be given a name for its session.
    #[error("a target cannot be named to the agency: {0}")]
    Unnamed(#[from] serde_json::Error),
}

/// What the agencies have been told of an intercept: one for all the terms that it has over time.
#[derive(Debug, Default)]
struct Told {
    begun: AtomicBool,
    /// Sessions that have begun and not ended. Held while events are written, so that each is written once.
    open: Mutex<HashMap<ArmedTarget, Session>>,
}

impl Told {
    fn open(&self) -> MutexGuard<'_, HashMap<ArmedTarget, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An intercept in force, on one set of terms.
#[derive(Debug)]
pub struct Intercept {
    slot: SlotRef,
    revision: u32,
    headers_only: bool,
    window_utc_ns: (u64, u64),
    deliveries: Vec<Delivery>,
    sessions: Vec<(ArmedTarget, Session)>,
    told: Arc<Told>,
}

impl Intercept {
    /// Makes the templates, for the destinations of the configuration.
    ///
    /// # Errors
    /// When an identifier does not fit the handover.
    pub fn new(order: &ArmedIntercept, probe: &str, recipients: &[Recipient]) -> Result<Self, InterceptError> {
        let mut deliveries = Vec::new();
        for (place, delivery) in (1..).zip(&order.deliveries) {
            let recipient = recipients.get(delivery.destination).ok_or(InterceptError::NoDestination)?;
            let names = Names {
                case_id: &delivery.case_id,
                content_identifier: &delivery.content_identifier,
                probe,
                subscriber: &order.subscriber_identity,
                warrant: order.warrant.as_u128(),
            };
            let handover = Handover::new(recipient.terms(), &names);
            let handover = handover.map_err(|error| InterceptError::Handover { place, error })?;
            let (cmii, cmc) = (delivery.destination * 2, delivery.destination * 2 + 1);
            if delivery.cmii && handover.information().is_none() {
                return Err(InterceptError::NoInformation(recipient.terms().format()));
            }
            let packets = match (order.headers_only, delivery.cmc, delivery.cmii) {
                (false, true, with_cmii) => {
                    let beside = (with_cmii && handover.tells_packets_beside_content()).then_some(cmii);
                    Packets::Content { stream: cmc, beside }
                }
                // A recipient of identifying information alone learns of each packet by its report.
                (_, _, true) if recipient.summaries().is_some() => {
                    Packets::Summaries { stream: cmii, destination: delivery.destination }
                }
                (_, _, true) => Packets::Reports { stream: cmii },
                (_, _, false) => return Err(InterceptError::NothingToDeliver),
            };
            deliveries.push(Delivery { handover, packets, events: delivery.cmii.then_some(cmii) });
        }
        let sessions = order
            .targets
            .iter()
            .map(|target| {
                let id = session_id(order.warrant, target)?;
                Ok((*target, Session { id, assignment: assignment(*target) }))
            })
            .collect::<Result<_, InterceptError>>()?;
        Ok(Self {
            slot: order.slot.into(),
            revision: order.revision,
            headers_only: order.headers_only,
            window_utc_ns: (order.start_utc_ns, order.stop_utc_ns),
            deliveries,
            sessions,
            told: Arc::default(),
        })
    }

    /// The same intercept on other terms: what the agencies were told of it they stay told.
    ///
    /// # Errors
    /// When an identifier does not fit the handover.
    pub fn amended(
        &self,
        order: &ArmedIntercept,
        probe: &str,
        recipients: &[Recipient],
    ) -> Result<Self, InterceptError> {
        Ok(Self { told: Arc::clone(&self.told), ..Self::new(order, probe, recipients)? })
    }

    /// The slot it owns.
    pub fn slot(&self) -> SlotRef {
        self.slot
    }

    /// Whether it makes no content of any packet.
    pub fn is_headers_only(&self) -> bool {
        self.headers_only
    }

    /// Its destinations.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Whether a moment is inside the order's window. For packets whose stamp is not the kernel's.
    pub fn window_holds(&self, utc_ns: u64) -> bool {
        (self.window_utc_ns.0..self.window_utc_ns.1).contains(&utc_ns)
    }

    /// Whether the agencies have been told that it has begun.
    pub fn has_begun(&self) -> bool {
        self.told.begun.load(Ordering::Acquire)
    }

    /// Tells the agencies that interception has begun: Session-Already-Established for each target, whose
    /// session has no beginning of its own. Returns whether this call did it.
    pub fn begin(&self, outlets: &Outlets, ledger: &Ledger, utc_ns: u64) -> bool {
        let mut open = self.told.open();
        if self.has_begun() {
            return false;
        }
        // A capture role that died may have said it already. What it said on other terms is not known: better twice than never.
        let account = ledger.slot(self.slot.slot);
        let news = !account.is_some_and(|it| it.is_marked(BEGUN) && it.told_revision() == self.revision);
        if news {
            self.changed(outlets, utc_ns, Hi1Change::Activated);
            self.established(outlets, utc_ns, false, self.sessions.iter().map(|(_, session)| session));
            // Marked behind the commit: after a crash in between, an event is said twice rather than never.
            if let Some(account) = account {
                account.mark(BEGUN);
                account.set_told_revision(self.revision);
            }
        }
        open.extend(self.sessions.iter().cloned());
        self.told.begun.store(true, Ordering::Release);
        news
    }

    /// Tells the agencies of the targets of these terms that they know nothing of, if interception has begun. To be called before
    /// the kernel takes anything of them.
    pub fn announce(&self, outlets: &Outlets, utc_ns: u64) {
        self.announce_to(&mut self.told.open(), outlets, utc_ns);
    }

    fn announce_to(&self, open: &mut HashMap<ArmedTarget, Session>, outlets: &Outlets, utc_ns: u64) {
        if !self.has_begun() {
            return;
        }
        let new: Vec<_> = self.sessions.iter().filter(|(target, _)| !open.contains_key(target)).cloned().collect();
        self.established(outlets, utc_ns, true, new.iter().map(|(_, session)| session));
        open.extend(new);
    }

    /// Tells the agencies of the targets that these terms do not name any more. To be called once nothing of them is on the way.
    pub fn renounce(&self, outlets: &Outlets, ledger: &Ledger, utc_ns: u64) {
        let mut open = self.told.open();
        // A worker may have been the first to tell of the beginning, on the terms before.
        self.announce_to(&mut open, outlets, utc_ns);
        let named: HashSet<_> = self.sessions.iter().map(|(target, _)| *target).collect();
        let gone: Vec<_> = open.extract_if(|target, _| !named.contains(target)).map(|(_, session)| session).collect();
        self.ended(outlets, utc_ns, AMENDED, true, gone.iter());
        if self.has_begun()
            && let Some(account) = ledger.slot(self.slot.slot)
        {
            self.changed(outlets, utc_ns, Hi1Change::Modified);
            account.set_told_revision(self.revision);
        }
    }

    /// Tells the agencies that interception has ended, if they were told that it had begun.
    pub fn end(&self, outlets: &Outlets, ledger: &Ledger, utc_ns: u64, reason: EndReason) {
        let open = self.told.open();
        let Some(account) = ledger.slot(self.slot.slot) else { return };
        if !account.is_marked(BEGUN) || account.is_marked(ENDED) {
            return;
        }
        if self.has_begun() {
            self.ended(outlets, utc_ns, reason.words(), false, open.values());
        } else {
            // A capture role that is gone has told of the beginning.
            self.ended(outlets, utc_ns, reason.words(), false, self.sessions.iter().map(|(_, session)| session));
        }
        self.changed(outlets, utc_ns, Hi1Change::Deactivated);
        account.mark(ENDED);
    }

    fn established<'s>(
        &self,
        outlets: &Outlets,
        utc_ns: u64,
        are_further: bool,
        of: impl Iterator<Item = &'s Session> + Clone,
    ) {
        let news =
            of.enumerate().map(|(place, session)| News::Established { session, is_further: are_further || place > 0 });
        self.tell(outlets, utc_ns, news);
    }

    fn ended<'s>(
        &self,
        outlets: &Outlets,
        utc_ns: u64,
        reason: &str,
        is_partial: bool,
        of: impl ExactSizeIterator<Item = &'s Session> + Clone,
    ) {
        match Reason::new(reason) {
            Ok(reason) => {
                let last = of.len().saturating_sub(1);
                let news = of.enumerate().map(|(place, session)| News::Ended {
                    session,
                    is_partial: is_partial || place < last,
                    reason: &reason,
                });
                self.tell(outlets, utc_ns, news);
            }
            Err(error) => tracing::error!(slot = self.slot.slot, %error, "the end cannot be told"),
        }
    }

    fn changed(&self, outlets: &Outlets, utc_ns: u64, change: Hi1Change) {
        self.tell(outlets, utc_ns, std::iter::once(News::Changed { change, revision: self.revision }));
    }

    fn tell<'n>(&self, outlets: &Outlets, utc_ns: u64, all: impl Iterator<Item = News<'n>> + Clone) {
        let time = UtcMicros::from_unix_nanos(utc_ns);
        for (index, delivery) in (0u8..).zip(&self.deliveries) {
            let (Some(stream), Some(information)) = (delivery.events, delivery.information()) else { continue };
            outlets.with(stream, |producer| {
                for news in all.clone() {
                    let account = outlets.ledger().slot(self.slot.slot).filter(|_| information.numbers(&news));
                    let sequence = account.and_then(|account| account.reserve_event(index, 1)).unwrap_or(0);
                    let pdu = match information.tell(time, sequence, &news) {
                        Ok(Some(pdu)) => pdu,
                        Ok(None) => continue,
                        Err(error) => {
                            tracing::error!(slot = self.slot.slot, %error, "an event cannot be told");
                            continue;
                        }
                    };
                    let record = Record {
                        slot: self.slot.slot,
                        generation: self.slot.generation,
                        delivery: index,
                        kind: RecordKind::Event,
                        sequence,
                    };
                    if let Err(error) = producer.append(pdu.len(), record, whole(&pdu)) {
                        tracing::error!(slot = self.slot.slot, %error, "a session event is lost");
                    }
                }
                if let Err(error) = producer.commit() {
                    tracing::error!(slot = self.slot.slot, %error, "a stream cannot be published");
                }
            });
        }
    }
}

/// The name of a target's session. It follows from the target, so it stays the same whatever other targets come and go, and
/// over restarts.
fn session_id(warrant: Uuid, target: &ArmedTarget) -> Result<SessionId, InterceptError> {
    let (warrant, target) = (warrant.simple().to_string(), Digest::of(&serde_json::to_vec(target)?).to_string());
    Ok(SessionId::new(format!("{}-{}", &warrant[..8], &target[..16]))?)
}

/// A fixed target, as the handover has it: a prefix is told as such, an address alone. MAC addresses and VLANs have no
/// place in it; the agency knows them from its order.
fn assignment(target: ArmedTarget) -> Assignment {
    let Selector::Prefix(net) = target.selector else { return Assignment::without_address() };
    let prefix_length = (net.prefix_len() < net.max_prefix_len()).then_some(net.prefix_len());
    Assignment { address: net.addr(), prefix_length, allocation: Allocation::Static }
}

/// All intercepts at one moment. Made anew with each change, and swapped in whole.
#[derive(Clone, Debug, Default)]
pub struct Intercepts {
    slots: Vec<Option<Arc<Intercept>>>,
    targets: TargetView,
    ending: Vec<SlotRef>,
    version: u64,
}

impl Intercepts {
    /// The targets of all slots.
    pub fn targets(&self) -> &TargetView {
        &self.targets
    }

    /// The intercept that a reference means; none if its slot has another owner by now.
    pub fn get(&self, reference: SlotRef) -> Option<&Arc<Intercept>> {
        self.slots
            .get(usize::from(reference.slot))
            .and_then(Option::as_ref)
            .filter(|intercept| intercept.slot == reference)
    }

    /// Sets the owner of a slot.
    pub fn insert(&mut self, intercept: Arc<Intercept>) {
        let index = usize::from(intercept.slot.slot);
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index] = Some(intercept);
    }

    /// Sets the targets of a slot.
    pub fn set_targets(&mut self, slot: SlotRef, targets: impl IntoIterator<Item = ArmedTarget>) {
        self.targets.set(slot, targets);
    }

    /// Empties a slot.
    pub fn remove(&mut self, slot: u16) {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = None;
        }
        self.ending.retain(|ending| ending.slot != slot);
        self.targets.remove(slot);
    }

    /// The kernel takes nothing more for a slot: what workers have counted for it is to be told.
    pub fn set_ending(&mut self, slot: SlotRef) {
        self.ending.push(slot);
    }

    /// Those for which the kernel takes nothing more.
    pub fn ending(&self) -> &[SlotRef] {
        &self.ending
    }

    /// How many states there were before this one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The state that takes the place of another.
    #[must_use]
    pub fn following(self, former: &Self) -> Self {
        Self { version: former.version + 1, ..self }
    }

    /// Every intercept.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Intercept>> {
        self.slots.iter().flatten()
    }
}
