//! The configuration file: one TOML document that says which ports to watch and where to deliver, and never names a
//! target. Read once by `writ run`, checked whole, and handed to the roles as it was read: a file that changes
//! underneath changes nothing until the next start.
//!
//! Each section belongs to the crate that acts on it; this module joins them and checks what no section can know alone.

use crate::roles::control::{AccessFault, AccessSettings};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use writ_authority::RecordSettings;
use writ_capture::{ClockSettings, KernelSettings, PortSettings};
use writ_delivery::{Destination, Route, WitnessSettings};
use writ_identity::Room;

/// Where `writ` looks for its configuration unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/writ/writ.toml";

/// Longest configuration file, in bytes. As JSON, with every character escaped, it still fits into one message.
const LONGEST: usize = 64 << 10;

/// Most destinations: a role is handed two descriptors for each of their two endpoints in one message.
const MOST_DESTINATIONS: usize = 60;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this probe is.
    pub probe: Probe,
    /// Sizes of the kernel's tables.
    #[serde(default)]
    pub tables: KernelSettings,
    /// The tap ports. A tap has two fibres: usually two of these.
    #[serde(default)]
    pub capture: Vec<PortSettings>,
    /// The agencies' endpoints, by the name that warrants use.
    #[serde(default)]
    pub destination: Vec<Destination>,
    /// The queue between capture and delivery.
    #[serde(default)]
    pub spool: Spool,
    /// What is logged, and where.
    #[serde(default)]
    pub log: Log,
    /// Who keeps the audit log's checkpoints.
    #[serde(default)]
    pub witness: WitnessSettings,
    /// How long what belongs to a closed case is kept.
    #[serde(default)]
    pub records: RecordSettings,
    /// When the clock is good enough.
    #[serde(default)]
    pub clock: ClockSettings,
    /// Who of this machine may ask the running probe what. Left out: root alone, everything.
    pub access: Option<AccessSettings>,
}

/// `[probe]`: the probe's name in warrants and in handover records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// IAP system id of the handover records: 1 to 15 visible ASCII characters (ATIS-1000013, iAPSystemId).
    pub id: String,
    /// The carrier. A warrant that names another is refused.
    pub operator: String,
    /// Warrants, roster, audit log. Mode 0700.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// The control socket and what must not outlive a boot.
    #[serde(default = "default_runtime")]
    pub runtime: PathBuf,
}

fn default_state() -> PathBuf {
    "/var/lib/writ".into()
}

pub(crate) fn default_runtime() -> PathBuf {
    "/run/writ".into()
}

/// `[spool]`: memory for PDUs that wait for an agency, for each endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// Number of segments for each endpoint. Many small ones are better than few large ones: those that were used last are
    /// used again first, so while the agency keeps up only a few of them take room in the processor's caches.
    pub segments: u32,
    /// Bytes of one segment.
    pub segment_bytes: u32,
    /// How long a clean stop waits for the agencies to take what is still queued, in seconds.
    pub drain_seconds: u32,
}

impl Default for Spool {
    fn default() -> Self {
        Self { segments: 64, segment_bytes: 1 << 20, drain_seconds: 10 }
    }
}

/// `[log]`: what `writ` says while it runs. Target identities are never part of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Where log lines go.
    pub to: LogTarget,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self { to: LogTarget::Json, level: LogLevel::Info }
    }
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// The systemd journal.
    Journald,
    /// One JSON object a line on standard error.
    Json,
    /// Text on standard error.
    Text,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// One thing wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigFault {
    /// The field, as a path into the document (`capture[1].interface`).
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.what, self.remedy)
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {source}; name an existing file with --config", file = .file.display())]
    Read {
        /// The file asked for.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file was read and found wanting.
    #[error("{}", .faults.iter().map(|fault| format!("{}: {fault}", .file.display())).collect::<Vec<_>>().join("\n"))]
    Faults {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong with it, not only the first thing.
        faults: Vec<ConfigFault>,
    },
}

