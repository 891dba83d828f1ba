//! Identifying information, as each format has it: of packets their headers, of flows their sums, and what becomes of the
//! intercept itself.

use super::content::{Moment, Scratch};
use super::{EtsiTerms, Names};
use crate::etsi::{
    self, AccessEvent, AccessReport, AccessType, Address, Authentication, Hi1Change, Indications, IpVersion, Label,
    NameError, Octets, SummaryTrigger,
};
use crate::opencalea::{Ends, Tap};
use crate::t1_ias::{self, Assignment, Event, Flow, OptionalModule, Reason, SessionId, Status, Surveillance};
use crate::x2x3::{self, Task};
use crate::{NoRoom, UtcMicros, files};
use std::net::IpAddr;

/// What a headers-only order sees of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// Who sent it to whom.
    pub flow: &'a Flow,
    /// From the IP header to the end of the transport header; for a format that [has them](Information::tells_octets).
    pub octets: &'a [u8],
    /// Octets of the packet whole.
    pub packet_length: usize,
}

/// What was counted of a flow since it was told of last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Packets, at least one.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// When the first of them was seen.
    pub first: UtcMicros,
    /// When the last of them was seen.
    pub last: UtcMicros,
    /// Why it is told.
    pub trigger: SummaryTrigger,
}

/// A target of an intercept, as agencies know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The address that it has.
    pub assignment: Assignment,
}

/// What is told of an intercept itself.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// Interception of a target has begun, and its session was there.
    Established {
        /// The target.
        session: &'a Session,
        /// Whether others of the same intercept were told of before.
        is_further: bool,
    },
    /// Interception of a target has ended, and its session goes on.
    Ended {
        /// The target.
        session: &'a Session,
        /// Whether others of the same intercept go on.
        is_partial: bool,
        /// Why.
        reason: &'a Reason,
    },
    /// The intercept as a whole began, changed, ended.
    Changed {
        /// Which of it.
        change: Hi1Change,
        /// The revision of its terms.
        revision: u32,
    },
}

/// What writes the identifying information of one intercept.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Format")]
pub enum Information {
    T1Ias {
        intercept: Box<t1_ias::Intercept>,
        /// How its content comes, where the agency could not know.
        content: Option<t1_ias::Delivery>,
        /// The optional module, where the agency has it.
        optional_module: Option<OptionalModule>,
    },
    Etsi(Box<EtsiInformation>),
    X2(Task),
    Opencalea(Tap),
    Files(Box<files::Intercept>),
}

/// An intercept's IRI.
#[derive(Clone, Debug)]
pub struct EtsiInformation {
    intercept: etsi::Intercept,
    subscriber: Label,
    access_type: AccessType,
    hi1: bool,
}

/// Octets that a report needs beside the headers, in any format.
const REPORT_ROOM: usize = 1024;

impl Information {
    pub(super) fn etsi(intercept: etsi::Intercept, terms: &EtsiTerms, names: &Names<'_>) -> Self {
        let (subscriber, access_type, hi1) = (Label::from(names.subscriber), terms.access_type, terms.hi1);
        Self::Etsi(Box::new(EtsiInformation { intercept, subscriber, access_type, hi1 }))
    }

    /// Octets of the buffer that a report of headers of `length` octets needs.
    #[inline]
    pub fn report_bound(&self, length: usize) -> usize {
        match self {
            Self::T1Ias { intercept, .. } => intercept.header_report_bound(),
            Self::Etsi(it) => it.intercept.header_report_bound(length),
            Self::X2(task) => task.overhead() + length,
            Self::Opencalea(_) => REPORT_ROOM,
            Self::Files(it) => it.line_bound(),
        }
    }

    /// Whether a report has the headers themselves in it.
    pub fn tells_octets(&self) -> bool {
        matches!(self, Self::Etsi(_) | Self::X2(_))
    }

    /// Whether reports are numbered.
    pub fn numbers_reports(&self) -> bool {
        matches!(self, Self::Etsi(_) | Self::X2(_) | Self::Files(_))
    }

    /// Writes what is told of one packet to the front of `out` and says how long it is. What the format has no room for is
    /// [`NoRoom`]: OpenCALEA knows no IPv6.
    #[inline]
    pub fn report(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        headers: &Headers<'_>,
    ) -> Result<usize, NoRoom> {
        let Moment { time, direction, sequence, .. } = *moment;
        let Headers { flow, octets, packet_length } = *headers;
        match self {
            Self::T1Ias { intercept, .. } => {
                let stamp = scratch.stamper.stamp(time);
                intercept.header_report_from(out, stamp, scratch.header_sets.of(flow)?)
            }
            Self::Etsi(it) => it.intercept.header_report(out, time, direction.into(), sequence as u32, octets),
            Self::X2(task) => {
                let format = if moment.is_ipv6 { x2x3::Format::IPV6 } else { x2x3::Format::IPV4 };
                task.event(out, time, direction.into(), sequence, flow, format, octets)
            }
            Self::Opencalea(tap) => tap.cmii(out, time, 0, &ends(flow).ok_or(NoRoom)?),
            Self::Files(it) => it.header_report(out, time, direction, sequence, flow, packet_length),
        }
    }

