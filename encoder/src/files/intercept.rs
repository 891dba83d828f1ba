//! The template of one intercept: what every record says of it, written once.

use super::text::{ADDRESS, address, decimal, escaped};
use super::{CASE, COMMENT, CONTENT, DIRECTIONS, END, Names, PACKET, PACKET_FLAGS, PACKET_ID, PROBE, option, padding};
use crate::layout::put;
use crate::t1_ias::{
    Allocation, Assignment, CaseId, CorrelationId, Direction, Flow, IapSystemId, Reason, SessionId, SubscriberIdentity,
};
use crate::{NoRoom, UtcMicros};

/// Octets of a packet's block in front of the packet.
const HEAD: usize = 28;
/// Octets behind its options: the number, the end of options, the block's length.
const TAIL: usize = 16;

/// Writes the records of one intercept.
#[derive(Clone, Debug)]
pub struct Intercept {
    names: Names,
    subscriber_identity: SubscriberIdentity,
    /// The options of a packet's block up to the value of its number: of no known direction, then as in `DIRECTIONS`.
    options: [Vec<u8>; 3],
    /// What every line begins with: the names.
    line_head: Vec<u8>,
}

/// What happens to a session of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It was there when interception began.
    SessionAlreadyEstablished,
    /// It begins.
    SessionStart,
    /// It is over, or the interception is.
    SessionEnd(&'a Reason),
}

/// Packets of one flow, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    /// The flow.
    pub flow: Flow,
    /// How many packets.
    pub packets: u64,
    /// Octets of them.
    pub octets: u64,
    /// When the first of them was seen.
    pub first: UtcMicros,
    /// When the last was.
    pub last: UtcMicros,
    /// Why it is told now: plain words such as `silence`.
    pub cause: &'a str,
}

impl Intercept {
    /// The template for an intercept with these names. A content id that is no text is told in hexadecimal digits.
    pub fn new(
        case_id: &CaseId,
        probe: &IapSystemId,
        content_id: &CorrelationId,
        subscriber_identity: &SubscriberIdentity,
    ) -> Self {
        let names = Names {
            case_id: case_id.as_str().to_owned(),
            content_id: text_of(content_id.as_bytes()),
            probe: probe.as_str().to_owned(),
        };
        let options = [None, Some(DIRECTIONS[0]), Some(DIRECTIONS[1])].map(|direction| {
            let mut options = Vec::new();
            if let Some((_, word, _)) = direction {
                option(&mut options, COMMENT, word.as_bytes());
            }
            for (what, name) in [(CASE, &names.case_id), (CONTENT, &names.content_id), (PROBE, &names.probe)] {
                option(&mut options, COMMENT, format!("{what}{name}").as_bytes());
            }
            let flags = direction.map_or(0, |(_, _, flags)| flags);
            option(&mut options, PACKET_FLAGS, &flags.to_le_bytes());
            options.extend([PACKET_ID, 8].map(u16::to_le_bytes).as_flattened());
            options
        });
        let [case_id, content_id, probe] = [&names.case_id, &names.content_id, &names.probe].map(|name| escaped(name));
        let line_head = format!(r#"{{"case_id":"{case_id}","content_id":"{content_id}","probe":"{probe}","event":""#);
        Self { names, subscriber_identity: subscriber_identity.clone(), options, line_head: line_head.into_bytes() }
    }

    /// What its records say whose they are.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Octets that [`content_from`](Self::content_from) takes at most for a packet of so many.
    pub fn content_bound(&self, length: usize) -> usize {
        let options = self.options.iter().map(Vec::len).max().unwrap_or_default();
        HEAD + length.saturating_add(3) + options + TAIL
    }

    /// Writes the block of `packet`, which begins with its IP header, and says how long it is.
    pub fn content(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: impl Into<Option<Direction>>,
        sequence: u64,
        packet: &[u8],
    ) -> Result<usize, NoRoom> {
        let copy = |place: &mut [u8]| place.copy_from_slice(packet);
        self.content_from(out, time, direction.into(), sequence, (packet.len(), None), copy)
    }

    /// [`content`](Self::content) of a packet that does not lie in one piece: `copy` writes its `length` octets. `original_length`
    /// is how long it was where its end is missing.
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Option<Direction>,
        sequence: u64,
        (length, original_length): (usize, Option<u32>),
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let [unknown, to_subject, from_subject] = &self.options;
        let options = match direction {
            None => unknown,
            Some(Direction::ToSubject) => to_subject,
            Some(Direction::FromSubject) => from_subject,
        };
        let padding = padding(length);
        let whole = u32::try_from(HEAD + padding + options.len() + TAIL + length).map_err(|_| NoRoom)?;
        let micros = time.unix_micros() as u64; // never negative
        let captured = length as u32; // less than `whole`
        let original = original_length.unwrap_or(captured);
        const INTERFACE: u32 = 0;
        let head: [u32; 7] = [PACKET, whole, INTERFACE, (micros >> 32) as u32, micros as u32, captured, original];
        let before = put(out, &[head.map(u32::to_le_bytes).as_flattened()], length, copy)?;
        let end = [END, 0].map(u16::to_le_bytes);
        let behind: [&[u8]; 5] =
            [&[0; 4][..padding], options, &sequence.to_le_bytes(), end.as_flattened(), &whole.to_le_bytes()];
        Ok(before + put_rows(out.get_mut(before..).unwrap_or_default(), [&behind])?)
    }