impl Config {
    /// Reads and checks a configuration file, without the files that it names.
    ///
    /// # Errors
    /// Names the file, and for each fault the field and the remedy.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Ok(Self::read(file)?.0)
    }

    /// As [`Config::load`], with the text that was read.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(file: &Path) -> Result<(Self, String), ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        if text.len() > LONGEST {
            let fault = ConfigFault {
                field: "document".to_owned(),
                what: format!("{} bytes", text.len()),
                remedy: format!("shorten it to {LONGEST} bytes: the roles are handed it in one message"),
            };
            return Err(ConfigError::Faults { file: file.to_owned(), faults: vec![fault] });
        }
        match Self::parse(&text) {
            Ok(config) => Ok((config, text)),
            Err(faults) => Err(ConfigError::Faults { file: file.to_owned(), faults }),
        }
    }

    /// Reads the certificates and keys that the configuration names, and looks at its folders, to find their faults before
    /// anything starts. Gives the ways of each destination's two streams.
    ///
    /// # Errors
    /// Names the configuration's fields and the files that they name.
    pub fn check_credentials(&self, file: &Path) -> Result<Vec<[Route; 2]>, ConfigError> {
        let (mut routes, mut errors) = (Vec::new(), Vec::new());
        for (index, destination) in self.destination.iter().enumerate() {
            match destination.load(&format!("destination[{index}]")) {
                Ok(both) => routes.push(both),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(self.witness.load(&self.probe.id).err());
        if errors.is_empty() {
            return Ok(routes);
        }
        let fault = |error: writ_delivery::ConfigError| {
            let named = error.file.map(|file| format!(" = \"{}\"", file.display())).unwrap_or_default();
            ConfigFault { field: format!("{}{named}", error.field), what: error.problem, remedy: error.remedy }
        };
        Err(ConfigError::Faults { file: file.to_owned(), faults: errors.into_iter().map(fault).collect() })
    }

    /// Finds what the configuration asks of the kernel and this one does not have, before anything starts. What cannot be
    /// asked without capabilities is left to the start.
    ///
    /// # Errors
    /// Names the configuration's fields.
    pub fn check_kernel(&self, file: &Path) -> Result<(), ConfigError> {
        let jumbo = self.capture.iter().enumerate().filter(|(_, capture)| capture.jumbo);
        let faults: Vec<ConfigFault> = jumbo
            .filter(|_| matches!(writ_capture::jumbo::kernel_can(), Ok(false)))
            .map(|(index, capture)| ConfigFault {
                field: format!("capture[{index}].jumbo"),
                what: "this kernel hands AF_XDP no frames of several buffers".to_owned(),
                remedy: format!(
                    "use Linux 6.6 or newer, or write jumbo = false and set the MTU of {} to {} or less",
                    capture.interface,
                    PortSettings { jumbo: false, ..capture.clone() }.mtu_limit()
                ),
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults { file: file.to_owned(), faults }) }
    }

    /// Looks up the accounts that the configuration gives roles to, to find those that are not there before anything
    /// starts.
    ///
    /// # Errors
    /// Names the configuration's fields.
    pub fn check_accounts(&self, file: &Path) -> Result<(), ConfigError> {
        let unknown = self.access.as_ref().and_then(|access| access.check_accounts().err()).unwrap_or_default();
        let fault =
            |AccessFault { field, problem, remedy }| ConfigFault { field, what: problem, remedy: remedy.to_owned() };
        let faults: Vec<_> = unknown.into_iter().map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults { file: file.to_owned(), faults }) }
    }

    /// Reads and checks a configuration document.
    ///
    /// # Errors
    /// Every fault found.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigFault>> {
        let config: Self = toml::Deserializer::parse(text)
            .map_err(|error| vec![syntax_fault(text, String::new(), &error)])
            .and_then(|document| {
                serde_path_to_error::deserialize(document)
                    .map_err(|error| vec![syntax_fault(text, error.path().to_string(), error.inner())])
            })?;
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |field: String, what: String, remedy: &str| {
            faults.push(ConfigFault { field, what, remedy: remedy.to_owned() });
        };
        if let Err(error) = writ_encoder::t1_ias::IapSystemId::new(&self.probe.id) {
            fault("probe.id".into(), error.to_string(), "use 1 to 15 visible ASCII characters");
        }
        if self.probe.operator.trim().is_empty() {
            fault("probe.operator".into(), "is empty".into(), "name the carrier as its warrants name it");
        }
        if self.capture.is_empty() {
            fault("capture".into(), "no tap port".into(), "add a [[capture]] section with an interface");
        }
        for (index, capture) in self.capture.iter().enumerate() {
            if self.capture[..index].iter().any(|earlier| earlier.interface == capture.interface) {
                fault(
                    format!("capture[{index}].interface"),
                    format!("\"{}\" is already the interface of another [[capture]]", capture.interface),
                    "name each interface once",
                );
            }
            if let Err(error) = capture.validate() {
                fault(format!("capture[{index}].{}", error.field), error.problem, error.remedy);
            }
        }
        if self.destination.is_empty() {
            fault("destination".into(), "no destination".into(), "add a [[destination]] section");
        }
        for (index, destination) in self.destination.iter().enumerate() {
            if self.destination[..index].iter().any(|earlier| earlier.name == destination.name) {
                fault(
                    format!("destination[{index}].name"),
                    format!("\"{}\" is already the name of another [[destination]]", destination.name),
                    "give each destination a name of its own",
                );
            }
            if let Err(error) = destination.check(&format!("destination[{index}]")) {
                fault(error.field, error.problem, &error.remedy);
            }
        }
        for (index, destination) in self.destination.iter().enumerate().filter(|(_, it)| it.folder.is_some()) {
            if self.destination[..index].iter().any(|earlier| earlier.folder == destination.folder) {
                fault(
                    format!("destination[{index}].folder"),
                    "is already the folder of another [[destination]]".to_owned(),
                    "give each destination a folder of its own",
                );
            }
        }
        if self.destination.len() > MOST_DESTINATIONS {
            fault(
                "destination".into(),
                format!("{} destinations", self.destination.len()),
                "use at most 60: a probe for more agencies is a probe for several",
            );
        }
        if let Err(error) = self.witness.check() {
            fault(error.field, error.problem, &error.remedy);
        }
        if !(1..=10_000).contains(&self.clock.max_doubt_ms) {
            fault(
                "clock.max_doubt_ms".into(),
                format!("{} is out of range", self.clock.max_doubt_ms),
                "choose 1 to 10000",
            );
        }
        if let Err(error) = self.tables.validate() {
            fault(format!("tables.{}", error.field), error.problem, error.remedy);
        }
        for error in self.access.iter().flat_map(AccessSettings::faults) {
            fault(error.field, error.problem, error.remedy);
        }
        let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
        if !within(self.spool.segments, 2, 4096) {
            fault("spool.segments".into(), format!("{} is out of range", self.spool.segments), "choose 2 to 4096");
        }
        // A segment must hold the largest PDU whole, and is made of whole pages.
        if !within(self.spool.segment_bytes, 256 << 10, 256 << 20) || !self.spool.segment_bytes.is_multiple_of(4096) {
            fault(
                "spool.segment_bytes".into(),
                format!("{} does not do", self.spool.segment_bytes),
                "choose a multiple of 4096 from 262144 to 268435456",
            );
        }
        if !within(self.spool.drain_seconds, 0, 3600) {
            fault(
                "spool.drain_seconds".into(),
                format!("{} is out of range", self.spool.drain_seconds),
                "choose 0 to 3600",
            );
        }
        faults
    }

    /// How much the kernel's tables have room for.
    pub fn room(&self) -> Room {
        let tables = &self.tables;
        Room {
            v4: tables.addresses_v4 as usize,
            v6: tables.addresses_v6 as usize,
            macs: tables.macs as usize,
            vlans: tables.vlans as usize,
            conditions: tables.conditions.into(),
        }
    }

    /// The place of a destination in the list, by name.
    pub fn destination_index(&self, name: &str) -> Option<usize> {
        self.destination.iter().position(|destination| destination.name == name)
    }
}

