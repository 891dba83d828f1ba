//! The documents that the people in the scenario write: configurations, the roster, warrants.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan as _};

use crate::{Certificates, LabError, Network, Officer};

/// The carrier and the probe of the scenario.
pub(super) const OPERATOR: &str = "ExampleNet";
pub(super) const PROBE: &str = "lab-probe1";

/// An agency's endpoints on the management network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoints {
    pub name: &'static str,
    pub cmii: u16,
    pub cmc: u16,
}

/// One order, as it becomes a warrant.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub uuid: &'static str,
    pub authority: &'static str,
    pub scope: &'static str,
    pub targets: Vec<IpAddr>,
    pub start: Timestamp,
    pub stop: Timestamp,
    pub agency: &'static str,
    pub case_id: &'static str,
}

/// The probe's configuration.
pub(super) fn probe_configuration(
    directory: &Path,
    certificates: &Certificates,
    agencies: &[Endpoints],
    address: IpAddr,
) -> String {
    let (state, runtime, tap) = (directory.join("state"), directory.join("run"), Network::TAP);
    let mut text = format!(
        "[probe]\nid = \"{PROBE}\"\noperator = \"{OPERATOR}\"\nstate = {state:?}\nruntime = {runtime:?}\n\n\
         [[capture]]\ninterface = \"{tap}\"\nmode = \"driver\"\nbind = \"copy\"\non_miss = \"drop\"\n"
    );
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
pub(super) fn collector_configuration(
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

/// The roster: everybody may sign, two have to.
pub(super) fn roster(officers: &[Officer]) -> String {
    let mut text = format!("version = 1\noperator = \"{OPERATOR}\"\n\n[policy]\napprovals = 2\n");
    for Officer { name, public_key, .. } in officers {
        text.push_str(&format!("\n[[officer]]\nname = \"{name}\"\nrole = \"legal\"\nkeys = [\"{public_key}\"]\n"));
    }
    text
}

impl Order {
    /// The warrant.
    pub(super) fn warrant(&self) -> Result<String, LabError> {
        let Order { uuid, authority, scope, start, stop, agency, case_id, .. } = self;
        let day = |days_ago: i64| {
            let time = start
                .checked_sub((24 * days_ago).hours())
                .map_err(|error| LabError::Malformed { file: PathBuf::from("order"), what: error.to_string() })?;
            Ok::<_, LabError>(time.strftime("%Y-%m-%d").to_string())
        };
        let (entered, served) = (day(2)?, day(1)?);
        let streams = if *scope == "content" { "[\"cmii\", \"cmc\"]" } else { "[\"cmii\"]" };
        let mut text = format!(
            "uuid = \"{uuid}\"\nrevision = 1\noperator = \"{OPERATOR}\"\nprobe = \"{PROBE}\"\n\
             authority = \"{authority}\"\nscope = \"{scope}\"\ndirections = \"both\"\n\n\
             [order]\ncourt = \"E.D. Example\"\njudge = \"Hon. A. Judge\"\ndocket = \"26-mc-0117\"\n\
             entered = \"{entered}\"\nserved = \"{served}\"\npresented_by = \"Special Agent B. Agent\"\n\
             signed_by = \"Hon. A. Judge\"\nagency = \"{agency}\"\n\n\
             [window]\nstart = \"{start}\"\nstop = \"{stop}\"\n"
        );
        for address in &self.targets {
            text.push_str(&format!(
                "\n[[target]]\naddress = \"{address}\"\nconfirmed_by = \"C. Engineer, provisioning\"\n\
                 confirmed_on = \"{served}\"\nsubscriber = \"account 20117\"\n"
            ));
        }
        text.push_str(&format!(
            "\n[[delivery]]\ndestination = \"{agency}\"\ncase_id = \"{case_id}\"\nstreams = {streams}\n"
        ));
        Ok(text)
    }
}

/// Writes a document.
pub(super) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::io(path.display().to_string()))
}
