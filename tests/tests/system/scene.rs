//! What every test stands on: a tap port with its far end, two agencies, officers with a roster in force, and the probe.
//!
//! ```text
//!  far (far0, far1) ──── probe (tap0, tap1; mgmt0) ──── office (mgmt0: both agencies)
//! ```

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use writ_lab::documents::{self, Endpoints, Order, Seen};
use writ_lab::{
    Agency, Answer, Binaries, Certificates, FrameSender, IpPacket, LabError, LinkOptions, Namespace, Officer, Probe,
    WallClock, install_roster, quiet, ready, until, veth,
};

use crate::traffic::{Delivered, of_packets, of_reports};

/// How long something may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The agencies.
pub(crate) const FIRST: Endpoints = Endpoints { name: "agency-a", cmii: 7443, cmc: 7444 };
pub(crate) const SECOND: Endpoints = Endpoints { name: "agency-b", cmii: 7453, cmc: 7454 };
/// Subscribers. Nothing may name them but the agencies' files and the state directory.
pub(crate) const ALICE: &str = "198.51.100.10";
pub(crate) const BOB: &str = "2001:db8:1:2::10";
pub(crate) const BYSTANDER: &str = "198.51.100.99";
const MANAGEMENT: &str = "mgmt0";

/// The scene. Fields are dropped in this order: programs first, then the network, then what was written.
pub(crate) struct Scene {
    pub(crate) probe: Option<Probe>,
    pub(crate) agencies: Vec<Agency>,
    pub(crate) officers: [Officer; 3],
    pub(crate) far: Namespace,
    pub(crate) host: Namespace,
    pub(crate) office: Namespace,
    pub(crate) certificates: Certificates,
    pub(crate) binaries: Binaries,
    evidence: Evidence,
}

