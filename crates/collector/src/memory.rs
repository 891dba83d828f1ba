//! What a case knows of what it has: so that nothing is filed twice, and that what is missing is noticed.
//!
//! The files are its source when a case is opened again; then everything that is filed goes through it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    Stream,
    formats::Format,
    intake::Reader,
    numberings::{Event, Known, Numberings},
    pcapng::{Around, Packet, Source},
    replay::{History, Replay},
};

/// The memory of one case.
#[derive(Default)]
pub(crate) struct Memory {
    content: Numberings,
    messages: Numberings,
    /// Of messages without numbers.
    histories: HashMap<Source, Messages>,
    /// Digests within one process only: keyed, so that no sender can make two things look alike.
    hasher: RandomState,
    /// While the packets of one PDU are read: the digest of those before.
    before: Option<u64>,
}

#[derive(Default)]
struct Messages {
    history: History,
    reader: Option<Arc<Reader>>,
}

/// Where a message stands among those of its source.
pub(crate) enum Place<'a> {
    /// It bears a number.
    Numbered(u32),
    /// It bears none: where the connection stands beside what is filed.
    Unnumbered(&'a mut Replay),
}

impl Memory {
    /// A packet is in the file. Those of one PDU lie one behind the other.
    pub(crate) fn has_packet(&mut self, source: &Source, packet: &Packet<'_>) {
        let Some(sequence) = packet.sequence else { return };
        let digest = self.joined(self.before, packet);
        self.before = (packet.following > 0).then_some(digest);
        if packet.following == 0 {
            self.content.take(source, sequence, digest);
        }
    }

    /// A message is in the file: its line, and what that says.
    pub(crate) fn has_message(&mut self, line: &[u8], message: &Value) {
        let format = Format::named(text(message, "handover")).unwrap_or_default();
        let source = Source::of(format, text(message, "iap_system_id").into(), text(message, "series").into());
        let digest = self.hasher.hash_one(line);
        match message.get("sequence").and_then(Value::as_u64) {
            Some(sequence) => drop(self.messages.take(&source, sequence, digest)),
            None => self.histories.entry(source).or_default().history.remember(digest),
        }
    }

    /// Something sealed is in the file.
    pub(crate) fn has_sealed(&mut self, line: &Value) {
        let source = Source::of(Format::Etsi, text(line, "iap").into(), text(line, "content_identifier").into());
        let stream = if text(line, "stream") == Stream::Cmii.name() { Stream::Cmii } else { Stream::Cmc };
        if let Some(sequence) = line.get("sequence").and_then(Value::as_u64) {
            let digest = self.hasher.hash_one(text(line, "pdu"));
            self.numbers(stream).take(&source, sequence, digest);
        }
    }

    /// The packets of a PDU with this number came.
    pub(crate) fn packets(&mut self, source: &Source, sequence: u64, packets: &[Packet<'_>]) -> Known {
        let digest = packets.iter().fold(None, |before, packet| Some(self.joined(before, packet)));
        self.content.take(source, sequence, digest.unwrap_or_default())
    }

    /// A message came.
    pub(crate) fn message(&mut self, source: &Source, place: Place<'_>, line: &[u8]) -> Known {
        let digest = self.hasher.hash_one(line);
        match place {
            Place::Numbered(sequence) => self.messages.take(source, sequence.into(), digest),
            Place::Unnumbered(replay) => match self.messages_of(source).history.repeats(replay, digest) {
                true => Known::Duplicate,
                false => Known::New { is_late: false, event: None },
            },
        }
    }

    /// Something sealed came; `pdu` in hexadecimal.
    pub(crate) fn sealed(&mut self, stream: Stream, source: &Source, sequence: u32, pdu: &str) -> Known {
        let digest = self.hasher.hash_one(pdu);
        self.numbers(stream).take(source, sequence.into(), digest)
    }

    /// Makes `reader` the one that reads what `source` tells of the case. Returns the one that was so until now: what it
    /// has not yet read comes before what `reader` has.
    pub(crate) fn hand_over(&mut self, source: &Source, reader: &Arc<Reader>) -> Option<Arc<Reader>> {
        self.messages_of(source).reader.replace(Arc::clone(reader)).filter(|former| !Arc::ptr_eq(former, reader))
    }

    /// The numbers that `source` has on `stream` begin anew, of all its sessions.
    pub(crate) fn begin_anew(&mut self, stream: Stream, source: &Source) {
        self.numbers(stream).begin_anew(source);
    }

    /// What came late, of which nobody was told yet.
    pub(crate) fn filled(&mut self) -> Vec<(Stream, Source, Event)> {
        let of = |stream| move |(source, event)| (stream, source, event);
        let messages = self.messages.filled().into_iter().map(of(Stream::Cmii));
        messages.chain(self.content.filled().into_iter().map(of(Stream::Cmc))).collect()
    }

    /// How many numbers are missing on a stream.
    pub(crate) fn missing(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Cmii => self.messages.missing(),
            Stream::Cmc => self.content.missing(),
        }
    }

    /// Where each numbering stands, content first.
    pub(crate) fn stand(&self) -> Vec<Value> {
        self.content.stand(Stream::Cmc).chain(self.messages.stand(Stream::Cmii)).collect()
    }

    fn numbers(&mut self, stream: Stream) -> &mut Numberings {
        match stream {
            Stream::Cmii => &mut self.messages,
            Stream::Cmc => &mut self.content,
        }
    }

    fn messages_of(&mut self, source: &Source) -> &mut Messages {
        self.histories.entry(source.clone()).or_default()
    }

    /// Stands for a packet and those of its PDU before it.
    fn joined(&self, before: Option<u64>, packet: &Packet<'_>) -> u64 {
        let digest = self.digest(packet);
        before.map_or(digest, |before| self.hasher.hash_one((before, digest)))
    }

    /// The time is in what is around the packet, if it bears one: else it is that of its arrival, which is another the
    /// next time.
    fn digest(&self, packet: &Packet<'_>) -> u64 {
        let Around { before, behind } = packet.around;
        let time_us = if before.is_empty() { packet.time_us } else { 0 };
        self.hasher.hash_one((time_us, before, behind, packet.direction, packet.bytes))
    }
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}
