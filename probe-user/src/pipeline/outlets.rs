//! The producing ends of all streams, shared by the workers of the capture role.

use std::sync::{Arc, Mutex, PoisonError};
use writ_spool::{Ledger, Producer, StreamError};

/// One producer for each endpoint, in order: of each destination CmII first, CmC behind it.
pub struct Outlets {
    producers: Vec<Mutex<Producer>>,
    ledger: Arc<Ledger>,
}

impl Outlets {
    /// Takes over the producers and puts the books right after a predecessor that died. Returns how many packets that
    /// one had in hand.
    ///
    /// # Errors
    /// When a stream's memory is damaged.
    pub fn settle(producers: Vec<Producer>, ledger: &Arc<Ledger>) -> Result<(Self, u64), StreamError> {
        let lost = ledger.settle(&producers.iter().collect::<Vec<_>>())?;
        let producers = producers.into_iter().map(Mutex::new).collect();
        Ok((Self { producers, ledger: Arc::clone(ledger) }, lost))
    }

    /// The books that the streams are in.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Works on one stream, alone. Nothing is done if there is no such stream.
    pub(super) fn with(&self, stream: usize, work: impl FnOnce(&mut Producer)) {
        if let Some(producer) = self.producers.get(stream) {
            // A worker that panicked has appended whole records or none: the producer is sound.
            work(&mut producer.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
