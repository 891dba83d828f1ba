//! What the collector is told: from a TOML file or from the command line, checked whole before a port is opened.
//!
//! Both ways fill the same [`Document`]; [`Settings`] is what is left of it once every field makes sense. A field that
//! does not is a [`Problem`], which names where it stands and what to do.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use writ_encoder::{
    ccc::Layout,
    etsi::{CaseKeys, PublicKey},
    t1_ias::OptionalModule,
};

use crate::{
    formats::Format,
    keys::{self, KeyFileError, public_key},
};

/// Connections held at once when the configuration does not say.
const MAX_CONNECTIONS: usize = 64;
/// Cases written at once when the configuration does not say. Each holds three open files.
const MAX_CASES: usize = 200;

/// The configuration as written, before it is checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Folder that gets one directory a case.
    pub directory: Option<PathBuf>,
    /// Address and port for identifying information.
    pub cmii: Option<String>,
    /// Address and port for content.
    pub cmc: Option<String>,
    /// TLS 1.3 with client certificates.
    pub tls: Option<TlsFiles>,
    /// Plain TCP, in place of `tls`; and UDP, which has no other protection.
    pub plain: Option<Plain>,
    /// How the handover is read: `auto`, or the name of a [`Format`].
    pub format: Option<String>,
    /// How content is read, where that is in another format.
    pub cmc_format: Option<String>,
    /// Octets of the header of CCC datagrams: 4, 12 or 20.
    pub ccc_header: Option<u8>,
    /// The number of the optional module of T1.IAS, which the carrier has from the agency.
    pub optional_module: Option<String>,
    /// Keys of cases, for what ETSI's containers hold.
    pub case_keys: Option<PathBuf>,
    /// The carrier's key, for ETSI's signatures.
    pub verify_key: Option<PathBuf>,
    /// Connections held at once, over both endpoints.
    pub max_connections: Option<usize>,
    /// Cases written at once.
    pub max_cases: Option<usize>,
    /// Also keep the bytes of each connection as they came, under `streams/`.
    #[serde(default)]
    pub keep_streams: bool,
}

/// The PEM files of the collector's own identity and of the authority that its clients are issued by.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The collector's certificate, followed by its intermediates.
    pub cert: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
    /// Authorities whose certificates a probe may present.
    pub client_ca: PathBuf,
}

/// Plain TCP or UDP: on loopback as it is, elsewhere only with the reason why that is safe.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// What protects the path, in the operator's own words.
    pub path_protected_otherwise: Option<String>,
}

/// What the collector runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder that gets one directory a case.
    pub directory: PathBuf,
    /// Where identifying information is received; none in a format that has content alone.
    pub cmii: Option<Endpoint>,
    /// Where content is received.
    pub cmc: Endpoint,
    /// How connections are protected, where there are any.
    pub transport: Transport,
    /// What the formats need to know.
    pub reading: Reading,
    /// Connections held at once, over both endpoints.
    pub max_connections: usize,
    /// Cases written at once.
    pub max_cases: usize,
    /// Whether the bytes of each connection are kept as they came.
    pub keep_streams: bool,
    /// Where the settings were written, for problems that show later.
    pub origin: Origin,
}

/// One of the two addresses that are listened on.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// How what comes is read; none: the first PDU of each TCP connection tells.
    pub format: Option<Format>,
}

impl Endpoint {
    /// Whether datagrams are received here, else connections.
    pub fn is_datagrams(&self) -> bool {
        self.format.is_some_and(Format::is_datagrams)
    }
}

/// What the formats need to know beside the octets.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which header CCC datagrams bear.
    pub ccc: Layout,
    /// The optional module of T1.IAS.
    pub optional_module: Option<OptionalModule>,
    /// Keys of cases.
    pub keys: Arc<CaseKeys>,
    /// The carrier's key.
    pub verify_key: Option<PublicKey>,
}

impl Reading {
    /// Loads the key files. `ccc_header` is in octets; without one it is the longest. `optional_module` is numbers with points
    /// between.
    ///
    /// # Errors
    /// A file that is of no use, a header that there is not, or what is no object identifier.
    pub fn load(
        ccc_header: Option<u8>,
        optional_module: Option<&str>,
        case_keys: Option<&Path>,
        verify_key: Option<&Path>,
        origin: &Origin,
    ) -> Result<Self, Problem> {
        let no_header = |octets| origin.problem("ccc_header", format!("{octets} octets"), "give 4, 12 or 20");
        let ccc = ccc_header.map(|octets| Layout::try_from(octets).map_err(|_| no_header(octets)));
        let optional_module = optional_module.map(OptionalModule::new).transpose();
        let optional_module = optional_module
            .map_err(|error| origin.problem("optional_module", error.to_string(), "write it as the agency gave it"))?;
        let unusable = |field: &str, path: &Path, error: KeyFileError| {
            let what = format!("{}: {error}", path.display());
            origin.problem(field, what, "docs/agency.md shows such a file")
        };
        let keys = case_keys.map(|path| keys::case_keys(path).map_err(|error| unusable("case_keys", path, error)));
        let verify = verify_key.map(|path| public_key(path).map_err(|error| unusable("verify_key", path, error)));
        let ccc = ccc.transpose()?.unwrap_or_default();
        let keys = Arc::new(keys.transpose()?.unwrap_or_default());
        Ok(Self { ccc, optional_module, keys, verify_key: verify.transpose()? })
    }
}

