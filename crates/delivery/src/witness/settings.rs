//! The `[witness]` section of the configuration.

use super::folder::Folder;
use super::syslog::Syslog;
use super::{Place, Witness};
use crate::credentials::{Transport, client_config, server_name};
use crate::destination::{ConfigError, Endpoint};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// `[witness]`: who keeps the audit log's checkpoints outside this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessSettings {
    /// How often a checkpoint is made, in seconds, if the log has grown; what changes an interception makes one at once.
    pub every_seconds: u32,
    /// For how long checkpoints may wait for a witness before that is an alarm, in seconds.
    pub alarm_after_seconds: u32,
    /// A folder outside this machine, mounted here: a file a day, to which lines are appended.
    pub folder: Option<PathBuf>,
    /// Syslog servers.
    pub syslog: Vec<SyslogSettings>,
}

impl Default for WitnessSettings {
    fn default() -> Self {
        Self { every_seconds: 60, alarm_after_seconds: 600, folder: None, syslog: Vec::new() }
    }
}

/// `[[witness.syslog]]`: a syslog server that takes RFC 5424 messages over TLS (RFC 5425). Files are PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSettings {
    /// The server; the port that is registered for this is 6514.
    pub address: Endpoint,
    /// The authorities that the server's certificate must come from.
    pub ca: PathBuf,
    /// The probe's certificate, if the server asks for one.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must bear, if it is not the host of `address`.
    pub server_name: Option<String>,
}

impl WitnessSettings {
    /// What the witnesses are called, in the order of [`WitnessSettings::load`]: the folder, then the syslog servers.
    pub fn names(&self) -> Vec<String> {
        let folder = self.folder.iter().map(|_| "folder".to_owned());
        folder.chain(self.syslog.iter().map(|server| format!("syslog {}", server.address))).collect()
    }

    /// Checks what can be checked without touching a file.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field: String, problem: String, remedy: &str| {
            Err(ConfigError { field: format!("witness.{field}"), file: None, problem, remedy: remedy.to_owned() })
        };
        if !(1..=86_400).contains(&self.every_seconds) {
            return refuse(
                "every_seconds".into(),
                format!("{} is out of range", self.every_seconds),
                "choose 1 to 86400",
            );
        }
        if self.alarm_after_seconds < self.every_seconds {
            let problem = format!("{} is less than every_seconds", self.alarm_after_seconds);
            return refuse("alarm_after_seconds".into(), problem, "choose a few times every_seconds");
        }
        if let Some(folder) = self.folder.as_ref().filter(|folder| !folder.is_absolute()) {
            let problem = format!("{} is no absolute path", folder.display());
            return refuse("folder".into(), problem, "write the whole path, from / on");
        }
        let names = self.names();
        for (index, server) in self.syslog.iter().enumerate() {
            if self.syslog[..index].iter().any(|earlier| earlier.address == server.address) {
                let problem = format!("{} stands in another [[witness.syslog]]", server.address);
                return refuse(format!("syslog[{index}].address"), problem, "name each server once");
            }
            if server.cert.is_some() != server.key.is_some() {
                let field = if server.cert.is_some() { "key" } else { "cert" };
                let problem = "is missing: a certificate and its key go together".to_owned();
                return refuse(format!("syslog[{index}].{field}"), problem, "set both, or neither");
            }
        }
        const MOST: usize = 16;
        if names.len() > MOST {
            return refuse("syslog".into(), format!("{} witnesses", names.len()), "use at most 16");
        }
        Ok(())
    }

    /// Reads the files that the settings name. `probe` names the files in the folder.
    ///
    /// # Errors
    /// The first setting or file that will not do.
    pub fn load(&self, probe: &str) -> Result<Vec<Witness>, ConfigError> {
        let mut places = Vec::new();
        if let Some(folder) = &self.folder {
            places.push(Place::Folder(Folder::new(folder, probe)));
        }
        for (index, server) in self.syslog.iter().enumerate() {
            let place = format!("witness.syslog[{index}]");
            let identity = server.cert.as_deref().zip(server.key.as_deref());
            let config = Arc::new(client_config(&server.ca, identity, &place)?);
            let name = server.server_name.as_deref().unwrap_or(&server.address.host);
            let transport = Transport::Tls { config, server_name: server_name(name, &place)? };
            places.push(Place::Syslog(Box::new(Syslog::new(server.address.clone(), transport))));
        }
        Ok(self.names().into_iter().zip(places).map(|(name, place)| Witness { name, place }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let settings: WitnessSettings = toml::from_str(text).unwrap();
        settings.check().expect_err(text).to_string()
    }

    #[test]
    fn each_fault_names_field_and_remedy() {
        assert!(WitnessSettings::default().check().is_ok());
        let server = "[[syslog]]\naddress = \"log.example:6514\"\nca = \"ca.pem\"\n";
        for (text, field, remedy) in [
            ("every_seconds = 0", "witness.every_seconds", "1 to 86400"),
            ("alarm_after_seconds = 5", "witness.alarm_after_seconds", "every_seconds"),
            ("folder = \"mnt/witness\"", "witness.folder", "from / on"),
            (&format!("{server}key = \"k\""), "witness.syslog[0].cert", "both, or neither"),
            (&format!("{server}cert = \"k\""), "witness.syslog[0].key", "both, or neither"),
            (&format!("{server}{server}"), "witness.syslog[1].address", "once"),
        ] {
            let said = fault(text);
            assert!(said.contains(field) && said.contains(remedy), "{text}: {said}");
        }
    }

    #[test]
    fn witnesses_are_called_by_what_they_are() {
        let text = "folder = \"/mnt/witness\"\n[[syslog]]\naddress = \"[2001:db8::1]:6514\"\nca = \"ca.pem\"\n";
        let settings: WitnessSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.names(), ["folder", "syslog [2001:db8::1]:6514"]);
    }
}
