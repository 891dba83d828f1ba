//! Who may ask what. The socket says who is at the other end ([`Access::asker`]); every request says in one table what
//! it needs ([`need`]); [`judge`] holds one against the other before anything else looks at the request. What is judged
//! here goes on to the role's handlers, or back as a [`Denial`], which the audit log keeps ([`Denials`]).
//!
//! The rule behind the words: a refusal tells the asker nothing that it could not know without asking. Whoever has no
//! role hears the same three words to everything. A case of another compartment and a case that there is none of are one
//! to the asker: the same look-up, the same record, the same answer.

mod denials;
mod door;
mod settings;

pub(super) use denials::Denials;
pub(super) use door::open;
pub use settings::{AccessFault, AccessSettings};

use crate::config::Config;
use crate::ipc::{IncidentReport, Request};
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;
use writ_authority::{Actor, Paper, Warrant};

/// A role at run time. One person can have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Sees whether the machine does its work, and no figure that a target's packet moves while it does.
    Viewer,
    /// Deals with the cases of its compartments.
    Li,
    /// Looks after the machine: numbers and slots, no target, document or case id.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Li, Self::Admin];

    const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Li => "li",
            Self::Admin => "admin",
        }
    }
}

/// Whose cases somebody deals with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Compartments {
    All,
    /// None of them: no `li` at all.
    These(BTreeSet<String>),
}

/// What somebody may.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rights {
    viewer: bool,
    admin: bool,
    li: Compartments,
}

impl Default for Rights {
    fn default() -> Self {
        Self { viewer: false, admin: false, li: Compartments::These(BTreeSet::new()) }
    }
}

impl Rights {
    fn everything() -> Self {
        Self { viewer: true, admin: true, li: Compartments::All }
    }

    fn add(&mut self, other: &Self) {
        self.viewer |= other.viewer;
        self.admin |= other.admin;
        match (&mut self.li, &other.li) {
            (Compartments::These(mine), Compartments::These(more)) => mine.extend(more.iter().cloned()),
            (mine, Compartments::All) => *mine = Compartments::All,
            (Compartments::All, _) => {}
        }
    }
}

/// An entry of `[access]`, looked up.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
    rights: Rights,
}

/// Who has which role on this machine.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// The configuration does not say: root and the probe's own user have them all.
    Owner,
    /// Whoever is named, and nobody else. That goes for root, too: it could take what it is not given here, but not by
    /// mistake, and not by way of the socket.
    Named(Vec<Entry>),
}

/// Who is at the other end of the socket, as the kernel tells.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) actor: Actor,
    /// Its own group.
    pub(super) group: u32,
    /// The supplementary ones.
    pub(super) more_groups: Vec<u32>,
}

/// Somebody who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) actor: Actor,
    /// Its own group, for the record.
    pub(super) group: u32,
    rights: Rights,
}

impl Access {
    /// As the configuration says.
    ///
    /// # Errors
    /// Names every account that this machine does not know.
    pub(super) fn of(config: &Config) -> Result<Self, Vec<AccessFault>> {
        config.access.as_ref().map_or(Ok(Self::Owner), AccessSettings::look_up)
    }

    /// What a peer may. By its groups at the moment of its connection.
    pub(super) fn asker(&self, peer: Peer) -> Asker {
        let uid = peer.actor.uid;
        let mut rights = Rights::default();
        match self {
            Self::Owner => {
                if uid == 0 || uid == rustix::process::getuid().as_raw() {
                    rights = Rights::everything();
                }
            }
            Self::Named(entries) => {
                let is_named = |entry: &&Entry| {
                    let mut groups = std::iter::once(&peer.group).chain(&peer.more_groups);
                    entry.users.contains(&uid) || groups.any(|group| entry.groups.contains(group))
                };
                entries.iter().filter(is_named).for_each(|entry| rights.add(&entry.rights));
            }
        }
        Asker { actor: peer.actor, group: peer.group, rights }
    }
}

impl Asker {
    pub(super) fn has(&self, role: Role) -> bool {
        match role {
            Role::Viewer => self.rights.viewer,
            Role::Admin => self.rights.admin,
            Role::Li => self.rights.li != Compartments::These(BTreeSet::new()),
        }
    }

