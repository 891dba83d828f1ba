//! What stands on the scene: the network, the server, the agencies, the officers, the probe.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Settings, Watcher};
use crate::documents::{self, Endpoints};
use crate::{
    Agency, Certificates, Comparison, Ends, Family, IpPacket, LabError, LinkOptions, Network, Officer, Probe, Process,
    Recorder, Subscriber, WebServer, compare, compare_packets, install_roster, run, until, writ,
};

/// Both IP versions.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// The agency that gets content, and the one that gets headers.
pub(super) const CONTENT_AGENCY: Endpoints = Endpoints { name: "agency-a", cmii: 7443, cmc: 7444 };
pub(super) const HEADER_AGENCY: Endpoints = Endpoints { name: "agency-b", cmii: 7453, cmc: 7454 };
/// A packet passes the tap some microseconds away from the subscriber's interface: so close to a border of a window,
/// either side of it is right.
const BORDER_NS: u64 = 2_000_000;

/// The scene. Fields are dropped in this order: programs first, then the network.
pub(super) struct Stage {
    pub probe: Probe,
    pub content_agency: Agency,
    pub header_agency: Agency,
    pub web: WebServer,
    /// Records what the tap port itself sends; nothing, if all is well.
    pub sent_by_tap: Recorder,
    pub officers: [Officer; 3],
    pub network: Network,
    pub evidence: PathBuf,
    pub binary: PathBuf,
}

impl Stage {
    /// Builds everything and starts the probe with an empty store.
    pub(super) fn build(settings: &Settings, watcher: &mut dyn Watcher) -> Result<Self, LabError> {
        let evidence = settings.evidence.clone();
        watcher.doing("three subscribers, a router, a server, an agency");
        // The probe itself brings the tap up, once it is silent.
        let network = Network::new(LinkOptions { second_up: false, ..LinkOptions::default() })?;
        let web = WebServer::start(&network.server, &evidence.join("server"))?;
        let certificates = Certificates::issue(&evidence.join("tls"), &[&network.agency_address().to_string()])?;
        let (address, collector) = (network.agency_address(), &settings.binaries.writ_collect);
        let start = |endpoints| Agency::start(&network.agency, address, collector, &evidence, &certificates, endpoints);
        let (content_agency, header_agency) = (start(CONTENT_AGENCY)?, start(HEADER_AGENCY)?);
        let sent_by_tap = Recorder::incoming(&network.router, Network::MIRROR, &evidence.join("sent-by-tap.pcap"))?;

        watcher.doing("the officers sign the roster, the probe starts");
        let keys = evidence.join("officers");
        let officers = [
            Officer::new(&keys, "ada.marsh")?,
            Officer::new(&keys, "ben.ortega")?,
            Officer::new(&keys, "cleo.tanaka")?,
        ];
        let configuration = evidence.join("writ.toml");
        let agencies = [CONTENT_AGENCY, HEADER_AGENCY];
        let text = documents::probe_configuration(&evidence, &[Network::TAP], &certificates, &agencies, address);
        documents::write(&configuration, &text)?;
        let roster = evidence.join("roster.toml");
        documents::write(&roster, &documents::roster(&officers))?;
        let binary = settings.binaries.writ.clone();
        let [ada, ben, _] = &officers;
        let installed = install_roster(&network.probe.path(), &binary, &configuration, &roster, &[ada, ben])?;
        if !installed.status.success() {
            let stderr = String::from_utf8_lossy(&installed.stderr).into_owned();
            return Err(LabError::Command { command: "writ roster install".into(), status: installed.status, stderr });
        }
        let probe = Probe::start(&network.probe, &binary, &configuration, &evidence)?;
        Ok(Stage { probe, content_agency, header_agency, web, sent_by_tap, officers, network, evidence, binary })
    }

    /// Starts to record what really passes a subscriber's interface.
    pub(super) fn record(&self, subscriber: usize, name: &str) -> Result<Recorder, LabError> {
        let subscriber = &self.network.subscribers[subscriber];
        Recorder::start(&subscriber.namespace, Subscriber::INTERFACE, &self.evidence.join(name), "")
    }

