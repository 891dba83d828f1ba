//! The encryption container: a payload that only the key of the case opens (TS 102 232-1, annex G).
//!
//! A PDU is written as ever and then [sealed](Sealer::seal): its header stays, its payload goes into an
//! EncryptedPayload behind a counter of octets, is filled with zeros to whole blocks and encrypted with AES in CBC
//! mode. The initialization vector is the PDU's sequence number, four times: no two PDUs of a series share one, and the
//! counter, which stands in the first block, is never the same either. So a key is for one series: content and IRI have
//! a sealer each.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, InnerIvInit as _, KeyInit as _};
use aes::{Aes192, Aes256};

use super::decode::{Container, Payload, opened};
use super::read::{DecodeError, Fault, Result, Value};
use super::terms::{EncryptedPayloadType, EncryptionType};
use crate::UtcMicros;
use crate::ber::{Header, NoRoom, Unsigned, Writer};

/// Octets of a block of AES.
pub(super) const BLOCK: usize = 16;

/// The key of a case. Its length decides on the cipher.
#[derive(Clone)]
pub struct CaseKey(Cipher);

#[derive(Clone)]
enum Cipher {
    Aes192(Box<Aes192>),
    Aes256(Box<Aes256>),
}

/// A key that has not 24 or 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key has {octets} octets: give 24 for AES-192 or 32 for AES-256")]
pub struct KeyLength {
    /// Octets that were given.
    pub octets: usize,
}

impl CaseKey {
    /// A key of 24 octets is for AES-192-CBC, one of 32 for AES-256-CBC.
    pub fn new(key: &[u8]) -> std::result::Result<Self, KeyLength> {
        let bad = KeyLength { octets: key.len() };
        match key.len() {
            24 => Aes192::new_from_slice(key).map(|cipher| Self(Cipher::Aes192(Box::new(cipher)))),
            _ => Aes256::new_from_slice(key).map(|cipher| Self(Cipher::Aes256(Box::new(cipher)))),
        }
        .map_err(|_| bad)
    }

    fn encryption_type(&self) -> EncryptionType {
        match self.0 {
            Cipher::Aes192(_) => EncryptionType::Aes192Cbc,
            Cipher::Aes256(_) => EncryptionType::Aes256Cbc,
        }
    }

    /// Whole blocks, in place.
    fn encrypt(&self, sequence: u32, blocks: &mut [u8]) -> std::result::Result<(), NoRoom> {
        let (vector, length) = (vector(sequence), blocks.len());
        match &self.0 {
            Cipher::Aes192(cipher) => cbc::Encryptor::inner_iv_init(&**cipher, &vector.into())
                .encrypt_padded_mut::<NoPadding>(blocks, length)
                .map(drop),
            Cipher::Aes256(cipher) => cbc::Encryptor::inner_iv_init(&**cipher, &vector.into())
                .encrypt_padded_mut::<NoPadding>(blocks, length)
                .map(drop),
        }
        .map_err(|_| NoRoom)
    }

    /// What is in the container of the PDU with this sequence number, and the counter of octets that came with it. With
    /// the wrong key there is no such value in it, and a fault is given.
    pub fn open(&self, sequence: u32, container: &Container) -> Result<(u64, Payload)> {
        let mut blocks = container.octets.0.clone();
        let wrong = |fault| DecodeError::new(0, fault);
        if container.cipher != self.encryption_type() {
            return Err(wrong(Fault::Enumeration));
        }
        let vector = vector(sequence);
        match &self.0 {
            Cipher::Aes192(cipher) => cbc::Decryptor::inner_iv_init(&**cipher, &vector.into())
                .decrypt_padded_mut::<NoPadding>(&mut blocks)
                .map(drop),
            Cipher::Aes256(cipher) => cbc::Decryptor::inner_iv_init(&**cipher, &vector.into())
                .decrypt_padded_mut::<NoPadding>(&mut blocks)
                .map(drop),
        }
        .map_err(|_| wrong(Fault::Size))?;
        opened(&blocks)
    }
}

impl std::fmt::Debug for CaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaseKey({:?})", self.encryption_type())
    }
}

fn vector(sequence: u32) -> [u8; BLOCK] {
    let [a, b, c, d] = sequence.to_be_bytes();
    [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]
}

