//! The rules of a `[[destination]]` section: which settings a format needs, and which it does not know.

use super::{ConfigError, Destination, Endpoint, Plain};
use std::path::Path;
use writ_digests::Stream as StreamKind;
use writ_encoder::handover::Format;
use writ_encoder::t1_ias::CcFormat;

/// A setting, what is wrong with it, what to do.
type Fault = (&'static str, String, &'static str);

const OR_FOLDER: &str =
    "give cmii = \"host:port\" and cmc = \"host:port\", or folder = \"/path\" for files of this machine";

impl Destination {
    /// Checks what can be checked without touching a file. `place` is the section's path, such as `destination[0]`.
    pub fn check(&self, place: &str) -> Result<(), ConfigError> {
        self.check_section().map_err(|(field, problem, remedy)| ConfigError {
            field: format!("{place}.{field}"),
            file: None,
            problem,
            remedy: remedy.to_owned(),
        })
    }

    fn check_section(&self) -> Result<(), Fault> {
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(|c| !c.is_ascii_graphic()) {
            let problem = "is empty, too long or not plain text".to_owned();
            return Err(("name", problem, "use 1 to 64 ASCII letters, digits and signs without blanks"));
        }
        self.check_terms()?;
        self.check_conversation()?;
        self.check_gathering()?;
        match &self.folder {
            Some(folder) => self.check_folder(folder),
            None if self.format == Format::Files => {
                Err(("folder", "is missing".to_owned(), "set folder = \"/path\": where the agency fetches its files"))
            }
            None => self.check_protection(self.check_endpoints()?),
        }
    }

    /// The tables that are named like a format: that of the destination's own, and no other.
    fn check_terms(&self) -> Result<(), Fault> {
        let tables = [
            ("t1-ias", Format::T1Ias, self.t1_ias.is_some()),
            ("etsi", Format::Etsi, self.etsi.is_some()),
            ("x3", Format::X3, self.x3.is_some()),
            ("ccc", Format::Ccc, self.ccc.is_some()),
            ("opencalea", Format::Opencalea, self.opencalea.is_some()),
        ];
        if let Some((table, ..)) = tables.into_iter().find(|(_, format, is_there)| *is_there && *format != self.format)
        {
            let problem = format!("belongs to another format than {}", self.format);
            return Err((table, problem, "take it out, or correct `format`"));
        }
        if self.format == Format::Etsi && self.etsi.is_none() {
            let remedy =
                "set etsi = { operator = \"...\" }: the operatorIdentifier that the agency or the regulator gave";
            return Err(("etsi", "is missing".to_owned(), remedy));
        }
        if self.digests == Some(true) && self.format != Format::T1Ias {
            let problem = format!("asks for digests of {}, of which there are none", self.format);
            return Err(("digests", problem, "take it out: digests are kept of t1-ias alone"));
        }
        Ok(())
    }

    /// What is put together in one PDU or in one file.
    fn check_gathering(&self) -> Result<(), Fault> {
        if let Some(etsi) = &self.etsi
            && !(1..=32).contains(&etsi.packets_per_pdu)
        {
            return Err(("etsi.packets_per_pdu", format!("is {}", etsi.packets_per_pdu), "give 1 to 32"));
        }
        if self.rotate.is_some() && self.format != Format::Files {
            let problem = format!("stands beside format = \"{}\"", self.format);
            return Err(("rotate", problem, "leave it out, or set format = \"files\""));
        }
        let Some(summaries) = self.summaries else { return Ok(()) };
        if !self.format.has_summaries() {
            return Err(("summaries", format!("is nothing that {} knows", self.format), "take it out"));
        }
        if !(1..=86_400).contains(&summaries.idle_seconds) {
            let problem = format!("is {}", summaries.idle_seconds);
            return Err(("summaries.idle_seconds", problem, "give 1 to 86400"));
        }
        if !(16..=1_000_000).contains(&summaries.most_flows) {
            let problem = format!("is {}", summaries.most_flows);
            return Err(("summaries.most_flows", problem, "give 16 to 1000000"));
        }
        Ok(())
    }

    /// What is said beside the PDUs.
    fn check_conversation(&self) -> Result<(), Fault> {
        let settings: [(_, _, &[Format]); 5] = [
            ("keep_alive", self.keep_alive.is_some(), &[Format::Etsi, Format::X3]),
            ("acknowledge", self.acknowledge, &[Format::Etsi]),
            ("integrity", self.integrity.is_some(), &[Format::Etsi]),
            ("encryption", self.encryption.is_some(), &[Format::Etsi]),
            ("loss_notice_seconds", self.loss_notice_seconds.is_some(), &[Format::Etsi]),
        ];
        let strange = settings.into_iter().find(|(_, is_there, formats)| *is_there && !formats.contains(&self.format));
        if let Some((setting, ..)) = strange {
            return Err((setting, format!("is nothing that {} knows", self.format), "take it out"));
        }
        if let Some(keep_alive) = self.keep_alive {
            let idle = keep_alive.idle_seconds;
            if idle != 0 && !(10..=3600).contains(&idle) {
                let problem = format!("is {idle}");
                return Err((
                    "keep_alive.idle_seconds",
                    problem,
                    "give 10 to 3600 (the standard: 120 to 360), or 0: never",
                ));
            }
            let answer = keep_alive.answer_seconds;
            if !(5..=600).contains(&answer) {
                return Err((
                    "keep_alive.answer_seconds",
                    format!("is {answer}"),
                    "give 5 to 600 (the standard: about 60)",
                ));
            }
        }
        if let Some(seconds) = self.loss_notice_seconds.filter(|seconds| *seconds > 3600) {
            return Err(("loss_notice_seconds", format!("is {seconds}"), "give 1 to 3600, or 0: never"));
        }
        if let Some(integrity) = &self.integrity {
            let numbers = [
                ("integrity.hash_pdus", integrity.hash_pdus),
                ("integrity.hash_seconds", integrity.hash_seconds),
                ("integrity.signature_hashes", integrity.signature_hashes),
                ("integrity.signature_seconds", integrity.signature_seconds),
            ];
            if let Some((field, number)) = numbers.into_iter().find(|(_, number)| !(1..=4000).contains(number)) {
                return Err((field, format!("is {number}"), "give 1 to 4000"));
            }
        }
        Ok(())
    }

