//! The warrant: the document that carries one order to one probe. Read from TOML as an officer wrote it, validated
//! whole; kept together with its exact bytes, because these are what is signed.

use crate::calendar;
use crate::digest::Digest;
use crate::document::{self, Section, Wrong};
use crate::error::{DocumentError, Fault};
use crate::grant::{Authority, Directions, Grant, GrantError, Scope};
use crate::heading::Heading;
use crate::order::Order;
use crate::overlap::overlapping;
use crate::target::{Criteria, Target};
use crate::window::{Window, WindowError};
use jiff::tz::TimeZone;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A warrant that is sound in itself. Whether it may take effect, [`judge`](crate::judge) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    file: PathBuf,
    bytes: Arc<[u8]>,
    digest: Digest,
    uuid: Uuid,
    revision: u32,
    previous: Option<Digest>,
    heading: Heading,
    compartment: Compartment,
    order: Order,
    grant: Grant,
    targets: Vec<Target>,
    window: Window,
    calendar: TimeZone,
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
    pub content_identifier: Option<ContentIdentifier>,
    /// Which streams go there.
    pub streams: Streams,
}

impl Delivery {
    /// What content is called on its way.
    pub fn content_name(&self) -> &str {
        self.content_identifier.as_ref().map_or(self.case_id.as_str(), ContentIdentifier::as_str)
    }
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
    /// Characters at most: T1.IAS' caseId and ETSI's LIID.
    const LONGEST: usize = 25;