    /// Octets of the buffer that a summary needs.
    pub fn summary_bound(&self) -> usize {
        REPORT_ROOM
    }

    /// Writes what was counted of a flow to the front of `out` and says how long it is. `sequence` is as of a report.
    /// [`NoRoom`] where the format [has no summaries](super::Format::has_summaries).
    pub fn summary(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        flow: &Flow,
        count: &Count,
    ) -> Result<usize, NoRoom> {
        match self {
            Self::T1Ias { intercept, .. } => {
                let stamp = scratch.stamper.stamp(moment.time);
                intercept.summary_report(out, stamp, &t1_ias::Summary { flow: *flow, packets: count.packets })
            }
            Self::Etsi(it) => {
                let direction = moment.direction.into();
                let (header, indications) = common_header(flow);
                let summary = etsi::Summary {
                    header: Octets(header),
                    indications,
                    trigger: count.trigger,
                    packets: Some(count.packets),
                    octets: Some(count.octets),
                    first: Some(count.first),
                    last: Some(count.last),
                };
                let pdu = it.intercept.summary(moment.time, direction, moment.sequence as u32, &summary);
                out.get_mut(..pdu.len()).ok_or(NoRoom)?.copy_from_slice(&pdu);
                Ok(pdu.len())
            }
            Self::Files(it) => {
                let Count { packets, octets, first, last, trigger } = *count;
                let summary = files::Summary { flow: *flow, packets, octets, first, last, cause: cause(trigger) };
                it.summary(out, moment.sequence, &summary)
            }
            Self::X2(_) | Self::Opencalea(_) => Err(NoRoom),
        }
    }

    /// Whether [`tell`](Self::tell) numbers this in the series of reports.
    pub fn numbers(&self, news: &News<'_>) -> bool {
        matches!((self, news), (Self::Etsi(_) | Self::Files(_), News::Established { .. } | News::Ended { .. }))
    }

    /// The PDU that tells of something, if the format has one for it. `sequence` counts where [`numbers`](Self::numbers) says
    /// so.
    ///
    /// # Errors
    /// When a text does not fit the format.
    pub fn tell(&self, time: UtcMicros, sequence: u64, news: &News<'_>) -> Result<Option<Vec<u8>>, NameError> {
        match self {
            Self::T1Ias { intercept, content, optional_module } => Ok(match *news {
                News::Changed { change, revision } => {
                    let module = optional_module.as_ref();
                    module.and_then(|module| surveillance(intercept, module, time, change, revision))
                }
                _ => told_t1_ias(intercept, content.as_ref(), time, news),
            }),
            Self::Etsi(it) => it.tell(time, sequence as u32, news),
            Self::Files(it) => Ok(told_files(it, time, sequence, news)),
            Self::X2(_) | Self::Opencalea(_) => Ok(None),
        }
    }
}

/// What became of a surveillance, in the optional module.
fn surveillance(
    intercept: &t1_ias::Intercept,
    module: &OptionalModule,
    time: UtcMicros,
    change: Hi1Change,
    revision: u32,
) -> Option<Vec<u8>> {
    let (surveillance, word) = match change {
        Hi1Change::Activated => (Surveillance::Activation, "activated"),
        Hi1Change::Modified => (Surveillance::Change, "changed"),
        Hi1Change::Deactivated => (Surveillance::DeActivation, "deactivated"),
    };
    // Letters and digits, so it fits.
    let status = Status::new(format!("{word}, revision {revision} of the order")).ok()?;
    Some(intercept.surveillance(module, time, surveillance, &status))
}

fn told_t1_ias(
    intercept: &t1_ias::Intercept,
    content: Option<&t1_ias::Delivery>,
    time: UtcMicros,
    news: &News<'_>,
) -> Option<Vec<u8>> {
    let event = match news {
        News::Established { session, .. } => Event::SessionAlreadyEstablished(t1_ias::Session {
            session: session.id.clone(),
            access_session: None,
            assignment: session.assignment,
            characteristics: None,
            location: None,
            delivery: content.cloned(),
        }),
        News::Ended { session, reason, .. } => Event::SessionEnd {
            access_session: None,
            session: session.id.clone(),
            assignment: session.assignment,
            reason: Some((*reason).clone()),
        },
        News::Changed { .. } => return None,
    };
    Some(intercept.report(time, &event))
}

fn told_files(it: &files::Intercept, time: UtcMicros, sequence: u64, news: &News<'_>) -> Option<Vec<u8>> {
    let (session, event) = match news {
        News::Established { session, .. } => (session, files::Event::SessionAlreadyEstablished),
        News::Ended { session, reason, .. } => (session, files::Event::SessionEnd(reason)),
        News::Changed { .. } => return None,
    };
    Some(it.event(time, sequence, &session.id, session.assignment, event))
}

