//! The control role's dealings with `writ-authority`: judging what is handed in, keeping it, and recording every act and
//! every refusal. What cannot be recorded is not done.

use crate::config::Config;
use crate::ipc::{NamedSignature, Reply};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::{
    Act, Actor, ApprovedWarrant, AuditError, AuditLog, Digest, DocumentError, Entry, Head, Outcome, ProbeIdentity,
    Refusal, Roster, RosterError, RosterStore, Scope, Signature, SignatureError, Standing, StoreError, Subject,
    Warrant, WarrantStore, judge, words,
};
use writ_capture::BindMode;
use writ_spool::MAX_DELIVERIES;

/// Most targets of one warrant: each is told to the agency as a session of its own when the interception begins.
const MOST_TARGETS: usize = 10_000;

/// Where the probe keeps what it must not forget, below its state directory.
pub struct Files {
    /// The audit log.
    pub audit: PathBuf,
    /// The rosters, all versions.
    pub rosters: PathBuf,
    /// The warrants.
    pub warrants: PathBuf,
}

impl Files {
    /// The files of a probe.
    pub fn of(config: &Config) -> Self {
        let state = &config.probe.state;
        Self { audit: state.join("audit.jsonl"), rosters: state.join("rosters"), warrants: state.join("warrants") }
    }
}

/// What the probe must not forget cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The rosters.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The warrants.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Approves a warrant for a replay, which arms nothing: the same judgement, recorded in the same log, but for the window,
/// which may be over. Only while the probe does not run: the log has one writer.
///
/// # Errors
/// Every reason for the refusal, or what could not be read or recorded.
pub fn approve_replay(
    config: &Config,
    (file, document): (&str, &str),
    signatures: &[NamedSignature],
    capture_file: &Path,
    actor: Actor,
) -> Result<ApprovedWarrant, Vec<String>> {
    let mut authority = Authority::open(config).map_err(|error| vec![error.to_string()])?;
    let mut uuid = None;
    let judged = authority.approved(file, document, signatures, config, None, &mut uuid);
    let subject = Some(Subject { uuid, sha256: Some(Digest::of(document.as_bytes())) });
    let (outcome, reasons) = match &judged {
        Ok(_) => (Outcome::Done, String::new()),
        Err(reasons) => (Outcome::Refused, reasons.join("; ")),
    };
    let details = [("capture_file", capture_file.display().to_string()), ("reasons", reasons)];
    authority
        .record(entry(Act::Replay, outcome, actor, subject, details.into_iter().filter(|(_, value)| !value.is_empty())))
        .map_err(|error| vec![format!("nothing is replayed, because that cannot be recorded: {error}")])?;
    judged
}

/// See the module.
pub(super) struct Authority {
    audit: AuditLog,
    rosters: RosterStore,
    store: WarrantStore,
    identity: ProbeIdentity,
    damaged: usize,
}

/// The probe itself, where nobody asked.
pub(super) fn own_actor() -> Actor {
    Actor { who: "writ".to_owned(), uid: rustix::process::getuid().as_raw(), pid: std::process::id() }
}

/// An entry for the audit log.
pub(super) fn entry<K: Into<String>>(
    act: Act,
    outcome: Outcome,
    actor: Actor,
    subject: Option<Subject>,
    details: impl IntoIterator<Item = (K, String)>,
) -> Entry {
    let details = details.into_iter().map(|(key, value)| (key.into(), value)).collect();
    Entry { act, outcome, actor, subject, details }
}

/// Puts a roster in force, with a record of it. For the running probe and for one that does not run alike.
///
/// # Errors
/// The reply to give instead: refused, with every reason, or failed.
pub fn install_roster(
    rosters: &mut RosterStore,
    audit: &mut AuditLog,
    operator: &str,
    (file, document): (&str, &str),
    signatures: &[NamedSignature],
    actor: Actor,
) -> Reply {
    let sha256 = Digest::of(document.as_bytes());
    let subject = Some(Subject { uuid: None, sha256: Some(sha256) });
    let checked = read_roster(file, document, signatures).and_then(|(roster, signatures)| {
        if roster.operator() != operator {
            return Err(vec![format!(
                "{file}: operator: the roster is {:?}'s, and this probe is {operator:?}'s; hand it in where it belongs",
                roster.operator()
            )]);
        }
        rosters.check(roster.clone(), signatures.clone()).map_err(|error| vec![error.to_string()])?;
        Ok((roster, signatures))
    });
    let (roster, signatures) = match checked {
        Ok(checked) => checked,
        Err(reasons) => {
            let details = [("reasons", reasons.join("; "))];
            let refusal = entry(Act::RosterInstall, Outcome::Refused, actor, subject, details);
            return match audit.append(Timestamp::now(), &refusal) {
                Ok(_) => Reply::Refused { reasons },
                Err(error) => Reply::Failed { error: error.to_string() },
            };
        }
    };
    let details = [("version", roster.version().to_string())];
    if let Err(error) = audit
        .append(Timestamp::now(), &entry(Act::RosterInstall, Outcome::Done, actor.clone(), subject.clone(), details))
    {
        return Reply::Failed {
            error: format!("the roster is not installed, because that cannot be recorded: {error}"),
        };
    }
    match rosters.install(roster, signatures) {
        Ok(trusted) => {
            Reply::RosterInstalled { version: trusted.roster().version(), signed_by: trusted.signed_by().to_vec() }
        }
        Err(error) => {
            let details = [("error", error.to_string())];
            let failure = entry(Act::RosterInstall, Outcome::Failed, actor, subject, details);
            match audit.append(Timestamp::now(), &failure) {
                Ok(_) => Reply::Failed { error: error.to_string() },
                Err(audit) => Reply::Failed { error: format!("{error}; and {audit}") },
            }
        }
    }
}

