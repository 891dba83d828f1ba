//! What is said on a connection of TS 102 232-1 beside the PDUs (clause 6.3): keep-alives, the negotiation of options,
//! requests to confirm, integrity checks, what was lost. And how a record goes out: as it is, or in the encryption container.

mod checks;
mod confirmation;
mod notices;
mod sealing;

use super::outbox::Outbox;
use super::pulse::{Pulse, check_answer};
use super::{Conversation, Taken};
use crate::failure::{Failure, FailureKind};
use crate::manner::EtsiManner;
use checks::Checking;
use confirmation::Confirmation;
use notices::Notices;
use sealing::Sealing;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{DeliveryOption, Glance, Payload, Tri, decode};
use writ_encoder::stream::StreamDecoder;
use writ_spool::{Ledger, Record};

/// Octets of a PDU of the agency's at most: it has nothing to send but TRI.
const LONGEST_HEARD: usize = 64 * 1024;

pub(super) struct EtsiConversation {
    manner: Arc<EtsiManner>,
    /// What logs call the stream.
    label: String,
    pulse: Pulse,
    ear: StreamDecoder,
    /// Sequence number of the next PDU that is about the connection.
    next: u32,
    agreement: Agreement,
    checking: Option<Checking>,
    sealing: Option<Sealing>,
    notices: Option<Notices>,
}

/// Whether the agency confirms PDUs.
enum Agreement {
    /// It does not: nobody wants it, or it has declined.
    None,
    /// It is to be asked.
    Wanted,
    /// It was asked then.
    Asked(Instant),
    /// It does.
    Made(Confirmation),
}

impl EtsiConversation {
    pub(super) fn new(manner: Arc<EtsiManner>, label: String, ledger: &Arc<Ledger>, now: Instant) -> Self {
        Self {
            label,
            pulse: Pulse::new(manner.keep_alive, now),
            ear: StreamDecoder::new(LONGEST_HEARD),
            next: 0,
            agreement: if manner.acknowledge { Agreement::Wanted } else { Agreement::None },
            checking: manner.integrity.clone().map(|checks| Checking::new(checks, now)),
            sealing: manner.keys.clone().map(Sealing::new),
            notices: manner.loss_notices.map(|every| Notices::new(Arc::clone(ledger), every, now)),
            manner,
        }
    }

    /// Says something about the connection.
    fn say(&mut self, tri: &Tri, out: &mut Outbox) {
        out.put(&self.manner.name.tri(utc_now(), self.next, tri));
        self.next = self.next.wrapping_add(1);
    }

