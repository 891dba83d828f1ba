//! From the bytes of one connection to the cases.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use writ_encoder::{
    stream::{StreamDecoder, StreamError},
    t1_ias::{Cmcc, Cmii, Content, DecodeError, Message, decode_cmcc, decode_cmii},
};

use crate::{
    Stream,
    case::CaseError,
    cases::{Cases, CasesError, SharedCase, lock},
    digest::hexadecimal,
    pcapng::{Around, Packet, Source},
    replay::Replay,
};

/// How long a new connection waits for what an older one of the same probe has not read yet.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How far the reader of a connection is, for a later connection of the same probe to see.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// How often it found nothing more to read.
    idle: AtomicU64,
    /// Nothing more will be filed.
    ended: AtomicBool,
}

impl Reader {
    /// All that arrived is filed.
    pub(crate) fn is_idle(&self) {
        self.idle.fetch_add(1, Ordering::Release);
    }

    /// Waits until everything is filed that had arrived when this was called.
    fn wait_until_read(&self) {
        let start = Instant::now();
        let idle = self.idle.load(Ordering::Acquire);
        while !self.ended.load(Ordering::Acquire)
            && self.idle.load(Ordering::Acquire) == idle
            && start.elapsed() < HAND_OVER
        {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The stream is no row of PDUs.
    #[error("garbled: {0}")]
    Stream(#[from] StreamError),
    /// A PDU is none of this stream's.
    #[error("garbled: the PDU at octet {offset} of the stream: {error}")]
    Pdu {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// What arrived cannot be filed.
    #[error("the PDU at octet {offset} of the stream cannot be filed: {error}")]
    Cases {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// Why.
        error: CasesError,
    },
    /// What arrived cannot be written out.
    #[error("what arrived cannot be filed: {0}")]
    Flush(CaseError),
    /// The bytes as they came cannot be kept.
    #[error("what arrived cannot be kept under streams: {0}")]
    Keep(std::io::Error),
}

/// Files what one connection brings.
pub(crate) struct Intake {
    stream: Stream,
    cases: Arc<Cases>,
    reader: Arc<Reader>,
    decoder: StreamDecoder,
    filings: HashMap<Option<String>, Filing>,
    /// Reused, so that nothing is allocated for a packet of a source that is known.
    source: Source,
    line: Vec<u8>,
    pdus: u64,
}

/// A message as it is filed: what it says, and its octets as they came.
#[derive(Serialize)]
struct FiledMessage<'a> {
    #[serde(flatten)]
    message: &'a Cmii,
    pdu: String,
}

/// A case as this connection sees it.
struct Filing {
    case: SharedCase,
    replays: HashMap<String, Replay>,
    touched: bool,
}

impl Intake {
    /// An intake for a new connection.
    pub(crate) fn new(stream: Stream, cases: Arc<Cases>, reader: Arc<Reader>) -> Self {
        Self {
            stream,
            cases,
            reader,
            decoder: StreamDecoder::default(),
            filings: HashMap::new(),
            source: Source { iap: String::new(), content_identifier: String::new() },
            line: Vec::new(),
            pdus: 0,
        }
    }

    /// PDUs that were read.
    pub(crate) fn pdus(&self) -> u64 {
        self.pdus
    }

    /// Octets at the end that make no whole PDU.
    pub(crate) fn pending(&self) -> usize {
        self.decoder.pending()
    }

    /// Files everything that is whole in the stream after these bytes, and writes it out.
    ///
    /// # Errors
    /// The fault that ends the connection. What came before it is filed.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.decoder.push(bytes);
        let filed = self.file_all();
        filed.and(self.flush())
    }

    fn file_all(&mut self) -> Result<(), Fault> {
        while let Some(pdu) = self.decoder.next_pdu()? {
            let offset = pdu.offset;
            let garbled = |error| Fault::Pdu { offset, error };
            let unfiled = |error: CasesError| Fault::Cases { offset, error };
            match self.stream {
                Stream::Cmii => {
                    let (message, _) = decode_cmii(pdu.bytes).map_err(garbled)?;
                    let is_header_report = matches!(message.message, Message::HeaderReport(_));
                    // The one place where a message becomes JSON. It cannot fail: all keys are text.
                    let value = serde_json::to_value(&message).unwrap_or_default();
                    self.line.clear();
                    let filed = FiledMessage { message: &message, pdu: hexadecimal(pdu.bytes) };
                    if serde_json::to_writer(&mut self.line, &filed).is_err() {
                        self.line.clear();
                    }
                    let filing = filing(&mut self.filings, &self.cases, Some(message.case_id)).map_err(unfiled)?;
                    let replay = match filing.replays.entry(message.iap_system_id.clone()) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let former = lock(&filing.case).hand_over(&message.iap_system_id, &self.reader);
                            if let Some(former) = former {
                                former.wait_until_read();
                            }
                            new.insert(Replay::default())
                        }
                    };
                    lock(&filing.case)
                        .file_message(pdu.bytes, &message.iap_system_id, &self.line, &value, is_header_report, replay)
                        .map_err(|error| unfiled(error.into()))?;
                }
                Stream::Cmc => {
                    let (content, _) = decode_cmcc(pdu.bytes).map_err(garbled)?;
                    name_source(&mut self.source, &content);
                    let packet = Packet {
                        time_us: content.timestamp.map_or_else(now_us, |time| time.unix_micros().unsigned_abs()),
                        direction: content.direction,
                        sequence: content.sequence,
                        bytes: &content.payload,
                        around: Around::of(pdu.bytes, &content.payload),
                    };
                    let filing = filing(&mut self.filings, &self.cases, content.case_id).map_err(unfiled)?;
                    lock(&filing.case)
                        .file_packet(pdu.bytes, &self.source, &packet)
                        .map_err(|error| unfiled(error.into()))?;
                }
            }
            self.pdus += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut flushed = Ok(());
        for filing in self.filings.values_mut().filter(|filing| filing.touched) {
            filing.touched = false;
            let result = lock(&filing.case).flush();
            flushed = flushed.and(result);
        }
        flushed.map_err(Fault::Flush)
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.reader.ended.store(true, Ordering::Release);
    }
}

/// The case of a PDU, as this connection sees it.
fn filing<'a>(
    filings: &'a mut HashMap<Option<String>, Filing>,
    cases: &Cases,
    case_id: Option<String>,
) -> Result<&'a mut Filing, CasesError> {
    let filing = match filings.entry(case_id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let case = cases.get(new.key().as_deref())?;
            new.insert(Filing { case, replays: HashMap::new(), touched: false })
        }
    };
    filing.touched = true;
    Ok(filing)
}

/// The names under which content is filed.
pub(crate) fn name_source(source: &mut Source, content: &Cmcc) {
    source.iap.clear();
    source.iap.push_str(content.iap_system_id.as_deref().unwrap_or_default());
    source.content_identifier.clear();
    let text = &mut source.content_identifier;
    // Writing to a String cannot fail.
    let _ = match &content.content_identifier {
        None => Ok(()),
        Some(Content::Correlation(octets)) => octets.iter().try_for_each(|octet| write!(text, "{octet:02x}")),
        Some(Content::Call(call)) => match &call.leg {
            None => write!(text, "call {}", call.main),
            Some(leg) => write!(text, "call {} leg {leg}", call.main),
        },
    };
}

/// For a packet without a time stamp: the time of its arrival.
fn now_us() -> u64 {
    jiff::Timestamp::now().as_microsecond().unsigned_abs()
}
