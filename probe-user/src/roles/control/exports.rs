//! `writ case export`: the archive that a court or an auditor asks for. What only the running probe knows is gathered at
//! once; the log and the documents are read by a thread of its own, because they can be long; and when the archive is
//! there, it goes out once its digest is on record.

use super::authority::entry;
use super::witness::{checkpoints_file, key_file};
use super::{Control, Files, answer};
use crate::ipc::{CaseArchive, InterceptCounts, Reply};
use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};
use uuid::Uuid;
use writ_authority::{
    Act, Actor, Case, CaseExport, CheckpointKey, Digest, Member, Outcome, ProbeIdentity, Subject, Warrant,
};

/// Sections of the configuration that an export shows; of the destinations, those of the case. `[access]` names people
/// and compartments of other cases.
const SHOWN: [&str; 9] = ["probe", "tables", "capture", "destination", "spool", "log", "witness", "clock", "records"];

/// Archives that are being put together: one at a time.
#[derive(Default)]
pub(super) struct Exports {
    under_way: Option<UnderWay>,
}

struct UnderWay {
    uuid: Uuid,
    until: u64,
    actor: Actor,
    to: Sender<Reply>,
    archive: Receiver<Result<Vec<u8>, String>>,
}

impl Control {
    /// Begins an archive of a case, up to a record of the log; it is answered when it is there.
    pub(super) fn export(&mut self, uuid: Uuid, until: Option<u64>, actor: Actor, to: Sender<Reply>) {
        let last = self.authority.register().head().number;
        let opened = self.authority.register().case(uuid).map_or(1, Case::opened);
        let until = until.unwrap_or(last);
        if !(opened..=last).contains(&until) {
            let reason = format!("until: the case has records from {opened} to {last}; name one of these, or none");
            self.note_export(uuid, Outcome::Refused, actor, [("reasons", reason.clone())]);
            return answer(&to, Reply::Refused { reasons: vec![reason] });
        }
        if self.exports.under_way.is_some() {
            let error = "another archive is being put together; try again in a minute".to_owned();
            return answer(&to, Reply::Failed { error });
        }
        if until == last {
            self.witnesses.cover(self.authority.register().head(), Timestamp::now());
        }
        let (sender, archive) = bounded(1);
        let begun = self.prepare(uuid, until, until == last).and_then(|export| {
            let write = move || drop(sender.send(export.write().map_err(|error| error.to_string())));
            let spawned = std::thread::Builder::new().name("export".into()).spawn(write);
            spawned.map(drop).map_err(|error| error.to_string())
        });
        match begun {
            Ok(()) => self.exports.under_way = Some(UnderWay { uuid, until, actor, to, archive }),
            Err(error) => self.fail_export(uuid, actor, &to, error),
        }
    }