    /// Whether the case of a warrant is one of the asker's.
    pub(super) fn may_see(&self, warrant: &Warrant) -> bool {
        self.deals_with(warrant.compartment().as_str())
    }

    /// Whether a compartment is one of the asker's.
    pub(super) fn deals_with(&self, compartment: &str) -> bool {
        match &self.rights.li {
            Compartments::All => true,
            Compartments::These(names) => names.contains(compartment),
        }
    }

    /// Whether no case is kept from the asker.
    pub(super) fn sees_all(&self) -> bool {
        self.rights.li == Compartments::All
    }

    fn roles(&self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect()
    }
}

/// What a request needs.
enum Need<'a> {
    /// One of these roles.
    Role(&'static [Role]),
    /// `li`. The answer is of the asker's compartments alone.
    Cases,
    /// `li` of the compartment of this case.
    Case(Uuid),
    /// `li` of the compartment of the case that this revocation or certification is about. One that is at fault is for its
    /// handler, which names every fault of it.
    Paper(&'a str),
    /// `li` of the compartment that this document names.
    Document { file: &'a str, document: &'a str },
    /// `li` of the compartments of all cases that an incident concerns, and of its own.
    Report(&'a IncidentReport),
    /// `li` of the compartment of this incident and of all its cases.
    Incident(Uuid),
}

/// The table: the name of each request in the audit log, and what it needs.
fn need(request: &Request) -> (&'static str, Need<'_>) {
    match request {
        Request::Status => ("status", Need::Role(&[Role::Viewer, Role::Admin])),
        Request::SlotTrace { .. } => ("explain", Need::Role(&[Role::Admin])),
        Request::WarrantSubmit { file, document, .. } => ("warrant submit", Need::Document { file, document }),
        Request::WarrantList => ("warrant list", Need::Cases),
        Request::WarrantShow { uuid } => ("warrant show", Need::Case(*uuid)),
        Request::WarrantApprove { uuid, .. } => ("warrant approve", Need::Case(*uuid)),
        Request::WarrantRevoke { document, .. } => ("warrant revoke", Need::Paper(document)),
        Request::WarrantDraftCertification { uuid, .. } => ("warrant certify", Need::Case(*uuid)),
        Request::WarrantCertify { document, .. } => ("warrant certify", Need::Paper(document)),
        Request::WarrantAttach { uuid, .. } => ("warrant attach", Need::Case(*uuid)),
        Request::WarrantClose { uuid } => ("warrant close", Need::Case(*uuid)),
        Request::CaseExport { uuid, .. } => ("case export", Need::Case(*uuid)),
        Request::IncidentReport(report) => ("incident new", Need::Report(report)),
        Request::IncidentList => ("incident list", Need::Cases),
        Request::IncidentShow { uuid } => ("incident show", Need::Incident(*uuid)),
        Request::IncidentTold { uuid, .. } => ("incident told", Need::Incident(*uuid)),
        Request::CaseDigests { uuid, .. } => ("case digests", Need::Case(*uuid)),
        Request::CaseCountersigned(papers) => ("case countersigned", Need::Case(papers.uuid)),
        // Officers write it into what they sign; an admin keeps it elsewhere.
        Request::AuditHead => ("audit head", Need::Role(&[Role::Li, Role::Admin])),
        // Whoever makes a backup can read everything already; that what it forgot is nothing is for whoever keeps it to show.
        Request::BackupCreate { .. } => ("backup create", Need::Role(&[Role::Admin])),
        Request::BackupRelease { .. } => ("backup release", Need::Role(&[Role::Admin])),
        // It names officers and, where lines are tested, the lines.
        Request::RosterInstall { .. } => ("roster install", Need::Role(&[Role::Li])),
        // It names a destination, and no case; whoever answers for a case wants to know the way, too.
        Request::DestinationTest { .. } => ("destination test", Need::Role(&[Role::Li, Role::Admin])),
        Request::RosterShow => ("roster show", Need::Role(&[Role::Li])),
    }
}

impl Need<'_> {
    fn roles(&self) -> &'static [Role] {
        match self {
            Self::Role(roles) => roles,
            Self::Cases
            | Self::Case(_)
            | Self::Paper(_)
            | Self::Document { .. }
            | Self::Report(_)
            | Self::Incident(_) => &[Role::Li],
        }
    }
}

