//! What an order can name of the link layer: a MAC address, and the VLAN tags of a line.

use crate::document::Wrong;
use std::fmt;

/// The MAC address of one station; never a group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The bit of the first byte that tells a group of stations from one (IEEE 802, individual/group).
    const GROUP: u8 = 1;

    /// The address as it stands in a frame.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Reads `02:00:5e:10:00:01`.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::new("not a MAC address", "write six pairs of hexadecimal digits: \"02:00:5e:10:00:01\"");
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|it| it.is_ascii_hexdigit()));
            *octet = u8::from_str_radix(pair.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        }
        if pairs.next().is_some() {
            return Err(wrong());
        }
        let remedy = "write the address of the subscriber's own equipment";
        match octets {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Err(Wrong::new("the broadcast address is everybody's", remedy)),
            [first, ..] if first & Self::GROUP != 0 => Err(Wrong::new("a group's address (multicast)", remedy)),
            [0, 0, 0, 0, 0, 0] => Err(Wrong::new("the empty address is nobody's", remedy)),
            _ => Ok(Self(octets)),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The number of a VLAN, 1 to 4094 (IEEE 802.1Q; 0 is no VLAN, 4095 reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

impl VlanId {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok().filter(|number| (1..=4094).contains(number))?;
        // One spelling only: no sign, no leading zero.
        (text == u16::to_string(&number)).then_some(Self(number))
    }
}

/// The VLAN tags that the frames of a line have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vlan {
    /// Exactly one tag.
    Single(VlanId),
    /// Exactly two.
    Pair {
        /// The service provider's, in front.
        outer: VlanId,
        /// The customer's, behind it.
        inner: VlanId,
    },
    /// The outermost tag, whatever is behind it.
    Outer(VlanId),
}

impl Vlan {
    /// Reads `100`, `200.100` or `200.*`.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let vlan = match text.split_once('.') {
            None => VlanId::parse(text).map(Self::Single),
            Some((outer, "*")) => VlanId::parse(outer).map(Self::Outer),
            Some((outer, inner)) => {
                VlanId::parse(outer).zip(VlanId::parse(inner)).map(|(outer, inner)| Self::Pair { outer, inner })
            }
        };
        vlan.ok_or_else(|| {
            Wrong::new(
                "not a VLAN",
                "write a number from 1 to 4094 (\"100\": that tag alone), two (\"200.100\": outer and inner tag), or \
                 \"200.*\" (outer tag 200, whatever is behind it)",
            )
        })
    }

    /// The outermost tag.
    pub fn outer(self) -> VlanId {
        match self {
            Self::Single(outer) | Self::Pair { outer, .. } | Self::Outer(outer) => outer,
        }
    }

    /// Whether every frame that this means is one that `other` means.
    pub(crate) fn lies_in(self, other: Self) -> bool {
        self == other || matches!(other, Self::Outer(outer) if outer == self.outer())
    }

    /// Whether there is a frame that both mean.
    pub(crate) fn meets(self, other: Self) -> bool {
        let any = |vlan| matches!(vlan, Self::Outer(_));
        self == other || self.outer() == other.outer() && (any(self) || any(other))
    }
}

/// As documents write it.
impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(VlanId(vlan)) => write!(f, "{vlan}"),
            Self::Pair { outer: VlanId(outer), inner: VlanId(inner) } => write!(f, "{outer}.{inner}"),
            Self::Outer(VlanId(outer)) => write!(f, "{outer}.*"),
        }
    }
}
