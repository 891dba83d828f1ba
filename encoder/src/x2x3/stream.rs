//! Cuts a connection into PDUs.

use super::decode::lengths;
use crate::Malformed;
use crate::backlog::Backlog;
use crate::stream::Pdu;

/// Where a stream stops being a row of PDUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No PDU begins here.
    #[error("the PDU at octet {offset} of the stream: {error}")]
    NotAPdu {
        /// Octets of the stream before it.
        offset: u64,
        /// What is wrong with it.
        error: Malformed,
    },
    /// A PDU is longer than the setting allows.
    #[error("the PDU at octet {offset} of the stream is longer than {limit} octets")]
    TooLong {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// The setting.
        limit: usize,
    },
}

/// Takes a stream in pieces of any size and gives back its PDUs.
///
/// Call [`next_pdu`](Self::next_pdu) until it has nothing more before the next [`push`](Self::push): what is pushed is
/// kept until it was given out. After an error the stream cannot be cut any more, and every call gives the same error.
#[derive(Debug)]
pub struct PduStream {
    limit: usize,
    backlog: Backlog,
    failed: Option<StreamError>,
}

impl PduStream {
    /// Longest PDU that [`Default`] allows: 256 KiB, more than an IP packet and its attributes can make.
    pub const DEFAULT_LIMIT: usize = 256 * 1024;

    /// A stream that refuses PDUs of more than `limit` octets.
    pub const fn new(limit: usize) -> Self {
        Self { limit, backlog: Backlog::new(), failed: None }
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
        if let Some(error) = self.failed {
            return Err(error);
        }
        let offset = self.backlog.offset();
        let length = match lengths(self.backlog.rest()) {
            None => return Ok(None),
            Some(Err(error)) => Err(StreamError::NotAPdu { offset, error }),
            Some(Ok((header, payload))) => match (header as usize).checked_add(payload as usize) {
                Some(length) if length <= self.limit => Ok(length),
                _ => Err(StreamError::TooLong { offset, limit: self.limit }),
            },
        };
        let length = length.inspect_err(|error| self.failed = Some(*error))?;
        if length > self.backlog.rest().len() {
            return Ok(None);
        }
        Ok(Some(Pdu { offset, bytes: self.backlog.give(length) }))
    }
}

impl Default for PduStream {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}
