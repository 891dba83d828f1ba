//! A revision that begins when the one before ends, and the application that has to follow an emergency: what the
//! register says at which moment.

mod office;

use jiff::{SignedDuration, Timestamp};
use office::{Office, Paper, actor, identity, minute};
use tempfile::TempDir;
use uuid::Uuid;
use writ_authority::{
    Activation, Application, ApplicationsDue, Authority, Digest, Directions, POLICY, REVOKE, Register, RegisterError,
    Scope,
};

struct Probe {
    _folder: TempDir,
    office: Office,
    register: Register,
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

impl Probe {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut register, _) = Register::open(&folder.path().join("state"), identity(), minute(0)).unwrap();
        let office = Office::new();
        let roster = office.roster(1).replace("roles = 2\n", "roles = 2\napplication_warning_hours = 6\n");
        register.install_roster(office.handed(&roster, POLICY, &[0, 1]), actor(), minute(0)).unwrap();
        Self { _folder: folder, office, register }
    }

    fn paper(&self, number: u32, authority: Authority, hours: i64) -> Paper {
        Paper::first(number, authority, minute(0), SignedDuration::from_hours(hours), b"scan")
    }

    fn submit(
        &mut self,
        paper: &Paper,
        change: impl Fn(String) -> String,
        signers: &[usize],
    ) -> Result<Uuid, RegisterError> {
        let text = change(paper.text(self.register.head()));
        let handed = self.office.handed(&text, paper.namespace(), signers);
        let proposal = self.register.submit(handed, actor(), minute(1))?;
        self.register.enact(&proposal, actor(), minute(1))?;
        Ok(paper.uuid())
    }

    fn next(&self, uuid: Uuid) -> Paper {
        Paper::after(self.register.case(uuid).unwrap().warrant().unwrap())
    }

    /// Revision, scope, targets and window of what is in force.
    fn in_force(&self, at: Timestamp) -> Option<(u32, Scope, Vec<String>, [Timestamp; 2])> {
        let force = self.register.in_force(at).into_iter().next()?;
        assert_eq!(force.directions(), Some(Directions::Both));
        let targets = force.targets().iter().map(|target| target.criteria.to_string()).collect();
        Some((force.warrant().revision(), force.scope(), targets, [force.window.start(), force.window.stop()]))
    }
}

fn whole(text: String) -> String {
    text
}

#[test]
fn what_both_allow_goes_on_when_an_extension_of_other_terms_begins_where_the_former_ends() {
    let mut probe = Probe::new();
    let first = probe.paper(1, Authority::TitleIii, 24);
    let uuid = probe.submit(&first, |text| text.replace("10.0.0.1\"\nconf", "10.0.0.0/30\"\nconf"), &[0, 1]).unwrap();
    let mut second = probe.next(uuid);
    let change = first.stop;
    (second.docket, second.start, second.stop) = (2, change, change + SignedDuration::from_hours(24));
    // Headers alone, of one address in the prefix and of one elsewhere.
    let other = |text: String| {
        let text = text.replace("scope = \"content\"", "scope = \"headers\"").replace(", \"cmc\"", "");
        let target = text[text.find("[[target]]").unwrap()..text.find("[[delivery]]").unwrap()].to_owned();
        let text = text.replace("10.0.0.1", "10.0.0.2");
        text.replace("[[delivery]]", &format!("{}[[delivery]]", target.replace("10.0.0.1", "192.0.2.9")))
    };
    probe.submit(&second, other, &[0, 1]).unwrap();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let former = |stop| (1, Scope::Content, texts(&["10.0.0.0/30"]), [first.start, stop]);
    let both = (1, Scope::Headers, texts(&["10.0.0.2"]), [first.start, second.stop]);
    let latter = (2, Scope::Headers, texts(&["10.0.0.2", "192.0.2.9"]), [second.start, second.stop]);
    for (at, expected) in [
        (minute(2), former(change)),
        (change - seconds(1) - SignedDuration::from_nanos(1), former(change)),
        (change - seconds(1), both.clone()),
        (change - SignedDuration::from_nanos(1), both),
        (change, latter.clone()),
        (second.stop - SignedDuration::from_nanos(1), latter),
    ] {
        assert_eq!(probe.in_force(at), Some(expected), "{at}");
    }
    assert_eq!(probe.in_force(second.stop), None);
    let successions = [minute(2), change - seconds(1), change].map(|at| probe.register.next_succession(at));
    assert_eq!(successions, [Some(change - seconds(1)), Some(change), None]);
}

