//! Writing: the template of one task, and keep-alives.

use std::net::IpAddr;

use super::{Direction, Format, HEADER, Kind, VERSION, attribute};
use crate::layout::put;
use crate::t1_ias::Flow;
use crate::{NoRoom, UtcMicros};

/// Whose task it is, and who hands it over. The names are attributes of every PDU; what is none is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// XID: the task, as X1 named it.
    pub xid: [u8; 16],
    /// Ties the PDUs of one session of the target together.
    pub correlation_id: u64,
    /// Domain id.
    pub domain_id: Option<String>,
    /// The network function.
    pub network_function_id: Option<String>,
    /// The point of interception in it.
    pub interception_point_id: Option<String>,
    /// The identifier of the target that was found in the payload, as X1 wrote it.
    pub matched_target: Option<String>,
}

/// A name that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {length} octets long: give 1 to {longest}, or leave it out", longest = Task::LONGEST_NAME)]
pub struct IdentityError {
    /// The field of [`Identity`].
    pub field: &'static str,
    /// Its octets.
    pub length: usize,
}

/// Writes the PDUs of one task.
#[derive(Clone, Debug)]
pub struct Task {
    /// XID and correlation id, as every header has them.
    names: [u8; 24],
    /// The attributes that no PDU differs in.
    attributes: Box<[u8]>,
    /// None where the attributes are longer than most.
    content: Option<Content>,
}

/// The front of an X3 PDU up to the attributes that are different in each, in a form that is copied fast: whole, and what
/// is too much of it is written over by what follows.
#[derive(Clone, Debug)]
struct Content {
    padded: [u8; Self::LONGEST],
    octets: usize,
}

impl Content {
    const LONGEST: usize = 128;
    /// Where the header tells of the payload.
    const PAYLOAD: usize = 8;

    fn new(names: &[u8; 24], attributes: &[u8]) -> Option<Self> {
        let octets = HEADER + attributes.len();
        let header = octets + Moment::ATTRIBUTES;
        let fixed = fixed(Kind::X3, header, 0, Format::NONE, Direction::None).ok()?;
        let mut padded = [0; Self::LONGEST];
        padded.get_mut(..octets)?.copy_from_slice(&[&fixed, &names[..], attributes].concat());
        Some(Self { padded, octets })
    }

    /// Writes all that stands before a payload of `length` octets, and says how much that is; none if it does not fit.
    #[inline(always)]
    fn write(&self, out: &mut [u8], moment: Moment, format: Format, length: usize) -> Option<usize> {
        let payload = payload(length.try_into().ok()?, format, moment.direction);
        *out.first_chunk_mut()? = self.padded;
        *out.get_mut(Self::PAYLOAD..)?.first_chunk_mut()? = payload.to_be_bytes();
        *out.get_mut(self.octets..)?.first_chunk_mut()? = moment.attributes();
        Some(self.octets + Moment::ATTRIBUTES)
    }
}

impl Task {
    /// Most octets of a name of an [`Identity`]. The standard sets no bound; this one is ours.
    pub const LONGEST_NAME: usize = 1024;

    /// The template for a task.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let mut attributes = Vec::new();
        for (number, field, name) in [
            (attribute::DOMAIN_ID, "domain_id", &identity.domain_id),
            (attribute::NETWORK_FUNCTION_ID, "network_function_id", &identity.network_function_id),
            (attribute::INTERCEPTION_POINT_ID, "interception_point_id", &identity.interception_point_id),
            (attribute::MATCHED_TARGET, "matched_target", &identity.matched_target),
        ] {
            let Some(name) = name else { continue };
            let length = name.len();
            let short = u16::try_from(length).ok().filter(|_| (1..=Self::LONGEST_NAME).contains(&length));
            let short = short.ok_or(IdentityError { field, length })?;
            attributes.extend([number, short].map(u16::to_be_bytes).as_flattened());
            attributes.extend(name.bytes());
        }
        let mut names = [0; 24];
        let (xid, correlation_id) = names.split_at_mut(16);
        xid.copy_from_slice(&identity.xid);
        correlation_id.copy_from_slice(&identity.correlation_id.to_be_bytes());
        let content = Content::new(&names, &attributes);
        Ok(Self { names, attributes: attributes.into(), content })
    }

    /// Writes an X3 PDU with a packet, from its IP header, and says how long it is. Of `sequence` the lower 32 bits are
    /// told.
    pub fn content(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u64,
        format: Format,
        packet: &[u8],
    ) -> Result<usize, NoRoom> {
        self.content_from(out, time, direction, sequence, format, packet.len(), |payload| {
            payload.copy_from_slice(packet);
        })
    }

    /// [`content`](Self::content) of a packet that does not lie in one piece: `copy` writes its `length` octets.
    #[expect(clippy::too_many_arguments, reason = "what a PDU says, each of a type of its own")]
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u64,
        format: Format,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let moment = Moment { time, direction, sequence };
        let Some(start) = self.content.as_ref().and_then(|content| content.write(out, moment, format, length)) else {
            return self.pdu(out, Kind::X3, moment, Ends::default(), (format, length), copy);
        };
        // Last, as it stands behind all that was too much.
        copy(out.get_mut(start..start + length).ok_or(NoRoom)?);
        Ok(start + length)
    }

    /// Writes an X2 PDU with the ends of a packet as attributes, and says how long it is. `payload` is what shows the
    /// event: the packet's headers, or the message of a protocol.
    #[expect(clippy::too_many_arguments, reason = "what a PDU says, each of a type of its own")]
    pub fn event(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u64,
        flow: &Flow,
        format: Format,
        payload: &[u8],
    ) -> Result<usize, NoRoom> {
        let moment = Moment { time, direction, sequence };
        let payload_of = (format, payload.len());
        self.pdu(out, Kind::X2, moment, Ends::of(flow), payload_of, |place| place.copy_from_slice(payload))
    }

    /// Octets that a PDU has beside its payload, at most.
    pub fn overhead(&self) -> usize {
        HEADER + self.attributes.len() + Moment::ATTRIBUTES + Ends::LONGEST
    }

    #[inline]
    fn pdu(
        &self,
        out: &mut [u8],
        kind: Kind,
        moment: Moment,
        ends: Ends,
        (format, length): (Format, usize),
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let header = HEADER + self.attributes.len() + Moment::ATTRIBUTES + ends.length;
        let fixed = fixed(kind, header, length, format, moment.direction)?;
        let parts: [&[u8]; 5] = [&fixed, &self.names, &self.attributes, &moment.attributes(), ends.attributes()];
        put(out, &parts, length, copy)
    }
}

