//! Denied requests, kept for the audit log: each by itself, until one user's become so many that they would fill the
//! disk. A log that cannot be written stops every new activation, so a monitor that asks the wrong thing each second must
//! not be able to bring that about. What is not recorded singly is counted and recorded in one.

use super::super::Control;
use super::super::authority::entry;
use super::{Asker, Denial};
use hashbrown::HashMap;
use std::time::{Duration, Instant};
use writ_authority::{Act, Actor, Outcome, Subject};

/// Denials of one user that are recorded singly within a [`PERIOD`].
const SINGLY: u64 = 20;
/// How long denials are counted together.
const PERIOD: Duration = Duration::from_secs(60);

/// See the module. Only accounts that the configuration names reach the socket, so there are never many.
#[derive(Default)]
pub(in crate::roles::control) struct Denials {
    users: HashMap<u32, Tally>,
}

struct Tally {
    since: Instant,
    denials: u64,
    /// Who it was last.
    actor: Actor,
}

impl Denials {
    /// Notes a denial. Gives whether it is to be recorded by itself.
    fn note(&mut self, actor: &Actor, now: Instant) -> bool {
        let fresh = || Tally { since: now, denials: 0, actor: actor.clone() };
        let tally = self.users.entry(actor.uid).or_insert_with(fresh);
        tally.denials += 1;
        tally.actor.clone_from(actor);
        tally.denials <= SINGLY
    }

    /// Who was denied more often than is recorded singly, and how many times more; once for each period that is over.
    fn due(&mut self, now: Instant) -> Vec<(Actor, u64)> {
        let over = |tally: &Tally| now.duration_since(tally.since) >= PERIOD;
        let ended = self.users.extract_if(|_, tally| over(tally));
        ended.map(|(_, it)| (it.actor, it.denials.saturating_sub(SINGLY))).filter(|(_, more)| *more > 0).collect()
    }

    /// The same at the end of the role, whose periods are all over.
    fn last(&mut self) -> Vec<(Actor, u64)> {
        let end = self.users.values().map(|tally| tally.since + PERIOD).max();
        end.map(|end| self.due(end)).unwrap_or_default()
    }
}

impl Control {
    /// Keeps what was denied to whom.
    pub(in crate::roles::control) fn record_denial(&mut self, asker: &Asker, denial: &Denial) {
        if self.denials.note(&asker.actor, Instant::now()) {
            let subject = denial.case.map(|uuid| Subject { uuid: Some(uuid), sha256: None });
            let details = [("request", denial.request.to_owned()), ("gid", asker.group.to_string())];
            let actor = asker.actor.clone();
            self.authority.record_or_log(entry(Act::AccessRefuse, Outcome::Refused, actor, subject, details));
        }
    }

    /// Keeps how often somebody was denied something, beside what was recorded singly, once a period is over.
    pub(in crate::roles::control) fn record_counted_denials(&mut self) {
        let counted = self.denials.due(Instant::now());
        self.record_counted(counted);
    }

    /// The same at the end of the role.
    pub(in crate::roles::control) fn record_last_denials(&mut self) {
        let counted = self.denials.last();
        self.record_counted(counted);
    }

    fn record_counted(&mut self, counted: Vec<(Actor, u64)>) {
        for (actor, times) in counted {
            let details = [("times", times.to_string())];
            self.authority.record_or_log(entry(Act::AccessRefuse, Outcome::Refused, actor, None, details));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(uid: u32) -> Actor {
        Actor { who: uid.to_string(), uid, pid: 1 }
    }

    #[test]
    fn many_denials_of_one_user_are_one_record_and_none_is_forgotten() {
        let (mut denials, start) = (Denials::default(), Instant::now());
        let single = (0..1000).filter(|_| denials.note(&actor(7), start)).count() as u64;
        assert!(denials.note(&actor(8), start), "another user's are its own");
        assert_eq!(single, SINGLY);
        assert!(denials.due(start + PERIOD / 2).is_empty());
        assert_eq!(denials.due(start + PERIOD), [(actor(7), 1000 - SINGLY)]);
        assert!(denials.due(start + PERIOD * 2).is_empty(), "it is said once");
        assert!(denials.note(&actor(7), start + PERIOD), "a new period");
    }

    #[test]
    fn what_is_counted_when_the_role_ends_is_still_recorded() {
        let (mut denials, start) = (Denials::default(), Instant::now());
        for _ in 0..SINGLY + 3 {
            denials.note(&actor(7), start);
        }
        assert_eq!(denials.last(), [(actor(7), 3)]);
    }
}
