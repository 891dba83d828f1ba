//! Integrity checks (TS 102 232-1, annex J): hashes over the PDUs of a series, signatures over the hashes.
//!
//! On the probe's side an [`Integrity`] is told of every PDU of one series, which is the content or the IRI of one
//! intercept and one communication identity number, and says when a hash or a signature is due. On the agency's side a
//! [`Verifier`] is told of every PDU that arrives and says what each check is worth.
//!
//! A hash is SHA-256 over the PDUs whole, one behind the other. A signature is over the values of the hashes, one
//! behind the other, so nobody can put other hashes under it. Hash PDUs are numbered for themselves, and signature PDUs
//! too: those numbers are what a signature lists.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde::Serialize;

use super::decode::{Payload, Pdu};
use super::names::{Label, Octets};
use super::records::{IntegrityCheck, Tri};
use super::terms::{CheckType, DataType, HashAlgorithm, SignatureAlgorithm};
use crate::UtcMicros;

/// When checks are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// A hash after so many PDUs at the latest: 1 to 65,535.
    pub pdus: u16,
    /// A hash so many microseconds after its first PDU at the latest.
    pub hash_micros: u32,
    /// A signature after so many hashes at the latest: 1 to 65,535.
    pub hashes: u16,
    /// A signature so many microseconds after its first hash at the latest.
    pub signature_micros: u32,
}

/// A thousand PDUs or a second, fifteen hashes or half a minute.
impl Default for Cadence {
    fn default() -> Self {
        Self { pdus: 1000, hash_micros: 1_000_000, hashes: 15, signature_micros: 30_000_000 }
    }
}

/// The key that signs.
#[derive(Debug)]
pub enum SigningKey {
    /// EdDSA.
    Ed25519(Ed25519KeyPair),
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256(EcdsaKeyPair),
}

/// A key, or a signature with it, that is of no use. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PKCS #8 of Ed25519 or P-256.
    #[error("the signing key is neither Ed25519 nor P-256 in PKCS #8 (DER): make one with `openssl genpkey`")]
    Unknown,
    /// The system gave no random number, which ECDSA needs.
    #[error("the signature failed: the system gives no random numbers")]
    Signature,
}

impl SigningKey {
    /// A private key in PKCS #8, as DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(key));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new())
            .map(Self::EcdsaP256)
            .map_err(|_| KeyError::Unknown)
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.public_key().as_ref().to_vec()),
            Self::EcdsaP256(key) => PublicKey::EcdsaP256(key.public_key().as_ref().to_vec()),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<(SignatureAlgorithm, Vec<u8>), KeyError> {
        match self {
            Self::Ed25519(key) => Ok((SignatureAlgorithm::Eddsa, key.sign(message).as_ref().to_vec())),
            Self::EcdsaP256(key) => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| (SignatureAlgorithm::Ecdsa, signature.as_ref().to_vec()))
                .map_err(|_| KeyError::Signature),
        }
    }
}

/// The key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// 32 octets.
    Ed25519(Vec<u8>),
    /// A point that is not compressed, 65 octets.
    EcdsaP256(Vec<u8>),
}