/// The first 16 octets of a header. Lengths that do not fit into their fields fit into no buffer either.
fn fixed(kind: Kind, header: usize, length: usize, format: Format, direction: Direction) -> Result<[u8; 16], NoRoom> {
    let lengths = [header, length].map(u32::try_from);
    let [Ok(header), Ok(length)] = lengths else { return Err(NoRoom) };
    let first = u64::from(VERSION) << 48 | (kind as u64) << 32 | u64::from(header);
    let last = payload(length, format, direction);
    Ok((u128::from(first) << 64 | u128::from(last)).to_be_bytes())
}

/// What a header tells of the payload: its length, its format, its direction.
fn payload(length: u32, format: Format, direction: Direction) -> u64 {
    u64::from(length) << 32 | u64::from(format.0) << 16 | direction as u64
}

/// What is different in each PDU of a task.
#[derive(Clone, Copy)]
struct Moment {
    time: UtcMicros,
    direction: Direction,
    sequence: u64,
}

impl Moment {
    /// Octets of the sequence number and the timestamp.
    const ATTRIBUTES: usize = 8 + 12;

    #[inline]
    fn attributes(self) -> [u8; Self::ATTRIBUTES] {
        let micros = self.time.unix_micros() as u64; // never negative
        // A timespec of 32 bits (TS 103 221-2 clause 5.3.10): it ends in 2106.
        let (seconds, nanos) = ((micros / 1_000_000) as u32, (micros % 1_000_000) as u32 * 1000);
        let words = [
            u32::from(attribute::SEQUENCE_NUMBER) << 16 | 4,
            self.sequence as u32,
            u32::from(attribute::TIMESTAMP) << 16 | 8,
            seconds,
            nanos,
        ];
        let mut octets = [0; Self::ATTRIBUTES];
        octets.as_chunks_mut().0.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_be_bytes());
        octets
    }
}

/// The ends of a packet as attributes.
#[derive(Clone, Copy)]
struct Ends {
    octets: [u8; Self::LONGEST],
    length: usize,
}

impl Default for Ends {
    /// None told: the packet itself is there.
    fn default() -> Self {
        Self { octets: [0; Self::LONGEST], length: 0 }
    }
}

impl Ends {
    /// Two addresses of IPv6, two ports, a protocol.
    const LONGEST: usize = 2 * 20 + 2 * 6 + 5;

    fn of(flow: &Flow) -> Self {
        let mut ends = Self::default();
        match flow.source {
            IpAddr::V4(address) => ends.push(attribute::SOURCE_IPV4, &address.octets()),
            IpAddr::V6(address) => ends.push(attribute::SOURCE_IPV6, &address.octets()),
        }
        match flow.destination {
            IpAddr::V4(address) => ends.push(attribute::DESTINATION_IPV4, &address.octets()),
            IpAddr::V6(address) => ends.push(attribute::DESTINATION_IPV6, &address.octets()),
        }
        if let Some((source, destination)) = flow.ports {
            ends.push(attribute::SOURCE_PORT, &source.to_be_bytes());
            ends.push(attribute::DESTINATION_PORT, &destination.to_be_bytes());
        }
        ends.push(attribute::PROTOCOL, &[flow.protocol]);
        ends
    }

    /// Every attribute that [`of`](Self::of) pushes has its room in [`LONGEST`](Self::LONGEST).
    fn push(&mut self, number: u16, value: &[u8]) {
        let head = [number, value.len() as u16].map(u16::to_be_bytes);
        for octet in head.as_flattened().iter().chain(value) {
            if let Some(place) = self.octets.get_mut(self.length) {
                *place = *octet;
                self.length += 1;
            }
        }
    }

    fn attributes(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// Writes a keep-alive with a number that the answer repeats, and says how long it is.
pub fn keep_alive(out: &mut [u8], number: u32) -> Result<usize, NoRoom> {
    silent(out, Kind::KeepAlive, number)
}

/// Writes the answer to the keep-alive with this number, and says how long it is.
pub fn keep_alive_answer(out: &mut [u8], number: u32) -> Result<usize, NoRoom> {
    silent(out, Kind::KeepAliveAnswer, number)
}

/// A PDU of no task: no payload, no names, a number.
fn silent(out: &mut [u8], kind: Kind, number: u32) -> Result<usize, NoRoom> {
    let fixed = fixed(kind, HEADER + 8, 0, Format::NONE, Direction::None)?;
    let head = [attribute::SEQUENCE_NUMBER, 4].map(u16::to_be_bytes);
    put(out, &[&fixed, &[0; 24], head.as_flattened(), &number.to_be_bytes()], 0, |_| {})
}
