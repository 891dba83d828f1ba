//! The PDUs that are written for every packet, straight into the caller's buffer: no allocation, no second copy.
//!
//! All lengths are known before the first octet is written, so each octet is written once, in its place. The types
//! of [`asn1`](super::asn1) define what it has to look like; property tests hold the two equal octet for octet.

use super::front::{Front, UsualHeader};
use super::intercept::{Intercept, Member, Packet};
use super::names::Edition;
use super::terms::{Direction, TimeQualifier};
use crate::UtcMicros;
use crate::ber::{Header, NoRoom, Prepared, ROOM, Unsigned, Writer};

// Identifier octets (X.690, 8.1.2): universal SEQUENCE, context tags primitive and constructed.
const SEQUENCE: u8 = 0x30;
const fn primitive(tag: u8) -> u8 {
    0x80 | tag
}
const fn constructed(tag: u8) -> u8 {
    0xa0 | tag
}

/// An ENUMERATED of fewer than 128 values whole, and its octets.
const fn enumerated(tag: u8, value: u8) -> u64 {
    u32::from_le_bytes([primitive(tag), 1, value, 0]) as u64
}
const ENUMERATED_OCTETS: usize = 3;

/// An object identifier of a part of IPAccessPDU whole, \[0\].
const OBJECT_OCTETS: usize = 6;

/// What does not change from PDU to PDU, encoded before.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    /// Members \[0\] to \[3\] of PSHeader.
    head: Prepared,
    /// Member \[6\] of PSHeader, or nothing.
    point: Prepared,
    /// iPCCObjId \[0\].
    content_object: u64,
    /// iPIRIPacketReportObjId \[0\].
    report_object: u64,
}

/// What stands before the packet of most PDUs of an intercept.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    header: UsualHeader,
    content: [Front; Self::FRONTS],
    report: [Front; Self::FRONTS],
}

impl Usual {
    /// For packets of up to 106 octets, of 128 to 228, and of 256 and more; among the short ones the PDU's own length may
    /// get wider.
    const FRONTS: usize = 5;
    /// A time of the usual widths.
    const TIME: UtcMicros = UtcMicros::from_unix_nanos(1_700_000_000_500_000_000);

    /// None where every PDU has to be written header by header.
    pub(super) fn new(templates: &Templates) -> Option<Self> {
        Some(Self {
            header: UsualHeader::new(templates.head.octets(), templates.point.octets())?,
            content: Front::learn(|length, number, direction| {
                let cc = CcPayload::new(length, None, 0);
                templates.sample(number, |out, header| templates.before_packet(out, header, direction, cc))
            }),
            report: Front::learn(|length, number, _| {
                templates.sample(number, |out, header| templates.before_headers(out, header, length))
            }),
        })
    }
}

impl Templates {
    pub(super) fn new(head: Vec<u8>, point: Vec<u8>, edition: Edition) -> Self {
        let object = |what| {
            let [a, b, c, d] = edition.object(what);
            u64::from_le_bytes([primitive(0), 4, a, b, c, d, 0, 0])
        };
        Self { head: head.into(), point: point.into(), content_object: object(2), report_object: object(4) }
    }

    /// The header of a PDU.
    #[inline(always)]
    fn header(&self, time: UtcMicros, qualifier: TimeQualifier, sequence: u32) -> PsHeader<'_> {
        PsHeader { templates: self, sequence: Unsigned::new(sequence.into()), stamp: Stamped::new(time, qualifier, 7) }
    }

    /// What `write` writes of a PDU of the usual widths, whose header it is given.
    fn sample(&self, number: u32, write: impl FnOnce(&mut [u8], PsHeader<'_>) -> Result<usize, NoRoom>) -> Vec<u8> {
        let (mut out, header) = ([0; ROOM], self.header(Usual::TIME, TimeQualifier::Interception, number));
        let octets = write(&mut out, header).unwrap_or_default();
        out.get(..octets).unwrap_or_default().to_vec()
    }

    /// Writes a PDU of content up to the octets of its one packet, and says how many octets that is.
    fn before_packet(
        &self,
        out: &mut [u8],
        header: PsHeader<'_>,
        direction: Direction,
        cc: CcPayload,
    ) -> Result<usize, NoRoom> {
        let mut writer = begin(out, header, constructed(1), cc.payload.whole())?;
        cc.write(&mut writer, self, direction)?;
        Ok(writer.written())
    }

    /// Writes a header report up to the `length` octets of headers, and says how many octets that is.
    fn before_headers(&self, out: &mut [u8], header: PsHeader<'_>, length: usize) -> Result<usize, NoRoom> {
        let octets = Header::new(primitive(1), length);
        let form = Header::new(constructed(1), octets.whole());
        let choice = Header::new(constructed(1), form.whole());
        let report = Header::new(constructed(20), OBJECT_OCTETS + choice.whole());
        let contents = Header::new(constructed(2), report.whole());
        let payload = Header::new(SEQUENCE, ENUMERATED_OCTETS + contents.whole() + ENUMERATED_OCTETS);

        let mut writer = begin(out, header, constructed(0), payload.whole())?;
        writer.header(payload)?;
        writer.words([enumerated(0, super::terms::IriType::Report as u8)], ENUMERATED_OCTETS)?;
        writer.header(contents)?;
        writer.header(report)?;
        writer.words([self.report_object], OBJECT_OCTETS)?;
        writer.header(choice)?;
        writer.header(form)?;
        writer.header(octets)?;
        Ok(writer.written())
    }
}

