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
use crate::ipc::Request;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;
use writ_authority::{Actor, Warrant};

/// The compartment of a case whose warrant names none.
const GENERAL: &str = "general";

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
        self.has_compartment(compartment(warrant))
    }

    fn has_compartment(&self, name: &str) -> bool {
        match &self.rights.li {
            Compartments::All => true,
            Compartments::These(names) => names.contains(name),
        }
    }

    fn roles(&self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect()
    }
}

/// The compartment that a warrant's case is in.
fn compartment(_warrant: &Warrant) -> &str {
    GENERAL
}

/// What a request needs.
enum Need<'a> {
    /// One of these roles.
    Role(&'static [Role]),
    /// `li`. The answer is of the asker's compartments alone.
    Cases,
    /// `li` of the compartment of this case.
    Case(Uuid),
    /// `li` of the compartment that this document names.
    Document { file: &'a str, document: &'a str },
}

/// The table: the name of each request in the audit log, and what it needs.
fn need(request: &Request) -> (&'static str, Need<'_>) {
    match request {
        Request::Status => ("status", Need::Role(&[Role::Viewer, Role::Admin])),
        Request::SlotTrace { .. } => ("explain", Need::Role(&[Role::Admin])),
        Request::WarrantSubmit { file, document, .. } => ("warrant submit", Need::Document { file, document }),
        Request::WarrantList => ("warrant list", Need::Cases),
        Request::WarrantShow { uuid } => ("warrant show", Need::Case(*uuid)),
        Request::WarrantRevoke { uuid, .. } => ("warrant revoke", Need::Case(*uuid)),
        // Officers write it into what they sign; an admin keeps it elsewhere.
        Request::AuditHead => ("audit head", Need::Role(&[Role::Li, Role::Admin])),
        // It names officers and, where lines are tested, the lines.
        Request::RosterInstall { .. } => ("roster install", Need::Role(&[Role::Li])),
        Request::RosterShow => ("roster show", Need::Role(&[Role::Li])),
    }
}

impl Need<'_> {
    fn roles(&self) -> &'static [Role] {
        match self {
            Self::Role(roles) => roles,
            Self::Cases | Self::Case(_) | Self::Document { .. } => &[Role::Li],
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
}

/// Holds what came over the socket against who sent it: a request, or why it is none. `is_theirs` tells whether there is
/// such a case and it is in one of the asker's compartments. Gives back what came.
pub(super) fn judge(
    asker: &Asker,
    came: Result<Request, String>,
    is_theirs: impl FnOnce(Uuid) -> bool,
) -> Result<Result<Request, String>, Denial> {
    match &came {
        Ok(request) => judge_request(asker, request, is_theirs)?,
        Err(_) if asker.roles().is_empty() => return Err(Denial::stranger("unreadable", None)),
        Err(_) => {}
    }
    Ok(came)
}

fn judge_request(asker: &Asker, request: &Request, is_theirs: impl FnOnce(Uuid) -> bool) -> Result<(), Denial> {
    let (request, need) = need(request);
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
        Need::Case(uuid) if !is_theirs(uuid) => {
            let reason = format!("there is no warrant {uuid} among your cases; see `writ warrant list`");
            Err(Denial { request, case, reason })
        }
        Need::Document { file, document } => match Warrant::parse(document.as_bytes(), Path::new(file)) {
            Ok(warrant) if !asker.may_see(&warrant) => {
                let name = compartment(&warrant);
                let reason = format!(
                    "{file}: compartment: {name:?} is none of yours; have it handed in by somebody who deals with it"
                );
                Err(Denial { request, case: Some(warrant.uuid()), reason })
            }
            // What is wrong with a document is said by whoever judges documents.
            Ok(_) | Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}
