//! The `[[destination]]` section of the configuration: where an agency is, and how the way there is protected; or a
//! folder of this machine.

use crate::files::Rotation;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use writ_encoder::handover::{CccTerms, EtsiTerms, Format, OpencaleaTerms, T1IasTerms, Terms, X3Terms};

/// A setting or a file that will not do. Says which, why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{field}{}: {problem}; {remedy}", file_part(.file.as_ref()))]
pub struct ConfigError {
    /// The setting, as a path in the configuration.
    pub field: String,
    /// The file that the setting names, where that is what is wrong.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

fn file_part(file: Option<&PathBuf>) -> String {
    file.map(|file| format!(" = \"{}\"", file.display())).unwrap_or_default()
}

/// One agency's mediation: two endpoints, one protection. Or a folder of this machine in its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// What warrants call it.
    pub name: String,
    /// The handover standard it takes.
    pub format: Format,
    /// Where identifying information (CmII) goes.
    pub cmii: Option<Endpoint>,
    /// Where content (CmC) goes.
    pub cmc: Option<Endpoint>,
    /// In place of both endpoints: the folder of this machine that gets a file for each case and stream.
    pub folder: Option<PathBuf>,
    /// When the files of a folder are finished and new ones begun, where the format is `files`.
    pub rotate: Option<Rotation>,
    /// Whether digests are kept of what is delivered there, for the agency to countersign.
    #[serde(default = "yes")]
    pub digests: bool,
    /// TLS 1.3 with certificates on both sides. Either this or `plain`.
    pub tls: Option<Tls>,
    /// Unprotected TCP. Either this or `tls`.
    pub plain: Option<Plain>,
    /// What is agreed on where the format is `t1-ias`.
    #[serde(rename = "t1-ias")]
    pub t1_ias: Option<T1IasTerms>,
    /// The same of `etsi`, which needs it.
    pub etsi: Option<EtsiTerms>,
    /// The same of `x3`.
    pub x3: Option<X3Terms>,
    /// The same of `ccc`.
    pub ccc: Option<CccTerms>,
    /// The same of `opencalea`.
    pub opencalea: Option<OpencaleaTerms>,
}

fn yes() -> bool {
    true
}

/// Files of a TLS session, all PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authorities that the agency's certificate must come from.
    pub ca: PathBuf,
    /// The probe's certificate, with any intermediates behind it.
    pub cert: PathBuf,
    /// The probe's private key.
    pub key: PathBuf,
    /// The name that the agency's certificate must bear, if it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// Plain TCP: to loopback, or with a stated reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Why nobody else can read or change what goes over this path (an IPsec tunnel of the agency's, say).
    pub path_protected_otherwise: Option<String>,
}

/// `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// The address, if it is written as one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = |problem| {
            format!("`{text}` {problem}; write host:port, 192.0.2.1:port or [2001:db8::1]:port, port 1 to 65535")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| refuse("has no port"))?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| refuse("has no usable port"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                !host.is_empty() && host.len() <= 253 && host.chars().all(of_names)
            }
        };
        if !good {
            return Err(refuse("names no host"));
        }
        Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Destination {
    /// Checks what can be checked without touching a file. `place` is the section's path, such as `destination[0]`.
    pub fn check(&self, place: &str) -> Result<(), ConfigError> {
        let refuse = |field: &str, problem: String, remedy: &str| ConfigError {
            field: format!("{place}.{field}"),
            file: None,
            problem,
            remedy: remedy.to_owned(),
        };
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(|c| !c.is_ascii_graphic()) {
            let problem = "is empty, too long or not plain text".to_owned();
            return Err(refuse("name", problem, "use 1 to 64 ASCII letters, digits and signs without blanks"));
        }
        self.check_drop().map_err(|(field, problem, remedy)| refuse(field, problem, remedy))?;
        if let Some(folder) = &self.folder {
            return self
                .check_folder_section(folder)
                .map_err(|(field, problem, remedy)| refuse(field, problem, remedy));
        }
        let (cmii, cmc) = match (&self.cmii, &self.cmc) {
            (Some(cmii), Some(cmc)) => (cmii, cmc),
            (cmii, _) => {
                let field = if cmii.is_none() { "cmii" } else { "cmc" };
                let remedy = "give cmii = \"host:port\" and cmc = \"host:port\", or folder = \"/path\" for files of this machine";
                return Err(refuse(field, "is missing".to_owned(), remedy));
            }
        };
        if cmii == cmc {
            let problem = format!("is the same endpoint as cmii ({cmc})");
            return Err(refuse("cmc", problem, "give content an endpoint of its own: the two are separate streams"));
        }
        match (&self.tls, &self.plain) {
            (Some(_), Some(_)) => {
                Err(refuse("plain", "stands beside tls".to_owned(), "keep one of the two, preferably tls"))
            }
            (None, None) => {
                Err(refuse("tls", "is missing".to_owned(), "set tls = { ca = \"...\", cert = \"...\", key = \"...\" }"))
            }
            (Some(_), None) => Ok(()),
            (None, Some(plain)) => check_plain(plain, [("cmii", cmii), ("cmc", cmc)]).map_err(|(field, problem)| {
                let remedy = "use tls, or say in plain.path_protected_otherwise how the path is protected";
                refuse(field, problem, remedy)
            }),
        }
    }

    /// Files for an agency to fetch lie in a folder, and they alone are begun anew.
    fn check_drop(&self) -> Result<(), (&'static str, String, &'static str)> {
        match (self.format, &self.folder, &self.rotate) {
            (Format::Files, None, _) => Err((
                "folder",
                "is missing".to_owned(),
                "give folder = \"/path\": the agency fetches the files from it",
            )),
            (Format::Files, Some(_), _) | (_, _, None) => Ok(()),
            (format, _, Some(_)) => {
                let problem = format!("stands beside format = \"{format}\"");
                Err(("rotate", problem, "leave it out, or set format = \"files\""))
            }
        }
    }

    fn check_folder_section(&self, folder: &Path) -> Result<(), (&'static str, String, &'static str)> {
        const REMEDY: &str = "keep either the folder or the endpoints with tls or plain";
        let beside = [
            ("cmii", self.cmii.is_some()),
            ("cmc", self.cmc.is_some()),
            ("tls", self.tls.is_some()),
            ("plain", self.plain.is_some()),
        ];
        if let Some((field, _)) = beside.into_iter().find(|(_, is_there)| *is_there) {
            return Err((field, "stands beside folder".to_owned(), REMEDY));
        }
        if !folder.is_absolute() {
            return Err(("folder", "is no absolute path".to_owned(), "write the path from / on"));
        }
        Ok(())
    }

    /// The format with what is agreed on for it; none where something is missing, which [`Destination::check`] tells.
    pub fn terms(&self) -> Option<Terms> {
        Some(match self.format {
            Format::T1Ias => Terms::T1Ias(self.t1_ias.unwrap_or_default()),
            Format::Etsi => Terms::Etsi(self.etsi.clone()?),
            Format::X3 => Terms::X3(self.x3.clone().unwrap_or_default()),
            Format::Ccc => Terms::Ccc(self.ccc.unwrap_or_default()),
            Format::Opencalea => Terms::Opencalea(self.opencalea.unwrap_or_default()),
            Format::Jmirror => Terms::Jmirror,
            Format::Tzsp => Terms::Tzsp,
            Format::Files => Terms::Files,
        })
    }

    /// Whether what goes there stays on this machine, in files that no agency fetches. Test warrants may go nowhere else.
    pub fn is_local_file(&self) -> bool {
        self.folder.is_some() && self.format != Format::Files
    }
}