/// Why a flow is told of, in a word.
const fn cause(trigger: SummaryTrigger) -> &'static str {
    match trigger {
        SummaryTrigger::FlowStart => "start",
        SummaryTrigger::FlowEnd => "end",
        SummaryTrigger::FlowTimeout => "silence",
        SummaryTrigger::FlowTimerExpiration | SummaryTrigger::SessionTimerExpiration => "period",
        SummaryTrigger::FlowPacketCount | SummaryTrigger::SessionPacketCount => "packets",
        SummaryTrigger::FlowByteCount | SummaryTrigger::SessionByteCount => "octets",
        SummaryTrigger::ReportEnd => "interception ends",
    }
}

impl EtsiInformation {
    fn tell(&self, time: UtcMicros, sequence: u32, news: &News<'_>) -> Result<Option<Vec<u8>>, NameError> {
        use AccessEvent::{EndOfInterceptionWithSessionActive, InterimUpdate, StartOfInterceptionWithSessionActive};
        let (session, event) = match news {
            // All targets of an intercept are one communication: it begins with the first and ends with the last.
            News::Established { session, is_further: false } => (session, StartOfInterceptionWithSessionActive),
            News::Ended { session, is_partial: false, .. } => (session, EndOfInterceptionWithSessionActive),
            News::Established { session, .. } | News::Ended { session, .. } => (session, InterimUpdate),
            News::Changed { change, revision } => {
                // A series of its own, which goes on over restarts: two numbers for each revision of the terms.
                let sequence = revision.wrapping_mul(2) + u32::from(*change == Hi1Change::Deactivated);
                let told = self.hi1.then(|| self.intercept.hi1(time, sequence, *change, Some(&self.subscriber)));
                return told.transpose();
            }
        };
        let address = session.assignment.address;
        let version = match (address.is_unspecified(), address) {
            (true, _) => IpVersion::Both,
            (false, IpAddr::V4(_)) => IpVersion::V4,
            (false, IpAddr::V6(_)) => IpVersion::V6,
        };
        let report = AccessReport {
            address: (!address.is_unspecified()).then_some(Address {
                address,
                prefix_length: session.assignment.prefix_length,
                assignment: Some(etsi::Assignment::Static),
                translated: None,
            }),
            authentication: Some(Authentication::Static),
            end: matches!(news, News::Ended { .. }).then_some(time),
            ..AccessReport::new(event, self.subscriber.clone(), self.access_type, version)
        };
        self.intercept.access(time, sequence, &report).map(Some)
    }
}

fn ends(flow: &Flow) -> Option<Ends> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (flow.source, flow.destination) else { return None };
    let (source_port, destination_port) = flow.ports.unwrap_or_default();
    Some(Ends { source, destination, source_port, destination_port })
}

/// The headers that all packets of a flow have in common, and zeros in place of what they do not: a summary is of no packet
/// in particular.
fn common_header(flow: &Flow) -> (Vec<u8>, Indications) {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let (mut header, mut zeroed) = match (flow.source, flow.destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let label = flow.flow_label.map_or(0, |label| label.get());
            let mut header = (0x6000_0000 | label).to_be_bytes().to_vec();
            // The hop limit has no indication of its own.
            header.extend([0, 0, flow.protocol, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            (header, Indications::IPV6_PAYLOAD_LENGTH | Indications::IPV6_EXTENSION_HEADERS)
        }
        (source, destination) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 0, flow.protocol, 0, 0];
            for address in [source, destination] {
                if let IpAddr::V4(address) = address {
                    header.extend(address.octets());
                }
            }
            let zeroed = Indications::IPV4_TOTAL_LENGTH
                | Indications::IPV4_FLAGS
                | Indications::IPV4_TIME_TO_LIVE
                | Indications::IPV4_HEADER_CHECKSUM;
            (header, zeroed)
        }
    };
    let Some((source, destination)) = flow.ports else { return (header, zeroed) };
    header.extend([source, destination].map(u16::to_be_bytes).as_flattened());
    match flow.protocol {
        TCP => {
            // Sequence number, acknowledgement, offset of 5 words, flags, window, checksum, urgent pointer.
            header.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
            zeroed = zeroed
                | Indications::TCP_SEQUENCE_NUMBER
                | Indications::TCP_ACKNOWLEDGEMENT_NUMBER
                | Indications::TCP_FLAGS
                | Indications::TCP_WINDOW_SIZE
                | Indications::TCP_CHECKSUM;
        }
        UDP => {
            header.extend([0; 4]);
            zeroed = zeroed | Indications::UDP_LENGTH | Indications::UDP_CHECKSUM;
        }
        _ => {}
    }
    (header, zeroed)
}
