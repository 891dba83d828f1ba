//! Records in the encryption container.

use super::super::outbox::Outbox;
use super::utc_now;
use crate::failure::{Failure, FailureKind};
use std::collections::HashMap;
use std::sync::Arc;
use writ_encoder::etsi::{CaseKeys, Glance, Sealer};

/// The sealers of one connection. One for each LIID and not for each session of its target: what is sealed with one key has
/// one counter.
pub(super) struct Sealing {
    keys: Arc<CaseKeys>,
    sealers: HashMap<Box<[u8]>, Sealer>,
}

impl Sealing {
    pub(super) fn new(keys: Arc<CaseKeys>) -> Self {
        Self { keys, sealers: HashMap::new() }
    }

    /// Puts a PDU into the outbox, sealed, and gives it; none if there is no key for it.
    pub(super) fn seal<'a>(
        &mut self,
        glance: &Glance<'_>,
        pdu: &[u8],
        out: &'a mut Outbox,
    ) -> Result<Option<&'a [u8]>, Failure> {
        let sealer = match self.sealers.get_mut(glance.liid) {
            Some(sealer) => sealer,
            None => {
                let Some(key) = self.keys.of(glance.liid) else { return Ok(None) };
                self.sealers.entry(glance.liid.into()).or_insert_with(|| Sealer::new(key.clone(), utc_now()))
            }
        };
        out.put_with(Sealer::bound(pdu.len()), |room| sealer.seal(room, glance.sequence, pdu))
            .map(Some)
            .map_err(|error| Failure::new(FailureKind::Unsendable, error.to_string()))
    }
}