fn check_plain(plain: &Plain, endpoints: [(&'static str, &Endpoint); 2]) -> Result<(), (&'static str, String)> {
    if let Some(reason) = &plain.path_protected_otherwise {
        if reason.trim().len() < 8 {
            return Err(("plain.path_protected_otherwise", "gives no reason (8 characters at least)".to_owned()));
        }
        return Ok(());
    }
    for (field, endpoint) in endpoints {
        // A name such as `localhost` is what the resolver makes of it; only an address is loopback for certain.
        if !endpoint.address().is_some_and(|address| address.is_loopback()) {
            return Err((field, format!("would go to {endpoint} over plain TCP, which is not a loopback address")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Destination, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn destination(cmii: &str, cmc: &str, rest: &str) -> Destination {
        parse(&format!("name = \"lab\"\nformat = \"t1-ias\"\ncmii = \"{cmii}\"\ncmc = \"{cmc}\"\n{rest}")).unwrap()
    }

    #[test]
    fn endpoints() {
        for good in ["lea.example:7443", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            assert_eq!(Endpoint::try_from(good.to_owned()).unwrap().to_string(), good);
        }
        for bad in ["lea.example", "lea.example:0", "lea.example:65536", ":7443", "2001:db8::1:7443", "[x]:1", "a b:1"]
        {
            assert!(Endpoint::try_from(bad.to_owned()).unwrap_err().contains("write host:port"), "{bad}");
        }
    }

    #[test]
    fn plain_only_to_loopback_or_with_a_reason() {
        assert!(destination("127.0.0.1:1", "[::1]:2", "plain = {}").check("destination[0]").is_ok());
        let error = destination("127.0.0.1:1", "192.0.2.1:2", "plain = {}").check("destination[0]").unwrap_err();
        assert_eq!(error.field, "destination[0].cmc");
        assert!(error.to_string().contains("path_protected_otherwise"), "{error}");
        assert!(destination("localhost:1", "localhost:2", "plain = {}").check("d").is_err());
        let reason = "plain = { path_protected_otherwise = \"IPsec tunnel of the agency\" }";
        assert!(destination("192.0.2.1:1", "192.0.2.1:2", reason).check("d").is_ok());
        let empty = "plain = { path_protected_otherwise = \" \" }";
        assert!(destination("192.0.2.1:1", "192.0.2.1:2", empty).check("d").is_err());
    }

    #[test]
    fn protection_is_stated_once() {
        assert_eq!(destination("a:1", "a:2", "").check("d").unwrap_err().field, "d.tls");
        let both = "plain = {}\ntls = { ca = \"a\", cert = \"b\", key = \"c\" }";
        assert_eq!(destination("127.0.0.1:1", "127.0.0.1:2", both).check("d").unwrap_err().field, "d.plain");
        assert_eq!(destination("127.0.0.1:1", "127.0.0.1:1", "plain = {}").check("d").unwrap_err().field, "d.cmc");
        let folder = |rest| parse(&format!("name = \"x\"\nformat = \"t1-ias\"\nfolder = {rest}")).unwrap().check("d");
        assert!(folder("\"/var/lib/writ/test\"").is_ok());
        assert_eq!(folder("\"test\"").unwrap_err().field, "d.folder");
        assert_eq!(folder("\"/t\"\ncmc = \"a:1\"").unwrap_err().field, "d.cmc");
        assert_eq!(folder("\"/t\"\nplain = {}").unwrap_err().field, "d.plain");
        let one = parse("name = \"x\"\nformat = \"t1-ias\"\ncmii = \"a:1\"").unwrap().check("d").unwrap_err();
        assert!(one.field == "d.cmc" && one.remedy.contains("folder"), "{one}");
        assert!(parse("name = \"x\"\nformat = \"t1-ias\"\ncmii = \"a:1\"\ncmc = \"a:2\"\ntsl = 1").is_err());
    }
}