/// A microSecondTimeStamp and the timeStampQualifier behind it, whole.
#[derive(Clone, Copy)]
struct Stamped {
    seconds: Unsigned,
    /// Identifier and length of the stamp.
    identifier: u64,
    /// microSeconds \[1\], whole, and the qualifier, whole: at most eight octets.
    rest: u64,
    rest_octets: usize,
}

impl Stamped {
    /// `tag` is the stamp's; the qualifier has the next one.
    #[inline(always)]
    fn new(time: UtcMicros, qualifier: TimeQualifier, tag: u8) -> Self {
        let micros = time.unix_micros() as u64; // never negative
        let seconds = Unsigned::new(micros / 1_000_000);
        let micros = micros % 1_000_000;
        // Octets of a number below 2^23 that keeps its top bit clear, and those octets, the first in the lowest place.
        let octets = (64 - (micros | 1).leading_zeros()) / 8 + 1;
        let digits = (micros << (64 - 8 * octets)).swap_bytes();
        let micros_octets = 2 + octets as usize;
        let micros = u64::from(primitive(1)) | u64::from(octets) << 8 | digits << 16;
        let contents = seconds.whole() + micros_octets;
        Self {
            seconds,
            identifier: u64::from(constructed(tag)) | (contents as u64) << 8,
            rest: micros | enumerated(tag + 1, qualifier as u8) << (8 * micros_octets),
            rest_octets: micros_octets + ENUMERATED_OCTETS,
        }
    }

    #[inline(always)]
    fn whole(self) -> usize {
        2 + self.seconds.whole() + self.rest_octets
    }

    #[inline(always)]
    fn write(self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.unsigned((self.identifier, 2), primitive(0), self.seconds)?;
        writer.words([self.rest], self.rest_octets)
    }
}

/// pSHeader \[1\].
#[derive(Clone, Copy)]
struct PsHeader<'a> {
    templates: &'a Templates,
    sequence: Unsigned,
    stamp: Stamped,
}

impl PsHeader<'_> {
    #[inline(always)]
    fn header(self) -> Header {
        let templates = self.templates;
        let contents = templates.head.len() + self.sequence.whole() + templates.point.len() + self.stamp.whole();
        Header::new(constructed(1), contents)
    }

    #[inline(always)]
    fn write(self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.header(self.header())?;
        writer.prepared(&self.templates.head)?;
        writer.unsigned((0, 0), primitive(4), self.sequence)?;
        if self.templates.point.len() > 0 {
            writer.prepared(&self.templates.point)?;
        }
        self.stamp.write(writer)
    }
}

/// The lengths of a CCPayload of one packet, from the inside out.
#[derive(Clone, Copy)]
struct CcPayload {
    payload: Header,
    contents: Header,
    ip_cc: Header,
    choice: Header,
    /// iPTruncatedPacket \[1\] around packet and originalLength.
    truncated: Option<(Header, Unsigned)>,
    packet: Header,
}

impl CcPayload {
    /// `length` octets of a packet; `behind` octets follow cCContents.
    #[inline(always)]
    fn new(length: usize, original_length: Option<u32>, behind: usize) -> Self {
        let packet = Header::new(primitive(0), length);
        let truncated = original_length.map(|original| {
            let original = Unsigned::new(original.into());
            (Header::new(constructed(1), packet.whole() + original.whole()), original)
        });
        let choice = Header::new(constructed(1), truncated.map_or(packet.whole(), |(truncated, _)| truncated.whole()));
        let ip_cc = Header::new(constructed(2), OBJECT_OCTETS + choice.whole());
        let contents = Header::new(constructed(2), ip_cc.whole());
        let payload = Header::new(SEQUENCE, ENUMERATED_OCTETS + contents.whole() + behind);
        Self { payload, contents, ip_cc, choice, truncated, packet }
    }

