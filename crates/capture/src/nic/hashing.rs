//! How a card spreads frames over its queues: a hash of some of their fields picks an entry of a table of queues
//! (receive-side scaling). For a probe it should be symmetric: the two directions of a flow in one queue keep their order,
//! and one worker has the whole flow.

use crate::interface::{Interface, RawHashing};
use std::fmt;

/// The hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Toeplitz,
    Xor,
    Crc32,
    /// The driver does not say. With a key it is Toeplitz: nothing else has one.
    Unnamed,
}

/// What the card does to the fields before it hashes them (Linux 6.8 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    SymmetricXor,
    SymmetricOrXor,
}

/// How frames are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hashing {
    pub(crate) function: Function,
    pub(crate) transform: Transform,
    /// Empty where the driver shows none.
    pub(crate) key: Vec<u8>,
    /// The queue of each hash value, modulo its length. Empty where the driver shows none.
    pub(crate) table: Vec<u32>,
}

impl Hashing {
    pub(crate) fn new(raw: RawHashing) -> Self {
        let function = match raw.function {
            1 => Function::Toeplitz,
            2 => Function::Xor,
            4 => Function::Crc32,
            _ => Function::Unnamed,
        };
        let transform = match raw.transform {
            1 => Transform::SymmetricXor,
            2 => Transform::SymmetricOrXor,
            _ => Transform::None,
        };
        Self { function, transform, key: raw.key, table: raw.table }
    }

    /// Why the hash is the same with source and destination changed about; `None` if it is not.
    pub(crate) fn symmetry(&self) -> Option<&'static str> {
        match (self.transform, self.function) {
            (Transform::SymmetricXor, _) => Some("symmetric-xor"),
            (Transform::SymmetricOrXor, _) => Some("symmetric-or-xor"),
            (Transform::None, Function::Xor) => Some("xor"),
            (Transform::None, Function::Toeplitz | Function::Unnamed) if is_symmetric_key(&self.key) => {
                Some("Toeplitz, symmetric key")
            }
            _ => None,
        }
    }

    /// How many entries lead to each of the first `queues` queues, and whether that is all of them, as evenly as it goes.
    pub(crate) fn shares(&self, queues: u32) -> (Vec<usize>, bool) {
        let mut shares = vec![0; queues as usize];
        let mut inside = true;
        for queue in &self.table {
            match shares.get_mut(*queue as usize) {
                Some(share) => *share += 1,
                None => inside = false,
            }
        }
        let (least, most) = (shares.iter().min().copied(), shares.iter().max().copied());
        let even = least.zip(most).is_some_and(|(least, most)| most - least <= 1);
        (shares, inside && even)
    }
}

impl fmt::Display for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = match self.function {
            Function::Toeplitz => "Toeplitz",
            Function::Xor => "xor",
            Function::Crc32 => "crc32",
            Function::Unnamed => "an unnamed function",
        };
        write!(f, "{function}")?;
        if let Some(start) = self.key.get(..4) {
            write!(f, ", key {}... of {} bytes", key_text(start), self.key.len())?;
        }
        Ok(())
    }
}

/// A key under which Toeplitz gives both directions the same hash: it repeats every 16 bits, which is what all offsets
/// between a source field and its destination field are multiples of (Woo and Park, 2012). One bit of each 16 at the
/// least has to differ from the rest, or all frames get one hash.
fn is_symmetric_key(key: &[u8]) -> bool {
    let repeats = key.iter().zip(key.iter().skip(2)).all(|(now, next)| now == next);
    key.len() >= 16 && repeats && key.iter().any(|byte| *byte != 0)
}

/// The symmetric key of a length: 6d:5a over and over.
pub(crate) fn symmetric_key(length: usize) -> Vec<u8> {
    [0x6d, 0x5a].into_iter().cycle().take(length).collect()
}

/// A key as ethtool writes it.
pub(crate) fn key_text(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Kinds of flows, as ethtool names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Tcp4,
    Udp4,
    Tcp6,
    Udp6,
}

impl Flow {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp4, Self::Udp4, Self::Tcp6, Self::Udp6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp4 => "tcp4",
            Self::Udp4 => "udp4",
            Self::Tcp6 => "tcp6",
            Self::Udp6 => "udp6",
        }
    }

    /// `TCP_V4_FLOW` and so on.
    const fn number(self) -> u32 {
        match self {
            Self::Tcp4 => 1,
            Self::Udp4 => 2,
            Self::Tcp6 => 5,
            Self::Udp6 => 6,
        }
    }

    /// Whether its datagrams come in fragments often enough to matter.
    pub(crate) const fn is_fragmented(self) -> bool {
        matches!(self, Self::Udp4 | Self::Udp6)
    }
}

