//! Ground truth: what passes an interface, written to a file by tcpdump.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{IpPacket, LabError, Namespace, Process, read_packets, until};

/// Bytes of a pcap file before its first packet.
const HEAD_OF_FILE: u64 = 24;

/// A recording under way. Everything after [`Recorder::start`] has returned is in the file.
#[derive(Debug)]
pub struct Recorder {
    tcpdump: Process,
    file: PathBuf,
}

impl Recorder {
    /// Starts it. `filter` is a pcap filter; empty records everything.
    pub fn start(namespace: &Namespace, interface: &str, file: &Path, filter: &str) -> Result<Self, LabError> {
        Self::record(namespace, interface, file, &[filter])
    }

    /// Starts it for what the interface receives only, that is for what its peer sends.
    pub fn incoming(namespace: &Namespace, interface: &str, file: &Path) -> Result<Self, LabError> {
        Self::record(namespace, interface, file, &["-Q", "in"])
    }

    fn record(namespace: &Namespace, interface: &str, file: &Path, rest: &[&str]) -> Result<Self, LabError> {
        let mut command = namespace.command("tcpdump");
        // Privileges stay (-Z root), so that the file can lie in a private directory; packets are written as they come.
        command.args(["-Z", "root", "-n", "-s", "0", "-B", "16384", "--immediate-mode", "-U", "-i", interface, "-w"]);
        command.arg(file).args(rest).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut tcpdump = Process::spawn(&mut command)?;
        let stderr = tcpdump.child().stderr.take().ok_or_else(|| LabError::Missing {
            what: "standard error of tcpdump".into(),
            remedy: "run tcpdump by hand and see",
        })?;
        // tcpdump says "listening on ..." once its socket is bound; later lines are read away so that it never blocks.
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.contains("listening on") => break,
                Some(Ok(line)) => said = line,
                Some(Err(_)) | None => {
                    return Err(LabError::Missing {
                        what: format!("recording on {interface}: tcpdump said \"{said}\""),
                        remedy: "see that the interface is there and that tcpdump may open it",
                    });
                }
            }
        }
        thread::spawn(move || lines.for_each(drop));
        Ok(Recorder { tcpdump, file: file.to_owned() })
    }

    /// Bytes of recorded frames so far, of whatever protocol, without the head of the file.
    pub fn bytes_recorded(&self) -> Result<u64, LabError> {
        let length = fs::metadata(&self.file).map_err(LabError::io(self.file.display().to_string()))?.len();
        Ok(length.saturating_sub(HEAD_OF_FILE))
    }

    /// Ends it once the file has not grown for 200 ms, and gives the IP packets.
    pub fn stop(mut self) -> Result<Vec<IpPacket>, LabError> {
        let mut seen = (0, Instant::now());
        until("quiet on the recorded interface", Duration::from_secs(30), || {
            let length = fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
            if length != seen.0 {
                seen = (length, Instant::now());
            }
            Ok((seen.1.elapsed() > Duration::from_millis(200)).then_some(()))
        })?;
        self.tcpdump.signal(Signal::INT)?;
        self.tcpdump.wait(Duration::from_secs(10))?;
        read_packets(&self.file)
    }
}
