//! The `[[destination]]` section of the configuration: where an agency is, and how the way there is protected; or a
//! folder of this machine.

mod check;
mod terms;

pub use terms::{EncryptionSettings, IntegritySettings, KeepAliveSettings};

use crate::files::Rotation;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use writ_digests::Stream as StreamKind;
use writ_encoder::handover::{CccTerms, EtsiTerms, Format, OpencaleaTerms, SummaryTerms, T1IasTerms, Terms, X3Terms};
use writ_encoder::t1_ias::CcFormat;

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

/// One agency's mediation: an endpoint for each stream that its format has, one protection. Or a folder of this machine in
/// its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// What warrants call it.
    pub name: String,
    /// The handover standard it takes.
    pub format: Format,
    /// Where identifying information (CmII) goes; X2 and HI2 are the same stream.
    pub cmii: Option<Endpoint>,
    /// Where content (CmC) goes; X3 and HI3 are the same stream.
    pub cmc: Option<Endpoint>,
    /// In place of both endpoints: the folder of this machine that gets a file for each case and stream.
    pub folder: Option<PathBuf>,
    /// When the files of a folder are finished and new ones begun, where the format is `files`.
    pub rotate: Option<Rotation>,
    /// Whether digests are kept of what is delivered there, for the agency to countersign. Of T1.IAS they are, if nothing
    /// is said; of other formats there are none.
    pub digests: Option<bool>,
    /// TLS 1.3 with certificates on both sides, for what goes over TCP. Either this or `plain`.
    pub tls: Option<Tls>,
    /// Unprotected TCP, and UDP, which nothing protects. Beside `tls` where one stream goes over UDP.
    pub plain: Option<Plain>,
    /// Summaries of flows in place of a report of every packet.
    pub summaries: Option<SummaryTerms>,
    /// Of `etsi` and `x3`: questions on an idle connection whether the other side is there.
    pub keep_alive: Option<KeepAliveSettings>,
    /// Of `etsi`: delivered is what the agency's program has confirmed, and not what its TCP has acknowledged.
    #[serde(default)]
    pub acknowledge: bool,
    /// Of `etsi`: hashes over PDUs, and signatures over hashes.
    pub integrity: Option<IntegritySettings>,
    /// Of `etsi`: payloads go in the encryption container.
    pub encryption: Option<EncryptionSettings>,
    /// Of `etsi`: the agency is told of packets that were lost, for each warrant once in so many seconds at most; 0: never. A
    /// minute if nothing is said.
    pub loss_notice_seconds: Option<u16>,
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

