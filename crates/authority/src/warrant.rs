//! The warrant: the document that carries one order to one probe. Read from TOML as an officer wrote it, validated
//! whole; kept together with its exact bytes, because these are what is signed.

use crate::digest::Digest;
use crate::document::{self, Section, Wrong};
use crate::error::{DocumentError, Fault};
use crate::grant::{Authority, Directions, Grant, GrantError, Scope};
use crate::order::Order;
use crate::overlap::overlapping;
use crate::target::{Criteria, Target};
use crate::window::{Window, WindowError};
use jiff::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A warrant that is sound in itself. Whether it may take effect, [`approve`](crate::approve) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    file: PathBuf,
    bytes: Arc<[u8]>,
    digest: Digest,
    uuid: Uuid,
    revision: u32,
    operator: String,
    probe: String,
    order: Order,
    grant: Grant,
    targets: Vec<Target>,
    window: Window,
    deliveries: Vec<Delivery>,
}

/// Where a copy goes, and under which identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Name of a destination in the probe's configuration.
    pub destination: String,
    /// The agency's identifier of the case.
    pub case_id: CaseId,
    /// The agency's identifier of the content stream; the case id serves where it gave none.
    pub content_identifier: Option<CaseId>,
    /// Which streams go there.
    pub streams: Streams,
}

/// Which streams a delivery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Streams {
    /// Identifying information only.
    Cmii,
    /// Content only.
    Cmc,
    /// Both.
    Both,
}

impl Streams {
    /// Whether identifying information goes there.
    pub fn cmii(self) -> bool {
        matches!(self, Self::Cmii | Self::Both)
    }

    /// Whether content goes there.
    pub fn cmc(self) -> bool {
        matches!(self, Self::Cmc | Self::Both)
    }
}

/// An identifier of a case as the handover carries it: 1 to 25 characters of printable ASCII without spaces around.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaseId(String);

impl CaseId {
    /// `None` if `text` is no such identifier.
    pub fn new(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        ((1..=25).contains(&text.len()) && visible && text.trim() == text).then(|| Self(text.to_owned()))
    }

    /// The identifier as it goes out.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Warrant {
    /// Reads a warrant and validates it whole. The error names every fault found, not only the first.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let mut root = document::read(bytes, file)?;
        let mut faults = Vec::new();
        let parts = Parts::read(&mut root, &mut faults);
        root.finish(&mut faults);
        match parts {
            Some(parts) if faults.is_empty() => Ok(parts.into_warrant(bytes, file)),
            _ => Err(DocumentError::new(file, faults)),
        }
    }

    /// The file it came in as, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The document's exact bytes: what is signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of [`Warrant::bytes`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Names the warrant for good; never used again for another.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Counts the versions of this warrant, from 1.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// The operator it is addressed to.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The probe it is addressed to.
    pub fn probe(&self) -> &str {
        &self.probe
    }

    /// The order as received.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Authority and scope.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// The targets, at least one. No packet is meant by the address, the MAC address or the VLAN of two.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// When.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Where to, at least one.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }
}

/// The fields of a warrant while it is read.
struct Parts {
    uuid: Uuid,
    revision: u32,
    operator: String,
    probe: String,
    order: Order,
    grant: Grant,
    targets: Vec<Target>,
    window: Window,
    deliveries: Vec<Delivery>,
}

