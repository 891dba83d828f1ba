//! From the PDUs of one connection, or of one endpoint of datagrams, to the cases.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    Stream,
    case::CaseError,
    cases::{Cases, CasesError, SharedCase, lock},
    cut::{Cutter, StreamFault, format_of},
    digest::hexadecimal,
    formats::{About, Format, Item, Reader as FormatReader, Said, Terms, Unreadable},
    memory::Place,
    pcapng::Source,
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
    Stream(#[from] StreamFault),
    /// A PDU is none of this stream's.
    #[error("garbled: the PDU at octet {offset} of the stream: {error}")]
    Pdu {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// What is wrong with it.
        error: Unreadable,
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
    from: SocketAddr,
    terms: Terms,
    cutter: Cutter,
    /// Once the format is known.
    reader: Option<FormatReader>,
    desk: Desk,
    pdus: u64,
}

impl Intake {
    /// An intake for a new connection. Without a format its first PDU tells it.
    pub(crate) fn new(
        stream: Stream,
        from: SocketAddr,
        format: Option<Format>,
        terms: &Terms,
        cases: Arc<Cases>,
        reader: Arc<Reader>,
    ) -> Self {
        Self {
            stream,
            from,
            terms: terms.clone(),
            cutter: Cutter::new(format),
            reader: format.map(|format| FormatReader::new(format, Some(stream), from, terms)),
            desk: Desk::new(cases, reader),
            pdus: 0,
        }
    }

    /// PDUs that were read.
    pub(crate) fn pdus(&self) -> u64 {
        self.pdus
    }

    /// Octets at the end that make no whole PDU.
    pub(crate) fn pending(&self) -> usize {
        self.cutter.pending()
    }

    /// Files everything that is whole in the stream after these bytes, and writes it out. Gives what the sender wants to
    /// hear now that it is.
    ///
    /// # Errors
    /// The fault that ends the connection. What came before it is filed.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        self.cutter.push(bytes);
        let filed = self.file_all();
        filed.and(self.desk.flush().map_err(Fault::Flush))?;
        Ok(std::mem::take(&mut self.desk.answers))
    }

    fn file_all(&mut self) -> Result<(), Fault> {
        while let Some(pdu) = self.cutter.next_pdu()? {
            let offset = pdu.offset;
            let reader = self.reader.get_or_insert_with(|| {
                FormatReader::new(format_of(pdu.bytes), Some(self.stream), self.from, &self.terms)
            });
            let said = reader.read(pdu.bytes, self.from).map_err(|error| Fault::Pdu { offset, error })?;
            self.desk.file(&said, pdu.bytes).map_err(|error| Fault::Cases { offset, error })?;
            self.pdus += 1;
        }
        Ok(())
    }
}

/// Files what PDUs say, whichever way they came.
pub(crate) struct Desk {
    cases: Arc<Cases>,
    reader: Arc<Reader>,
    filings: HashMap<Option<String>, Filing>,
    answers: Vec<u8>,
    line: Vec<u8>,
}

/// A message as it is filed: what it says, and its octets as they came.
#[derive(Serialize)]
struct FiledMessage<'a> {
    #[serde(flatten)]
    message: &'a Message<'a>,
    pdu: String,
}

/// What a message says.
#[derive(Serialize)]
#[serde(untagged)]
enum Message<'a> {
    /// T1.IAS: its own words are those of the table.
    T1Ias(&'a Said<'a>),
    /// All others: in those words as far as there are any, and in its own.
    Other {
        handover: Format,
        case_id: &'a str,
        iap_system_id: &'a str,
        series: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u32>,
        #[serde(flatten)]
        about: &'a About,
        said: &'a Said<'a>,
    },
}

/// A case as this connection sees it.
struct Filing {
    case: SharedCase,
    replays: HashMap<Source, Replay>,
    touched: bool,
}

impl Desk {
    /// Nothing is filed yet. `reader` is how others see how far it is.
    pub(crate) fn new(cases: Arc<Cases>, reader: Arc<Reader>) -> Self {
        Self { cases, reader, filings: HashMap::new(), answers: Vec::new(), line: Vec::new() }
    }