impl PublicKey {
    fn verify(&self, algorithm: Option<SignatureAlgorithm>, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Ed25519(key), None | Some(SignatureAlgorithm::Eddsa)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            (Self::EcdsaP256(key), None | Some(SignatureAlgorithm::Ecdsa)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// A check that is due: to be sent as a TRI with this sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// sequenceNumber of the PDU: hashes are counted for themselves, and so are signatures.
    pub sequence: u32,
    /// What it says.
    pub check: Tri,
}

/// Says of one series of PDUs when a hash or a signature is due.
pub struct Integrity {
    /// Without one there are hashes alone.
    key: Option<Arc<SigningKey>>,
    data: DataType,
    hashing: digest::Context,
    /// Sequence numbers of the PDUs in `hashing`.
    pdus: Collected,
    next_hash: u32,
    /// Values of the hashes that no signature is over yet.
    values: Vec<u8>,
    hashes: Collected,
    next_signature: u32,
}

/// Numbers of what a check will be over, and when the first of them came.
#[derive(Debug)]
struct Collected {
    numbers: Vec<u32>,
    since: Option<UtcMicros>,
    most: usize,
    micros: u32,
}

impl Collected {
    fn new(most: u16, micros: u32) -> Self {
        let most = usize::from(most.max(1));
        Self { numbers: Vec::with_capacity(most), since: None, most, micros }
    }

    fn push(&mut self, now: UtcMicros, number: u32) {
        self.since.get_or_insert(now);
        self.numbers.push(number);
    }

    fn deadline(&self) -> Option<i64> {
        self.since.map(|since| since.unix_micros() + i64::from(self.micros))
    }

    fn is_due(&self, now: UtcMicros) -> bool {
        self.numbers.len() >= self.most || self.deadline().is_some_and(|deadline| now.unix_micros() >= deadline)
    }

    /// The numbers; the room for those to come stays.
    fn take(&mut self) -> Vec<u32> {
        self.since = None;
        std::mem::replace(&mut self.numbers, Vec::with_capacity(self.most))
    }
}

impl Integrity {
    /// Nothing is hashed yet. Without a key there are hashes alone.
    pub fn new(data: DataType, cadence: Cadence, key: Option<Arc<SigningKey>>) -> Self {
        Self {
            key,
            data,
            hashing: digest::Context::new(&digest::SHA256),
            pdus: Collected::new(cadence.pdus, cadence.hash_micros),
            next_hash: 0,
            values: Vec::new(),
            hashes: Collected::new(cadence.hashes, cadence.signature_micros),
            next_signature: 0,
        }
    }

    /// A PDU of the series, whole as it is sent. Ask afterwards what is [due](Self::due).
    pub fn sent(&mut self, now: UtcMicros, sequence: u32, pdu: &[u8]) {
        self.hashing.update(pdu);
        self.pdus.push(now, sequence);
    }

    /// The next check that is due, if there is one; ask until there is none. A signature that failed stays due.
    pub fn due(&mut self, now: UtcMicros) -> Result<Option<Due>, KeyError> {
        if self.pdus.is_due(now) {
            Ok(Some(self.hash(now)))
        } else if self.hashes.is_due(now) {
            self.signature()
        } else {
            Ok(None)
        }
    }

    /// When a check will be due at the latest, if no PDU comes: microseconds of UTC since 1970.
    pub fn deadline(&self) -> Option<i64> {
        [self.pdus.deadline(), self.hashes.deadline()].into_iter().flatten().min()
    }

    /// What is left when the series ends, one check after the other: over all that no check is over yet.
    pub fn last(&mut self, now: UtcMicros) -> Result<Option<Due>, KeyError> {
        if self.pdus.numbers.is_empty() { self.signature() } else { Ok(Some(self.hash(now))) }
    }

    fn hash(&mut self, now: UtcMicros) -> Due {
        let hashing = std::mem::replace(&mut self.hashing, digest::Context::new(&digest::SHA256));
        let value = hashing.finish();
        let sequence = self.next_hash;
        self.next_hash = sequence.wrapping_add(1);
        if self.key.is_some() {
            self.values.extend_from_slice(value.as_ref());
            self.hashes.push(now, sequence);
        }
        let check = IntegrityCheck {
            included: self.pdus.take(),
            check: CheckType::Hash,
            data: Some(self.data),
            value: Octets(value.as_ref().to_vec()),
            hash: Some(HashAlgorithm::Sha256),
            signature: None,
        };
        Due { sequence, check: Tri::IntegrityCheck(check) }
    }

    fn signature(&mut self) -> Result<Option<Due>, KeyError> {
        let Some(key) = self.key.as_ref().filter(|_| !self.hashes.numbers.is_empty()) else { return Ok(None) };
        let (algorithm, value) = key.sign(&self.values)?;
        self.values.clear();
        let sequence = self.next_signature;
        self.next_signature = sequence.wrapping_add(1);
        let check = IntegrityCheck {
            included: self.hashes.take(),
            check: CheckType::Signature,
            data: Some(self.data),
            value: Octets(value),
            hash: None,
            signature: Some(algorithm),
        };
        Ok(Some(Due { sequence, check: Tri::IntegrityCheck(check) }))
    }
}

/// What a check is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that it is over is as it was sent.
    Good,
    /// Something was changed.
    Bad,
    /// Of what it is over these did not arrive, or so long ago that they are not kept any more.
    Missing(Vec<u32>),
    /// An algorithm that is not computed here, a series that is not named, or a signature without a key for it.
    NotChecked,
}

/// Which series a PDU belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Series {
    liid: Label,
    cin: Option<u32>,
    data: u8,
}

/// What is kept of a series until a check is over it.
#[derive(Debug, Default)]
struct Kept {
    pdus: BTreeMap<u32, Box<[u8]>>,
    octets: usize,
    hashes: BTreeMap<u32, Octets>,
}

/// Says of each integrity check that arrives what it is worth. One for each connection: content and IRI count alike,
/// and of what is encrypted nobody can say which of them it is.
#[derive(Debug)]
pub struct Verifier {
    key: Option<PublicKey>,
    most_octets: usize,
    /// Octets that are kept of all series.
    octets: usize,
    series: HashMap<Series, Kept>,
}

impl Verifier {
    /// Most series of which something is kept; PDUs of more are not checked.
    pub const MOST_SERIES: usize = 4096;
    /// Most hashes that are kept of a series until a signature is over them.
    const MOST_HASHES: usize = 4096;

