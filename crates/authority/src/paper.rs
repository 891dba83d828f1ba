//! Any of the documents that people sign, told apart by the fields that only one kind has.

use crate::approval::namespace;
use crate::calendar;
use crate::certification::Certification;
use crate::digest::Digest;
use crate::document;
use crate::error::DocumentError;
use crate::policy::Policy;
use crate::revocation::Revocation;
use crate::role::Role;
use crate::roster::Roster;
use crate::signature::{CERTIFY, Namespace, POLICY, REVOKE};
use crate::warrant::Warrant;
use crate::words::reading;
use jiff::tz::TimeZone;
use std::path::Path;

/// A document, sound in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paper {
    /// A warrant, in any revision.
    Warrant(Box<Warrant>),
    /// A roster with its policy.
    Roster(Roster),
    /// The end of a warrant.
    Revocation(Revocation),
    /// The record of an interception.
    Certification(Certification),
}

impl Paper {
    /// Reads a document of any kind and validates it whole. The error names every fault found.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let root = document::read(bytes, file)?;
        if root.has("officer") || root.has("version") {
            Roster::parse(bytes, file).map(Self::Roster)
        } else if root.has("overseer") || root.has("measured") {
            Certification::parse(bytes, file).map(Self::Certification)
        } else if root.has("reason") || root.has("kind") {
            Revocation::parse(bytes, file).map(Self::Revocation)
        } else {
            Warrant::parse(bytes, file).map(Box::new).map(Self::Warrant)
        }
    }

    /// What its signatures are for.
    pub fn namespace(&self) -> Namespace {
        match self {
            Self::Warrant(warrant) => namespace(warrant),
            Self::Roster(_) => POLICY,
            Self::Revocation(_) => REVOKE,
            Self::Certification(_) => CERTIFY,
        }
    }

    /// The document's exact bytes: what is signed.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Warrant(warrant) => warrant.bytes(),
            Self::Roster(roster) => roster.bytes(),
            Self::Revocation(revocation) => revocation.bytes(),
            Self::Certification(certification) => certification.bytes(),
        }
    }

    /// Digest of [`Paper::bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(self.bytes())
    }

    /// All that somebody who is to sign it has to know, a line for each thing. A warrant is held to the usual policy,
    /// because the operator's is in another document.
    pub fn reading(&self) -> Vec<String> {
        match self {
            Self::Warrant(warrant) => {
                let mut lines = reading(warrant, None, &Policy::default());
                if let Some(previous) = warrant.previous() {
                    lines.push(format!("takes the place of the revision with the digest {previous}"));
                }
                lines
            }
            Self::Roster(roster) => of_roster(roster),
            Self::Revocation(revocation) => vec![
                format!("revocation of warrant {}, revision {}, for good", revocation.uuid(), revocation.revision()),
                format!("digest of that revision: {}", revocation.warrant()),
                format!("kind: {}; reason: {}", revocation.cause().as_str(), revocation.reason()),
                format!("to be signed by {}", calendar::show(revocation.heading().sign_by, &TimeZone::UTC)),
            ],
            Self::Certification(certification) => of_certification(certification),
        }
    }
}

fn of_roster(roster: &Roster) -> Vec<String> {
    let policy = roster.policy();
    let mut lines = vec![
        format!("roster version {} of {}", roster.version(), roster.operator()),
        format!("who must sign: {}", policy.quorum),
    ];
    for rule in &policy.rules {
        let authorities: Vec<_> = rule.authorities.iter().map(|it| it.as_str()).collect();
        lines.push(format!("for {} besides: {}", authorities.join(", "), rule.quorum));
    }
    if let Some(on_call) = &policy.emergency {
        let roles: Vec<_> = on_call.roles.iter().map(Role::as_str).collect();
        lines.push(format!(
            "an emergency begins with the signature of one of {}; the others sign within {} hours",
            roles.join(", "),
            on_call.second_within_hours
        ));
    }
    lines.push(format!("when a key is taken out, what it approved: {}", policy.revoked_key.as_str()));
    lines.push(format!("certification within {} days", policy.certify_within_days));
    lines.push(format!("alarm {} hours before an emergency's application is due", policy.application_warning_hours));
    lines.extend(policy.wide_prefixes.iter().map(|it| format!("wide prefix allowed: {}, {}", it.prefix, it.reason)));
    lines.extend(policy.wide_vlans.iter().map(|it| format!("wide VLAN allowed: {}.*, {}", it.outer.get(), it.reason)));
    let longer = policy.longer_windows.iter();
    lines.extend(longer.map(|it| format!("longer window allowed: {} {} days, {}", it.authority, it.days, it.reason)));
    for officer in roster.officers() {
        let roles: Vec<_> = officer.roles.iter().map(Role::as_str).collect();
        let keys: Vec<_> = officer.fingerprints().collect();
        lines.push(format!("officer {} ({}): {}", officer.name, roles.join(", "), keys.join(" ")));
    }
    lines.extend(roster.probes().iter().map(|probe| {
        let fingerprint = probe.key.fingerprint(ssh_key::HashAlg::Sha256);
        format!("probe {}: {fingerprint}", probe.id)
    }));
    lines.extend(roster.test_lines().iter().map(|line| {
        format!("test line {}: {}, used by {}, consent until {}", line.name, line.criteria, line.user, line.until)
    }));
    lines
}

fn of_certification(certification: &Certification) -> Vec<String> {
    let measured = certification.measured();
    let mut lines = vec![
        format!("certification of warrant {}, revision {}", certification.uuid(), certification.revision()),
        format!("digest of that revision: {}", certification.warrant()),
        format!("overseer, who signs: {}", certification.overseer()),
        format!("lines: {}", certification.lines().join("; ")),
        format!("presented by: {}; signed by: {}", certification.presented_by(), certification.signed_by()),
        format!("type: {}", certification.authority()),
        format!("enabled {}, began {}", measured.enabled, measured.began),
    ];
    lines.push(match measured.ended {
        Some(ended) => format!("ended {ended}"),
        None => "had not ended".to_owned(),
    });
    lines.push(match measured.clock_doubt_ms {
        Some(doubt) => format!("clock known to {doubt} ms"),
        None => "nobody knows how far the clock was off".to_owned(),
    });
    lines.push(format!("by {}, configuration {}", measured.software, measured.configuration));
    lines
}