    /// Files what a PDU says; `pdu` are its octets.
    ///
    /// # Errors
    /// Why it cannot be filed.
    pub(crate) fn file(&mut self, said: &Said<'_>, pdu: &[u8]) -> Result<(), CasesError> {
        said.items(pdu, &mut |item| self.file_item(item, said, pdu))
    }

    fn file_item(&mut self, item: Item<'_>, said: &Said<'_>, pdu: &[u8]) -> Result<(), CasesError> {
        match item {
            Item::Packets { case, source, sequence, packets } => {
                let case = &self.filing(case)?.case;
                lock(case).file_packets(pdu, &source, sequence, packets)?;
            }
            Item::Message { case, source, sequence, about, is_header_report, begins_anew } => {
                let message = match &about {
                    None => Message::T1Ias(said),
                    Some(about) => Message::Other {
                        handover: source.format,
                        case_id: case.as_deref().unwrap_or_default(),
                        iap_system_id: &source.iap,
                        series: &source.content_identifier,
                        sequence,
                        about,
                        said,
                    },
                };
                // The one place where a message becomes JSON. It cannot fail: all keys are text.
                let value = serde_json::to_value(&message).unwrap_or_default();
                let mut line = std::mem::take(&mut self.line);
                line.clear();
                if serde_json::to_writer(&mut line, &FiledMessage { message: &message, pdu: hexadecimal(pdu) }).is_err()
                {
                    line.clear();
                }
                let reader = Arc::clone(&self.reader);
                let Filing { case, replays, .. } = self.filing(case)?;
                let place = match sequence {
                    Some(sequence) => Place::Numbered(sequence),
                    None => Place::Unnumbered(replay(replays, case, &source, &reader)),
                };
                let mut case = lock(case);
                let is_new = case.file_message(pdu, &source, place, &line, &value, is_header_report)?;
                if is_new && begins_anew {
                    case.memory().begin_anew(said.stream(), &source);
                }
                drop(case);
                self.line = line;
            }
            Item::Sealed { case, source, sequence, why } => {
                let case = &self.filing(Some(case))?.case;
                lock(case).file_sealed(pdu, said.stream(), &source, sequence, why)?;
            }
            Item::Check { case, source, over, check } => {
                let case = &self.filing(Some(case))?.case;
                lock(case).file_check(said.stream(), &source, over, check)?;
            }
            Item::Original { case, original } => {
                let case = &self.filing(Some(case))?.case;
                lock(case).file_original(&original)?;
            }
            Item::Answer(answer) => self.answers.extend(answer),
        }
        Ok(())
    }

    /// Writes out what is filed.
    ///
    /// # Errors
    /// The first that the system says to it.
    pub(crate) fn flush(&mut self) -> Result<(), CaseError> {
        let mut flushed = Ok(());
        for filing in self.filings.values_mut().filter(|filing| filing.touched) {
            filing.touched = false;
            let result = lock(&filing.case).flush();
            flushed = flushed.and(result);
        }
        flushed
    }

    /// The case of a PDU, as this connection sees it.
    fn filing(&mut self, case_id: Option<String>) -> Result<&mut Filing, CasesError> {
        let filing = match self.filings.entry(case_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let case = self.cases.get(new.key().as_deref())?;
                new.insert(Filing { case, replays: HashMap::new(), touched: false })
            }
        };
        filing.touched = true;
        Ok(filing)
    }
}

/// Where this connection stands beside what is filed of a source, once what an older one has read is filed.
fn replay<'a>(
    replays: &'a mut HashMap<Source, Replay>,
    case: &SharedCase,
    source: &Source,
    reader: &Arc<Reader>,
) -> &'a mut Replay {
    match replays.entry(source.clone()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let former = lock(case).memory().hand_over(source, reader);
            if let Some(former) = former {
                former.wait_until_read();
            }
            new.insert(Replay::default())
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.reader.ended.store(true, Ordering::Release);
    }
}