/// A tap port: its name (`tapN`; its far end is `farN`) and how many queues it has.
pub(crate) type Tap = (&'static str, u16);

impl Scene {
    /// Builds all but the probe, which has its configuration and its roster. None if tools are missing.
    pub(crate) fn build(taps: &[Tap]) -> Option<Self> {
        let scene = Self::unsigned(taps)?;
        let roster = scene.path("roster.toml");
        fs::write(&roster, documents::roster(&scene.officers)).unwrap();
        let installed = scene.install_roster(&roster);
        assert!(installed.status.success(), "{}", words(&installed));
        Some(scene)
    }

    /// The same without a roster: nobody may sign yet.
    pub(crate) fn unsigned(taps: &[Tap]) -> Option<Self> {
        let tools = ["ip", "ss", "ethtool", "tcpdump", "ssh-keygen"];
        if !ready(&tools).unwrap() {
            return None;
        }
        let evidence = Evidence(Some(tempfile::tempdir().unwrap()));
        let directory = evidence.path();
        let binaries = Binaries::find().unwrap();
        let [far, host, office] = ["far", "probe", "office"].map(|label| Namespace::new(label).unwrap());
        for (tap, queues) in taps {
            let options = LinkOptions { queues: *queues, second_up: false, ..LinkOptions::default() };
            let end = far_end(tap);
            veth((&far, &end), (&host, tap), options).unwrap();
            quiet(&far, &end).unwrap();
        }
        veth((&host, MANAGEMENT), (&office, MANAGEMENT), LinkOptions::default()).unwrap();
        host.address(MANAGEMENT, "192.0.2.1/24".parse().unwrap()).unwrap();
        office.address(MANAGEMENT, "192.0.2.2/24".parse().unwrap()).unwrap();
        let certificates = Certificates::issue(&directory.join("tls"), &[&address().to_string()]).unwrap();
        let start = |endpoints| {
            Agency::start(&office, address(), &binaries.writ_collect, &directory, &certificates, endpoints).unwrap()
        };
        let agencies = vec![start(FIRST), start(SECOND)];
        let officers = ["ada.marsh", "ben.ortega", "cleo.tanaka"]
            .map(|name| Officer::new(&directory.join("officers"), name).unwrap());
        let names: Vec<&str> = taps.iter().map(|(tap, _)| *tap).collect();
        let text = documents::probe_configuration(&directory, &names, &certificates, &[FIRST, SECOND], address());
        fs::write(directory.join("writ.toml"), text).unwrap();
        Some(Self { probe: None, agencies, officers, far, host, office, certificates, binaries, evidence })
    }

    /// [`Scene::build`], and the probe runs.
    pub(crate) fn start(taps: &[Tap]) -> Option<Self> {
        let mut scene = Self::build(taps)?;
        scene.run();
        Some(scene)
    }

    /// A file or directory of the scene.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.evidence.path().join(name)
    }

    /// The probe's configuration.
    pub(crate) fn configuration(&self) -> String {
        fs::read_to_string(self.path("writ.toml")).unwrap()
    }

    /// Starts `writ run` and waits until it answers.
    pub(crate) fn run(&mut self) {
        let configuration = self.path("writ.toml");
        let directory = self.evidence.path();
        self.probe = Some(Probe::start(&self.host, &self.binaries.writ, &configuration, &directory).unwrap());
    }

    /// The same, by a clock that is not the machine's.
    pub(crate) fn run_by(&mut self, clock: &WallClock) {
        let (configuration, directory) = (self.path("writ.toml"), self.evidence.path());
        let probe = Probe::start_by(Some(clock), &self.host, &self.binaries.writ, &configuration, &directory);
        self.probe = Some(probe.unwrap());
    }

    /// The running probe.
    pub(crate) fn probe(&self) -> &Probe {
        self.probe.as_ref().expect("the probe runs")
    }

    /// Ends the probe in an orderly way.
    pub(crate) fn stop(&mut self) {
        let mut probe = self.probe.take().expect("the probe runs");
        assert!(probe.stop().unwrap(), "writ run ends with exit code 0");
    }

    /// Runs a command of `writ` to its end.
    pub(crate) fn writ(&self, arguments: &[&str]) -> Output {
        writ_lab::writ(&self.host.path(), &self.binaries.writ, arguments).unwrap()
    }

    /// The end of the audit log.
    pub(crate) fn head(&self) -> Seen {
        writ_lab::head(&self.host.path(), &self.binaries.writ, &self.path("writ.toml")).unwrap()
    }

    /// `writ roster install` with the signatures of two officers.
    pub(crate) fn install_roster(&self, roster: &std::path::Path) -> Output {
        let [ada, ben, _] = &self.officers;
        install_roster(&self.host.path(), &self.binaries.writ, &self.path("writ.toml"), roster, &[ada, ben]).unwrap()
    }

    /// Hands in an order with two signatures; it is armed when this returns.
    pub(crate) fn arm(&self, order: &Order) {
        let [ada, ben, _] = &self.officers;
        let answer = self.probe().submit(order, &[ada, ben]).unwrap();
        assert!(answer.accepted, "{}", answer.words);
    }

    /// Hands in an order whose target is not its address alone: these fields stand in the address' place.
    pub(crate) fn submit_line(&self, order: &Order, fields: &str) -> Answer {
        let document = order.warrant(&self.head()).unwrap();
        let address = document.lines().find(|line| line.starts_with("address = ")).expect("an order has an address");
        let [ada, ben, _] = &self.officers;
        let document = document.replacen(address, fields, 1);
        self.probe().submit_document(order.case_id, &document, &[ada, ben]).unwrap()
    }

    /// The same, and it is armed when this returns.
    pub(crate) fn arm_line(&self, order: &Order, fields: &str) {
        let answer = self.submit_line(order, fields);
        assert!(answer.accepted, "{fields}: {}", answer.words);
    }

    /// Opens the far ends of taps.
    pub(crate) fn senders(&self, taps: &[&str]) -> Vec<FrameSender> {
        taps.iter().map(|tap| FrameSender::open(&self.far, &far_end(tap)).unwrap()).collect()
    }

    /// The numbered packets that an agency has under an order: as many as it acknowledged.
    pub(crate) fn packets(&self, order: &Order) -> Vec<Delivered> {
        let counts = self.probe().settled(order).unwrap();
        assert!(counts.settled(), "{}: {counts:?}", order.case_id);
        self.assert_isolated();
        self.packets_of(order, counts.delivered)
    }

    /// The same, of a probe that runs no more.
    pub(crate) fn packets_of(&self, order: &Order, delivered: u64) -> Vec<Delivered> {
        let enough = until("the agency's file", PATIENCE, || match self.agency(order).packets(order.case_id) {
            // The file ends in a packet that is being written.
            Err(LabError::Malformed { .. }) => Ok(None),
            packets => Ok(Some(packets?).filter(|packets: &Vec<IpPacket>| packets.len() as u64 >= delivered)),
        });
        of_packets(&enough.unwrap())
    }

    /// The numbered packets of which an agency has a header report under an order: as many as it acknowledged.
    pub(crate) fn reports(&self, order: &Order) -> Vec<Delivered> {
        let counts = self.probe().settled(order).unwrap();
        assert!(counts.settled(), "{}: {counts:?}", order.case_id);
        self.assert_isolated();
        let enough = until("the agency's reports", PATIENCE, || {
            let reports = self.agency(order).header_reports(order.case_id)?;
            Ok(Some(reports).filter(|reports| reports.len() as u64 >= counts.delivered))
        });
        of_reports(&enough.unwrap())
    }

    /// The agency of an order.
    pub(crate) fn agency(&self, order: &Order) -> &Agency {
        let at = [FIRST, SECOND].iter().position(|endpoints| endpoints.name == order.agency);
        &self.agencies[at.expect("an agency of the scene")]
    }

    /// A tap port as `ip -d link` shows it.
    pub(crate) fn link(&self, tap: &str) -> Value {
        let shown = self.host.ip(&["-j", "-d", "link", "show", tap]).unwrap();
        serde_json::from_str::<Value>(&shown).unwrap()[0].take()
    }

    /// What of a tap port the probe changes and puts back: its flags, and whether IPv6 is off.
    pub(crate) fn port_state(&self, tap: &str) -> Value {
        let setting = format!("/proc/sys/net/ipv6/conf/{tap}/disable_ipv6");
        let without_ipv6 = self.host.enter(|| fs::read_to_string(setting)).unwrap().unwrap();
        let link = self.link(tap);
        json!({ "flags": link["flags"], "promiscuity": link["promiscuity"], "disable_ipv6": without_ipv6 })
    }

    /// Nothing of the probe runs or is attached.
    pub(crate) fn assert_nothing_runs(&self, taps: &[&str]) {
        let processes = self.host.processes().unwrap();
        assert!(processes.is_empty(), "processes of the probe are left: {processes:?}");
        for tap in taps {
            let link = self.link(tap);
            assert_eq!(link["xdp"], Value::Null, "a program is still on {tap}");
            assert_eq!(link["promiscuity"], 0, "{tap} is still promiscuous");
        }
    }

    /// No packet was ever handed over that was no target's.
    pub(crate) fn assert_isolated(&self) {
        let status = self.probe().status().unwrap();
        assert_eq!(status["capture"]["isolation_violations"], 0, "{}", status["capture"]);
    }

    /// The log names no target: no address, no case, no subscriber.
    pub(crate) fn assert_log_names_nobody(&self) {
        let log = fs::read_to_string(self.path("writ.log")).unwrap();
        assert!(log.contains("role started"), "the log is the probe's");
        for secret in [ALICE, BOB, BYSTANDER, "CASE-", "account 20117", "203.0.113.80", "2001:db8:80::80", "docket"] {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "the log names {secret}: {line:?}");
        }
    }
}