    /// Keeps at most `most_octets` octets of PDUs, of all series together. Without a key signatures are not checked.
    pub fn new(key: Option<PublicKey>, most_octets: usize) -> Self {
        Self { key, most_octets, octets: 0, series: HashMap::new() }
    }

    /// Takes a PDU that arrived, `bytes`, with what it says. Of an integrity check the verdict, unless it was there
    /// before.
    pub fn arrived(&mut self, bytes: &[u8], pdu: &Pdu) -> Option<Verdict> {
        let of = |data: DataType| Series { liid: pdu.header.liid.clone(), cin: pdu.header.cin, data: data as u8 };
        match &pdu.payload {
            Payload::Cc(_) => self.keep(of(DataType::Cc), pdu.header.sequence, bytes),
            Payload::Iri(_) => self.keep(of(DataType::Iri), pdu.header.sequence, bytes),
            // A check over it will say which of them it is.
            Payload::Encrypted(_) => {
                self.keep(of(DataType::Cc), pdu.header.sequence, bytes);
                self.keep(of(DataType::Iri), pdu.header.sequence, bytes);
            }
            Payload::Tri(Tri::IntegrityCheck(check)) => {
                let Some(data) = check.data else { return Some(Verdict::NotChecked) };
                let Some(kept) = self.series.get_mut(&of(data)) else {
                    return Some(Verdict::Missing(check.included.clone()));
                };
                return match check.check {
                    CheckType::Hash => {
                        let before = kept.octets;
                        let verdict = kept.hash(pdu.header.sequence, check);
                        self.octets -= before - kept.octets;
                        verdict
                    }
                    CheckType::Signature => Some(kept.signature(self.key.as_ref(), check)),
                };
            }
            _ => {}
        }
        None
    }

    fn keep(&mut self, series: Series, sequence: u32, bytes: &[u8]) {
        if self.series.len() >= Self::MOST_SERIES && !self.series.contains_key(&series) {
            return;
        }
        let kept = self.series.entry(series).or_default();
        let before = kept.pdus.insert(sequence, bytes.into()).map_or(0, |before| before.len());
        kept.octets += bytes.len();
        kept.octets -= before;
        self.octets += bytes.len();
        self.octets -= before;
        // What no check comes for lies in the largest series: half of that one, so that this is rare.
        while self.octets > self.most_octets
            && let Some(largest) = self.series.values_mut().max_by_key(|kept| kept.octets)
        {
            let half = largest.octets / 2;
            while largest.octets > half
                && let Some((_, oldest)) = largest.pdus.pop_first()
            {
                largest.octets -= oldest.len();
                self.octets -= oldest.len();
            }
        }
    }
}

impl Kept {
    fn hash(&mut self, sequence: u32, check: &IntegrityCheck) -> Option<Verdict> {
        if self.hashes.get(&sequence) == Some(&check.value) {
            return None;
        }
        let algorithm = match check.hash {
            None | Some(HashAlgorithm::Sha256) => &digest::SHA256,
            Some(HashAlgorithm::Sha384) => &digest::SHA384,
            Some(HashAlgorithm::Sha512) => &digest::SHA512,
            Some(HashAlgorithm::Sha1) => return Some(Verdict::NotChecked),
        };
        let missing: Vec<u32> =
            check.included.iter().copied().filter(|number| !self.pdus.contains_key(number)).collect();
        if self.hashes.len() >= Verifier::MOST_HASHES {
            self.hashes.pop_first();
        }
        self.hashes.insert(sequence, check.value.clone());
        if !missing.is_empty() {
            return Some(Verdict::Missing(missing));
        }
        let mut hashing = digest::Context::new(algorithm);
        for number in &check.included {
            if let Some(pdu) = self.pdus.get(number) {
                hashing.update(pdu);
            }
        }
        for number in &check.included {
            if let Some(pdu) = self.pdus.remove(number) {
                self.octets -= pdu.len();
            }
        }
        Some(if hashing.finish().as_ref() == check.value.0 { Verdict::Good } else { Verdict::Bad })
    }

    fn signature(&self, key: Option<&PublicKey>, check: &IntegrityCheck) -> Verdict {
        let Some(key) = key else { return Verdict::NotChecked };
        let missing: Vec<u32> =
            check.included.iter().copied().filter(|number| !self.hashes.contains_key(number)).collect();
        if !missing.is_empty() {
            return Verdict::Missing(missing);
        }
        let values: Vec<&[u8]> =
            check.included.iter().filter_map(|number| self.hashes.get(number)).map(|value| &value.0[..]).collect();
        if key.verify(check.signature, &values.concat(), &check.value.0) { Verdict::Good } else { Verdict::Bad }
    }
}
