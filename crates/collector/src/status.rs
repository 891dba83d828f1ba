//! Counts of a collector while it runs and at its end: of its connections and of its cases in this run.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde::Serialize;

use crate::Stream;

/// Where the collector listens.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Endpoints {
    /// For identifying information, if there is any.
    pub cmii: Option<SocketAddr>,
    /// For content.
    pub cmc: SocketAddr,
}

/// What a collector did so far.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// When this was true.
    pub at: String,
    /// Where it listens.
    pub endpoints: Endpoints,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused: certificate, handshake, too many.
    pub refused: u64,
    /// Connections that were ended because of what they brought, or because it could not be filed.
    pub faults: u64,
    /// Endpoints of datagrams.
    pub datagrams: Vec<DatagramStatus>,
    /// Connections that are there now.
    pub connections: Vec<ConnectionStatus>,
    /// Sums over the cases, tests left out.
    pub totals: Counts,
    /// The cases that something arrived for in this run, by directory.
    pub cases: BTreeMap<String, Counts>,
}

/// One connection that is there now.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionStatus {
    /// Its number in this run.
    pub id: u64,
    /// Which endpoint it came to.
    pub stream: Stream,
    /// Where it came from.
    pub peer: SocketAddr,
    /// SHA-256 of the client's certificate; none over plain TCP.
    pub certificate_sha256: Option<String>,
    /// When it was accepted.
    pub began: String,
    /// Octets of the stream.
    pub bytes: u64,
    /// PDUs.
    pub pdus: u64,
}

/// An endpoint of datagrams.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DatagramStatus {
    /// Which one.
    pub stream: Stream,
    /// Datagrams that came.
    pub datagrams: u64,
    /// Their octets.
    pub bytes: u64,
    /// Of those, datagrams that are none of the format, or that could not be filed.
    pub unread: u64,
    /// Datagrams that the kernel threw away because the collector was too slow, as far as it has told.
    pub dropped: u64,
}

/// Counts of one case in this run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// CmII messages that arrived.
    pub cmii_arrived: u64,
    /// Of those, repeats after a reconnect, which are not filed again.
    pub cmii_repeats: u64,
    /// Of those, header reports that were filed.
    pub header_reports: u64,
    /// Content PDUs that arrived.
    pub cmc_arrived: u64,
    /// Packets that were filed.
    pub packets: u64,
    /// Octets of those.
    pub packet_bytes: u64,
    /// Packets that were filed already and came again.
    pub duplicates: u64,
    /// Packets that came after their successors.
    pub late: u64,
    /// Packets without a sequence number.
    pub unnumbered: u64,
    /// Numberings that began anew.
    pub restarts: u64,
    /// Numbers of content that are missing now, over all runs.
    pub missing: u64,
    /// Numbers of messages that are missing now, over all runs, where messages are numbered.
    pub cmii_missing: u64,
    /// PDUs that no key here opens, filed as they came.
    pub sealed: u64,
    /// What integrity checks were worth.
    pub checks: CheckCounts,
}

/// Integrity checks that arrived, by what they were worth.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CheckCounts {
    /// All that they were over was as it was sent.
    pub good: u64,
    /// Something was changed.
    pub bad: u64,
    /// Something that they were over did not arrive.
    pub missing: u64,
    /// Not checked: no key, or an algorithm that is not computed here.
    pub not_checked: u64,
}

impl Counts {
    /// Adds the counts of another case.
    pub fn add(&mut self, other: &Self) {
        self.cmii_arrived += other.cmii_arrived;
        self.cmii_repeats += other.cmii_repeats;
        self.header_reports += other.header_reports;
        self.cmc_arrived += other.cmc_arrived;
        self.packets += other.packets;
        self.packet_bytes += other.packet_bytes;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.unnumbered += other.unnumbered;
        self.restarts += other.restarts;
        self.missing = self.missing.saturating_add(other.missing);
        self.cmii_missing = self.cmii_missing.saturating_add(other.cmii_missing);
        self.sealed += other.sealed;
        self.checks.good += other.checks.good;
        self.checks.bad += other.checks.bad;
        self.checks.missing += other.checks.missing;
        self.checks.not_checked += other.checks.not_checked;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cmii_arrived, cmii_repeats, packets, packet_bytes, duplicates, late, missing, .. } = self;
        write!(
            f,
            "packets {packets} ({packet_bytes} bytes), missing {missing}, duplicates {duplicates}, late {late}; \
             messages {}, repeats {cmii_repeats}",
            cmii_arrived - cmii_repeats
        )?;
        if self.cmii_missing > 0 {
            write!(f, ", missing {}", self.cmii_missing)?;
        }
        if self.sealed > 0 {
            write!(f, "; sealed {}", self.sealed)?;
        }
        let CheckCounts { good, bad, missing, not_checked } = self.checks;
        if good + bad + missing + not_checked > 0 {
            write!(f, "; checks: good {good}, BAD {bad}, missing {missing}, not checked {not_checked}")?;
        }
        Ok(())
    }
}

/// One line.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, cases, refused, faults, totals, .. } = self;
        let (connections, cases) = (connections.len(), cases.len());
        write!(f, "connections {connections} (refused {refused}, faults {faults}), cases {cases}: {totals}")
    }
}
