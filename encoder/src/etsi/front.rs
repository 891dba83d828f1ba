//! All that stands in a PDU before the octets of its one packet, from words that few operations complete.
//!
//! What is written header by header (in `fast`) does not change its shape between most packets: all lengths and numbers
//! have as many octets as in the PDU before. While that is so, an octet more of packet is one more in each length, and one
//! multiplication takes in all the lengths of a word. What a word gains, and for which packets, is learned from PDUs that
//! are written header by header, when an intercept is set up.

use super::terms::Direction;
use crate::UtcMicros;
use crate::ber::ROOM;

/// pSHeader of one intercept, with a time stamp of the usual widths.
#[derive(Clone, Debug)]
pub(super) struct UsualHeader {
    /// Members \[0\] to \[3\].
    head: [u8; Self::HEAD],
    head_octets: usize,
    /// Member \[6\], or nothing.
    point: [u8; Self::POINT],
    point_octets: usize,
}

impl UsualHeader {
    /// The longest identifiers make 91 octets.
    const HEAD: usize = 96;
    /// The longest point has 10 octets.
    const POINT: usize = 16;

    /// None for identifiers that are longer than the standard allows.
    pub(super) fn new(head: &[u8], point: &[u8]) -> Option<Self> {
        Some(Self { head: padded(head)?, head_octets: head.len(), point: padded(point)?, point_octets: point.len() })
    }

    /// Writes all that stands before a packet of `length` octets to `out`, and says how much it is; none if that is not
    /// of a shape that was learned, or if the buffer is too small. What is behind it in the buffer is of no use then.
    #[inline(always)]
    pub(super) fn write<const N: usize>(
        &self,
        fronts: &[Front; N],
        out: &mut [u8],
        time: UtcMicros,
        direction: Direction,
        sequence: u32,
        length: usize,
    ) -> Option<usize> {
        let front = fronts.iter().find(|front| length.wrapping_sub(front.shortest) < front.lengths)?;
        let [seconds, micros] = stamp(time)?;
        let room: &mut [u8; ROOM] = out.first_chunk_mut()?;
        let (number, number_octets) = number(sequence);
        let [lead, a, b, c, d, last] = front.words(length, number_octets, direction);

        // Each piece is written whole; what is too much of it is written over by the next.
        *room.first_chunk_mut()? = lead.to_be_bytes();
        let mut at = front.lead_octets;
        *room.get_mut(at..)?.first_chunk_mut()? = self.head;
        at += self.head_octets;
        *room.get_mut(at..)?.first_chunk_mut()? = number.to_be_bytes();
        at += 2 + number_octets;
        if self.point_octets > 0 {
            *room.get_mut(at..)?.first_chunk_mut()? = self.point;
            at += self.point_octets;
        }
        let rest: &mut [u8; STAMP + Front::OCTETS] = room.get_mut(at..)?.first_chunk_mut()?;
        for (place, word) in rest.as_chunks_mut().0.iter_mut().zip([seconds, micros, a, b, c, d]) {
            *place = word.to_be_bytes();
        }
        *rest.last_chunk_mut()? = last.to_be_bytes();
        Some(at + STAMP + front.octets)
    }
}

/// The first octets, and zeros behind them.
fn padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    padded.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(padded)
}

/// Octets of microSecondTimeStamp and timeStampQualifier.
const STAMP: usize = 16;

/// microSecondTimeStamp \[7\] and timeStampQualifier \[8\] of an interception, the first octet in the highest place: if
/// the seconds have four octets, as from 1970-04 to 2038, and the microseconds three, as in all but 33 ms of a second.
#[inline(always)]
fn stamp(time: UtcMicros) -> Option<[u64; 2]> {
    let micros = time.unix_micros() as u64; // never negative
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let usual = (1 << 23..1 << 31).contains(&seconds) && micros >= 1 << 15;
    usual.then_some([0xa70b_8004 << 32 | seconds, 0x8103 << 48 | micros << 24 | 0x88_0101])
}

/// sequenceNumber \[4\] whole, the first octet in the highest place, and the octets of its contents.
#[inline(always)]
fn number(sequence: u32) -> (u64, usize) {
    // One octet more than is full of bits: the top bit of the first would read as a sign.
    let bits = ((sequence | 1).ilog2() + 9) & !7;
    let word = 0x84 << 56 | u64::from(bits) << 45 | u64::from(sequence) << (48 - bits);
    (word, bits as usize / 8)
}

/// What stands before packets of some lengths, but for pSHeader: words whose first octet is in the highest place, so that
/// a sum carries into the octet before.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    /// The shortest packet, and how many lengths there are from it on.
    shortest: usize,
    lengths: usize,
    /// The words before an empty packet: the headers of the PDU and of pSHeader, and what stands behind pSHeader.
    empty: [u64; 6],
    /// What each octet of the packet adds.
    by_length: [u64; 6],
    /// What each octet of the number adds to the first word.
    by_number: u64,
    /// What each step of the direction adds to the third word.
    by_direction: u64,
    /// Octets of the headers, and of what stands behind pSHeader.
    lead_octets: usize,
    octets: usize,
}