    /// Hands out an archive that is there. What cannot be recorded does not go out.
    pub(super) fn finish_exports(&mut self) {
        let Some(under_way) = &self.exports.under_way else { return };
        let made = match under_way.archive.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("it was not put together to its end".to_owned()),
            Ok(made) => made,
        };
        let Some(UnderWay { uuid, until, actor, to, .. }) = self.exports.under_way.take() else { return };
        match made {
            Err(error) => self.fail_export(uuid, actor, &to, error),
            Ok(bytes) => {
                let (sha256, length) = (Digest::of(&bytes).to_string(), bytes.len() as u64);
                let details =
                    [("archive", sha256.clone()), ("until", until.to_string()), ("bytes", length.to_string())];
                let subject = self.subject(uuid);
                let record = entry(Act::CaseExport, Outcome::Done, actor, Some(subject), details);
                answer(
                    &to,
                    match self.authority.record(record) {
                        Ok(()) => Reply::CaseArchive(CaseArchive { uuid, until, sha256, length, bytes }),
                        Err(error) => Reply::Failed {
                            error: format!("nothing is exported, because that cannot be recorded: {error}"),
                        },
                    },
                );
            }
        }
    }

    fn fail_export(&mut self, uuid: Uuid, actor: Actor, to: &Sender<Reply>, error: String) {
        self.note_export(uuid, Outcome::Failed, actor, [("error", error.clone())]);
        answer(to, Reply::Failed { error: format!("nothing is exported: {error}") });
    }

    fn note_export(&mut self, uuid: Uuid, outcome: Outcome, actor: Actor, details: [(&str, String); 1]) {
        let subject = self.subject(uuid);
        self.authority.record_or_log(entry(Act::CaseExport, outcome, actor, Some(subject), details));
    }

    fn subject(&self, uuid: Uuid) -> Subject {
        let warrant = self.authority.register().case(uuid).and_then(Case::warrant);
        Subject { uuid: Some(uuid), sha256: warrant.map(Warrant::digest) }
    }

    /// What is to be exported, with what only the running probe knows if it `is_now`.
    fn prepare(&self, uuid: Uuid, until: u64, is_now: bool) -> Result<CaseExport, String> {
        let register = self.authority.register();
        let case = register.case(uuid).ok_or("there is no such case")?;
        let config = &self.config;
        let key = CheckpointKey::open(&key_file(config), &config.probe.id).map_err(|error| error.to_string())?;
        let revisions = case.revisions().iter().map(|revision| revision.warrant.warrant());
        let warrants = revisions.chain(case.waiting().map(|waiting| &*waiting.warrant));
        let own: BTreeSet<_> = warrants.flat_map(Warrant::deliveries).map(|it| it.destination.as_str()).collect();
        let text = |digest| Some(String::from_utf8_lossy(&register.document(digest).ok()?.bytes).into_owned());
        let now = self.authority.activation().configuration;
        let enabled = case.enabled().map(|enabled| enabled.configuration);
        let mut beside = Vec::new();
        let mut show = |name: &str, digest| {
            if let Some(shown) = text(digest).and_then(|text| shown(&text, &own)) {
                beside.push(Member::new(name, shown));
            }
        };
        show("configuration.toml", now);
        if let Some(enabled) = enabled.filter(|enabled| *enabled != now) {
            show("configuration-when-enabled.toml", enabled);
        }
        let system = rustix::system::uname();
        beside.push(file(
            "program.json",
            &json!({
                "program": self.authority.activation().software,
                "kernel": format!("{} {}", system.release().to_string_lossy(), system.version().to_string_lossy()),
                "xdp_object_sha256": Digest::of(writ_capture::object()),
                "configuration_sha256": now,
                "configuration_when_enabled_sha256": enabled,
                "software_when_enabled": case.enabled().map(|enabled| &enabled.software),
            }),
        ));
        if is_now {
            beside.push(file("counts.json", &self.account(case)));
        }
        let others = config.destination.iter().map(|it| &it.name).filter(|name| !own.contains(name.as_str()));
        Ok(CaseExport {
            folder: config.probe.state.clone(),
            identity: ProbeIdentity { operator: config.probe.operator.clone(), probe: config.probe.id.clone() },
            uuid,
            until,
            at: Timestamp::now(),
            key,
            checkpoints: checkpoints_file(config),
            delivered: Files::of(config).delivered,
            beside,
            foreign: others.cloned().collect(),
        })
    }

    fn account(&self, case: &Case) -> Account<'_> {
        let uuid = case.uuid();
        let running = self.intercepts.of_warrant(uuid);
        let counts = match running {
            Some(tenancy) => Some(self.intercepts.counts(tenancy, &self.ledger, &self.config)),
            None => self.observed.ended.get(&uuid).cloned(),
        };
        Account {
            at: Timestamp::now(),
            state: match (running, case.stopped()) {
                (Some(_), _) => "current: packets may be under way",
                (None, Some(_)) => "final",
                (None, None) => "nothing was intercepted",
            },
            counts,
            recorded_at: case.stopped(),
            recorded: self.authority.register().case(uuid).map(Case::figures),
        }
    }
}

/// `counts.json`.
#[derive(Serialize)]
struct Account<'a> {
    at: Timestamp,
    state: &'static str,
    /// As counted by the probe since its start; absent for an interception that ended before that.
    counts: Option<InterceptCounts>,
    /// As the audit log has it from the interception's last stop.
    recorded_at: Option<Timestamp>,
    recorded: Option<&'a BTreeMap<String, String>>,
}

fn file(path: &str, value: &impl Serialize) -> Member {
    // What is written here has texts as keys: nothing of it can fail to be written.
    Member::new(path, [serde_json::to_vec_pretty(value).unwrap_or_default(), b"\n".to_vec()].concat())
}

/// The configuration without what is not for the reader of a case: comments, people, destinations that it does not use.
fn shown(text: &str, destinations: &BTreeSet<&str>) -> Option<String> {
    let mut table: Table = text.parse().ok()?;
    table.retain(|section, _| SHOWN.contains(&section));
    if let Some(Value::Array(all)) = table.get_mut("destination") {
        all.retain(|it| it.get("name").and_then(Value::as_str).is_some_and(|name| destinations.contains(name)));
    }
    toml::to_string_pretty(&table).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_configuration_is_shown_without_what_is_others() {
        let example = include_str!("../../../../docs/examples/writ.toml");
        let access =
            "[access]\nadmin = { users = [\"root\"] }\n[[access.li]]\nusers = [7]\ncompartments = [\"gangs\"]\n";
        let shown = shown(&format!("{example}\n{access}"), &["fbi-lab"].into()).unwrap();
        for kept in ["pop3-probe1", "fbi-lab", "ens5f1", "max_doubt_ms"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        for left_out in ["state-lab", "gangs", "IPsec", "#", "access"] {
            assert!(!shown.contains(left_out), "{left_out}: {shown}");
        }
        Config::parse(&shown).expect("it is a configuration still");
    }
}