    /// All that stands before the packet's octets.
    #[inline(always)]
    fn write(self, writer: &mut Writer<'_>, templates: &Templates, direction: Direction) -> Result<(), NoRoom> {
        writer.header(self.payload)?;
        writer.words([enumerated(0, direction as u8)], ENUMERATED_OCTETS)?;
        writer.header(self.contents)?;
        writer.header(self.ip_cc)?;
        writer.words([templates.content_object], OBJECT_OCTETS)?;
        writer.header(self.choice)?;
        if let Some((truncated, _)) = self.truncated {
            writer.header(truncated)?;
        }
        writer.header(self.packet)
    }
}

impl Intercept {
    /// Writes a packet of content (CCPayload of IPCC) to the front of `out` and says how long the PDU is.
    ///
    /// The buffer has to have [`content_bound`](Self::content_bound) octets, of which those behind the PDU are of no
    /// use afterwards.
    pub fn content(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        packet: Packet<'_>,
    ) -> Result<usize, NoRoom> {
        match packet.original_length {
            None => self.content_from(out, time, direction, sequence, packet.octets.len(), |octets| {
                octets.copy_from_slice(packet.octets);
            }),
            Some(_) => self.truncated(out, time, direction, sequence, packet),
        }
    }

    /// [`content`](Self::content) of a whole packet that does not lie in one piece: `copy` writes its `length` octets
    /// to the slice that it is given, which is as long.
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let usual = self
            .usual
            .as_ref()
            .and_then(|usual| usual.header.write(&usual.content, out, time, direction, sequence, length));
        let start = match usual {
            Some(start) => start,
            None => self.before_packet(out, time, direction, sequence, length)?,
        };
        // Last: what was too much of the words in front is written over.
        copy(out.get_mut(start..start + length).ok_or(NoRoom)?);
        Ok(start + length)
    }

    /// All up to the octets of a packet, header by header.
    #[cold]
    fn before_packet(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        length: usize,
    ) -> Result<usize, NoRoom> {
        let header = self.templates.header(time, TimeQualifier::Interception, sequence);
        self.templates.before_packet(out, header, direction, CcPayload::new(length, None, 0))
    }

    /// [`content`](Self::content) of a packet whose end was cut off.
    #[inline(never)]
    fn truncated(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        packet: Packet<'_>,
    ) -> Result<usize, NoRoom> {
        let cc = CcPayload::new(packet.octets.len(), packet.original_length, 0);
        let header = self.templates.header(time, TimeQualifier::Interception, sequence);
        let next = self.templates.before_packet(out, header, direction, cc)?;
        let mut tail = Tail { out, next };
        tail.packet(packet.octets, cc.truncated)?;
        Ok(tail.next)
    }

    /// Octets of the buffer that [`content`](Self::content) needs for `length` octets of a packet.
    #[inline]
    pub fn content_bound(&self, length: usize) -> usize {
        ROOM + length
    }

    /// Writes several packets of content as one PDU (clause 6.2.3 of TS 102 232-1) to the front of `out` and says how
    /// long it is. `time` is that of the aggregation; each packet keeps its own.
    ///
    /// The buffer has to have [`contents_bound`](Self::contents_bound) octets, of which those behind the PDU are of no
    /// use afterwards.
    pub fn contents(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        sequence: u32,
        members: &[Member<'_>],
    ) -> Result<usize, NoRoom> {
        let laid_out = |member: &Member<'_>| {
            let stamp = Stamped::new(member.time, TimeQualifier::Interception, 3);
            let length = member.packet.octets.len();
            (CcPayload::new(length, member.packet.original_length, stamp.whole()), stamp)
        };
        let sum = members.iter().map(|member| laid_out(member).0.payload.whole()).sum();
        let header = self.templates.header(time, TimeQualifier::Aggregation, sequence);
        let writer = begin(out, header, constructed(1), sum)?;
        let mut tail = Tail { next: writer.written(), out };
        for member in members {
            let (cc, stamp) = laid_out(member);
            tail.piece(|writer| cc.write(writer, &self.templates, member.direction))?;
            tail.packet(member.packet.octets, cc.truncated)?;
            tail.piece(|writer| stamp.write(writer))?;
        }
        Ok(tail.next)
    }

    /// Octets of the buffer that [`contents`](Self::contents) needs.
    #[inline]
    pub fn contents_bound(&self, members: &[Member<'_>]) -> usize {
        // 64 octets are more than all that stands around one packet in a PDU of several.
        members.iter().map(|member| 64 + member.packet.octets.len()).sum::<usize>() + ROOM
    }

    /// Writes a report of one packet's headers (iPIRIPacketReport, header form) to the front of `out` and says how long
    /// the PDU is. `header` is the IP header and that of the transport.
    ///
    /// The buffer has to have [`header_report_bound`](Self::header_report_bound) octets, of which those behind the PDU
    /// are of no use afterwards.
    #[inline]
    pub fn header_report(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        header: &[u8],
    ) -> Result<usize, NoRoom> {
        let usual = self
            .usual
            .as_ref()
            .and_then(|usual| usual.header.write(&usual.report, out, time, direction, sequence, header.len()));
        let next = match usual {
            Some(next) => next,
            None => self.before_headers(out, time, sequence, header.len())?,
        };
        let mut tail = Tail { out, next };
        tail.copy(header)?;
        tail.copy(&[primitive(6), 1, direction as u8])?;
        Ok(tail.next)
    }

    /// All up to the headers, header by header.
    #[cold]
    fn before_headers(&self, out: &mut [u8], time: UtcMicros, sequence: u32, length: usize) -> Result<usize, NoRoom> {
        let header = self.templates.header(time, TimeQualifier::Interception, sequence);
        self.templates.before_headers(out, header, length)
    }

    /// Octets of the buffer that [`header_report`](Self::header_report) needs for headers of `length` octets.
    #[inline]
    pub fn header_report_bound(&self, length: usize) -> usize {
        ROOM + length
    }
}