#[test]
fn revisions_with_nothing_in_common_and_revisions_with_a_pause_each_keep_to_their_own_time() {
    for (address, pause) in [("192.0.2.9", 0), ("10.0.0.1", 60)] {
        let mut probe = Probe::new();
        let first = probe.paper(1, Authority::TitleIii, 24);
        let uuid = probe.submit(&first, whole, &[0, 1]).unwrap();
        let mut second = probe.next(uuid);
        (second.docket, second.start) = (2, first.stop + seconds(pause));
        second.stop = second.start + SignedDuration::from_hours(24);
        probe.submit(&second, |text| text.replace("10.0.0.1", address), &[0, 1]).unwrap();
        let [_, stop] = probe.in_force(first.stop - SignedDuration::from_nanos(1)).unwrap().3;
        assert_eq!(stop, first.stop, "{address}");
        assert_eq!(probe.in_force(second.start).unwrap().0, 2);
        assert!(pause == 0 || probe.in_force(first.stop + seconds(1)).is_none_or(|it| it.3[0] == second.start));
    }
}

#[test]
fn the_application_that_follows_an_emergency_is_watched_until_it_is_made_or_denied() {
    let begun = minute(10);
    let due = begun + SignedDuration::from_hours(48);
    for ends in ["applied", "order", "denied", "nothing"] {
        let mut probe = Probe::new();
        let emergency = probe.paper(1, Authority::Emergency2518, 40);
        let uuid = probe.submit(&emergency, whole, &[0, 2]).unwrap();
        let application = |probe: &Probe| probe.register.case(uuid).unwrap().application();
        assert_eq!(application(&probe), None, "nothing was taken yet");
        let by = Activation { software: "writ".into(), configuration: Digest::of(b""), clock_doubt_ms: None };
        probe.register.armed(uuid, &by, Vec::new(), begun).unwrap();
        probe.register.begun(uuid, begun, Vec::new(), begun).unwrap();
        assert_eq!(application(&probe), Some(Application { due, made: None }));
        let alarms = [due - SignedDuration::from_hours(7), due - SignedDuration::from_hours(6), due]
            .map(|at| probe.register.applications_due(at));
        let alarm = |soon, overdue| ApplicationsDue { soon, overdue };
        assert_eq!(alarms, [alarm(0, 0), alarm(1, 0), alarm(0, 1)]);
        let next = probe.next(uuid);
        let settled = match ends {
            "applied" => {
                let applied = |text: String| text.replace("[order]\n", "[order]\napplied = \"2026-11-21\"\n");
                probe.submit(&next, applied, &[0]).unwrap();
                Some(Application { due, made: Some("2026-11-21".parse().unwrap()) })
            }
            "order" => {
                probe.submit(&Paper { authority: Authority::TitleIii, ..next }, whole, &[0, 1]).unwrap();
                None
            }
            "denied" => {
                let warrant = probe.register.case(uuid).unwrap().warrant().unwrap();
                let text = office::revocation(warrant, "denied", probe.register.head());
                let handed = probe.office.handed(&text, REVOKE, &[1]);
                probe.register.revoke(handed, actor(), begun).unwrap().recorded.unwrap();
                None
            }
            _ => {
                // Its time is over, and the deadline is not.
                probe.register.expire(emergency.stop).unwrap();
                assert_eq!(probe.register.applications_due(due), alarm(0, 1));
                continue;
            }
        };
        assert_eq!(application(&probe), settled, "{ends}");
        assert_eq!(probe.register.applications_due(due), alarm(0, 0), "{ends}");
    }
}
