//! The probe: `writ run`, and the commands that the operator's people give.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::documents::{self, Order, Seen};
use crate::process::send;
use crate::{LabError, Namespace, Officer, Process, WallClock, until};

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    run: Process,
    binary: PathBuf,
    configuration: PathBuf,
    evidence: PathBuf,
    namespace: PathBuf,
}

/// What the probe answered to a request about a warrant.
#[derive(Debug)]
pub struct Answer {
    /// Whether it was taken.
    pub accepted: bool,
    /// The first line of what was said.
    pub words: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        let said = if output.status.success() { &output.stdout } else { &output.stderr };
        let words = String::from_utf8_lossy(said).trim().lines().next().unwrap_or_default().to_owned();
        Answer { accepted: output.status.success(), words }
    }
}

/// The ledger of an intercept, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the kernel.
    pub matched: u64,
    /// Seen before the start.
    pub early: u64,
    /// Reached a worker.
    pub received: u64,
    /// Acknowledged by the agency's side.
    pub delivered: u64,
    /// Queued.
    pub waiting: u64,
    /// Lost, for whatever reason.
    pub lost: u64,
}

impl Counts {
    /// Whether the books are closed: everything matched is delivered or accounted for as lost.
    pub fn settled(&self) -> bool {
        self.waiting == 0 && self.matched == self.delivered + self.lost
    }
}

impl Probe {
    /// Starts `writ run` inside the namespace and waits until all its roles are ready. Its log goes to `writ.log` under `evidence`,
    /// behind what is there.
    pub fn start(
        namespace: &Namespace,
        binary: &Path,
        configuration: &Path,
        evidence: &Path,
    ) -> Result<Self, LabError> {
        Self::start_by(None, namespace, binary, configuration, evidence)
    }