/// A format by its name; none: `auto`.
///
/// # Errors
/// A name that none has.
pub fn format_named(field: &str, name: Option<&str>, origin: &Origin) -> Result<Option<Format>, Problem> {
    match name {
        None | Some("auto") => Ok(None),
        Some(name) => Format::named(name).map(Some).ok_or_else(|| {
            let names = Format::ALL.map(Format::name).join(", ");
            origin.problem(field, format!("{name:?} is no format"), format!("give one of auto, {names}"))
        }),
    }
}

/// How connections are protected.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS 1.3, both sides with certificates.
    Tls(TlsFiles),
    /// Plain TCP or UDP, admitted by the configuration.
    Plain,
}

/// Where a setting was written.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// The command line.
    CommandLine,
}

impl Origin {
    /// A problem with one field. `field` is named as in the file; on the command line it is shown as its flag.
    pub fn problem(&self, field: &str, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        let field = match self {
            Self::File(_) => field.to_owned(),
            Self::CommandLine => match field {
                "tls.client_ca" => "--client-ca".to_owned(),
                "plain.path_protected_otherwise" => "--path-protected-otherwise".to_owned(),
                _ => format!("--{}", field.replace(['.', '_'], "-")),
            },
        };
        Problem { origin: self.to_string(), field, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One thing wrong with the configuration: where it stands, what it is and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {field}: {what}; {remedy}")]
pub struct Problem {
    origin: String,
    field: String,
    what: String,
    remedy: String,
}

impl Settings {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// A file that cannot be read, text that is not such a document, or a field that makes no sense.
    pub fn load(path: &Path) -> Result<Self, Problem> {
        let origin = Origin::File(path.to_owned());
        let text = fs::read_to_string(path)
            .map_err(|error| origin.problem("file", error.to_string(), "give the path of a readable TOML file"))?;
        let syntax = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            (line, error.message().to_owned())
        };
        let deserializer = toml::Deserializer::parse(&text).map_err(|error| {
            let (line, message) = syntax(error);
            origin.problem(&format!("line {line}"), message, "correct the TOML there")
        })?;
        let document: Document = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let field = match error.path().to_string() {
                path if path == "." => "file".to_owned(),
                path => path,
            };
            let (line, message) = syntax(error.into_inner());
            origin.problem(&field, message, format!("correct line {line}; docs/agency.md lists the fields"))
        })?;
        Self::check(document, origin)
    }

    /// Checks a document that came from `origin`.
    ///
    /// # Errors
    /// The first field that is missing or makes no sense.
    pub fn check(document: Document, origin: Origin) -> Result<Self, Problem> {
        let directory = document.directory.filter(|directory| !directory.as_os_str().is_empty()).ok_or_else(|| {
            origin.problem("directory", "is missing", "name the folder that the cases are written to")
        })?;
        let address = |field, text: Option<String>| {
            let text =
                text.ok_or_else(|| origin.problem(field, "is missing", "give an address and port like 0.0.0.0:7443"))?;
            text.parse::<SocketAddr>().map_err(|_| {
                let what = format!("{text:?} is not a numeric address and port");
                origin.problem(field, what, "write it like 0.0.0.0:7443 or [::]:7443")
            })
        };
        let format = format_named("format", document.format.as_deref(), &origin)?;
        let content = match &document.cmc_format {
            Some(name) => format_named("cmc_format", Some(name), &origin)?,
            None => format,
        };
        let cmii = match (format, document.cmii) {
            (Some(format), None) if !format.has_identifying_information() => None,
            (Some(format), Some(_)) if !format.has_identifying_information() => {
                let what = format!("{format} has no identifying information");
                return Err(origin.problem("cmii", what, "leave it out"));
            }
            (format, text) => Some(Endpoint { address: address("cmii", text)?, format }),
        };
        let cmc = Endpoint { address: address("cmc", document.cmc)?, format: content };
        if let Some(cmii) = cmii
            && cmii.address == cmc.address
            && cmii.is_datagrams() == cmc.is_datagrams()
            && cmii.address.port() != 0
        {
            let what = format!("{} is taken by cmii already", cmc.address);
            return Err(origin.problem("cmc", what, "content has an endpoint of its own: give it another port"));
        }
        let endpoints: Vec<Endpoint> = cmii.into_iter().chain([cmc]).collect();
        let transport = transport(document.tls, document.plain, &endpoints, &origin)?;
        let reading = Reading::load(
            document.ccc_header,
            document.optional_module.as_deref(),
            document.case_keys.as_deref(),
            document.verify_key.as_deref(),
            &origin,
        )?;
        let at_least_one = |field, number: Option<usize>, default| match number {
            Some(0) => Err(origin.problem(field, "is 0", "give at least 1, or leave it out")),
            number => Ok(number.unwrap_or(default)),
        };
        Ok(Self {
            directory,
            cmii,
            cmc,
            transport,
            reading,
            max_connections: at_least_one("max_connections", document.max_connections, MAX_CONNECTIONS)?,
            max_cases: at_least_one("max_cases", document.max_cases, MAX_CASES)?,
            keep_streams: document.keep_streams,
            origin,
        })
    }
}