/// A request that is not for its asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// The request's name.
    pub(super) request: &'static str,
    /// The case that the asker named.
    pub(super) case: Option<Uuid>,
    /// What it is told.
    pub(super) reason: String,
}

impl Denial {
    /// To whoever has no role, whatever it asks; also what is no request at all.
    fn stranger(request: &'static str, case: Option<Uuid>) -> Self {
        Self { request, case, reason: "not for you".to_owned() }
    }

    /// There is no such case, or it is in a compartment that is none of the asker's.
    fn not_theirs(request: &'static str, case: Uuid) -> Self {
        let reason = format!("there is no warrant {case} among your cases; see `writ warrant list`");
        Self { request, case: Some(case), reason }
    }
}

/// Whose a case is, seen from an asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// One of the asker's.
    Theirs,
    /// Another's, or there is none.
    NotTheirs,
    /// Its documents are damaged, so nobody knows its compartment.
    Unknown,
}

/// Holds what came over the socket against who sent it: a request, or why it is none. `whose` tells of a case whether it is
/// one of the asker's. Gives back what came.
pub(super) fn judge(
    asker: &Asker,
    came: Result<Request, String>,
    whose: impl Fn(Uuid) -> Whose,
) -> Result<Result<Request, String>, Denial> {
    match &came {
        Ok(request) => judge_request(asker, request, whose)?,
        Err(_) if asker.roles().is_empty() => return Err(Denial::stranger("unreadable", None)),
        Err(_) => {}
    }
    Ok(came)
}

/// The case that a revocation or a certification is about.
fn case_of(document: &str) -> Option<Uuid> {
    match Paper::parse(document.as_bytes(), Path::new("document")).ok()? {
        Paper::Revocation(revocation) => Some(revocation.uuid()),
        Paper::Certification(certification) => Some(certification.uuid()),
        Paper::Warrant(_) | Paper::Roster(_) => None,
    }
}

