//! The control role's dealings with the register of `writ-authority`: what is handed in becomes papers, what the register
//! says becomes an answer, and every act and every refusal is a record. What cannot be recorded is not done.

use crate::config::Config;
use crate::ipc::{NamedSignature, Reply};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::{
    AUDIT_LOG, Act, Activation, Actor, ApprovedWarrant, AuditError, Case, DELIVERED, DOCUMENTS, Delivery, Entry,
    HandedIn, Original, Outcome, ProbeIdentity, Proposal, Register, RegisterError, Scope, Subject, Warrant,
};
use writ_capture::BindMode;
use writ_delivery::Destination;
use writ_encoder::handover::{Handover, Names};
use writ_spool::MAX_DELIVERIES;

/// Most targets of one warrant: each is told to the agency as a session of its own when the interception begins.
const MOST_TARGETS: usize = 10_000;

/// Where the probe keeps what it must not forget, below its state directory.
pub struct Files {
    /// The audit log.
    pub audit: PathBuf,
    /// Every document and signature that was handed in, named by its digest.
    pub documents: PathBuf,
    /// Digests of what was delivered, a line a window; written by deliver alone.
    pub delivered: PathBuf,
}

impl Files {
    /// The files of a probe.
    pub fn of(config: &Config) -> Self {
        let state = &config.probe.state;
        Self { audit: state.join(AUDIT_LOG), documents: state.join(DOCUMENTS), delivered: state.join(DELIVERED) }
    }
}

/// Reads the register of a probe back. What is damaged is recorded and left out. For the running probe, and for commands
/// that do its work while it does not run: the log has one writer.
///
/// # Errors
/// What cannot be read or recorded.
pub fn open_register(config: &Config) -> Result<Register, RegisterError> {
    let identity = ProbeIdentity { operator: config.probe.operator.clone(), probe: config.probe.id.clone() };
    let (mut register, findings) = Register::open(&config.probe.state, identity, Timestamp::now())?;
    for finding in findings {
        tracing::error!("what the probe must remember of its warrants is damaged; see the audit log");
        let subject = finding.case.map(|uuid| Subject { uuid: Some(uuid), sha256: None });
        let details = [("problem", finding.problem)];
        let entry = entry(Act::StoreDamaged, Outcome::Failed, own_actor(), subject, details);
        register.record(&entry, Timestamp::now())?;
    }
    Ok(register)
}

/// Approves a warrant for a replay, which arms nothing: the same judgement, recorded in the same log, but for the window,
/// which may be over.
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
    let mut register = open_register(config).map_err(|error| vec![error.to_string()])?;
    let handed = handed_in(file, document, signatures);
    let sha256 = handed.document.digest();
    let judged = register.rehearse(&handed).and_then(|approved| {
        let faults = fit(approved.warrant(), config);
        if faults.is_empty() { Ok(approved) } else { Err(named(file, faults)) }
    });
    let uuid = judged.as_ref().ok().map(|approved| approved.warrant().uuid());
    let subject = Some(Subject { uuid, sha256: Some(sha256) });
    let (outcome, reasons) = match &judged {
        Ok(_) => (Outcome::Done, String::new()),
        Err(reasons) => (Outcome::Refused, reasons.join("; ")),
    };
    let details = [("capture_file", capture_file.display().to_string()), ("reasons", reasons)];
    let details = details.into_iter().filter(|(_, value)| !value.is_empty());
    register
        .record(&entry(Act::Replay, outcome, actor, subject, details), Timestamp::now())
        .map_err(|error| vec![format!("nothing is replayed, because that cannot be recorded: {error}")])?;
    judged
}

/// Puts a roster in force. For the running probe and for one that does not run alike.
pub fn install_roster(
    register: &mut Register,
    (file, document): (&str, &str),
    signatures: &[NamedSignature],
    actor: Actor,
) -> Reply {
    match register.install_roster(handed_in(file, document, signatures), actor, Timestamp::now()) {
        Ok(change) => {
            Reply::RosterInstalled { version: change.version, signed_by: change.signed_by, ended: change.ended }
        }
        Err(error) => reply("the roster is not installed", error),
    }
}

/// See the module.
pub(super) struct Authority {
    register: Register,
    activation: Activation,
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

/// What somebody hands in over the control socket.
pub(super) fn handed_in(file: &str, document: &str, signatures: &[NamedSignature]) -> HandedIn {
    HandedIn { document: Original::new(file, document), signatures: papers(signatures) }
}

/// Signatures that somebody hands in.
pub(super) fn papers(signatures: &[NamedSignature]) -> Vec<Original> {
    signatures.iter().map(|signature| Original::new(&signature.file, signature.text.as_str())).collect()
}

/// The answer to a request that is refused, or fails with what is then not so.
pub(super) fn reply(what_is_not: &str, error: RegisterError) -> Reply {
    match error {
        RegisterError::Refused(reasons) => Reply::Refused { reasons },
        RegisterError::Audit(error) => {
            Reply::Failed { error: format!("{what_is_not}, because that cannot be recorded: {error}") }
        }
        error => Reply::Failed { error: format!("{what_is_not}: {error}") },
    }
}

fn named(file: &str, faults: Vec<String>) -> Vec<String> {
    faults.into_iter().map(|fault| format!("{file}: {fault}")).collect()
}

impl Authority {
    /// Reads everything back. `configuration` is the text of the configuration in force, which is kept with the
    /// documents: records name it by its digest.
    pub(super) fn open(config: &Config, configuration: &str) -> Result<Self, RegisterError> {
        let software = format!("writ {}", env!("CARGO_PKG_VERSION"));
        let register = open_register(config)?;
        let configuration = register.keep(configuration.as_bytes())?;
        Ok(Self { register, activation: Activation { software, configuration, clock_doubt_ms: None } })
    }