/// What protects connections, if there is reason to believe that something protects all that comes.
fn transport(
    tls: Option<TlsFiles>,
    plain: Option<Plain>,
    endpoints: &[Endpoint],
    origin: &Origin,
) -> Result<Transport, Problem> {
    let has_datagrams = endpoints.iter().any(Endpoint::is_datagrams);
    let has_connections = !endpoints.iter().all(Endpoint::is_datagrams);
    match (&tls, &plain) {
        (Some(_), _) if !has_connections => {
            return Err(origin.problem("tls", "datagrams are not protected by it", "use plain, and say what is"));
        }
        (Some(_), Some(_)) if !has_datagrams => {
            return Err(origin.problem("plain", "tls is there too", "keep one of tls and plain"));
        }
        (None, None) => {
            return Err(origin.problem(
                "tls",
                "is missing",
                "give cert, key and client_ca; plain TCP and UDP have to be asked for with plain",
            ));
        }
        (Some(_), None) if has_datagrams => {
            let what = "is missing, and content comes as datagrams";
            return Err(origin.problem("plain", what, "ask for it: there is no protection for UDP"));
        }
        _ => {}
    }
    let is_plain = |endpoint: &&Endpoint| endpoint.is_datagrams() || tls.is_none();
    let reason = plain.and_then(|plain| plain.path_protected_otherwise).unwrap_or_default();
    let beyond = endpoints.iter().filter(is_plain).find(|endpoint| !endpoint.address.ip().is_loopback());
    if let Some(endpoint) = beyond.filter(|_| reason.trim().is_empty()) {
        let kind = if endpoint.is_datagrams() { "UDP" } else { "TCP" };
        return Err(origin.problem(
            "plain.path_protected_otherwise",
            format!("plain {kind} is asked for on an address that is not loopback"),
            "use tls, or say in words here what else protects the path",
        ));
    }
    Ok(tls.map_or(Transport::Plain, Transport::Tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("collect.toml");
        fs::write(&path, text).expect("write");
        Settings::load(&path).map_err(|problem| problem.to_string())
    }

    #[test]
    fn plain_on_loopback_is_taken_as_it_is() {
        let settings = load("directory = 'd'\ncmii = '127.0.0.1:1'\ncmc = '[::1]:2'\n[plain]\n").expect("good");
        assert!(matches!(settings.transport, Transport::Plain));
        assert_eq!(settings.max_connections, MAX_CONNECTIONS);
    }

    #[test]
    fn every_problem_names_file_field_and_remedy() {
        let cases = [
            ("cmii = 3", "cmii", "correct line 1"),
            ("colour = 'red'", "colour", "docs/agency.md"),
            ("directory = ", "line 1", "correct the TOML"),
            ("cmii = '127.0.0.1:1'\ncmc = '127.0.0.1:2'\n[plain]\n", "directory", "name the folder"),
            ("directory = 'd'\ncmii = 'here'\ncmc = '127.0.0.1:2'\n[plain]\n", "cmii", "0.0.0.0:7443"),
            ("directory = 'd'\ncmii = '127.0.0.1:1'\ncmc = '127.0.0.1:1'\n[plain]\n", "cmc", "another port"),
            ("directory = 'd'\ncmii = '127.0.0.1:1'\ncmc = '127.0.0.1:2'\n", "tls", "plain"),
            (
                "directory = 'd'\ncmii = '127.0.0.1:1'\ncmc = '0.0.0.0:2'\n[plain]\n",
                "plain.path_protected_otherwise",
                "say in words",
            ),
            (
                "directory = 'd'\ncmii = '127.0.0.1:1'\ncmc = '127.0.0.1:2'\nmax_cases = 0\n[plain]\n",
                "max_cases",
                "at least 1",
            ),
            ("directory = 'd'\n[tls]\ncert = 'c'\nkey = 'k'\n", "client_ca", "docs/agency.md"),
        ];
        for (text, field, remedy) in cases {
            let problem = load(text).expect_err(text);
            assert!(problem.contains("collect.toml: "), "{problem}");
            assert!(problem.contains(field), "{problem}");
            assert!(problem.contains(remedy), "{problem}");
        }
    }

    #[test]
    fn the_command_line_is_named_by_its_flags() {
        let problem = Settings::check(Document::default(), Origin::CommandLine).expect_err("empty");
        assert!(problem.to_string().starts_with("command line: --directory: "), "{problem}");
    }
}