/// The agencies' address.
pub(crate) fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 2])
}

fn far_end(tap: &str) -> String {
    tap.replacen("tap", "far", 1)
}

/// What a command said.
pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// An order of the first agency for the content of one subscriber, in force since a minute ago.
pub(crate) fn order(number: u8, target: &str, case_id: &'static str) -> Order {
    Order {
        uuid: UUIDS[usize::from(number)],
        authority: "title-iii",
        scope: "content",
        targets: vec![net(target)],
        start: seconds_ahead(-60),
        stop: seconds_ahead(3600),
        agency: FIRST.name,
        case_id,
    }
}

/// An address or a prefix.
pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| text.parse::<IpAddr>().unwrap().into())
}

const UUIDS: [&str; 9] = [
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2200",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2201",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2202",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2203",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2204",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2205",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2206",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2207",
    "5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2208",
];

/// The whole second so many seconds ahead.
pub(crate) fn seconds_ahead(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap()
}

/// A moment in nanoseconds since 1970.
pub(crate) fn ns(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_nanosecond()).unwrap()
}

/// The directory of everything written, kept when a test fails.
struct Evidence(Option<TempDir>);

impl Evidence {
    fn path(&self) -> PathBuf {
        self.0.as_ref().expect("there until dropped").path().to_owned()
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.0.take()
        {
            eprintln!("evidence is kept in {}", directory.keep().display());
        }
    }
}