fn syntax_fault(text: &str, path: String, error: &toml::de::Error) -> ConfigFault {
    let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    let field = match (path.is_empty() || path == ".", line) {
        (true, Some(line)) => format!("line {line}"),
        (true, None) => "document".to_owned(),
        (false, Some(line)) => format!("{path} (line {line})"),
        (false, None) => path,
    };
    ConfigFault {
        field,
        what: error.message().replace('\n', " "),
        remedy: "see the example configuration in docs/examples/writ.toml".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/examples/writ.toml");

    fn faults(text: &str) -> String {
        let faults = Config::parse(text).expect_err("a fault");
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_is_good() {
        let config = Config::parse(EXAMPLE).unwrap();
        assert_eq!(config.capture.len(), 2);
        assert_eq!(config.destination_index("state-lab"), Some(1));
    }

    #[test]
    fn each_fault_names_field_and_remedy() {
        for (from, to, field, remedy) in [
            ("id = \"pop3-probe1\"", "id = \"a name that is too long\"", "probe.id", "1 to 15"),
            ("operator = \"ExampleNet\"", "operator = \" \"", "probe.operator", "name the carrier"),
            ("interface = \"ens5f1\"", "interface = \"ens5f0\"", "capture[1].interface", "each interface once"),
            ("name = \"state-lab\"", "name = \"fbi-lab\"", "destination[1].name", "name of its own"),
            ("segment_bytes = 1048576", "segment_bytes = 1000000", "spool.segment_bytes", "multiple of 4096"),
            ("segments = 64", "segments = 1", "spool.segments", "2 to 4096"),
            ("slots = 1024", "slots = 0", "tables.slots", "at least 1"),
            ("mode = \"driver\"", "mode = \"fast\"", "capture[0].mode (line", "driver"),
            ("level = \"info\"", "level = \"info\"\ncolour = 1", "colour", "see the example"),
            ("[log]", "[access]\nviewer = {}\n[log]", "access.viewer", "name somebody"),
            ("[log]", "[access]\nowner = {}\n[log]", "access", "see the example"),
            ("plain = {", "plane = {", "plane", "see the example"),
            ("every_seconds = 60", "every_seconds = 0", "witness.every_seconds", "1 to 86400"),
            ("keep_years = 10", "keep_years = 4", "records.keep_years", "see the example"),
            ("max_doubt_ms = 200", "max_doubt_ms = 0", "clock.max_doubt_ms", "1 to 10000"),
            ("format = \"t1-ias\"", "format = \"t1-ias", "line", "see the example"),
        ] {
            let text = EXAMPLE.replacen(from, to, 1);
            assert_ne!(text, EXAMPLE, "{from}");
            let said = faults(&text);
            assert!(said.contains(field) && said.contains(remedy), "{to}: {said}");
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let text = EXAMPLE.replace("segments = 64", "segments = 1").replace("slots = 1024", "slots = 0");
        assert_eq!(Config::parse(&text).expect_err("faults").len(), 2);
    }

    #[test]
    fn an_empty_file_says_what_is_missing() {
        assert!(faults("").contains("probe"));
        let bare = "[probe]\nid = \"p\"\noperator = \"o\"\n";
        let said = faults(bare);
        assert!(said.contains("[[capture]]") && said.contains("[[destination]]"), "{said}");
    }
}
