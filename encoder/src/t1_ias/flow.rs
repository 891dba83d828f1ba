//! What a header report says of a packet: its five-tuple, and the name that a stream of such packets goes by.

use std::net::IpAddr;

/// The five-tuple of one packet, as it was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Sender's address.
    pub source: IpAddr,
    /// Receiver's address.
    pub destination: IpAddr,
    /// IP protocol number of the transport, or of what stands in its place.
    pub protocol: u8,
    /// Source and destination port, where the transport has ports and they were seen.
    pub ports: Option<(u16, u16)>,
    /// The flow label of an IPv6 packet that bears one. Told with the source address, whose host chose it.
    pub flow_label: Option<FlowLabel>,
}

/// A flow label of IPv6: 20 bits, not zero (RFC 6437: zero means no label).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowLabel(u32);

impl FlowLabel {
    /// The label in the low 20 bits of the first word of an IPv6 header, or none if they are zero.
    pub const fn from_word(word: u32) -> Option<Self> {
        let label = word & 0xf_ffff;
        if label == 0 { None } else { Some(Self(label)) }
    }

    /// The 20 bits.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Flow {
    /// The streamID of this flow: 16 hexadecimal digits, the same for every packet of a five-tuple in one direction, on
    /// every probe and after every restart. A digest, so that it has one length; the report carries the addresses and
    /// ports themselves, and nobody is misled by two flows of one digest.
    ///
    /// In words, the first digit in the lowest octet.
    #[inline]
    pub(crate) fn stream_id(&self) -> [u64; 2] {
        let (source, destination) = (wide(self.source), wide(self.destination));
        let (source_port, destination_port) = self.ports.unwrap_or_default();
        // Which family, whether there are ports: all that is not in the numbers themselves.
        let kind = u64::from(self.source.is_ipv6()) << 2
            | u64::from(self.destination.is_ipv6()) << 1
            | u64::from(self.ports.is_some());
        let numbers =
            u64::from(self.protocol) << 40 | kind << 32 | u64::from(source_port) << 16 | u64::from(destination_port);
        let words = [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64, numbers];
        let mut digest = 0x243f_6a88_85a3_08d3_u64; // pi, for want of a better reason
        for word in words {
            digest = (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            digest ^= digest >> 32;
        }
        [hexadecimal((digest >> 32) as u32), hexadecimal(digest as u32)]
    }

    /// A number that tells flows apart, though not all of them.
    #[inline]
    pub(crate) fn place(&self) -> usize {
        // What tells the hosts of a network apart comes last in an address.
        let host = |address| match address {
            IpAddr::V4(v4) => u64::from(u32::from_ne_bytes(v4.octets())),
            IpAddr::V6(v6) => v6.octets().last_chunk().copied().map_or(0, u64::from_ne_bytes),
        };
        let (source_port, destination_port) = self.ports.unwrap_or_default();
        let ports = u64::from(source_port) << 16 | u64::from(destination_port);
        let all = host(self.source) ^ host(self.destination).rotate_left(32) ^ ports;
        (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A number as eight hexadecimal digits, all at once: each step parts every lane of the word in two.
const fn hexadecimal(number: u32) -> u64 {
    let halves = (number as u64 | (number as u64) << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (bytes | bytes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // From ten on there is a carry into the high half.
    let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let characters = digits + 0x3030_3030_3030_3030 + letters * (b'a' - b'0' - 10) as u64;
    // The digit of the highest place comes first.
    characters.swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::hexadecimal;

    #[test]
    fn hexadecimal_digits() {
        for number in (0..=u32::MAX).step_by(65_521).chain([0x0123_4567, 0x89ab_cdef, u32::MAX]) {
            assert_eq!(hexadecimal(number).to_le_bytes(), *format!("{number:08x}").as_bytes());
        }
    }
}