    /// `None` if `text` is no such identifier.
    pub fn new(text: &str) -> Option<Self> {
        is_identifier(text, Self::LONGEST).then(|| Self(text.to_owned()))
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

/// An identifier of content as the handover carries it: 1 to 36 characters of printable ASCII without spaces around. Which of
/// them a destination takes is its format's matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentIdentifier(String);

impl ContentIdentifier {
    /// Characters at most: a UUID, which is what X1 names a task by.
    const LONGEST: usize = 36;

    /// `None` if `text` is no such identifier.
    pub fn new(text: &str) -> Option<Self> {
        is_identifier(text, Self::LONGEST).then(|| Self(text.to_owned()))
    }

    /// The identifier as it goes out.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_identifier(text: &str, longest: usize) -> bool {
    let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    (1..=longest).contains(&text.len()) && visible && text.trim() == text
}

/// Whether an identifier is that of a test.
fn is_of_test(id: &str) -> bool {
    id.starts_with("TEST-")
}

/// Among whom of the operator's people a case is known: a name that the configuration of access gives a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Compartment(String);

impl Compartment {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where nothing is written.
impl Default for Compartment {
    fn default() -> Self {
        Self("general".to_owned())
    }
}

impl fmt::Display for Compartment {
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

    /// Digest of the revision before; there unless this is the first.
    pub fn previous(&self) -> Option<Digest> {
        self.previous
    }

    /// Which probe it is for, until when it may be signed, and the audit head that its author saw.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The operator it is addressed to.
    pub fn operator(&self) -> &str {
        &self.heading.operator
    }

    /// The probe it is addressed to.
    pub fn probe(&self) -> &str {
        &self.heading.probe
    }

    /// Among whom of the operator's people the case is known.
    pub fn compartment(&self) -> &Compartment {
        &self.compartment
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

    /// The calendar in which its days are counted and its moments shown: the zone of the window, or the offset of its
    /// start.
    pub fn calendar(&self) -> &TimeZone {
        &self.calendar
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
    previous: Option<Digest>,
    heading: Heading,
    compartment: Compartment,
    order: Order,
    grant: Grant,
    targets: Vec<Target>,
    window: Window,
    calendar: TimeZone,
    deliveries: Vec<Delivery>,
}

impl Parts {
    fn read(root: &mut Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let uuid = root.parsed("uuid", "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11", faults, document::uuid);
        let revision = root.count("revision", 1, faults);
        let previous = (root.has("previous") || revision.is_some_and(|revision| revision > 1)).then(|| {
            let remedy = "run sha256sum on the revision before";
            root.parsed("previous", "64 hexadecimal digits", faults, |text| document::digest(text, remedy))
        });
        if revision == Some(1) && previous.is_some() {
            let remedy = "remove it, or write the revision's number";
            faults.push(Fault::new("previous", "there is none before revision 1", remedy));
        }
        let heading = Heading::read(root, faults);
        let compartment = match root.has("compartment") {
            true => root.parsed("compartment", "gang-crime", faults, |text| document::name(text).map(Compartment)),
            false => Some(Compartment::default()),
        };
        let authority = root.parsed("authority", "title-iii", faults, document::authority);
        let scope = root.parsed("scope", "content", faults, |text| document::word(text, Scope::ALL, Scope::as_str));
        let directions =
            root.parsed("directions", "both", faults, |it| document::word(it, Directions::ALL, Directions::as_str));
        let order = root.section("order", faults).and_then(|section| Order::read(section, authority, faults));
        let grant = match (authority, scope, directions) {
            (Some(authority), Some(scope), Some(directions)) => grant(authority, scope, directions, faults),
            _ => None,
        };
        let targets = read_targets(root, directions, faults);
        let window = root.section("window", faults).and_then(|section| read_window(section, faults));
        let (window, calendar) = window.map_or((None, TimeZone::UTC), |(window, calendar)| (Some(window), calendar));
        let deliveries = read_deliveries(root, scope, faults);
        mark_tests(authority, &deliveries, faults);
        Some(Self {
            uuid: uuid?,
            revision: revision?,
            previous: previous.flatten(),
            heading: heading?,
            compartment: compartment?,
            order: order?,
            grant: grant?,
            targets,
            window: window?,
            calendar,
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
            previous: self.previous,
            heading: self.heading,
            compartment: self.compartment,
            order: self.order,
            grant: self.grant,
            targets: self.targets,
            window: self.window,
            calendar: self.calendar,
            deliveries: self.deliveries,
        }
    }
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

/// The window, and the calendar it is written in.
fn read_window(mut section: Section, faults: &mut Vec<Fault>) -> Option<(Window, TimeZone)> {
    let before = faults.len();
    let zone = match section.has("zone") {
        true => section.parsed("zone", "America/New_York", faults, calendar::zone),
        false => None,
    };
    // A faulty zone has been named; a moment without offset would only be named for want of it.
    let faulty_zone = faults.len() > before;
    let zone = if faulty_zone { Some(TimeZone::UTC) } else { zone };
    let example = "2026-11-20T09:00:00-05:00";
    let start = section.parsed("start", example, faults, |text| calendar::moment_in(text, zone.as_ref()));
    let stop = match (section.has("days"), section.has("stop")) {
        (true, false) => read_days(&mut section, start.as_ref(), faults),
        (true, true) => {
            let _ = section.count("days", 30, faults);
            let _ = section.parsed("stop", example, faults, |text| calendar::moment_in(text, zone.as_ref()));
            let problem = "stop is written as well, and the two could disagree";
            faults.push(Fault::new(section.path("days"), problem, "write stop or days, not both"));
            None
        }
        (false, _) => {
            let example = "2026-12-20T09:00:00-05:00\" or days = 30, not \"";
            let example = if section.has("stop") { "2026-12-20T09:00:00-05:00" } else { example };
            section.parsed("stop", example, faults, |text| calendar::moment_in(text, zone.as_ref())).map(|(it, _)| it)
        }
    };
    let path = section.path("stop");
    section.finish(faults);
    let ((start, calendar), stop) = (start?, stop?);
    if faulty_zone {
        return None;
    }
    let window = Window::new(start, stop).inspect_err(|error| {
        let remedy = match error {
            WindowError::Empty => "write a stop after the start",
            WindowError::OutOfRange => "correct the year",
        };
        faults.push(Fault::new(path, error.to_string(), remedy));
    });
    Some((window.ok()?, calendar))
}

/// The stop so many calendar days after the start.
fn read_days(
    section: &mut Section,
    start: Option<&(jiff::Timestamp, TimeZone)>,
    faults: &mut Vec<Fault>,
) -> Option<jiff::Timestamp> {
    let days = section.count("days", 30, faults)?;
    let (start, calendar) = start?;
    calendar::days_later(*start, days, calendar)
        .inspect_err(|wrong| {
            let remedy = format!("write stop instead of days: {}", wrong.remedy);
            faults.push(Fault::new(section.path("days"), wrong.problem.clone(), remedy));
        })
        .ok()
}

/// The case ids of tests are marked as such, so that no record of a test is ever taken for a case.
fn mark_tests(authority: Option<Authority>, deliveries: &[Delivery], faults: &mut Vec<Fault>) {
    let Some(authority) = authority else { return };
    for (i, delivery) in deliveries.iter().enumerate() {
        let content = delivery.content_identifier.as_ref().map(ContentIdentifier::as_str);
        for (field, id) in [("case_id", Some(delivery.case_id.as_str())), ("content_identifier", content)] {
            let Some(id) = id else { continue };
            let (problem, remedy) = match (authority.is_test(), is_of_test(id)) {
                (true, false) => ("a test's identifiers begin with TEST-", "write it as \"TEST-0001\""),
                (false, true) => ("TEST- marks tests, and this is none", "write the identifier that the agency gave"),
                _ => continue,
            };
            faults.push(Fault::new(format!("delivery[{}].{field}", i + 1), problem, remedy));
        }
    }
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
    const REMEDY: &str = "write the identifier that the agency gave";
    let case_id =
        |text: &str| CaseId::new(text).ok_or_else(|| Wrong::new("not 1 to 25 printable ASCII characters", REMEDY));
    let content = |text: &str| {
        ContentIdentifier::new(text).ok_or_else(|| Wrong::new("not 1 to 36 printable ASCII characters", REMEDY))
    };
    let destination = section.text("destination", "fbi-lab", faults);
    let id = section.parsed("case_id", "FBI-2026-0117", faults, case_id);
    let content_identifier = section
        .has("content_identifier")
        .then(|| section.parsed("content_identifier", "FBI-2026-0117-C", faults, content))
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