impl Parts {
    fn read(root: &mut Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let uuid = root.parsed("uuid", "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11", faults, |text| {
            let remedy = "write a new UUID, as uuidgen prints it";
            let uuid = Uuid::try_parse(text).map_err(|_| Wrong::new("not a UUID", remedy))?;
            // One spelling only, so that nobody reads two warrants where there is one; and never the nil UUID.
            if uuid.is_nil() || uuid.hyphenated().to_string() != text {
                return Err(Wrong::new("not a UUID in lower case with hyphens", remedy));
            }
            Ok(uuid)
        });
        let revision = root.count("revision", 1, faults);
        let operator = root.text("operator", "ExampleNet", faults);
        let probe = root.text("probe", "pop3-probe1", faults);
        let authority = root.parsed("authority", "title-iii", faults, authority);
        let scope = root.parsed("scope", "content", faults, |text| word(text, Scope::ALL, Scope::as_str));
        let directions =
            root.parsed("directions", "both", faults, |text| word(text, Directions::ALL, Directions::as_str));
        let order = root.section("order", faults).and_then(|section| Order::read(section, authority, faults));
        let grant = match (authority, scope, directions) {
            (Some(authority), Some(scope), Some(directions)) => grant(authority, scope, directions, faults),
            _ => None,
        };
        let targets = read_targets(root, directions, faults);
        let window = root.section("window", faults).and_then(|section| read_window(section, faults));
        let deliveries = read_deliveries(root, scope, faults);
        Some(Self {
            uuid: uuid?,
            revision: revision?,
            operator: operator?,
            probe: probe?,
            order: order?,
            grant: grant?,
            targets,
            window: window?,
            deliveries,
        })
    }

    fn into_warrant(self, bytes: &[u8], file: &Path) -> Warrant {
        Warrant {
            file: file.to_owned(),
            bytes: bytes.into(),
            digest: Digest::of(bytes),
            uuid: self.uuid,
            revision: self.revision,
            operator: self.operator,
            probe: self.probe,
            order: self.order,
            grant: self.grant,
            targets: self.targets,
            window: self.window,
            deliveries: self.deliveries,
        }
    }
}

/// One of a list of words.
fn word<T: Copy>(text: &str, all: &[T], as_str: fn(T) -> &'static str) -> Result<T, Wrong> {
    all.iter().copied().find(|value| as_str(*value) == text).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|value| format!("\"{}\"", as_str(*value))).collect();
        Wrong::new("not one of the words that mean something here", format!("write one of {}", words.join(", ")))
    })
}

/// The word for an authority.
pub(crate) fn authority(text: &str) -> Result<Authority, Wrong> {
    word(text, Authority::ALL, Authority::as_str)
}

fn grant(authority: Authority, scope: Scope, directions: Directions, faults: &mut Vec<Fault>) -> Option<Grant> {
    Grant::new(authority, scope, directions)
        .inspect_err(|error| {
            let (field, remedy) = match error {
                GrantError::Content(_) => {
                    ("scope", "write scope = \"headers\", or name the authority of the order".to_owned())
                }
                GrantError::Directions(_, right) => ("directions", format!("write directions = \"{right}\"")),
            };
            faults.push(Fault::new(field, error.to_string(), remedy));
        })
        .ok()
}

fn read_targets(root: &mut Section, directions: Option<Directions>, faults: &mut Vec<Fault>) -> Vec<Target> {
    let sections = root.sections("target", faults);
    let targets: Vec<_> = sections.into_iter().map(|section| Target::read(section, faults)).collect();
    let read = || targets.iter().enumerate().filter_map(|(i, target)| Some((i, target.as_ref()?)));
    let overlapping = overlapping(read());
    for (i, target) in read() {
        let field = format!("target[{}].{}", i + 1, target.criteria.field());
        if overlapping.contains(&i) {
            let remedy = "name each address, MAC address and VLAN once";
            faults.push(Fault::new(field.clone(), "overlaps with another target of this warrant", remedy));
        }
        if matches!(target.criteria, Criteria::Vlan { .. }) && directions.is_some_and(|it| it != Directions::Both) {
            let problem = "a VLAN does not say who sends, and the warrant is for one direction";
            faults.push(Fault::new(field, problem, "add the address or the mac of the subscriber"));
        }
    }
    targets.into_iter().flatten().collect()
}