/// Seals the PDUs of one series.
#[derive(Clone, Debug)]
pub struct Sealer {
    key: CaseKey,
    /// byteCounter of the next PDU.
    counter: u64,
}

impl Sealer {
    /// A sealer for a series that begins at `begin`: the counter's upper half is that time, to the second.
    pub fn new(key: CaseKey, begin: UtcMicros) -> Self {
        let seconds = begin.unix_micros().unsigned_abs() / 1_000_000;
        Self { key, counter: seconds << 32 }
    }

    /// Octets of the buffer that [`seal`](Self::seal) needs for a PDU of `length` octets.
    #[inline]
    pub const fn bound(length: usize) -> usize {
        crate::ber::ROOM + length
    }

    /// Writes `pdu`, a PDU of an [`Intercept`](super::Intercept) with this sequence number, to the front of `out` with
    /// its payload sealed, and says how long it is then. The buffer has to have [`bound`](Self::bound) octets.
    ///
    /// Octets that are no such PDU are a fault.
    pub fn seal(&mut self, out: &mut [u8], sequence: u32, pdu: &[u8]) -> std::result::Result<usize, SealError> {
        let (header, payload) = parts(pdu)?;
        // EncryptedPayload { byteCounter [0], payload [1] }; the payload [2] of the PDU keeps its length under the new
        // tag.
        let counter = Unsigned::new(self.counter);
        let plain = Header::new(0x30, counter.whole() + payload.len());
        let blocks = plain.whole().next_multiple_of(BLOCK);

        let octets = Header::new(0x81, blocks);
        let part = u32::from_le_bytes([0x82, 1, part_of(payload)? as u8, 0]);
        let container = Header::new(0xa4, 3 + octets.whole() + 3);
        let choice = Header::new(0xa2, container.whole());
        let whole = Header::new(0x30, header.len() + choice.whole());
        let total = whole.whole();
        out.get(..total).ok_or(NoRoom)?;

        let mut front = Writer::new(out)?;
        front.header(whole)?;
        let at = front.written();
        out.get_mut(at..at + header.len()).ok_or(NoRoom)?.copy_from_slice(header);
        let at = at + header.len();
        let mut middle = Writer::new(out.get_mut(at..).ok_or(NoRoom)?)?;
        middle.header(choice)?;
        middle.header(container)?;
        middle.words([u64::from(u32::from_le_bytes([0x80, 1, self.key.encryption_type() as u8, 0]))], 3)?;
        middle.header(octets)?;
        let begin = at + middle.written();
        middle.header(plain)?;
        middle.unsigned((0, 0), 0x80, counter)?;
        let at = at + middle.written();
        let end = at + payload.len();
        out.get_mut(at..end).ok_or(NoRoom)?.copy_from_slice(payload);
        *out.get_mut(at).ok_or(NoRoom)? = 0xa1;
        out.get_mut(end..begin + blocks).ok_or(NoRoom)?.fill(0);
        self.key.encrypt(sequence, out.get_mut(begin..begin + blocks).ok_or(NoRoom)?)?;
        let part = part.to_le_bytes();
        out.get_mut(begin + blocks..total).ok_or(NoRoom)?.copy_from_slice(part.first_chunk::<3>().ok_or(NoRoom)?);
        self.counter = self.counter.wrapping_add(total as u64);
        Ok(total)
    }
}

/// Why a PDU was not sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The buffer is too small.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// What was to be sealed is no PDU.
    #[error(transparent)]
    NotAPdu(#[from] DecodeError),
}

/// Which part of the standard a payload \[2\] is of: HI1 and TRI are of the first, what is intercepted of the third.
fn part_of(payload: &[u8]) -> Result<EncryptedPayloadType> {
    let (value, _) = Value::read(payload, 0)?;
    Ok(match value.choice()?.alternative()? {
        0 | 1 => EncryptedPayloadType::Part3,
        _ => EncryptedPayloadType::Part1,
    })
}

/// pSHeader \[1\] and payload \[2\] of a PDU, each whole.
fn parts(pdu: &[u8]) -> Result<(&[u8], &[u8])> {
    let (value, _) = Value::read(pdu, 0)?;
    let mut members = value.members()?;
    let header = members.required(1, "pSHeader", |value| Ok(value.whole(pdu)))?;
    let payload = members.required(2, "payload", |value| Ok(value.whole(pdu)))?;
    members.finish(3)?;
    Ok((header, payload))
}