/// The fields of a flow that are hashed (`RXH_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) u64);

impl Fields {
    const IP_SOURCE: u64 = 1 << 4;
    const IP_DESTINATION: u64 = 1 << 5;
    const PORT_SOURCE: u64 = 1 << 6;
    const PORT_DESTINATION: u64 = 1 << 7;

    pub(crate) fn read(interface: &Interface, flow: Flow) -> Option<Self> {
        interface.hash_fields(flow.number()).map(Self)
    }

    const fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    /// Whether source and destination are both hashed or both not.
    pub(crate) const fn are_symmetric(self) -> bool {
        self.has(Self::IP_SOURCE) == self.has(Self::IP_DESTINATION)
            && self.has(Self::PORT_SOURCE) == self.has(Self::PORT_DESTINATION)
    }

    /// Whether ports are hashed, which fragments but the first do not have.
    pub(crate) const fn have_ports(self) -> bool {
        self.has(Self::PORT_SOURCE) || self.has(Self::PORT_DESTINATION)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::IP_SOURCE, "source"),
            (Self::IP_DESTINATION, "destination"),
            (Self::PORT_SOURCE, "source port"),
            (Self::PORT_DESTINATION, "destination port"),
        ];
        let hashed: Vec<&str> = names.into_iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect();
        f.write_str(if hashed.is_empty() { "nothing".to_owned() } else { hashed.join(", ") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Toeplitz, by its definition: for every bit set in the input, the 32 bits of the key that begin there.
    fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
        let bit = |bytes: &[u8], place: usize| bytes[place / 8] >> (7 - place % 8) & 1 == 1;
        let window = |at: usize| (at..at + 32).fold(0_u32, |word, place| word << 1 | u32::from(bit(key, place)));
        (0..input.len() * 8).filter(|place| bit(input, *place)).fold(0, |hash, place| hash ^ window(place))
    }

    fn toeplitz_with(key: Vec<u8>) -> Hashing {
        Hashing { function: Function::Toeplitz, transform: Transform::None, key, table: Vec::new() }
    }

    /// The key of Microsoft's specification, which many drivers begin with.
    const MICROSOFT: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn what_is_called_symmetric_hashes_both_directions_alike() {
        let there: Vec<u8> = [&[198, 51, 100, 7, 203, 0, 113, 9][..], &[0x30, 0x39, 0x01, 0xbb]].concat();
        let back: Vec<u8> = [&[203, 0, 113, 9, 198, 51, 100, 7][..], &[0x01, 0xbb, 0x30, 0x39]].concat();
        // The specification's own example holds the test's function to account: 66.9.149.187:2794 to 161.142.100.80:1766.
        let example = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&MICROSOFT, &example), 0x51cc_c178);
        for length in [40, 52] {
            let key = symmetric_key(length);
            assert_eq!(toeplitz(&key, &there), toeplitz(&key, &back));
            assert_ne!(toeplitz(&key, &there), toeplitz(&key, &example));
            assert!(toeplitz_with(key).symmetry().is_some());
        }
        assert_ne!(toeplitz(&MICROSOFT, &there), toeplitz(&MICROSOFT, &back));
        assert_eq!(toeplitz_with(MICROSOFT.to_vec()).symmetry(), None);
        assert_eq!(toeplitz_with(vec![0; 40]).symmetry(), None, "it would hash everything alike");
    }

    #[test]
    fn shares_are_even_when_no_queue_has_two_entries_more() {
        let table = |table: &[u32]| Hashing { table: table.to_vec(), ..toeplitz_with(Vec::new()) };
        assert_eq!(table(&[0, 1, 2, 0, 1]).shares(3), (vec![2, 2, 1], true));
        assert_eq!(table(&[0, 0, 0, 1]).shares(2), (vec![3, 1], false));
        assert_eq!(table(&[0, 1, 2, 3]).shares(2), (vec![1, 1], false), "queues that nobody captures from");
        assert_eq!(table(&[0, 1]).shares(3), (vec![1, 1, 0], true), "a table that is shorter than the queues are many");
    }
}