    /// By what warrants are put into the kernel in this run.
    pub(super) fn activation(&self) -> &Activation {
        &self.activation
    }

    pub(super) fn register(&self) -> &Register {
        &self.register
    }

    pub(super) fn register_mut(&mut self) -> &mut Register {
        &mut self.register
    }

    /// How many cases have damaged documents.
    pub(super) fn damaged(&self) -> usize {
        self.register.cases().filter(|case| case.damage().is_some()).count()
    }

    pub(super) fn record(&mut self, entry: Entry) -> Result<(), AuditError> {
        self.register.record(&entry, Timestamp::now())
    }

    /// Records what has happened and cannot be undone. That it is missing from the log can only be said elsewhere.
    pub(super) fn record_or_log(&mut self, entry: Entry) {
        let act = entry.act;
        log_if_unrecorded(act, self.record(entry).map_err(RegisterError::from));
    }

    /// A warrant is in the kernel.
    pub(super) fn armed(&mut self, warrant: Uuid, clock_doubt_ms: Option<u32>, details: Vec<(&str, String)>) {
        let activation = Activation { clock_doubt_ms, ..self.activation.clone() };
        let done = self.register.armed(warrant, &activation, details, Timestamp::now());
        log_if_unrecorded(Act::WarrantArm, done);
    }

    /// An interception has begun.
    pub(super) fn begun(&mut self, warrant: Uuid, at: Timestamp, details: Vec<(&str, String)>) {
        log_if_unrecorded(Act::InterceptStart, self.register.begun(warrant, at, details, Timestamp::now()));
    }

    /// An interception has ended, with these figures.
    pub(super) fn stopped(&mut self, warrant: Uuid, at: Timestamp, figures: BTreeMap<String, String>) {
        let done = self.register.stopped(warrant, at, figures, Timestamp::now());
        log_if_unrecorded(Act::InterceptStop, done);
    }

    /// What a proposal asks of this probe that it cannot do; recorded as a refusal.
    pub(super) fn check_fit(
        &mut self,
        proposal: &Proposal,
        more: impl IntoIterator<Item = String>,
        actor: Actor,
        config: &Config,
    ) -> Result<(), RegisterError> {
        let Some(warrant) = proposal.warrant() else { return Ok(()) };
        let mut faults = named(&warrant.file().display().to_string(), fit(warrant, config));
        faults.extend(more);
        if faults.is_empty() {
            return Ok(());
        }
        Err(self.register.decline(proposal, faults, actor, Timestamp::now()))
    }

    /// Ends a warrant whose terms ended at this moment by the kernel's word, whatever the wall clock says.
    pub(super) fn expired(&mut self, uuid: Uuid, stop: Timestamp) {
        if let Err(error) = self.register.expired(uuid, stop, Timestamp::now()) {
            tracing::error!(%error, "the end of a warrant is not on disk; the kernel has ended it");
        }
    }

    pub(super) fn show_roster(&self) -> Reply {
        match self.register.roster() {
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
        let sha256 = uuid.and_then(|uuid| self.register.case(uuid)).and_then(Case::warrant).map(Warrant::digest);
        let subject = uuid.map(|uuid| Subject { uuid: Some(uuid), sha256 });
        self.record(entry(Act::WarrantView, Outcome::Done, actor, subject, BTreeMap::<String, String>::new()))
            .map_err(|error| Reply::Failed { error: error.to_string() })
    }
}

fn log_if_unrecorded(act: Act, done: Result<(), RegisterError>) {
    if let Err(error) = done {
        let act = act.as_str();
        tracing::error!(act, %error, "the audit log takes no record: nothing new is armed until it does");
    }
}

/// Whether a delivery can be made in its destination's format, under the names that the warrant gives it.
fn handover(warrant: &Warrant, delivery: &Delivery, destination: &Destination, config: &Config) -> Result<(), String> {
    let terms = destination.terms().ok_or("the destination's section lacks something: see writ check-config")?;
    let names = Names {
        case_id: delivery.case_id.as_str(),
        content_identifier: delivery.content_name(),
        probe: &config.probe.id,
        subscriber: warrant.targets().first().map(|target| target.subscriber.as_str()).unwrap_or_default(),
        warrant: warrant.uuid().as_u128(),
    };
    let handover = Handover::new(&terms, &names).map_err(|error| error.to_string())?;
    if handover.information().is_some() {
        return Ok(());
    }
    if delivery.streams.cmii() {
        return Err("streams: identifying information is asked for, and the format has content alone".to_owned());
    }
    if warrant.grant().scope() == Scope::Headers {
        return Err("scope: headers, and the format has content alone".to_owned());
    }
    Ok(())
}

/// What of a warrant does not fit this probe's configuration.
fn fit(warrant: &Warrant, config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, delivery) in (1..).zip(warrant.deliveries()) {
        let Some(destination) = config.destination.iter().find(|it| it.name == delivery.destination) else {
            let known: Vec<_> = config.destination.iter().map(|it| it.name.as_str()).collect();
            faults.push(format!(
                "delivery[{index}].destination: the probe has no destination {:?}; it has {}",
                delivery.destination,
                known.join(", ")
            ));
            continue;
        };
        if let Err(error) = handover(warrant, delivery, destination, config) {
            faults.push(format!(
                "delivery[{index}]: {error}; destination {:?} is {}",
                destination.name, destination.format
            ));
        }
        if warrant.grant().authority().is_test() && !destination.is_local_file() {
            faults.push(format!(
                "delivery[{index}].destination: a test goes to files of this machine only, which no agency fetches; name \
                 a destination of format t1-ias with a folder, or add one to the probe's configuration"
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