fn read_roster(
    file: &str,
    document: &str,
    signatures: &[NamedSignature],
) -> Result<(Roster, Vec<Signature>), Vec<String>> {
    let roster = Roster::parse(document.as_bytes(), Path::new(file)).map_err(|error| reasons(&error))?;
    Ok((roster, read_signatures(signatures)?))
}

fn read_signatures(signatures: &[NamedSignature]) -> Result<Vec<Signature>, Vec<String>> {
    signatures
        .iter()
        .map(|signature| Signature::parse(signature.text.as_bytes(), Path::new(&signature.file)))
        .collect::<Result<_, SignatureError>>()
        .map_err(|error| vec![error.to_string()])
}

fn reasons(error: &DocumentError) -> Vec<String> {
    error.faults().iter().map(|fault| format!("{}: {fault}", error.file().display())).collect()
}

impl Authority {
    /// Reads everything back. Damaged warrants are recorded and left out; a damaged log or roster is an error.
    pub(super) fn open(config: &Config) -> Result<Self, AuthorityError> {
        let files = Files::of(config);
        let mut audit = AuditLog::open(&files.audit, Timestamp::now())?;
        let rosters = RosterStore::open(&files.rosters)?;
        let identity = ProbeIdentity { operator: config.probe.operator.clone(), probe: config.probe.id.clone() };
        let (store, damaged) = WarrantStore::open(&files.warrants, &rosters, &identity)?;
        for file in &damaged {
            tracing::error!("a warrant file of the store is damaged; see the audit log");
            let details = [("file", file.file.display().to_string()), ("problem", file.problem.clone())];
            audit.append(Timestamp::now(), &entry(Act::StoreDamaged, Outcome::Failed, own_actor(), None, details))?;
        }
        Ok(Self { audit, rosters, store, identity, damaged: damaged.len() })
    }

    pub(super) fn store(&self) -> &WarrantStore {
        &self.store
    }

    pub(super) fn head(&self) -> Head {
        self.audit.head()
    }

    /// How many warrant files could not be read back.
    pub(super) fn damaged(&self) -> usize {
        self.damaged
    }

    pub(super) fn record(&mut self, entry: Entry) -> Result<(), AuditError> {
        self.audit.append(Timestamp::now(), &entry).map(drop)
    }

    /// Records what has happened and cannot be undone. That it is missing from the log can only be said elsewhere.
    pub(super) fn record_or_log(&mut self, entry: Entry) {
        let act = entry.act.as_str();
        if let Err(error) = self.record(entry) {
            tracing::error!(act, %error, "the audit log takes no record: nothing new is armed until it does");
        }
    }

    /// As [`Authority::record_or_log`], for something that happened to a warrant.
    pub(super) fn record_of<K: Into<String>>(
        &mut self,
        act: Act,
        warrant: Uuid,
        details: impl IntoIterator<Item = (K, String)>,
    ) {
        let sha256 = self.store.get(warrant).map(|stored| stored.warrant().digest());
        let subject = Some(Subject { uuid: Some(warrant), sha256 });
        self.record_or_log(entry(act, Outcome::Done, own_actor(), subject, details));
    }

    /// Judges a warrant that is handed in. The refusal, if it is one, is recorded.
    pub(super) fn judge(
        &mut self,
        file: &str,
        document: &str,
        signatures: &[NamedSignature],
        actor: &Actor,
        config: &Config,
    ) -> Result<ApprovedWarrant, Reply> {
        let mut uuid = None;
        self.approved(file, document, signatures, config, Some(Timestamp::now()), &mut uuid)
            .and_then(|approved| {
                self.is_new(file, &approved)?;
                Ok(approved)
            })
            .map_err(|reasons| self.refuse_submission(document, uuid, reasons, actor.clone()))
    }