    /// The same, by a clock that is not the machine's.
    pub fn start_by(
        clock: Option<&WallClock>,
        namespace: &Namespace,
        binary: &Path,
        configuration: &Path,
        evidence: &Path,
    ) -> Result<Self, LabError> {
        let log = evidence.join("writ.log");
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(LabError::io(log.display().to_string()))?;
        let said_before = fs::metadata(&log).map_err(LabError::io(log.display().to_string()))?.len() as usize;
        let mut command = namespace.command(binary);
        command.args(["run", "--config"]).arg(configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        command.envs(clock.into_iter().flat_map(WallClock::environment));
        let mut probe = Probe {
            run: Process::spawn(&mut command)?,
            binary: binary.to_owned(),
            configuration: configuration.to_owned(),
            evidence: evidence.to_owned(),
            namespace: namespace.path(),
        };
        until("writ run is ready", Duration::from_secs(30), || {
            if let Some(status) = probe.run.status()? {
                let stderr = fs::read_to_string(&log).unwrap_or_default();
                return Err(LabError::Command { command: "writ run".into(), status, stderr });
            }
            // The command line is answered earlier than that: by the control role, before there is a capture role.
            let said = fs::read(&log).map_err(LabError::io(log.display().to_string()))?;
            let said = String::from_utf8_lossy(said.get(said_before..).unwrap_or_default()).into_owned();
            Ok(said.contains("probe is running").then_some(()))
        })?;
        Ok(probe)
    }

    /// Runs a command of `writ` that ends by itself, in the probe's namespace.
    pub fn writ(&self, arguments: &[&str]) -> Result<Output, LabError> {
        writ(&self.namespace, &self.binary, arguments)
    }

    /// The same, for one that prints JSON.
    fn json(&self, arguments: &[&str]) -> Result<Value, LabError> {
        let configuration = self.configuration.display().to_string();
        let output = self.writ(&[arguments, &["--json", "--config", &configuration]].concat())?;
        serde_json::from_slice(&output.stdout).map_err(|error| LabError::Malformed {
            file: PathBuf::from(format!("writ {}", arguments.join(" "))),
            what: format!("{error}; it said: {}", String::from_utf8_lossy(&output.stderr).trim()),
        })
    }

    /// `writ status`.
    pub fn status(&self) -> Result<Value, LabError> {
        let answer = self.json(&["status"])?;
        Ok(answer.get("status").cloned().unwrap_or(answer))
    }

    /// The end of the audit log, as `writ audit head` prints it.
    pub fn head(&self) -> Result<Seen, LabError> {
        head(&self.namespace, &self.binary, &self.configuration)
    }

    /// Hands in an order's warrant with the signatures of these officers.
    pub fn submit(&self, order: &Order, officers: &[&Officer]) -> Result<Answer, LabError> {
        self.submit_document(order.case_id, &order.warrant(&self.head()?)?, officers)
    }

    /// Hands in a warrant as it is written, with the signatures of these officers.
    pub fn submit_document(&self, name: &str, document: &str, officers: &[&Officer]) -> Result<Answer, LabError> {
        let warrant = self.evidence.join(format!("{name}.toml"));
        documents::write(&warrant, document)?;
        self.hand_in(&["submit", &warrant.display().to_string()], &warrant, "writ-approve", officers)
    }

    /// Hands in the next revision of an order, under a new order of the court, with the signatures of these officers.
    pub fn revise(&self, order: &Order, revision: u32, officers: &[&Officer]) -> Result<Answer, LabError> {
        self.revise_as(documents::revision, order, revision, officers)
    }

    /// Hands in the next revision of an order, which takes less, under the order of the court that it had.
    pub fn narrow(&self, order: &Order, revision: u32, officer: &Officer) -> Result<Answer, LabError> {
        self.revise_as(documents::amendment, order, revision, &[officer])
    }

    fn revise_as(
        &self,
        revised: fn(&str, u32, &[u8]) -> String,
        order: &Order,
        revision: u32,
        officers: &[&Officer],
    ) -> Result<Answer, LabError> {
        let warrant = self.evidence.join(format!("{}.toml", order.case_id));
        let before = fs::read(&warrant).map_err(LabError::io(warrant.display().to_string()))?;
        let document = order.warrant(&self.head()?)?;
        documents::write(&warrant, &revised(&document, revision, &before))?;
        self.hand_in(&["submit", &warrant.display().to_string()], &warrant, "writ-amend", officers)
    }

    /// Hands in the signatures of more officers for an order that was submitted before.
    pub fn approve(&self, order: &Order, officers: &[&Officer]) -> Result<Answer, LabError> {
        let warrant = self.evidence.join(format!("{}.toml", order.case_id));
        self.hand_in(&["approve", order.uuid], &warrant, "writ-approve", officers)
    }

    /// Ends an order for good by an officer's revocation, drafted over the warrant as it was handed in; nothing stamped
    /// after this returns is taken.
    pub fn revoke(&self, order: &Order, officer: &Officer) -> Result<Answer, LabError> {
        match self.draft_revocation(order)? {
            Ok(revocation) => {
                let file = revocation.display().to_string();
                self.hand_in(&["revoke", &file], &revocation, "writ-revoke", &[officer])
            }
            Err(answer) => Ok(answer),
        }
    }

    /// Writes the revocation of an order, for an officer to sign; or what was said instead.
    pub fn draft_revocation(&self, order: &Order) -> Result<Result<PathBuf, Answer>, LabError> {
        let warrant = self.evidence.join(format!("{}.toml", order.case_id));
        let revocation = self.evidence.join(format!("{}.revocation.toml", order.case_id));
        let drafted = {
            let [warrant, revocation, configuration] =
                [&warrant, &revocation, &self.configuration].map(|path| path.display().to_string());
            // One that was not taken is drafted anew.
            if Path::new(&revocation).exists() {
                fs::remove_file(&revocation).map_err(LabError::io(revocation.clone()))?;
            }
            let reason = "withdrawn by the court";
            let arguments = ["warrant", "revocation", &warrant, "--reason", reason, "--output", &revocation];
            self.writ(&[&arguments[..], &["--config", &configuration]].concat())?
        };
        Ok(if drafted.status.success() { Ok(revocation) } else { Err(Answer::of(&drafted)) })
    }

    /// `writ warrant ...` with the signatures of these officers over a file.
    fn hand_in(
        &self,
        command: &[&str],
        file: &Path,
        namespace: &str,
        officers: &[&Officer],
    ) -> Result<Answer, LabError> {
        let signatures: Vec<String> = officers
            .iter()
            .map(|officer| officer.sign(file, namespace).map(|path| path.display().to_string()))
            .collect::<Result<_, _>>()?;
        let configuration = self.configuration.display().to_string();
        let mut arguments = [&["warrant"], command, &["--config", &configuration]].concat();
        for signature in &signatures {
            arguments.extend(["--signature", signature]);
        }
        Ok(Answer::of(&self.writ(&arguments)?))
    }

    /// The slot of an order, from `writ warrant list`; none while it has none.
    pub fn slot(&self, order: &Order) -> Result<Option<Value>, LabError> {
        let answer = self.json(&["warrant", "list"])?;
        let lines = answer.get("warrants").unwrap_or(&answer).as_array().cloned().unwrap_or_default();
        let line = lines.into_iter().find(|line| line["uuid"] == order.uuid);
        Ok(line.and_then(|line| line.get("slot").filter(|slot| !slot.is_null()).cloned()))
    }

    /// The ledger of an order as `writ warrant show` prints it, which also knows orders that have ended.
    pub fn ledger(&self, order: &Order) -> Result<Value, LabError> {
        let answer = self.json(&["warrant", "show", order.uuid])?;
        Ok(answer.get("warrant").unwrap_or(&answer)["counts"].clone())
    }

    /// The ledger of an order in sums.
    pub fn counts(&self, order: &Order) -> Result<Counts, LabError> {
        let counts = self.ledger(order)?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let sum = |value: &Value| value.as_object().map_or(0, |reasons| reasons.values().map(number).sum::<u64>());
        let mut found = Counts {
            matched: number(&counts["matched"]),
            early: number(&counts["early"]),
            received: number(&counts["received"]),
            lost: sum(&counts["lost"]),
            ..Counts::default()
        };
        for delivery in counts["deliveries"].as_array().into_iter().flatten() {
            found.delivered += number(&delivery["delivered"]);
            found.waiting += number(&delivery["waiting"]);
            found.lost += sum(&delivery["lost"]);
        }
        Ok(found)
    }

    /// Waits until the ledger of an order is closed, and gives it as it then is, or as it still is after ten seconds.
    pub fn settled(&self, order: &Order) -> Result<Counts, LabError> {
        let mut last = Counts::default();
        let settled = until("a closed ledger", Duration::from_secs(10), || {
            let now = self.counts(order)?;
            let quiet = now.settled() && now == last;
            last = now;
            Ok(quiet.then_some(()))
        });
        match settled {
            Ok(()) | Err(LabError::TimedOut { .. }) => Ok(last),
            Err(error) => Err(error),
        }
    }

    /// `writ status --kernel`: the kernel's own figures, read past all roles.
    pub fn kernel_status(&self) -> Result<Value, LabError> {
        self.json(&["status", "--kernel"])
    }

    /// The kernel's own count of packets matched for a slot, read past all roles.
    pub fn kernel_matched(&self, slot: &Value) -> Result<u64, LabError> {
        let answer = self.kernel_status()?;
        let slots = answer["slots"].as_array().cloned().unwrap_or_default();
        let found = slots.iter().find(|line| line["slot"] == slot["slot"]);
        found.and_then(|line| line["matched"].as_u64()).ok_or_else(|| LabError::Malformed {
            file: PathBuf::from("writ status --kernel"),
            what: format!("no slot {slot} in {answer}"),
        })
    }

    /// Sends a signal to the process of one role.
    pub fn signal_role(&self, processes: &Namespace, role: &str, signal: Signal) -> Result<(), LabError> {
        match self.role(processes, role)? {
            Some(pid) => send(pid, signal),
            None => Err(LabError::Missing {
                what: format!("process of the {role} role"),
                remedy: "see writ.log of the evidence",
            }),
        }
    }

    /// The process id of one role, while it has one.
    pub fn role(&self, processes: &Namespace, role: &str) -> Result<Option<u32>, LabError> {
        let is_the_role = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == b"role") && words.next() == Some(role.as_bytes())
        };
        Ok(processes.processes()?.into_iter().find(is_the_role))
    }

    /// The supervisor.
    pub fn supervisor(&mut self) -> &mut Process {
        &mut self.run
    }

    /// Ends it in an orderly way; gives whether it did so without an error.
    pub fn stop(&mut self) -> Result<bool, LabError> {
        Ok(self.run.terminate(Duration::from_secs(30))?.success())
    }
}

