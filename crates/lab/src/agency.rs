//! An agency: `writ-collect`, and what it has written down.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;

use crate::documents::{self, Endpoints};
use crate::{Certificates, Ends, IpPacket, LabError, Namespace, Process, read_packets, until};

/// A running collector and its directory.
#[derive(Debug)]
pub struct Agency {
    collector: Process,
    /// Where it writes: a directory for each case.
    pub directory: PathBuf,
}

impl Agency {
    /// Starts it in a namespace that has the address, and waits until it listens. It writes to a directory of its name
    /// under `evidence`, and logs to `NAME.log` beside that.
    pub fn start(
        namespace: &Namespace,
        address: IpAddr,
        binary: &Path,
        evidence: &Path,
        certificates: &Certificates,
        endpoints: Endpoints,
    ) -> Result<Self, LabError> {
        let Endpoints { name, cmii, cmc } = endpoints;
        let text = |directory: &Path| documents::collector_configuration(directory, certificates, endpoints, address);
        Self::start_as(namespace, binary, evidence, name, &[cmii, cmc].map(|port| (address, port).into()), text)
    }

    /// The same with a configuration of the caller's, which is given the directory, and which listens on these endpoints.
    pub fn start_as(
        namespace: &Namespace,
        binary: &Path,
        evidence: &Path,
        name: &str,
        endpoints: &[SocketAddr],
        configuration: impl FnOnce(&Path) -> String,
    ) -> Result<Self, LabError> {
        let directory = evidence.join(name);
        fs::create_dir_all(&directory).map_err(LabError::io(directory.display().to_string()))?;
        let file = evidence.join(format!("{name}.toml"));
        documents::write(&file, &configuration(&directory))?;
        let log = evidence.join(format!("{name}.log"));
        let stderr = fs::File::create(&log).map_err(LabError::io(log.display().to_string()))?;
        let mut command = namespace.command(binary);
        command.args(["listen", "--config"]).arg(&file);
        let mut collector = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr))?;
        until("writ-collect listens", Duration::from_secs(10), || {
            if let Some(status) = collector.status()? {
                let stderr = fs::read_to_string(&log).unwrap_or_default();
                return Err(LabError::Command { command: "writ-collect listen".into(), status, stderr });
            }
            let sockets = namespace.exec("ss", &["-Hlntu"])?;
            Ok(endpoints.iter().all(|endpoint| sockets.contains(&format!("{endpoint} "))).then_some(()))
        })?;
        Ok(Agency { collector, directory })
    }

    /// The packets of a case.
    pub fn packets(&self, case_id: &str) -> Result<Vec<IpPacket>, LabError> {
        let file = self.directory.join(case_id).join("content.pcapng");
        // The collector makes the file with the case; an empty one has no packets yet.
        if fs::metadata(&file).map_or(true, |metadata| metadata.len() == 0) {
            return Ok(Vec::new());
        }
        read_packets(&file)
    }

    /// The messages of a case.
    pub fn messages(&self, case_id: &str) -> Result<Vec<Value>, LabError> {
        let file = self.directory.join(case_id).join("cmii.jsonl");
        let text = fs::read_to_string(&file).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|error| LabError::Malformed { file: file.clone(), what: error.to_string() })
            })
            .collect()
    }

    /// The header reports of a case: when, and who sent to whom.
    pub fn header_reports(&self, case_id: &str) -> Result<Vec<(u64, Ends)>, LabError> {
        let messages = self.messages(case_id)?;
        let reports = messages.iter().filter(|message| message["message"] == "header-report");
        reports.map(|report| header_report(report).ok_or_else(|| self.unreadable(case_id, report))).collect()
    }

    fn unreadable(&self, case_id: &str, report: &Value) -> LabError {
        let file = self.directory.join(case_id).join("cmii.jsonl");
        LabError::Malformed { file, what: format!("a header report of another form: {report}") }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), LabError> {
        self.collector.signal(Signal::KILL)?;
        self.collector.wait(Duration::from_secs(10)).map(drop)
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) -> Result<(), LabError> {
        self.collector.terminate(Duration::from_secs(10)).map(drop)
    }
}

fn header_report(report: &Value) -> Option<(u64, Ends)> {
    let time = utc_ns(report["timestamp"].as_str()?)?;
    let address = |side: &str| report[side]["address"].as_str()?.parse::<IpAddr>().ok();
    let port = |side: &str| report[side].as_u64().and_then(|port| u16::try_from(port).ok());
    let ports = port("source_port").zip(port("destination_port"));
    Some((time, Ends { source: address("source")?, destination: address("destination")?, ports }))
}

fn utc_ns(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}
