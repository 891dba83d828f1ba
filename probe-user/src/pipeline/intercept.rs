//! An intercept in force, as the workers see it: encoder templates, streams, and the two events of its life. No name of
//! a person, no document; its targets are in the [`TargetView`] beside it.

use super::{Outlets, whole};
use crate::ipc::{ArmedIntercept, ArmedTarget, EndReason};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use writ_abi::{Selector, SlotRef};
use writ_capture::TargetView;
use writ_encoder::UtcMicros;
use writ_encoder::t1_ias::{
    self, Allocation, Assignment, CaseId, ContentIdentifier, CorrelationId, IapSystemId, IdentifierError, Reason,
    SessionId, SubscriberIdentity,
};
use writ_spool::{Ledger, Record, RecordKind};

/// Ledger marks of an intercept: which of its events have been written.
const BEGUN: u8 = 0;
const ENDED: u8 = 1;

/// What becomes of each packet for one delivery. A headers-only intercept is given `Reports`, and nothing in this
/// program makes content of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packets {
    /// The whole packet, as CmCC.
    Content {
        /// The CmC stream.
        stream: usize,
    },
    /// A Packet-Data-Header-Report.
    Reports {
        /// The CmII stream.
        stream: usize,
    },
}

impl Packets {
    /// What the records are.
    pub fn kind(self) -> RecordKind {
        match self {
            Self::Content { .. } => RecordKind::Content,
            Self::Reports { .. } => RecordKind::HeaderReport,
        }
    }

    /// Where the records go.
    pub fn stream(self) -> usize {
        match self {
            Self::Content { stream } | Self::Reports { stream } => stream,
        }
    }
}

/// One destination of an intercept.
#[derive(Debug)]
pub struct Delivery {
    encoder: t1_ias::Intercept,
    packets: Packets,
    /// The CmII stream, if this destination is told of sessions.
    events: Option<usize>,
}

impl Delivery {
    /// The template of its PDUs.
    pub fn encoder(&self) -> &t1_ias::Intercept {
        &self.encoder
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
    #[error("an identifier does not fit T1.IAS: {0}")]
    Identifier(#[from] IdentifierError),
    /// A headers-only delivery without CmII: there is nothing to deliver.
    #[error("a delivery takes only CmC, and the scope is headers: nothing would be delivered")]
    NothingToDeliver,
}

/// An intercept in force.
#[derive(Debug)]
pub struct Intercept {
    slot: SlotRef,
    window_utc_ns: (u64, u64),
    deliveries: Vec<Delivery>,
    sessions: Vec<(SessionId, Assignment)>,
    begun: AtomicBool,
    /// Held while an event is written, so that each is written once.
    events: Mutex<()>,
}

impl Intercept {
    /// Makes the templates.
    ///
    /// # Errors
    /// When an identifier does not fit the handover.
    pub fn new(order: &ArmedIntercept, iap_system_id: &str) -> Result<Self, InterceptError> {
        let iap = IapSystemId::new(iap_system_id)?;
        let subscriber = SubscriberIdentity::new(&*order.subscriber_identity)?;
        let mut deliveries = Vec::new();
        for delivery in &order.deliveries {
            let (cmii, cmc) = (delivery.destination * 2, delivery.destination * 2 + 1);
            let packets = match (order.headers_only, delivery.cmc, delivery.cmii) {
                (false, true, _) => Packets::Content { stream: cmc },
                // A recipient of identifying information alone learns of each packet by its report.
                (_, _, true) => Packets::Reports { stream: cmii },
                (_, _, false) => return Err(InterceptError::NothingToDeliver),
            };
            let content_identifier =
                ContentIdentifier::Correlation(CorrelationId::new(delivery.content_identifier.as_bytes())?);
            deliveries.push(Delivery {
                encoder: t1_ias::Intercept::new(
                    &CaseId::new(&*delivery.case_id)?,
                    &iap,
                    &content_identifier,
                    &subscriber,
                ),
                packets,
                events: delivery.cmii.then_some(cmii),
            });
        }
        let prefix = order.warrant.simple().to_string();
        let sessions = order
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| Ok((SessionId::new(format!("{}-{index}", &prefix[..8]))?, assignment(*target))))
            .collect::<Result<_, IdentifierError>>()?;
        Ok(Self {
            slot: order.slot.into(),
            window_utc_ns: (order.start_utc_ns, order.stop_utc_ns),
            deliveries,
            sessions,
            begun: AtomicBool::new(false),
            events: Mutex::new(()),
        })
    }

    /// The slot it owns.
    pub fn slot(&self) -> SlotRef {
        self.slot
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
        self.begun.load(Ordering::Acquire)
    }

    /// Tells the agencies that interception has begun: Session-Already-Established for each target, whose
    /// session has no beginning of its own. Returns whether this call did it.
    pub fn begin(&self, outlets: &Outlets, ledger: &Ledger, utc_ns: u64) -> bool {
        let _one_at_a_time = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_begun() {
            return false;
        }
        // A capture role that died may have said it already.
        let news = !ledger.slot(self.slot.slot).is_some_and(|account| account.is_marked(BEGUN));
        if news {
            let time = UtcMicros::from_unix_nanos(utc_ns);
            self.event(outlets, ledger, BEGUN, |encoder, session, assignment| {
                encoder.session_already_established(time, session, assignment)
            });
        }
        self.begun.store(true, Ordering::Release);
        news
    }

    /// Tells the agencies that interception has ended, if they were told that it had begun.
    pub fn end(&self, outlets: &Outlets, ledger: &Ledger, utc_ns: u64, reason: EndReason) {
        let _one_at_a_time = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(account) = ledger.slot(self.slot.slot) else { return };
        if !account.is_marked(BEGUN) || account.is_marked(ENDED) {
            return;
        }
        let time = UtcMicros::from_unix_nanos(utc_ns);
        match Reason::new(reason.words()) {
            Ok(reason) => self.event(outlets, ledger, ENDED, |encoder, session, assignment| {
                encoder.session_end(time, session, assignment, &reason)
            }),
            Err(error) => tracing::error!(slot = self.slot.slot, %error, "the end cannot be told"),
        }
    }

    fn event(
        &self,
        outlets: &Outlets,
        ledger: &Ledger,
        mark: u8,
        encode: impl Fn(&t1_ias::Intercept, &SessionId, Assignment) -> Vec<u8>,
    ) {
        let Some(account) = ledger.slot(self.slot.slot) else { return };
        for (index, delivery) in (0u8..).zip(&self.deliveries) {
            let Some(stream) = delivery.events else { continue };
            outlets.with(stream, |producer| {
                for (session, assignment) in &self.sessions {
                    let pdu = encode(&delivery.encoder, session, *assignment);
                    let record = Record {
                        slot: self.slot.slot,
                        generation: self.slot.generation,
                        delivery: index,
                        kind: RecordKind::Event,
                        sequence: 0,
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
        // Marked behind the commit: after a crash in between, an event is said twice rather than never.
        account.mark(mark);
    }
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
        self.targets.remove(slot);
    }

    /// Every intercept.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Intercept>> {
        self.slots.iter().flatten()
    }
}