    /// Octets that [`header_report`](Self::header_report) and [`summary`](Self::summary) take at most.
    pub fn line_bound(&self) -> usize {
        // Of the longest line 330 are keys and signs; then two addresses, two times, seven numbers and a cause.
        self.line_head.len() + 330 + 2 * ADDRESS + 2 * 27 + 7 * 20 + LONGEST_CAUSE
    }

    /// Writes the line of a packet of `length` octets of which only the headers may be told.
    #[inline]
    pub fn header_report(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Option<Direction>,
        sequence: u64,
        flow: &Flow,
        length: usize,
    ) -> Result<usize, NoRoom> {
        let direction: &[u8] = match direction {
            None => b"",
            Some(Direction::ToSubject) => br#","direction":"to-subject""#,
            Some(Direction::FromSubject) => br#","direction":"from-subject""#,
        };
        let (time, length) = (time.rfc3339(), decimal(length as u64));
        let front = [br#"packet","time":""#, &time[..], b"\"", direction, br#","length":"#, length.as_ref()];
        self.line(out, sequence, flow, front)
    }

    /// Writes the line of packets of a flow that were counted. A cause longer than 32 octets has no room.
    pub fn summary(&self, out: &mut [u8], sequence: u64, summary: &Summary<'_>) -> Result<usize, NoRoom> {
        let Summary { flow, packets, octets, first, last, cause } = summary;
        if cause.len() > LONGEST_CAUSE {
            return Err(NoRoom);
        }
        let (first, last) = (first.rfc3339(), last.rfc3339());
        let (packets, octets) = (decimal(*packets), decimal(*octets));
        let front = [
            br#"summary","first":""#,
            &first[..],
            br#"","last":""#,
            &last,
            br#"","packets":"#,
            packets.as_ref(),
            br#","octets":"#,
            octets.as_ref(),
            br#","cause":""#,
            cause.as_bytes(),
            b"\"",
        ];
        self.line(out, sequence, flow, front)
    }

    /// The head, `front` with what happened, the flow, and the number.
    #[inline]
    fn line<const N: usize>(
        &self,
        out: &mut [u8],
        sequence: u64,
        flow: &Flow,
        front: [&[u8]; N],
    ) -> Result<usize, NoRoom> {
        let (source, destination) = (address(flow.source), address(flow.destination));
        let protocol = decimal(flow.protocol.into());
        let ports = flow.ports.map(|(source, destination)| [source, destination].map(|port| decimal(port.into())));
        let [source_key, source_port, destination_key, destination_port]: [&[u8]; 4] = match &ports {
            Some([source, destination]) => {
                [br#","source_port":"#, source.as_ref(), br#","destination_port":"#, destination.as_ref()]
            }
            None => [b""; 4],
        };
        let label = flow.flow_label.map(|label| decimal(label.get().into()));
        let [label_key, label]: [&[u8]; 2] = match &label {
            Some(label) => [br#","flow_label":"#, label.as_ref()],
            None => [b""; 2],
        };
        let sequence = decimal(sequence);
        let rest: [&[u8]; 15] = [
            br#","source":""#,
            source.as_ref(),
            br#"","destination":""#,
            destination.as_ref(),
            br#"","protocol":"#,
            protocol.as_ref(),
            source_key,
            source_port,
            destination_key,
            destination_port,
            label_key,
            label,
            br#","sequence":"#,
            sequence.as_ref(),
            b"}\n",
        ];
        put_rows(out, [&[&self.line_head], &front, &rest])
    }

    /// The line of what happens to a session. Of an assignment without an address nothing is told.
    pub fn event(
        &self,
        time: UtcMicros,
        sequence: u64,
        session: &SessionId,
        assignment: Assignment,
        event: Event<'_>,
    ) -> Vec<u8> {
        let (word, reason) = match event {
            Event::SessionAlreadyEstablished => ("session-already-established", None),
            Event::SessionStart => ("session-start", None),
            Event::SessionEnd(reason) => ("session-end", Some(reason)),
        };
        let [subscriber, session] = [self.subscriber_identity.as_str(), session.as_str()].map(escaped);
        let mut line = format!(r#"{word}","time":"{time}","subscriber":"{subscriber}","session":"{session}""#);
        if assignment != Assignment::without_address() {
            let Assignment { address, prefix_length, allocation } = assignment;
            line += &format!(r#","address":"{address}""#);
            if let Some(length) = prefix_length {
                line += &format!(r#","prefix_length":{length}"#);
            }
            line += &format!(r#","allocation":"{}""#, allocation_word(allocation));
        }
        if let Some(reason) = reason {
            line += &format!(r#","reason":"{}""#, escaped(reason.as_str()));
        }
        line += &format!(",\"sequence\":{sequence}}}\n");
        [&self.line_head, line.as_bytes()].concat()
    }
}

/// Octets of a summary's cause at most.
const LONGEST_CAUSE: usize = 32;

/// Writes rows of parts one behind the other.
#[inline]
fn put_rows<const N: usize>(out: &mut [u8], rows: [&[&[u8]]; N]) -> Result<usize, NoRoom> {
    rows.into_iter().try_fold(0, |written, row| {
        let rest = out.get_mut(written..).unwrap_or_default();
        Ok(written + put(rest, row, 0, |_| {})?)
    })
}

fn text_of(octets: &[u8]) -> String {
    match str::from_utf8(octets) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => octets.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}

/// As serde has it.
fn allocation_word(allocation: Allocation) -> &'static str {
    match allocation {
        Allocation::Static => "static",
        Allocation::Dynamic => "dynamic",
        Allocation::Unknown => "unknown",
        Allocation::NotApplicable => "not-applicable",
    }
}