    fn check_folder(&self, folder: &Path) -> Result<(), Fault> {
        if !matches!(self.format, Format::T1Ias | Format::Files) {
            let problem = format!("cannot hold {}", self.format);
            return Err(("folder", problem, "use format t1-ias or files for files of this machine"));
        }
        let remedy = match self.format {
            Format::Files => "take it out: format files goes to the folder",
            _ => "keep either the folder or the endpoints with tls or plain",
        };
        let beside = [
            ("cmii", self.cmii.is_some()),
            ("cmc", self.cmc.is_some()),
            ("tls", self.tls.is_some()),
            ("plain", self.plain.is_some()),
        ];
        if let Some((field, _)) = beside.into_iter().find(|(_, is_there)| *is_there) {
            return Err((field, "stands beside folder".to_owned(), remedy));
        }
        if self.t1_ias.as_ref().is_some_and(|terms| terms.cc_format == CcFormat::ScteDatagram) {
            let problem = "asks for datagrams, and a file has no ends of them".to_owned();
            return Err(("t1-ias.cc_format", problem, "take it out, or give endpoints in place of the folder"));
        }
        if !folder.is_absolute() {
            return Err(("folder", "is no absolute path".to_owned(), "write the path from / on"));
        }
        Ok(())
    }

    /// An endpoint for each stream that the format has: gives them with the names of their settings.
    fn check_endpoints(&self) -> Result<Vec<(StreamKind, &'static str, &Endpoint)>, Fault> {
        if !self.format.has_identifying_information() {
            if self.cmii.is_some() {
                let problem = format!("stands in a destination of {}, which carries content alone", self.format);
                return Err(("cmii", problem, "take it out"));
            }
            let remedy = "give cmc = \"host:port\"";
            let cmc = self.cmc.as_ref().ok_or_else(|| ("cmc", "is missing".to_owned(), remedy))?;
            return Ok(vec![(StreamKind::Cmc, "cmc", cmc)]);
        }
        let remedy =
            if self.format == Format::T1Ias { OR_FOLDER } else { "give cmii = \"host:port\" and cmc = \"host:port\"" };
        let missing = |field| (field, "is missing".to_owned(), remedy);
        let cmii = self.cmii.as_ref().ok_or_else(|| missing("cmii"))?;
        let cmc = self.cmc.as_ref().ok_or_else(|| missing("cmc"))?;
        if cmii == cmc {
            let problem = format!("is the same endpoint as cmii ({cmc})");
            return Err(("cmc", problem, "give content an endpoint of its own: the two are separate streams"));
        }
        Ok(vec![(StreamKind::Cmii, "cmii", cmii), (StreamKind::Cmc, "cmc", cmc)])
    }

    /// Connections have TLS or are plain; datagrams are plain.
    fn check_protection(&self, endpoints: Vec<(StreamKind, &'static str, &Endpoint)>) -> Result<(), Fault> {
        let (datagrams, connections): (Vec<_>, Vec<_>) =
            endpoints.into_iter().partition(|(stream, ..)| self.goes_in_datagrams(*stream));
        let refuse = |field, problem: &str, remedy| Err((field, problem.to_owned(), remedy));
        const STATE: &str = "set plain = { path_protected_otherwise = \"...\" }: UDP has no protection of its own";
        match (&self.tls, &self.plain) {
            (Some(_), _) if connections.is_empty() => refuse("tls", "cannot protect datagrams", STATE),
            (_, None) if !datagrams.is_empty() => refuse("plain", "is missing", STATE),
            (Some(_), Some(_)) if datagrams.is_empty() => {
                refuse("plain", "stands beside tls", "keep one of the two, preferably tls")
            }
            (None, None) => refuse("tls", "is missing", "set tls = { ca = \"...\", cert = \"...\", key = \"...\" }"),
            (Some(_), None) => Ok(()),
            (tls, Some(plain)) => {
                let connections = connections.into_iter().filter(|_| tls.is_none());
                check_plain(plain, connections.chain(datagrams).map(|(_, field, endpoint)| (field, endpoint)))
            }
        }
    }
}

fn check_plain<'a>(plain: &Plain, endpoints: impl Iterator<Item = (&'static str, &'a Endpoint)>) -> Result<(), Fault> {
    const REMEDY: &str =
        "say in plain.path_protected_otherwise how the path is protected, or use tls for what goes over TCP";
    if let Some(reason) = &plain.path_protected_otherwise {
        if reason.trim().len() < 8 {
            return Err((
                "plain.path_protected_otherwise",
                "gives no reason (8 characters at least)".to_owned(),
                REMEDY,
            ));
        }
        return Ok(());
    }
    for (field, endpoint) in endpoints {
        // A name such as `localhost` is what the resolver makes of it; only an address is loopback for certain.
        if !endpoint.address().is_some_and(|address| address.is_loopback()) {
            return Err((
                field,
                format!("would go to {endpoint} unprotected, which is not a loopback address"),
                REMEDY,
            ));
        }
    }
    Ok(())
}