fn read_window(mut section: Section, faults: &mut Vec<Fault>) -> Option<Window> {
    let start = section.parsed("start", "2026-11-20T09:00:00-05:00", faults, moment);
    let stop = section.parsed("stop", "2026-12-20T09:00:00-05:00", faults, moment);
    let path = section.path("stop");
    section.finish(faults);
    Window::new(start?, stop?)
        .inspect_err(|error| {
            let remedy = match error {
                WindowError::Empty => "write a stop after the start",
                WindowError::OutOfRange => "correct the year",
            };
            faults.push(Fault::new(path, error.to_string(), remedy));
        })
        .ok()
}

/// A point in time with its offset to UTC.
fn moment(text: &str) -> Result<Timestamp, Wrong> {
    let example = "such as \"2026-11-20T09:00:00-05:00\"";
    if text.contains('[') {
        // The zone would have to agree with the offset, and could come to mean something else with new zone data.
        return Err(Wrong::new("names a time zone", format!("give only the offset to UTC, {example}")));
    }
    text.parse().map_err(|_| {
        if text.parse::<jiff::civil::DateTime>().is_ok() {
            Wrong::new("no offset to UTC, so no certain moment", format!("add the offset, {example}"))
        } else {
            Wrong::new("not a date and time", format!("write it as RFC 3339, {example}"))
        }
    })
}

fn read_deliveries(root: &mut Section, scope: Option<Scope>, faults: &mut Vec<Fault>) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    for (i, section) in root.sections("delivery", faults).into_iter().enumerate() {
        let Some(delivery) = read_delivery(section, scope, faults) else { continue };
        if deliveries.iter().any(|other| {
            other.destination == delivery.destination
                && (other.streams.cmii() && delivery.streams.cmii() || other.streams.cmc() && delivery.streams.cmc())
        }) {
            let problem = "this destination has the same stream of this warrant already";
            let remedy = "remove it: a destination gets a stream once";
            faults.push(Fault::new(format!("delivery[{}].destination", i + 1), problem, remedy));
        }
        deliveries.push(delivery);
    }
    if !deliveries.is_empty() && scope == Some(Scope::Content) && !deliveries.iter().any(|it| it.streams.cmc()) {
        let problem = "no delivery takes the content that the scope asks for";
        faults.push(Fault::new("delivery", problem, "add \"cmc\" to the streams of one, or write scope = \"headers\""));
    }
    deliveries
}

fn read_delivery(mut section: Section, scope: Option<Scope>, faults: &mut Vec<Fault>) -> Option<Delivery> {
    let case_id = |text: &str| {
        CaseId::new(text).ok_or_else(|| {
            Wrong::new("not 1 to 25 printable ASCII characters", "write the identifier that the agency gave")
        })
    };
    let destination = section.text("destination", "fbi-lab", faults);
    let id = section.parsed("case_id", "FBI-2026-0117", faults, case_id);
    let content_identifier = section
        .has("content_identifier")
        .then(|| section.parsed("content_identifier", "FBI-2026-0117-C", faults, case_id))
        .flatten();
    let streams = read_streams(&mut section, scope, faults);
    section.finish(faults);
    Some(Delivery { destination: destination?, case_id: id?, content_identifier, streams: streams? })
}

fn read_streams(section: &mut Section, scope: Option<Scope>, faults: &mut Vec<Fault>) -> Option<Streams> {
    let example = match scope {
        Some(Scope::Headers) => "[\"cmii\"]",
        _ => "[\"cmii\", \"cmc\"]",
    };
    let words = section.texts("streams", example, faults)?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let streams = match words[..] {
        ["cmii"] => Streams::Cmii,
        ["cmc"] => Streams::Cmc,
        ["cmii", "cmc"] | ["cmc", "cmii"] => Streams::Both,
        _ => {
            let problem = "not a list of \"cmii\" and \"cmc\", each at most once";
            faults.push(Fault::new(section.path("streams"), problem, format!("write streams = {example}")));
            return None;
        }
    };
    if scope == Some(Scope::Headers) && streams.cmc() {
        let problem = "a warrant of headers has no content stream (cmc)";
        faults.push(Fault::new(section.path("streams"), problem, "write streams = [\"cmii\"]"));
    }
    Some(streams)
}