/// Plain TCP, or UDP: to loopback, or with a stated reason.
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
    /// TCP or UDP port, never 0.
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
    /// The format with what is agreed on for it; none where something is missing, which [`Destination::check`] tells.
    pub fn terms(&self) -> Option<Terms> {
        Some(match self.format {
            Format::T1Ias => Terms::T1Ias(self.t1_ias.clone().unwrap_or_default()),
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

    /// Whether this stream of the format goes over UDP, a datagram for each PDU.
    pub fn goes_in_datagrams(&self, stream: StreamKind) -> bool {
        let as_call_content = |terms: &T1IasTerms| terms.cc_format == CcFormat::ScteDatagram;
        self.format.is_datagrams() || stream == StreamKind::Cmc && self.t1_ias.as_ref().is_some_and(as_call_content)
    }

    /// Whether digests are kept of this stream.
    pub fn keeps_digests(&self, stream: StreamKind) -> bool {
        self.format == Format::T1Ias && self.digests.unwrap_or(true) && !self.goes_in_datagrams(stream)
    }
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
    /// A destination of a format, checked: the field that will not do and the remedy.
    fn checked(format: &str, rest: &str) -> Result<(), (String, String)> {
        let destination = parse(&format!("name = \"x\"\nformat = \"{format}\"\n{rest}")).unwrap();
        destination.check("d").map_err(|error| (error.field, error.remedy))
    }

    #[test]
    fn each_format_has_its_own_endpoints_and_protection() {
        const BOTH: &str = "cmii = \"127.0.0.1:1\"\ncmc = \"127.0.0.1:2\"\n";
        const CMC: &str = "cmc = \"127.0.0.1:2\"\n";
        const TLS: &str = "tls = { ca = \"a\", cert = \"b\", key = \"c\" }\n";
        const PLAIN: &str = "plain = {}\n";
        const CALL: &str = "t1-ias = { cc_format = \"ccc\" }\n";
        const OPERATOR: &str = "etsi = { operator = \"OP\" }\n";
        let field = |format, parts: &[&str]| checked(format, &parts.concat()).map_err(|(field, _)| field);
        for format in ["ccc", "jmirror", "tzsp"] {
            assert_eq!(field(format, &[CMC, PLAIN]), Ok(()));
            assert_eq!(field(format, &[BOTH, PLAIN]), Err("d.cmii".into()));
            assert_eq!(field(format, &[CMC, TLS]), Err("d.tls".into()));
            assert_eq!(field(format, &[CMC]), Err("d.plain".into()));
            assert_eq!(field(format, &["cmc = \"192.0.2.1:2\"\n", PLAIN]), Err("d.cmc".into()));
        }
        assert_eq!(field("opencalea", &[BOTH, PLAIN]), Ok(()));
        assert_eq!(field("opencalea", &[CMC, PLAIN]), Err("d.cmii".into()));
        assert_eq!(field("opencalea", &[BOTH, TLS]), Err("d.tls".into()));
        assert_eq!(field("t1-ias", &[BOTH, TLS, PLAIN, CALL]), Ok(()));
        assert_eq!(field("t1-ias", &[BOTH, PLAIN, CALL]), Ok(()));
        assert_eq!(field("t1-ias", &[BOTH, TLS, CALL]), Err("d.plain".into()));
        assert_eq!(field("t1-ias", &["cmii = \"lea.example:1\"\n", CMC, TLS, PLAIN, CALL]), Ok(()), "cmii has TLS");
        assert_eq!(field("etsi", &[BOTH, TLS, OPERATOR]), Ok(()));
        assert_eq!(field("etsi", &[BOTH, TLS]), Err("d.etsi".into()));
        assert_eq!(field("etsi", &["folder = \"/t\"\n", OPERATOR]), Err("d.folder".into()));
        assert_eq!(field("x3", &[BOTH, TLS, CALL]), Err("d.t1-ias".into()));
        assert_eq!(field("t1-ias", &["folder = \"/t\"\n", CALL]), Err("d.t1-ias.cc_format".into()));
        assert_eq!(field("files", &["folder = \"/t\"\n"]), Ok(()));
        assert_eq!(field("files", &[BOTH, PLAIN]), Err("d.folder".into()));
    }

    #[test]
    fn what_is_said_beside_the_pdus_belongs_to_its_format() {
        let talking = |format, rest: &str| {
            let etsi = if format == "etsi" { "etsi = { operator = \"OP\" }\n" } else { "" };
            let ends = "cmii = \"127.0.0.1:1\"\ncmc = \"127.0.0.1:2\"\nplain = {}\n";
            checked(format, &format!("{ends}{etsi}{rest}")).map_err(|(field, _)| field)
        };
        let all = "acknowledge = true\nkeep_alive = { idle_seconds = 300 }\nintegrity = { hash_pdus = 10 }\n\
                   encryption = { keys = \"k\" }";
        assert_eq!(talking("etsi", all), Ok(()));
        assert_eq!(talking("x3", "keep_alive = { idle_seconds = 0 }"), Ok(()));
        assert_eq!(talking("etsi", "keep_alive = { idle_seconds = 5 }"), Err("d.keep_alive.idle_seconds".into()));
        assert_eq!(talking("etsi", "integrity = { hash_seconds = 0 }"), Err("d.integrity.hash_seconds".into()));
        assert_eq!(talking("t1-ias", "keep_alive = {}"), Err("d.keep_alive".into()));
        assert_eq!(talking("etsi", "loss_notice_seconds = 0"), Ok(()));
        assert_eq!(talking("etsi", "loss_notice_seconds = 3601"), Err("d.loss_notice_seconds".into()));
        assert_eq!(talking("x3", "loss_notice_seconds = 60"), Err("d.loss_notice_seconds".into()));
        assert_eq!(talking("x3", "acknowledge = true"), Err("d.acknowledge".into()));
        assert_eq!(talking("x3", "integrity = {}"), Err("d.integrity".into()));
        assert_eq!(talking("x3", "digests = true"), Err("d.digests".into()));
        assert_eq!(talking("x3", "digests = false"), Ok(()));
        let digests = |format: &str, rest: &str| {
            let destination = parse(&format!("name = \"x\"\nformat = \"{format}\"\n{rest}")).unwrap();
            StreamKind::ALL.map(|stream| destination.keeps_digests(stream))
        };
        assert_eq!(digests("t1-ias", ""), [true, true]);
        assert_eq!(digests("t1-ias", "t1-ias = { cc_format = \"ccc\" }"), [true, false]);
        assert_eq!(digests("t1-ias", "digests = false"), [false, false]);
        assert_eq!(digests("etsi", ""), [false, false]);
    }
}