fn judge_request(asker: &Asker, asked: &Request, whose: impl Fn(Uuid) -> Whose) -> Result<(), Denial> {
    let (request, need) = need(asked);
    // Ending something waits for nobody's documents. Who sees every case sees those that nobody knows the owner of.
    let takes_unknown = asker.sees_all() || matches!(asked, Request::WarrantRevoke { .. });
    let is_theirs = |uuid| match whose(uuid) {
        Whose::Theirs => true,
        Whose::NotTheirs => false,
        Whose::Unknown => takes_unknown,
    };
    let need = match need {
        Need::Paper(document) => case_of(document).map_or(need, Need::Case),
        need => need,
    };
    let case = match need {
        Need::Case(uuid) => Some(uuid),
        _ => None,
    };
    if asker.roles().is_empty() {
        return Err(Denial::stranger(request, case));
    }
    if !need.roles().iter().any(|role| asker.has(*role)) {
        let takers: Vec<_> = need.roles().iter().map(|role| role.name()).collect();
        let reason = format!(
            "this takes the role {}, and yours is {}; whoever keeps [access] of the probe's configuration can change that",
            takers.join(" or "),
            asker.roles().join(" and ")
        );
        return Err(Denial { request, case, reason });
    }
    match need {
        Need::Case(uuid) if !is_theirs(uuid) => Err(Denial::not_theirs(request, uuid)),
        Need::Incident(uuid) if !is_theirs(uuid) => {
            let reason = format!("there is no incident {uuid} among yours; see `writ incident list`");
            Err(Denial { request, case: None, reason })
        }
        Need::Report(IncidentReport { compartment, cases, .. }) => {
            if let Some(uuid) = cases.iter().find(|uuid| !is_theirs(**uuid)) {
                return Err(Denial::not_theirs(request, *uuid));
            }
            // Without a case and a name it is the general one.
            let name = compartment.as_deref().or(cases.is_empty().then_some("general"));
            match name.filter(|name| !asker.deals_with(name)) {
                Some(name) => {
                    let reason = format!("compartment: {name:?} is none of yours; name one that is with --compartment");
                    Err(Denial { request, case: None, reason })
                }
                None => Ok(()),
            }
        }
        Need::Document { file, document } => match Warrant::parse(document.as_bytes(), Path::new(file)) {
            Ok(warrant) if !asker.may_see(&warrant) => {
                let name = warrant.compartment().as_str();
                let reason = format!(
                    "{file}: compartment: {name:?} is none of yours; have it handed in by somebody who deals with it"
                );
                Err(Denial { request, case: Some(warrant.uuid()), reason })
            }
            // A revision goes on with a case, and whoever hands it in deals with that case.
            // Whoever sees all cases may hear that there is none.
            Ok(warrant) if warrant.revision() > 1 && !asker.sees_all() && !is_theirs(warrant.uuid()) => {
                Err(Denial::not_theirs(request, warrant.uuid()))
            }
            // What is wrong with a document is said by whoever judges documents.
            Ok(_) | Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashbrown::HashMap;
    use writ_authority::{Digest, Head};

    const WARRANT: &str = include_str!("../../../../docs/examples/warrant.toml");
    const OWN: Uuid = Uuid::from_u128(0x5b0f_8c7e_3a49_4b7c_9f1d_0c8e_8e7a_2201);
    const OTHER: Uuid = Uuid::from_u128(0x5b0f_8c7e_3a49_4b7c_9f1d_0c8e_8e7a_2202);
    const UNKNOWN: Uuid = Uuid::from_u128(0x5b0f_8c7e_3a49_4b7c_9f1d_0c8e_8e7a_2203);

    const DAMAGED: Uuid = Uuid::from_u128(0x5b0f_8c7e_3a49_4b7c_9f1d_0c8e_8e7a_2204);

    fn document(uuid: Uuid, compartment: &str) -> String {
        let named = format!("uuid = \"{uuid}\"\ncompartment = \"{compartment}\"\n");
        let rest: Vec<_> = WARRANT.lines().filter(|line| !line.starts_with("uuid =")).collect();
        format!("{named}{}\n", rest.join("\n"))
    }

    /// The probe has a case of the asker's compartment and one of another.
    fn cases() -> HashMap<Uuid, Warrant> {
        let case = |uuid, compartment| {
            (uuid, Warrant::parse(document(uuid, compartment).as_bytes(), Path::new("w.toml")).unwrap())
        };
        [case(OWN, "gangs"), case(OTHER, "sealed")].into()
    }

    fn asker(uid: u32, group: u32) -> Asker {
        let text = "viewer = { users = [1] }\nadmin = { groups = [22] }\n\
                    [[li]]\nusers = [3, 4]\ncompartments = [\"gangs\"]\n[[li]]\nusers = [4]";
        let access = toml::from_str::<AccessSettings>(text).unwrap().look_up().unwrap();
        let actor = Actor { who: uid.to_string(), uid, pid: 1 };
        access.asker(Peer { actor, group: 100, more_groups: vec![group] })
    }

    fn ask(asker: &Asker, request: Request) -> Result<(), Denial> {
        let cases = cases();
        let whose = |uuid| match cases.get(&uuid) {
            _ if uuid == DAMAGED => Whose::Unknown,
            Some(it) if asker.may_see(it) => Whose::Theirs,
            _ => Whose::NotTheirs,
        };
        judge(asker, Ok(request), whose).map(drop)
    }

    fn submit(document: String) -> Request {
        Request::WarrantSubmit { file: "w.toml".to_owned(), document, signatures: Vec::new() }
    }

    /// A sound revocation.
    fn revocation(uuid: Uuid) -> String {
        let digest = "ab".repeat(32);
        format!(
            "operator = \"o\"\nprobe = \"p\"\nsign_by = \"2026-12-01T00:00:00Z\"\nuuid = \"{uuid}\"\nrevision = 1\n\
             warrant = \"{digest}\"\nreason = \"r\"\nkind = \"revoked\"\n\n[seen]\nrecord = 1\nhash = \"{digest}\"\n"
        )
    }

    /// Every request about a case.
    fn about(uuid: Uuid) -> [Request; 7] {
        let (file, document, signatures) = ("r.toml".to_owned(), revocation(uuid), Vec::new());
        assert_eq!(case_of(&document), Some(uuid), "the paper is sound");
        [
            Request::WarrantShow { uuid },
            Request::WarrantRevoke { file, document, signatures },
            Request::WarrantApprove { uuid, signatures: Vec::new() },
            Request::WarrantDraftCertification { uuid, overseer: "A".to_owned() },
            Request::WarrantAttach { uuid, file: "o.pdf".to_owned(), content: String::new() },
            Request::WarrantClose { uuid },
            Request::CaseExport { uuid, until: None },
        ]
    }

    fn incident(cases: &[Uuid], compartment: Option<&str>) -> Request {
        let text = |text: &str| text.to_owned();
        Request::IncidentReport(Box::new(IncidentReport {
            breach: text("compromise"),
            what: text("w"),
            found: jiff::Timestamp::UNIX_EPOCH,
            found_by: text("A"),
            compartment: compartment.map(text),
            cases: cases.to_vec(),
            agencies: vec![text("FBI")],
        }))
    }

    #[test]
    fn each_request_is_for_the_roles_that_the_table_names() {
        let roster = || Request::RosterInstall { file: String::new(), document: String::new(), signatures: Vec::new() };
        let askers = [("nobody", asker(9, 9)), ("viewer", asker(1, 9)), ("li", asker(3, 9)), ("admin", asker(9, 22))];
        let [show, revoke, approve, certify, attach, close, export] = about(OWN);
        for (request, takers) in [
            (Request::Status, &["viewer", "admin"][..]),
            (Request::SlotTrace { slot: 0 }, &["admin"]),
            (Request::WarrantList, &["li"]),
            (show, &["li"]),
            (revoke, &["li"]),
            (approve, &["li"]),
            (certify, &["li"]),
            (attach, &["li"]),
            (close, &["li"]),
            (export, &["li"]),
            (incident(&[OWN], None), &["li"]),
            (Request::IncidentList, &["li"]),
            (Request::IncidentShow { uuid: OWN }, &["li"]),
            (Request::DestinationTest { destination: "d".to_owned(), packets: 1 }, &["li", "admin"]),
            (submit(document(UNKNOWN, "gangs")), &["li"]),
            (submit("not a warrant".to_owned()), &["li"]),
            (Request::AuditHead, &["li", "admin"]),
            (Request::BackupCreate { manifest: Digest::ZERO }, &["admin"]),
            (Request::BackupRelease { head: Head::EMPTY, shown_by: String::new() }, &["admin"]),
            (roster(), &["li"]),
            (Request::RosterShow, &["li"]),
        ] {
            for (role, asker) in &askers {
                let answer = ask(asker, request.clone());
                assert_eq!(answer.is_ok(), takers.contains(role), "{role}: {request:?}");
                let Err(denial) = answer else { continue };
                match *role {
                    "nobody" => assert_eq!(denial.reason, "not for you", "{request:?}"),
                    _ => assert!(denial.reason.contains(&takers.join(" or ")), "{role}: {}", denial.reason),
                }
            }
        }
    }

    #[test]
    fn a_case_whose_owner_is_not_known_can_be_ended_by_everybody_who_deals_with_cases_and_nothing_else() {
        for (number, request) in about(DAMAGED).into_iter().enumerate() {
            let ends = matches!(request, Request::WarrantRevoke { .. });
            assert_eq!(ask(&asker(3, 9), request.clone()).is_ok(), ends, "{number}");
            assert!(ask(&asker(9, 22), request.clone()).is_err(), "an admin deals with no case");
            let root = Asker { rights: Rights::everything(), ..asker(9, 9) };
            assert!(ask(&root, request).is_ok());
        }
    }

    #[test]
    fn a_case_of_another_compartment_is_to_every_role_as_one_that_there_is_none_of() {
        for (uid, group) in [(9, 9), (1, 9), (3, 9), (4, 9), (9, 22)] {
            let asker = asker(uid, group);
            for (other, unknown) in about(OTHER).into_iter().zip(about(UNKNOWN)) {
                let [other, unknown] = [(other, OTHER), (unknown, UNKNOWN)].map(|(request, uuid)| {
                    let denial = ask(&asker, request).expect_err("it is not theirs");
                    assert_eq!(denial.case, Some(uuid), "what was asked for is on record");
                    (denial.request, denial.reason.replace(&uuid.to_string(), "UUID"))
                });
                assert_eq!(other, unknown, "user {uid}, group {group}");
            }
        }
    }

    #[test]
    fn an_incident_is_reported_by_those_who_have_to_do_with_all_of_it() {
        // User 3 deals with gangs, user 4 with general as well.
        for (uid, cases, compartment, may) in [
            (3, &[OWN][..], None, true),
            (3, &[OWN], Some("general"), false),
            (3, &[], None, false),
            (3, &[], Some("gangs"), true),
            (4, &[], None, true),
            (4, &[OWN, OTHER], None, false),
            (4, &[OTHER], Some("gangs"), false),
        ] {
            let answer = ask(&asker(uid, 9), incident(cases, compartment));
            assert_eq!(answer.is_ok(), may, "{uid}: {cases:?} {compartment:?}: {answer:?}");
        }
        let [other, unknown] = [OTHER, UNKNOWN].map(|uuid| {
            let denial = ask(&asker(3, 9), incident(&[OWN, uuid], None)).expect_err("it is not theirs");
            denial.reason.replace(&uuid.to_string(), "UUID")
        });
        assert_eq!(other, unknown);
        let denial = ask(&asker(3, 9), Request::IncidentShow { uuid: OTHER }).expect_err("it is not theirs");
        assert!(denial.reason.starts_with("there is no incident"), "{}", denial.reason);
    }

    #[test]
    fn a_document_of_another_compartment_is_not_taken_whatever_its_uuid_is() {
        for uuid in [OWN, OTHER, UNKNOWN] {
            let denial = ask(&asker(3, 9), submit(document(uuid, "sealed"))).expect_err("it is not theirs");
            assert!(denial.reason.starts_with("w.toml: compartment: \"sealed\" is none of yours"), "{}", denial.reason);
            assert!(ask(&asker(3, 9), submit(document(uuid, "gangs"))).is_ok(), "{uuid}");
        }
    }

    #[test]
    fn a_revision_is_taken_of_a_case_that_is_theirs_and_of_no_other() {
        let revision = |uuid| {
            let previous = format!("revision = 2\nprevious = \"{}\"", "0".repeat(64));
            submit(document(uuid, "gangs").replacen("revision = 1", &previous, 1))
        };
        assert!(ask(&asker(3, 9), revision(OWN)).is_ok());
        let [other, unknown] = [OTHER, UNKNOWN].map(|uuid| {
            let denial = ask(&asker(3, 9), revision(uuid)).expect_err("it is not theirs");
            denial.reason.replace(&uuid.to_string(), "UUID")
        });
        assert_eq!(other, unknown);
        assert_eq!(other, "there is no warrant UUID among your cases; see `writ warrant list`");
    }

    #[test]
    fn compartments_of_one_person_add_up_and_general_goes_without_saying() {
        for (uid, compartment, may) in
            [(3, "gangs", true), (3, "general", false), (4, "gangs", true), (4, "general", true), (4, "sealed", false)]
        {
            assert_eq!(
                ask(&asker(uid, 9), submit(document(UNKNOWN, compartment))).is_ok(),
                may,
                "{uid}: {compartment}"
            );
        }
    }

    #[test]
    fn what_is_no_request_tells_a_stranger_nothing_either() {
        let faulty = || Err("not a request of this version".to_owned());
        let denial = judge(&asker(9, 9), faulty(), |_| Whose::Theirs).expect_err("a stranger");
        assert_eq!(denial.reason, "not for you");
        assert_eq!(judge(&asker(1, 9), faulty(), |_| Whose::Theirs).unwrap().unwrap_err(), faulty().unwrap_err());
    }

    #[test]
    fn without_the_section_root_has_every_role_and_with_it_none_that_is_not_given() {
        let root = |access: &Access| {
            let actor = Actor { who: "root".to_owned(), uid: 0, pid: 1 };
            access.asker(Peer { actor, group: 0, more_groups: Vec::new() }).roles()
        };
        assert_eq!(root(&Access::Owner), ["viewer", "li", "admin"]);
        let access = |text| toml::from_str::<AccessSettings>(text).unwrap().look_up().unwrap();
        assert_eq!(root(&access("viewer = { users = [1] }")), ["admin"]);
        assert!(root(&access("admin = { users = [7] }")).is_empty());
    }
}
