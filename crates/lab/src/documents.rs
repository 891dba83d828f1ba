//! The documents that people write: configurations, the roster, warrants.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::{Timestamp, ToSpan as _};

use crate::{Certificates, LabError, Officer};

/// The carrier.
pub const OPERATOR: &str = "ExampleNet";
/// The probe's id.
pub const PROBE: &str = "lab-probe1";

/// How an order came, and how it was checked.
const RECEIPT: &str = "served_by = \"Special Agent B. Agent\"\nserved_how = \"in person, on paper\"\n\
                       sealed = true\nnon_disclosure = true\npresented_contact = \"+1 202 555 0117\"\n\
                       verified_by = \"D. Clerk\"\nverified_how = \"called the agency's published number back\"\n";

/// An agency's endpoints on the management network.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// Name of the destination.
    pub name: &'static str,
    /// Port for identifying information.
    pub cmii: u16,
    /// Port for content.
    pub cmc: u16,
}

/// One order, as it becomes a warrant.
#[derive(Debug, Clone)]
pub struct Order {
    /// The warrant's name for good.
    pub uuid: &'static str,
    /// `title-iii`, `pen-trap` and so on.
    pub authority: &'static str,
    /// `content` or `headers`.
    pub scope: &'static str,
    /// Addresses and prefixes of the subscriber.
    pub targets: Vec<IpNet>,
    /// Taken from here on.
    pub start: Timestamp,
    /// Not taken from here on.
    pub stop: Timestamp,
    /// Name of the destination.
    pub agency: &'static str,
    /// The agency's name for the case.
    pub case_id: &'static str,
}

/// The probe's configuration, with tap ports of these names.
pub fn probe_configuration(
    directory: &Path,
    taps: &[&str],
    certificates: &Certificates,
    agencies: &[Endpoints],
    address: IpAddr,
) -> String {
    let (state, runtime) = (directory.join("state"), directory.join("run"));
    let mut text =
        format!("[probe]\nid = \"{PROBE}\"\noperator = \"{OPERATOR}\"\nstate = {state:?}\nruntime = {runtime:?}\n");
    // A lab's clock need not be kept.
    text.push_str("\n[clock]\nrequire_sync = false\n");
    for tap in taps {
        text.push_str(&format!(
            "\n[[capture]]\ninterface = \"{tap}\"\nmode = \"driver\"\nbind = \"copy\"\non_miss = \"drop\"\n"
        ));
    }
    for Endpoints { name, cmii, cmc } in agencies {
        let (ca, cert, key) = (&certificates.authority, &certificates.probe.certificate, &certificates.probe.key);
        text.push_str(&format!(
            "\n[[destination]]\nname = \"{name}\"\nformat = \"t1-ias\"\ncmii = \"{address}:{cmii}\"\ncmc = \"{address}:{cmc}\"\n\
             tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n"
        ));
    }
    text
}

/// An agency's configuration.
pub fn collector_configuration(
    directory: &Path,
    certificates: &Certificates,
    endpoints: Endpoints,
    address: IpAddr,
) -> String {
    let Endpoints { cmii, cmc, .. } = endpoints;
    let (cert, key, ca) = (&certificates.agency.certificate, &certificates.agency.key, &certificates.authority);
    format!(
        "directory = {directory:?}\ncmii = \"{address}:{cmii}\"\ncmc = \"{address}:{cmc}\"\n\n\
         [tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}\n"
    )
}

/// The end of the audit log that a document's author saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Number of the last record.
    pub record: u64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
}

impl Seen {
    /// An empty log.
    pub fn nothing() -> Self {
        Seen { record: 0, hash: "0".repeat(64) }
    }
}

