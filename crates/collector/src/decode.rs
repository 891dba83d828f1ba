//! Prints a stream that was kept: a JSON object a PDU.

use std::io::{self, BufRead, Write};

use serde::Serialize;
use writ_encoder::{
    stream::{StreamDecoder, StreamError},
    t1_ias::{Cmcc, Cmii, DecodeError, decode_cmcc, decode_cmii},
};

use crate::{Stream, is_test, tell_test};

/// Why a stream was not printed to its end.
#[derive(Debug, thiserror::Error)]
pub enum DecodeFault {
    /// The stream is no row of PDUs.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A PDU is none of this stream's.
    #[error("the PDU at octet {offset} of the stream: {error}")]
    Pdu {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The first PDU is of neither stream.
    #[error("the PDU at octet 0 of the stream is neither CmII ({cmii}) nor CmC ({cmc})")]
    Neither {
        /// Why it is not CmII.
        cmii: DecodeError,
        /// Why it is not CmC.
        cmc: DecodeError,
    },
    /// The last PDU is cut off.
    #[error("the stream ends within the PDU at octet {offset}")]
    CutOff {
        /// Octets of the stream before the PDU.
        offset: u64,
    },
    /// Reading or printing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Decoded {
    Cmii(Box<Cmii>),
    Cmc(Cmcc),
}

impl Decoded {
    fn case_id(&self) -> Option<&str> {
        match self {
            Self::Cmii(message) => Some(&message.case_id),
            Self::Cmc(content) => content.case_id.as_deref(),
        }
    }

    fn stream(&self) -> Stream {
        match self {
            Self::Cmii(_) => Stream::Cmii,
            Self::Cmc(_) => Stream::Cmc,
        }
    }
}

#[derive(Serialize)]
struct Line {
    offset: u64,
    stream: Stream,
    #[serde(flatten)]
    decoded: Decoded,
}

/// Reads `input` to its end and prints each PDU as a line on `out`. Without `stream`, the first PDU tells which it is.
///
/// # Errors
/// The first fault, with its place. What comes before it is printed.
pub fn decode(mut input: impl BufRead, mut stream: Option<Stream>, mut out: impl Write) -> Result<(), DecodeFault> {
    let mut decoder = StreamDecoder::default();
    let mut end = 0;
    let mut told = false;
    loop {
        let piece = input.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return if decoder.pending() == 0 { Ok(()) } else { Err(DecodeFault::CutOff { offset: end }) };
        }
        decoder.push(piece);
        input.consume(length);
        while let Some(pdu) = decoder.next_pdu()? {
            let offset = pdu.offset;
            let decoded = read(pdu.bytes, offset, stream)?;
            let stream = *stream.insert(decoded.stream());
            if let Some(case) = decoded.case_id().filter(|case| !told && is_test(case)) {
                tell_test(case);
                told = true;
            }
            serde_json::to_writer(&mut out, &Line { offset, stream, decoded }).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            end = offset + pdu.bytes.len() as u64;
        }
    }
}

fn read(bytes: &[u8], offset: u64, stream: Option<Stream>) -> Result<Decoded, DecodeFault> {
    let cmii = || decode_cmii(bytes).map(|(message, _)| Decoded::Cmii(Box::new(message)));
    let cmc = || decode_cmcc(bytes).map(|(content, _)| Decoded::Cmc(content));
    let fault = |error| DecodeFault::Pdu { offset, error };
    match stream {
        Some(Stream::Cmii) => cmii().map_err(fault),
        Some(Stream::Cmc) => cmc().map_err(fault),
        None => cmii().or_else(|cmii| cmc().map_err(|cmc| DecodeFault::Neither { cmii, cmc })),
    }
}
