//! Revocations that a crash has left in the archive without a record: who handed one in has no answer, and may believe
//! that the warrant has ended. It is carried out when the register is opened. What else a crash leaves so means nothing:
//! nobody was told that it counts.

use super::{Finding, HandedIn, Register, RegisterError};
use crate::archive::Original;
use crate::revocation::Revocation;
use crate::signature::{REVOKE, Signature};
use jiff::Timestamp;
use uuid::Uuid;

impl Register {
    /// Cases that ended when the register was opened, by revocations that a crash had torn from the log.
    pub fn ended_at_opening(&self) -> &[Uuid] {
        &self.ended_at_opening
    }

    /// Carries out what is left; gives what cannot be carried out.
    pub(super) fn carry_out_left_revocations(&mut self, now: Timestamp) -> Result<Vec<Finding>, RegisterError> {
        let named = self.state.named.papers();
        let unnamed = self.archive.digests()?.into_iter().filter(|digest| !named.contains(digest));
        // One that is altered is nobody's word.
        let papers: Vec<_> = unnamed.filter_map(|digest| self.archive.get(digest).ok()).collect();
        let read = |paper: &Original| Revocation::parse(&paper.bytes, &paper.name).ok();
        let mut findings = Vec::new();
        for (paper, revocation) in papers.iter().filter_map(|paper| Some((paper, read(paper)?))) {
            let uuid = revocation.uuid();
            if self.case(uuid).is_none_or(|case| case.ending().is_some()) {
                continue;
            }
            let signatures = self.signatures_of(&paper.bytes, &papers);
            let handed = HandedIn { document: paper.clone(), signatures };
            match self.revoke(handed, self.audit.own_actor(), now) {
                Ok(revoked) => {
                    revoked.recorded?;
                    self.ended_at_opening.push(uuid);
                }
                Err(RegisterError::Refused(reasons)) => findings.push(Finding {
                    case: Some(uuid),
                    problem: format!(
                        "a revocation that a crash tore from the log is in the archive and cannot be carried out, so the \
                         warrant is NOT revoked: {}; hand it in again",
                        reasons.join("; ")
                    ),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    }

    /// The papers that are officers' signatures under a revocation.
    fn signatures_of(&self, document: &[u8], papers: &[Original]) -> Vec<Original> {
        let Some(roster) = self.state.rosters().last() else { return Vec::new() };
        let signs = |paper: &&Original| {
            let signature = Signature::parse(&paper.bytes, &paper.name);
            signature.is_ok_and(|it| roster.roster().signer(&it, REVOKE, document).is_ok())
        };
        papers.iter().filter(signs).cloned().collect()
    }
}
