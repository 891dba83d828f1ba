//! Cuts a byte stream into BER values: what the collector reads from a connection goes in, whole PDUs come out.
//!
//! T1.IAS sends its PDUs one behind the other with nothing between them, so one wrong length loses the rest of the
//! connection. The decoder says at which octet of the stream that was.

use crate::backlog::Backlog;

/// Where a stream stops being a row of PDUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A PDU does not begin with the identifier of a SEQUENCE.
    #[error("octet {offset} of the stream is {found:#04x} where a PDU should begin (0x30)")]
    NotAPdu {
        /// Octets of the stream before the one found.
        offset: u64,
        /// The octet.
        found: u8,
    },
    /// A PDU is longer than the setting allows.
    #[error("the PDU at octet {offset} of the stream is longer than {limit} octets")]
    TooLong {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// The setting.
        limit: usize,
    },
    /// A length that BER does not define, or more than fits into memory.
    #[error("octet {offset} of the stream is no valid length")]
    BadLength {
        /// Octets of the stream before the length.
        offset: u64,
    },
    /// An identifier of more than the 6 octets that any tag needs.
    #[error("octet {offset} of the stream is no valid identifier")]
    BadIdentifier {
        /// Octets of the stream before the identifier.
        offset: u64,
    },
    /// Values of indefinite length inside each other, more than [`StreamDecoder::DEEPEST`].
    #[error("values are nested too deep at octet {offset} of the stream")]
    TooDeep {
        /// Octets of the stream before the value.
        offset: u64,
    },
}

/// One PDU, as it stands in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// Octets of the stream before it.
    pub offset: u64,
    /// All its octets, with identifier and length.
    pub bytes: &'a [u8],
}

/// Takes a stream in pieces of any size and gives back its PDUs.
///
/// Call [`next_pdu`](Self::next_pdu) until it has nothing more before the next [`push`](Self::push): what is pushed is
/// kept until it was given out. After an error the stream cannot be cut any more, and every call gives the same error.
#[derive(Debug)]
pub struct StreamDecoder {
    limit: usize,
    backlog: Backlog,
    scan: Scan,
    failed: Option<StreamError>,
}

/// How far the PDU at the front has been looked at, so that a piece that arrives does not make the work begin again.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Octets that belong to the PDU for certain.
    seen: usize,
    /// Values of indefinite length that wait for their end.
    open: usize,
}

/// Identifier and length of one value.
struct Header {
    first: u8,
    octets: usize,
    /// `None`: of indefinite length.
    contents: Option<usize>,
}

enum HeaderError {
    /// The rest has not come yet.
    Incomplete,
    BadIdentifier,
    /// How far behind the identifier's begin.
    BadLength(usize),
}

impl StreamDecoder {
    /// Longest PDU that [`Default`] allows: 256 KiB, more than an IP packet can make.
    pub const DEFAULT_LIMIT: usize = 256 * 1024;

    /// Deepest nesting of values of indefinite length.
    pub const DEEPEST: usize = 32;

    /// A decoder that refuses PDUs of more than `limit` octets.
    pub const fn new(limit: usize) -> Self {
        let scan = Scan { seen: 0, open: 0 };
        Self { limit, backlog: Backlog::new(), scan, failed: None }
    }

    /// Takes the next octets of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.backlog.push(bytes);
        }
    }

    /// Octets that were pushed and do not make a whole PDU yet. Not zero at the end of a stream: it was cut off.
    pub fn pending(&self) -> usize {
        self.backlog.rest().len()
    }

    /// The next whole PDU, or none until more is pushed.
    pub fn next_pdu(&mut self) -> Result<Option<Pdu<'_>>, StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.measure() {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                self.scan = Scan::default();
                let offset = self.backlog.offset();
                Ok(Some(Pdu { offset, bytes: self.backlog.give(length) }))
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Length of the PDU at the front, or none if it is not all there. A value of definite length is one step, whatever
    /// is in it; one of indefinite length is a step for each value in it.
    fn measure(&mut self) -> Result<Option<usize>, StreamError> {
        let pdu = self.backlog.rest();
        let offset = self.backlog.offset();
        let too_long = StreamError::TooLong { offset, limit: self.limit };
        loop {
            let here = offset + self.scan.seen as u64;
            let header = match Header::read(pdu.get(self.scan.seen..).unwrap_or_default()) {
                Ok(header) => header,
                Err(HeaderError::Incomplete) if self.scan.seen > self.limit => return Err(too_long),
                Err(HeaderError::Incomplete) => {
                    return match pdu.first() {
                        Some(&found) if found != 0x30 => Err(StreamError::NotAPdu { offset, found }),
                        _ => Ok(None),
                    };
                }
                Err(HeaderError::BadIdentifier) => return Err(StreamError::BadIdentifier { offset: here }),
                Err(HeaderError::BadLength(behind)) => {
                    return Err(StreamError::BadLength { offset: here + behind as u64 });
                }
            };
            if self.scan.seen == 0 && header.first != 0x30 {
                return Err(StreamError::NotAPdu { offset, found: header.first });
            }
            let step = header.octets.checked_add(header.contents.unwrap_or(0));
            let end = match step.and_then(|step| self.scan.seen.checked_add(step)) {
                Some(end) if end <= self.limit => end,
                _ => return Err(too_long),
            };
            if end > pdu.len() {
                return Ok(None);
            }
            self.scan.seen = end;
            match header.contents {
                None if self.scan.open == Self::DEEPEST => return Err(StreamError::TooDeep { offset: here }),
                None => self.scan.open += 1,
                // Two zero octets end the innermost value of indefinite length (X.690, 8.1.5).
                Some(0) if header.first == 0 => self.scan.open -= 1,
                Some(_) => {}
            }
            if self.scan.open == 0 {
                return Ok(Some(end));
            }
        }
    }
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut octets = bytes.iter().copied().enumerate();
        let mut next = || octets.next().ok_or(HeaderError::Incomplete);
        let (_, first) = next()?;
        if first & 0x1f == 0x1f {
            // A tag number of 31 or more: seven bits an octet, the last one without the top bit.
            while let (place, 0x80..) = next()? {
                if place == 5 {
                    return Err(HeaderError::BadIdentifier);
                }
            }
        }
        let (place, initial) = next()?;
        let following = usize::from(initial & 0x7f);
        let contents = match initial {
            0..0x80 => Some(following),
            0x80 if first & 0x20 != 0 => None,
            0x80 | 0xff => return Err(HeaderError::BadLength(place)),
            0x81.. => {
                let mut length = 0_usize;
                for _ in 0..following {
                    let (_, octet) = next()?;
                    // Too long for a usize is as good as the longest, which no limit allows.
                    length = length.checked_mul(256).map_or(usize::MAX, |length| length | usize::from(octet));
                }
                Some(length)
            }
        };
        let octets = place + 1 + if initial > 0x80 { following } else { 0 };
        Ok(Self { first, octets, contents })
    }
}
