//! Numbers, addresses and texts as the lines have them. For each packet there is a line, so none of this allocates or goes
//! through a formatter, but for [`escaped`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Text of at most `N` octets.
#[derive(Clone, Copy)]
pub(super) struct Short<const N: usize> {
    octets: [u8; N],
    length: usize,
}

impl<const N: usize> Short<N> {
    const EMPTY: Self = Self { octets: [0; N], length: 0 };

    /// Appends what fits; `N` is chosen so that all does.
    fn push(&mut self, text: &[u8]) {
        for octet in text {
            if let Some(place) = self.octets.get_mut(self.length) {
                *place = *octet;
                self.length += 1;
            }
        }
    }
}

impl<const N: usize> AsRef<[u8]> for Short<N> {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// A number in decimal digits.
pub(super) fn decimal(number: u64) -> Short<20> {
    let mut digits = [b'0'; 20];
    let (mut rest, mut first) = (number, digits.len());
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = place;
        if rest == 0 {
            break;
        }
    }
    let mut text = Short::EMPTY;
    text.push(&digits[first..]);
    text
}

/// The longest address: eight groups of four digits.
pub(super) const ADDRESS: usize = 39;

/// An address in its usual form, for IPv6 that of RFC 5952.
pub(super) fn address(address: IpAddr) -> Short<ADDRESS> {
    let mut text = Short::EMPTY;
    match address {
        IpAddr::V4(v4) => push_v4(&mut text, v4),
        IpAddr::V6(v6) => push_v6(&mut text, v6),
    }
    text
}

fn push_v4(text: &mut Short<ADDRESS>, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b".");
        }
        text.push(decimal(octet.into()).as_ref());
    }
}

fn push_v6(text: &mut Short<ADDRESS>, address: Ipv6Addr) {
    if let Some(v4) = address.to_ipv4_mapped() {
        text.push(b"::ffff:");
        return push_v4(text, v4);
    }
    let groups = address.segments();
    // The first of the longest rows of zeros, two groups at least.
    let mut zeros = 0..0;
    let mut begun = 0;
    for (place, group) in groups.into_iter().enumerate() {
        if group != 0 {
            begun = place + 1;
        } else if place + 1 - begun > zeros.len().max(1) {
            zeros = begun..place + 1;
        }
    }
    for (place, group) in groups.into_iter().enumerate() {
        if zeros.contains(&place) {
            if place == zeros.start {
                text.push(b"::");
            }
            continue;
        }
        if place > 0 && place != zeros.end {
            text.push(b":");
        }
        push_group(text, group);
    }
}

fn push_group(text: &mut Short<ADDRESS>, group: u16) {
    let digits = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(group >> shift & 0xf)]);
    let first = (group.leading_zeros() as usize / 4).min(3);
    text.push(&digits[first..]);
}

/// A text between the quotes of a JSON string.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..' ' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 99, 100, 65_535, u64::MAX] {
            assert_eq!(decimal(number).as_ref(), number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn addresses_are_as_the_standard_library_has_them(
            v4: Ipv4Addr,
            groups in proptest::array::uniform8(prop_oneof![2 => Just(0), 1 => any::<u16>(), 1 => 0..0x1000u16]),
        ) {
            for ip in [IpAddr::V4(v4), Ipv6Addr::from(groups).into(), v4.to_ipv6_mapped().into()] {
                let text = String::from_utf8_lossy(address(ip).as_ref()).into_owned();
                prop_assert_eq!(text, ip.to_string());
            }
        }

        #[test]
        fn texts_come_back(text: String) {
            let read: String = serde_json::from_str(&format!("\"{}\"", escaped(&text))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