/// Runs `writ` to its end in a namespace; an exit code other than 0 is an answer, not an error.
pub fn writ(namespace: &Path, binary: &Path, arguments: &[&str]) -> Result<Output, LabError> {
    let name = namespace.file_name().unwrap_or_default();
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec"]).arg(name).arg(binary).args(arguments).stdin(Stdio::null());
    command.output().map_err(LabError::io(format!("writ {}", arguments.join(" "))))
}

/// The end of the audit log, whether a probe runs or not.
pub fn head(namespace: &Path, binary: &Path, configuration: &Path) -> Result<Seen, LabError> {
    let configuration = configuration.display().to_string();
    let output = writ(namespace, binary, &["audit", "head", "--json", "--config", &configuration])?;
    let malformed = |what| LabError::Malformed { file: PathBuf::from("writ audit head"), what };
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| malformed(error.to_string()))?;
    match (answer["number"].as_u64(), answer["hash"].as_str()) {
        (Some(record), Some(hash)) => Ok(Seen { record, hash: hash.to_owned() }),
        _ => Err(malformed(answer.to_string())),
    }
}

/// Puts a roster in force with the signatures of these officers; an exit code other than 0 is an answer, not an error.
pub fn install_roster(
    namespace: &Path,
    binary: &Path,
    configuration: &Path,
    roster: &Path,
    officers: &[&Officer],
) -> Result<Output, LabError> {
    let (file, configuration) = (roster.display().to_string(), configuration.display().to_string());
    let signatures: Vec<String> = officers
        .iter()
        .map(|officer| officer.sign(roster, "writ-policy").map(|path| path.display().to_string()))
        .collect::<Result<_, _>>()?;
    let mut arguments = vec!["roster", "install", &file, "--config", &configuration];
    for signature in &signatures {
        arguments.extend(["--signature", signature]);
    }
    writ(namespace, binary, &arguments)
}