/// Begins a PDU: all up to the first payload. `sequence` is the payload's alternative, a SEQUENCE OF, and `length` the
/// octets of its payloads.
#[inline(always)]
fn begin<'a>(out: &'a mut [u8], header: PsHeader<'_>, sequence: u8, length: usize) -> Result<Writer<'a>, NoRoom> {
    let payloads = Header::new(sequence, length);
    let payload = Header::new(constructed(2), payloads.whole());
    let pdu = Header::new(SEQUENCE, header.header().whole() + payload.whole());
    let mut writer = Writer::new(out)?;
    writer.header(pdu)?;
    header.write(&mut writer)?;
    writer.header(payload)?;
    writer.header(payloads)?;
    Ok(writer)
}

/// What stands behind a PDU's first payload, written piece by piece.
struct Tail<'a> {
    out: &'a mut [u8],
    next: usize,
}

impl Tail<'_> {
    #[inline(always)]
    fn copy(&mut self, octets: &[u8]) -> Result<(), NoRoom> {
        let end = self.next + octets.len();
        self.out.get_mut(self.next..end).ok_or(NoRoom)?.copy_from_slice(octets);
        self.next = end;
        Ok(())
    }

    /// A packet, and its original length where its end was cut off.
    fn packet(&mut self, octets: &[u8], truncated: Option<(Header, Unsigned)>) -> Result<(), NoRoom> {
        self.copy(octets)?;
        match truncated {
            Some((_, original)) => self.piece(|writer| writer.unsigned((0, 0), primitive(1), original)),
            None => Ok(()),
        }
    }

    /// What a writer writes: straight into its place while there is room for what it writes too much.
    fn piece(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>) -> Result<(), NoRoom> {
        let room = self.out.get_mut(self.next..).ok_or(NoRoom)?;
        if room.len() >= ROOM {
            let mut writer = Writer::new(room)?;
            write(&mut writer)?;
            self.next += writer.written();
            return Ok(());
        }
        let mut room = [0; ROOM];
        let mut writer = Writer::new(&mut room)?;
        write(&mut writer)?;
        let written = writer.written();
        self.copy(room.get(..written).ok_or(NoRoom)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, Liid, OperatorId};
    use super::*;

    /// What is written header by header is as right, and twice as slow.
    #[test]
    fn most_packets_are_usual() {
        for octets in [1, 25] {
            let identity = Identity {
                liid: Liid::new("L".repeat(octets)).unwrap(),
                authorization_country: None,
                operator: OperatorId::new("O").unwrap(),
                network_element: None,
                delivery_country: None,
                interception_point: None,
                edition: Edition::default(),
            };
            let intercept = Intercept::new(&identity, 1);
            let Usual { header, content, report } = intercept.usual.as_ref().unwrap();
            let (time, direction) = (Usual::TIME, Direction::Combined);
            let mut out = vec![0; intercept.content_bound(0)];
            for length in [40, 52, 64, 100, 200, 256, 576, 1400, 1500, 9000, 65_000] {
                for sequence in [0, 1000, 100_000, u32::MAX] {
                    let written = header.write(content, &mut out, time, direction, sequence, length);
                    assert!(written.is_some(), "{length} octets, number {sequence}");
                }
            }
            for length in [28, 40, 48, 60] {
                let written = header.write(report, &mut out, time, direction, 7, length);
                assert!(written.is_some(), "headers of {length} octets");
            }
        }
    }
}