    /// The warrant in a document, if it is sound, fits this probe and has the signatures that the policy asks for.
    /// Notes its UUID as soon as that is known. Without a moment `at` which it is handed in, it may come too late.
    fn approved(
        &self,
        file: &str,
        document: &str,
        signatures: &[NamedSignature],
        config: &Config,
        at: Option<Timestamp>,
        uuid: &mut Option<Uuid>,
    ) -> Result<ApprovedWarrant, Vec<String>> {
        let warrant = Warrant::parse(document.as_bytes(), Path::new(file)).map_err(|error| reasons(&error))?;
        *uuid = Some(warrant.uuid());
        let faults = fit(&warrant, config);
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| format!("{file}: {fault}")).collect());
        }
        let roster = self.rosters.current().ok_or_else(|| {
            vec!["no roster is installed, so nobody can approve; install one with `writ roster install`".to_owned()]
        })?;
        let signatures = read_signatures(signatures)?;
        // A replay takes nothing, so its warrant may be one of the past.
        let now = at.unwrap_or(warrant.heading().sign_by);
        let standing = judge(warrant, None, signatures, roster, &self.identity, now);
        match standing.map_err(|refusal| match &refusal {
            Refusal::Document(error) => reasons(error),
            _ => vec![refusal.to_string()],
        })? {
            Standing::Approved(approved) | Standing::Emergency(approved, _) => Ok(approved),
            Standing::Waiting(missing) => Err(vec![missing.to_string()]),
        }
    }

    /// Whether the store would take a warrant. A revision of one that is in force is not taken yet.
    fn is_new(&self, file: &str, approved: &ApprovedWarrant) -> Result<(), Vec<String>> {
        if let Some(known) = self.store.get(approved.warrant().uuid()).filter(|known| known.ending().is_none()) {
            return Err(vec![format!(
                "{file}: uuid: this warrant is in the probe already, with revision {}; revoke it and hand in a warrant \
                 with a new uuid",
                known.warrant().revision()
            )]);
        }
        self.store.check(approved, Timestamp::now()).map_err(|error| vec![format!("{file}: {error}")])
    }

    /// Records a refused submission, and answers it.
    pub(super) fn refuse_submission(
        &mut self,
        document: &str,
        uuid: Option<Uuid>,
        reasons: Vec<String>,
        actor: Actor,
    ) -> Reply {
        let subject = Some(Subject { uuid, sha256: Some(Digest::of(document.as_bytes())) });
        let details = [("reasons", reasons.join("; "))];
        self.record_or_log(entry(Act::WarrantSubmit, Outcome::Refused, actor, subject, details));
        Reply::Refused { reasons }
    }

    /// Takes in a warrant that stood the judgement: recorded first, then kept, then the caller arms it.
    pub(super) fn keep(&mut self, approved: ApprovedWarrant, actor: Actor) -> Result<(Uuid, Reply), Reply> {
        let warrant = approved.warrant();
        let (uuid, words) = (warrant.uuid(), words(warrant));
        let subject = Some(Subject { uuid: Some(uuid), sha256: Some(warrant.digest()) });
        let approved_by = approved.approval().officers.clone();
        let details = [
            ("revision", warrant.revision().to_string()),
            ("authority", warrant.grant().authority().to_string()),
            ("approved_by", approved_by.join(", ")),
            ("roster", approved.approval().roster_version.to_string()),
        ];
        self.record(entry(Act::WarrantSubmit, Outcome::Done, actor.clone(), subject.clone(), details)).map_err(
            |error| Reply::Failed {
                error: format!("the warrant is not taken, because that cannot be recorded: {error}"),
            },
        )?;
        if let Err(error) = self.store.submit(approved, Timestamp::now()) {
            let details = [("error", error.to_string())];
            self.record_or_log(entry(Act::WarrantSubmit, Outcome::Failed, actor, subject, details));
            return Err(Reply::Failed { error: error.to_string() });
        }
        Ok((uuid, Reply::Submitted { uuid, approved_by, words }))
    }

    /// Ends a warrant for good. Stopping is never held up by what cannot be recorded.
    /// Gives what to answer once the kernel takes nothing more.
    pub(super) fn revoke(&mut self, uuid: Uuid, reason: &str, actor: Actor) -> Result<Reply, Reply> {
        let sha256 = self.store.get(uuid).map(|stored| stored.warrant().digest());
        let subject = Some(Subject { uuid: Some(uuid), sha256 });
        let details = [("reason", reason.to_owned())];
        match self.store.revoke(uuid, &actor.who, reason, Timestamp::now()) {
            Ok(_) => {
                self.record_or_log(entry(Act::WarrantRevoke, Outcome::Done, actor, subject, details));
                Ok(Reply::Revoked { uuid })
            }
            Err(error @ (StoreError::Unknown(_) | StoreError::Ended(_))) => {
                let reasons = vec![error.to_string()];
                self.record_or_log(entry(Act::WarrantRevoke, Outcome::Refused, actor, subject, details));
                Err(Reply::Refused { reasons })
            }
            Err(error) => {
                self.record_or_log(entry(Act::WarrantRevoke, Outcome::Failed, actor, subject, details));
                let error = format!(
                    "warrant {uuid} is revoked: nothing more is taken; but that is not on disk, and a restart would put \
                     it in force again: {error}; then revoke it again"
                );
                Ok(Reply::Failed { error })
            }
        }
    }

    /// Ends warrants whose window is over.
    pub(super) fn expire(&mut self, now: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        self.store.expire(now)
    }

    /// Ends a warrant whose time is over by the kernel's word, whatever the wall clock says.
    pub(super) fn expired(&mut self, uuid: Uuid) {
        match self.store.expire_one(uuid, Timestamp::now()) {
            Ok(_) | Err(StoreError::Ended(_)) => {}
            Err(error) => tracing::error!(%error, "the end of a warrant is not on disk; the kernel has ended it"),
        }
    }

    pub(super) fn install_roster(
        &mut self,
        file: &str,
        document: &str,
        signatures: &[NamedSignature],
        actor: Actor,
    ) -> Reply {
        let operator = &self.identity.operator;
        install_roster(&mut self.rosters, &mut self.audit, operator, (file, document), signatures, actor)
    }

    pub(super) fn show_roster(&self) -> Reply {
        match self.rosters.current() {
            Some(trusted) => Reply::Roster {
                version: trusted.roster().version(),
                document: String::from_utf8_lossy(trusted.roster().bytes()).into_owned(),
                signed_by: trusted.signed_by().to_vec(),
            },
            None => Reply::Refused { reasons: vec!["no roster is installed; see `writ roster install`".to_owned()] },
        }
    }

    /// Records that somebody looked. Who cannot be recorded does not get to see.
    pub(super) fn viewed(&mut self, uuid: Option<Uuid>, actor: Actor) -> Result<(), Reply> {
        let subject = uuid.map(|uuid| Subject { uuid: Some(uuid), sha256: None });
        self.record(entry(Act::WarrantView, Outcome::Done, actor, subject, BTreeMap::<String, String>::new()))
            .map_err(|error| Reply::Failed { error: error.to_string() })
    }
}