    /// Puts a file on the server: random bytes with a marker in every kilobyte. Gives its SHA-256.
    pub(super) fn publish(&self, name: &str, kilobytes: usize, marker: &str) -> Result<Vec<u8>, LabError> {
        let mut bytes = vec![0; kilobytes * 1024];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| LabError::Missing { what: "random numbers".into(), remedy: "see that getrandom works" })?;
        for kilobyte in bytes.chunks_mut(1024) {
            kilobyte[100..100 + marker.len()].copy_from_slice(marker.as_bytes());
        }
        let path = self.web.root().join(name);
        std::fs::write(&path, &bytes).map_err(LabError::io(path.display().to_string()))?;
        Ok(sha256(&bytes))
    }

    /// A subscriber downloads a file with curl; gives the SHA-256 of what he received.
    pub(super) fn download(&self, subscriber: usize, family: Family, name: &str) -> Result<Vec<u8>, LabError> {
        let url = format!("http://{}/{name}", self.server(family));
        let mut command = self.network.subscribers[subscriber].namespace.command("curl");
        let output = run(command.args(["-sS", "-g", "--fail", "--max-time", "30", &url]))?;
        Ok(sha256(&output.stdout))
    }

    /// The web server.
    pub(super) fn server(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.network.server_address(family), 80)
    }

    /// A subscriber pings the server, v4 and v6, every so many milliseconds, until the guards are dropped.
    pub(super) fn ping(&self, subscriber: usize, every_ms: u32) -> Result<[Process; 2], LabError> {
        let namespace = &self.network.subscribers[subscriber].namespace;
        let interval = format!("{}.{:03}", every_ms / 1000, every_ms % 1000);
        let start = |family| {
            let mut command: Command = namespace.command("ping");
            command.args(["-q", "-i", &interval, &self.network.server_address(family).to_string()]);
            Process::spawn(command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()))
        };
        Ok([start(Family::V4)?, start(Family::V6)?])
    }

    /// Addresses of a subscriber.
    pub(super) fn addresses(&self, subscriber: usize) -> Vec<IpNet> {
        FAMILIES.map(|family| self.network.subscribers[subscriber].address(family).into()).to_vec()
    }

    /// Runs `writ` in the probe's namespace.
    pub(super) fn verify_audit(&self, log: &Path) -> Result<(bool, String), LabError> {
        let output = writ(&self.network.probe.path(), &self.binary, &["audit", "verify", &log.display().to_string()])?;
        let words = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&words).trim().replace('\n', "; ")))
    }
}

/// The time now, in nanoseconds since 1970.
pub(super) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// The whole second that lies between `seconds` and `seconds + 1` seconds ahead.
pub(super) fn second_ahead(seconds: u64) -> Timestamp {
    let second = now_ns() / 1_000_000_000 + 1 + seconds;
    Timestamp::from_second(i64::try_from(second).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

/// A moment in nanoseconds since 1970.
pub(super) fn ns(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_nanosecond()).unwrap_or_default()
}

/// Waits for a moment.
pub(super) fn wait_for(what: &str, moment_ns: u64) -> Result<(), LabError> {
    let limit = Duration::from_nanos(moment_ns.saturating_sub(now_ns())) + Duration::from_secs(1);
    until(what, limit, || Ok((now_ns() >= moment_ns).then_some(())))
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// A marker that occurs nowhere else.
pub(super) fn marker(name: &str) -> Result<String, LabError> {
    let mut bytes = [0; 12];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_| LabError::Missing { what: "random numbers".into(), remedy: "see that getrandom works" })?;
    Ok(bytes.iter().fold(format!("marker-of-{name}-"), |text, byte| format!("{text}{byte:02x}")))
}

/// The truth within a window: packets from or to these addresses.
pub(super) fn within(truth: &[IpPacket], targets: &[IpNet], from_ns: u64, to_ns: u64) -> Vec<IpPacket> {
    let wanted = |packet: &&IpPacket| {
        let holds = |address| targets.iter().any(|target| target.contains(&address));
        let ours = |ends: Ends| holds(ends.source) || holds(ends.destination);
        (from_ns.saturating_sub(BORDER_NS)..=to_ns + BORDER_NS).contains(&packet.utc_ns)
            && packet.ends().is_some_and(ours)
    };
    truth.iter().filter(wanted).cloned().collect()
}

/// Holds delivered packets against the truth of a window, byte for byte.
pub(super) fn hold_packets(truth: &[IpPacket], delivered: &[IpPacket], from_ns: u64, to_ns: u64) -> Comparison {
    let delivered: Vec<_> = delivered.iter().filter(|packet| packet.utc_ns <= to_ns + BORDER_NS).cloned().collect();
    without_borders(compare_packets(truth, &delivered), from_ns, to_ns)
}

/// Holds header reports against the truth of a window, by addresses and ports.
pub(super) fn hold_reports(truth: &[IpPacket], reports: &[(u64, Ends)], from_ns: u64, to_ns: u64) -> Comparison {
    let truth = truth.iter().filter_map(|packet| Some((packet.utc_ns, packet.ends()?)));
    let reports = reports.iter().filter(|(time, _)| *time <= to_ns + BORDER_NS).copied();
    without_borders(compare(truth, reports), from_ns, to_ns)
}

fn without_borders(mut comparison: Comparison, from_ns: u64, to_ns: u64) -> Comparison {
    let at_border = |time: u64| time.abs_diff(from_ns) <= BORDER_NS || time.abs_diff(to_ns) <= BORDER_NS;
    comparison.missing.retain(|time| !at_border(*time));
    comparison.surplus.retain(|time| !at_border(*time));
    comparison
}