impl Front {
    /// Where the words behind pSHeader begin. So no length in front of a packet of 256 octets and more lies in two.
    const AT: [usize; 5] = [0, 8, 16, 24, 31];
    /// Octets of these words.
    const OCTETS: usize = 39;
    /// Packets of so many octets and more are rare, and their lengths have other widths again.
    const LENGTHS: usize = 0xff00;

    /// Those that hold for the most lengths. `before` writes header by header what stands before a packet: its octets, a
    /// sequence number and a direction are given, and the time stamp has the usual widths.
    pub(super) fn learn<const N: usize>(before: impl Fn(usize, u32, Direction) -> Vec<u8>) -> [Self; N] {
        // As long as these stay, no length gets wider, with whatever number.
        let octets = |length| [0, u32::MAX].map(|number| before(length, number, Direction::FromTarget).len());
        let mut fronts = Vec::new();
        let mut shortest = 0;
        while shortest < Self::LENGTHS {
            let (shape, mut longest, mut above) = (octets(shortest), shortest, Self::LENGTHS);
            while longest + 1 < above {
                let length = longest.midpoint(above);
                *if octets(length) == shape { &mut longest } else { &mut above } = length;
            }
            fronts.extend(Self::between(shortest, longest, &before));
            shortest = above;
        }
        fronts.sort_by_key(|front| std::cmp::Reverse(front.lengths));
        let mut fronts = fronts.into_iter();
        std::array::from_fn(|_| fronts.next().unwrap_or_default())
    }

    /// For packets of `shortest` to `longest` octets, if there is one.
    fn between(shortest: usize, longest: usize, before: &impl Fn(usize, u32, Direction) -> Vec<u8>) -> Option<Self> {
        let octets = before(shortest, 0, Direction::FromTarget);
        let [_, length, ..] = *octets else { return None };
        let lead_octets = 4 + usize::from(length.saturating_sub(0x80));
        let header = *octets.get(lead_octets - 1)?;
        let behind = lead_octets + usize::from(header);

        let words = |length, number, direction| {
            let (octets, [a, b, c, d, e]) = (before(length, number, direction), Self::AT);
            let [lead, a, b, c, d, e] =
                [0, behind + a, behind + b, behind + c, behind + d, behind + e].map(|at| word(&octets, at));
            // The last octet is the first of the word behind it, which is written over it.
            [lead, a, b, c, d & !0xff, e]
        };
        let first = words(shortest, 0, Direction::FromTarget);
        let by_length = less(words(shortest + 1, 0, Direction::FromTarget), first);
        let [by_number, ..] = less(words(shortest, 0x80, Direction::FromTarget), first);
        let [_, _, by_direction, ..] = less(words(shortest, 0, Direction::ToTarget), first);
        let mut empty = less(first, by_length.map(|word| word.wrapping_mul(shortest as u64)));
        empty[0] = empty[0].wrapping_sub(by_number);

        let octets = octets.len() - behind;
        let lengths = longest - shortest + 1;
        let front = Self { shortest, lengths, empty, by_length, by_number, by_direction, lead_octets, octets };
        // A number of five octets may make a length wider, and a length may lie in two words: both show at the end.
        let widest = before(longest, u32::MAX, Direction::FromTarget).len();
        let fits = octets <= Self::OCTETS
            && widest == behind + octets + 4
            && front.words(longest, 1, Direction::ToTarget) == words(longest, 0, Direction::ToTarget);
        fits.then_some(front)
    }

    /// The words before a packet of `length` octets.
    #[inline(always)]
    fn words(&self, length: usize, number_octets: usize, direction: Direction) -> [u64; 6] {
        let mut words = self.empty;
        for (word, by_length) in words.iter_mut().zip(self.by_length) {
            *word = word.wrapping_add(by_length.wrapping_mul(length as u64));
        }
        let [lead, _, third, ..] = &mut words;
        *lead = lead.wrapping_add(self.by_number.wrapping_mul(number_octets as u64));
        *third = third.wrapping_add(self.by_direction.wrapping_mul(direction as u64));
        words
    }
}

/// Eight octets from `at` on, and zeros behind their end.
fn word(octets: &[u8], at: usize) -> u64 {
    octets.iter().skip(at).chain(&[0; 8]).take(8).fold(0, |word, octet| word << 8 | u64::from(*octet))
}

fn less(words: [u64; 6], by: [u64; 6]) -> [u64; 6] {
    std::array::from_fn(|place| words[place].wrapping_sub(by[place]))
}