/// What of a warrant does not fit this probe's configuration.
fn fit(warrant: &Warrant, config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, delivery) in warrant.deliveries().iter().enumerate() {
        if config.destination_index(&delivery.destination).is_none() {
            let known: Vec<_> = config.destination.iter().map(|it| it.name.as_str()).collect();
            faults.push(format!(
                "delivery[{index}].destination: the probe has no destination {:?}; it has {}",
                delivery.destination,
                known.join(", ")
            ));
        }
    }
    let exposed = config.capture.iter().find(|port| port.bind == BindMode::ZeroCopy);
    if let Some(port) = exposed.filter(|_| warrant.grant().scope() == Scope::Headers) {
        faults.push(format!(
            "scope: headers, and the tap port {} is bound in zero-copy mode, where content reaches user space before \
             it is cut off; write bind = \"copy\" in the probe's configuration",
            port.interface
        ));
    }
    if warrant.deliveries().len() > MAX_DELIVERIES {
        faults.push(format!(
            "delivery: {} deliveries, and a warrant can have {MAX_DELIVERIES}; make two warrants of it",
            warrant.deliveries().len()
        ));
    }
    let targets = warrant.targets().len();
    if targets > MOST_TARGETS {
        faults.push(format!(
            "target: {targets} targets, and a warrant can have {MOST_TARGETS}; make several warrants of it"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = include_str!("../../../../docs/examples/writ.toml");
    const WARRANT: &str = include_str!("../../../../docs/examples/warrant.toml");

    #[test]
    fn a_headers_only_warrant_is_refused_where_content_reaches_user_space_first() {
        let headers = WARRANT.replacen("scope = \"content\"", "scope = \"headers\"", 1).replace(", \"cmc\"]", "]");
        let exposed = CONFIG.replacen("bind = \"copy\" ", "bind = \"zero-copy\"\nisolation = \"descriptor\" ", 1);
        for (document, config, refused) in [
            (WARRANT, CONFIG, false),
            (&headers, CONFIG, false),
            (WARRANT, &exposed, false),
            (&headers, &exposed, true),
        ] {
            let warrant = Warrant::parse(document.as_bytes(), Path::new("warrant.toml")).unwrap();
            let faults = fit(&warrant, &Config::parse(config).unwrap());
            assert_eq!(
                faults.iter().any(|fault| fault.contains("ens5f0 is bound in zero-copy mode")),
                refused,
                "{faults:?}"
            );
        }
    }
}