    fn hear(&mut self, tri: &Tri, out: &mut Outbox) -> Result<(), Failure> {
        match tri {
            Tri::KeepAliveResponse => self.pulse.answered(),
            Tri::AcknowledgementResponse => match &mut self.agreement {
                Agreement::Made(confirmation) => confirmation.answered()?,
                _ => return Err(nonsense("an acknowledgement that was not asked for")),
            },
            Tri::OptionResponse { accepted, .. } => {
                let Agreement::Asked(_) = self.agreement else {
                    return Err(nonsense("an answer about options that was not asked for"));
                };
                self.agreement = if accepted.contains(&DeliveryOption::PduAcknowledgement) {
                    Agreement::Made(Confirmation::new(self.manner.keep_alive))
                } else {
                    tracing::warn!(
                        stream = %self.label,
                        "the agency declines to acknowledge PDUs: delivered is what its TCP has acknowledged"
                    );
                    Agreement::None
                };
                self.say(&Tri::OptionComplete, out);
            }
            // Only the probe has PDUs that are worth an acknowledgement: no option of the agency's own.
            question => {
                if let Some(answer) = question.answer(&[]) {
                    self.say(&answer, out);
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, out: &mut Outbox) {
        self.say(&Tri::AcknowledgementRequest, out);
        if let Agreement::Made(confirmation) = &mut self.agreement {
            confirmation.asked(out.end());
        }
    }
}

impl Conversation for EtsiConversation {
    fn is_ready(&self) -> bool {
        matches!(self.agreement, Agreement::None | Agreement::Made(_))
    }

    fn record(&mut self, record: &Record, pdu: &[u8], out: &mut Outbox, now: Instant) -> Result<Taken, Failure> {
        if self.sealing.is_none() && self.checking.is_none() {
            out.put(pdu);
        } else {
            let glance = Glance::at(pdu).map_err(|error| Failure::new(FailureKind::Unsendable, error.to_string()))?;
            let sent = match &mut self.sealing {
                None => out.put(pdu),
                Some(sealing) => match sealing.seal(&glance, pdu, out)? {
                    Some(sealed) => sealed,
                    None => return Ok(Taken::NoKey),
                },
            };
            if let Some(checking) = &mut self.checking {
                let due = checking.sent(&glance, pdu, sent, now)?;
                out.put(&due);
            }
        }
        if let Some(notices) = &mut self.notices {
            notices.sent(record, pdu)?;
        }
        if let Agreement::Made(confirmation) = &mut self.agreement
            && confirmation.record(pdu.len(), now)
        {
            self.request(out);
        }
        Ok(Taken::Yes)
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Outbox) -> Result<(), Failure> {
        self.ear.push(bytes);
        loop {
            let Some(pdu) = self.ear.next_pdu().map_err(|error| nonsense(error.to_string()))? else { return Ok(()) };
            let (pdu, _) = decode(pdu.bytes).map_err(|error| nonsense(error.to_string()))?;
            let Payload::Tri(tri) = pdu.payload else { return Err(nonsense("a payload that only a probe sends")) };
            self.hear(&tri, out)?;
            if out.is_flooded() {
                return Err(nonsense("more questions than it takes answers"));
            }
        }
    }

    fn sent(&mut self, now: Instant) {
        self.pulse.sent(now);
    }

    fn look(&mut self, arrived: u64, out: &mut Outbox, now: Instant) -> Result<(), Failure> {
        if self.pulse.beats(now)? {
            self.say(&Tri::KeepAlive, out);
        }
        match &mut self.agreement {
            Agreement::None => {}
            Agreement::Wanted => {
                self.say(&Tri::OptionRequest { requested: vec![DeliveryOption::PduAcknowledgement] }, out);
                self.agreement = Agreement::Asked(now);
            }
            Agreement::Asked(asked) => check_answer(*asked, self.manner.keep_alive, now, "the request for options")?,
            Agreement::Made(confirmation) => {
                if confirmation.look(arrived, now)? {
                    self.request(out);
                }
            }
        }
        if let Some(checking) = &mut self.checking {
            checking.look(out, now)?;
        }
        if let Some(notices) = &mut self.notices {
            notices.look(out, now);
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        let agreement = match &self.agreement {
            Agreement::None | Agreement::Wanted => None,
            Agreement::Asked(asked) => Some(*asked + self.manner.keep_alive.answer),
            Agreement::Made(confirmation) => confirmation.due(),
        };
        let checking = self.checking.as_ref().and_then(Checking::due);
        let notices = self.notices.as_ref().map(Notices::due);
        [self.pulse.due(), agreement, checking, notices].into_iter().flatten().min()
    }

    fn confirmed(&self) -> Option<u64> {
        match &self.agreement {
            Agreement::Made(confirmation) => Some(confirmation.confirmed()),
            _ => None,
        }
    }

    fn last_words(&mut self, out: &mut Outbox, now: Instant) -> Result<bool, Failure> {
        if let Some(checking) = &mut self.checking
            && !checking.last_words(out, now)?
        {
            return Ok(false);
        }
        if let Some(notices) = &mut self.notices {
            notices.tell(out);
        }
        if let Agreement::Made(confirmation) = &self.agreement
            && confirmation.has_unasked()
        {
            self.request(out);
        }
        Ok(true)
    }
}

fn nonsense(detail: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Nonsense, detail)
}

/// The time that stands in what the probe says.
fn utc_now() -> UtcMicros {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcMicros::from_unix_nanos(u64::try_from(now.as_nanos()).unwrap_or_default())
}