/// The roster: two people of two roles have to sign. The first officer is `legal`, all others are `operations`, and the
/// second of all is on call.
pub fn roster(officers: &[Officer]) -> String {
    let mut text = format!(
        "version = 1\noperator = \"{OPERATOR}\"\n\n[policy]\napprovals = 2\nroles = 2\n\n\
         [policy.emergency]\nroles = [\"on-call\"]\nsecond_within_hours = 4\n"
    );
    for (place, Officer { name, public_key, .. }) in officers.iter().enumerate() {
        let roles = match place {
            0 => "\"legal\"",
            1 => "\"operations\", \"on-call\"",
            _ => "\"operations\"",
        };
        text.push_str(&format!("\n[[officer]]\nname = \"{name}\"\nroles = [{roles}]\nkeys = [\"{public_key}\"]\n"));
    }
    text
}

impl Order {
    /// The warrant, as somebody writes it who saw this end of the audit log. It may be signed as long as it runs.
    pub fn warrant(&self, seen: &Seen) -> Result<String, LabError> {
        let Order { uuid, authority, scope, start, stop, agency, case_id, .. } = self;
        let Seen { record, hash } = seen;
        let day = |days_ago: i64| {
            let time = start
                .checked_sub((24 * days_ago).hours())
                .map_err(|error| LabError::Malformed { file: PathBuf::from("order"), what: error.to_string() })?;
            Ok::<_, LabError>(time.strftime("%Y-%m-%d").to_string())
        };
        let (entered, served) = (day(2)?, day(1)?);
        // Where there is no time for a court, or nothing for it to say, none is named; a test is served by nobody.
        let is_test = *authority == "test";
        let has_court = !is_test && !["emergency-2518", "emergency-3125", "consent", "trespasser"].contains(authority);
        let of_court = match has_court {
            true => format!(
                "court = \"E.D. Example\"\njudge = \"Hon. A. Judge\"\ndocket = \"26-mc-0117\"\nentered = \"{entered}\"\n"
            ),
            false => String::new(),
        };
        let receipt = if is_test { "" } else { RECEIPT };
        let streams = if *scope == "content" { "[\"cmii\", \"cmc\"]" } else { "[\"cmii\"]" };
        let mut text = format!(
            "uuid = \"{uuid}\"\nrevision = 1\noperator = \"{OPERATOR}\"\nprobe = \"{PROBE}\"\n\
             sign_by = \"{stop}\"\nauthority = \"{authority}\"\nscope = \"{scope}\"\ndirections = \"both\"\n\n\
             [seen]\nrecord = {record}\nhash = \"{hash}\"\n\n\
             [order]\n{of_court}served = \"{served}\"\n{receipt}presented_by = \"Special Agent B. Agent\"\n\
             signed_by = \"Hon. A. Judge\"\nagency = \"{agency}\"\n\n\
             [window]\nstart = \"{start}\"\nstop = \"{stop}\"\n"
        );
        for target in &self.targets {
            // As a person writes it.
            let is_address = target.prefix_len() == target.max_prefix_len();
            let target = if is_address { target.addr().to_string() } else { target.to_string() };
            text.push_str(&format!(
                "\n[[target]]\naddress = \"{target}\"\nconfirmed_by = \"C. Engineer, provisioning\"\n\
                 confirmed_on = \"{served}\"\nsubscriber = \"account 20117\"\n"
            ));
        }
        text.push_str(&format!(
            "\n[[delivery]]\ndestination = \"{agency}\"\ncase_id = \"{case_id}\"\nstreams = {streams}\n"
        ));
        Ok(text)
    }
}

/// A warrant as the revision of this number, after the one that was handed in before, under an order of its own.
pub fn revision(document: &str, revision: u32, before: &[u8]) -> String {
    amendment(document, revision, before).replacen("26-mc-0117", &format!("26-mc-0117-{revision}"), 1)
}

/// The same under the order that it had.
pub fn amendment(document: &str, revision: u32, before: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, before);
    let previous: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    document.replacen("revision = 1\n", &format!("revision = {revision}\nprevious = \"{previous}\"\n"), 1)
}

/// Writes a document.
pub fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::io(path.display().to_string()))
}
