//! What a target asks beyond its address: a VLAN, a MAC address, a kind of traffic. A condition is looked at only where
//! the target's own entry was found, so it costs a bystander nothing.

use crate::link::{MacAddress, VlanMatch};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many kinds of traffic one target can name.
pub const MOST_TRAFFIC_RULES: usize = 16;

/// A row of the condition table. A packet meets it if it meets each part that is set: the VLAN, the MAC address of the
/// target's side, and one of the traffic rules.
///
/// Row 0 is never used: a reference without a condition says 0. A row is written only while no entry refers to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Condition {
    /// [`ConditionFlags`]: which parts are set. The others are zero.
    pub flags: u16,
    /// How many of the rules are used.
    pub rules_used: u16,
    /// The frame's VLAN.
    pub vlan: VlanMatch,
    /// The MAC address on the target's side of the frame.
    pub mac: MacAddress,
    /// Always 0.
    pub reserved: [u8; 2],
    /// Kinds of traffic, any of which will do.
    pub rules: [TrafficRule; MOST_TRAFFIC_RULES],
}

impl Condition {
    /// The condition with these parts; `None` if there are none. No rules: any traffic. Equal parts make equal conditions,
    /// in whichever order the rules come.
    ///
    /// # Errors
    /// [`TooManyRules`]: more than [`MOST_TRAFFIC_RULES`].
    pub fn new(
        vlan: Option<VlanMatch>,
        mac: Option<MacAddress>,
        traffic: &[TrafficRule],
    ) -> Result<Option<Self>, TooManyRules> {
        let mut rules = [TrafficRule::default(); MOST_TRAFFIC_RULES];
        let used = rules.get_mut(..traffic.len()).ok_or(TooManyRules)?;
        used.copy_from_slice(traffic);
        used.sort_unstable();
        let part = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = part(vlan.is_some(), ConditionFlags::VLAN)
            | part(mac.is_some(), ConditionFlags::MAC)
            | part(!traffic.is_empty(), ConditionFlags::TRAFFIC);
        let condition = Self {
            flags,
            rules_used: traffic.len() as u16,
            vlan: vlan.unwrap_or_default(),
            mac: mac.unwrap_or_default(),
            reserved: [0; 2],
            rules,
        };
        Ok((flags != 0).then_some(condition))
    }

    /// The VLAN that is asked for.
    pub fn vlan(&self) -> Option<VlanMatch> {
        (self.flags & ConditionFlags::VLAN != 0).then_some(self.vlan)
    }

    /// The MAC address that is asked for on the target's side.
    pub fn mac(&self) -> Option<MacAddress> {
        (self.flags & ConditionFlags::MAC != 0).then_some(self.mac)
    }

    /// The kinds of traffic that are asked for, any of which will do; empty: any traffic.
    pub fn traffic(&self) -> &[TrafficRule] {
        let used = if self.flags & ConditionFlags::TRAFFIC == 0 { 0 } else { usize::from(self.rules_used) };
        self.rules.get(..used).unwrap_or_default()
    }
}

/// A condition cannot hold more than [`MOST_TRAFFIC_RULES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRules;

/// Bits of [`Condition::flags`].
pub struct ConditionFlags;

impl ConditionFlags {
    /// The VLAN counts.
    pub const VLAN: u16 = 1;
    /// The MAC address counts.
    pub const MAC: u16 = 2;
    /// The traffic rules count.
    pub const TRAFFIC: u16 = 4;
}

/// A transport protocol, and if [`PortSide`] says so a range of its ports.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct TrafficRule {
    /// IP protocol number.
    pub protocol: u8,
    /// [`PortSide`].
    pub side: u8,
    /// First port of the range.
    pub first: u16,
    /// Last port of the range.
    pub last: u16,
    /// Always 0.
    pub reserved: u16,
}

/// Whose port a [`TrafficRule`] speaks of.
pub struct PortSide;

impl PortSide {
    /// The protocol will do, whatever the ports.
    pub const NONE: u8 = 0;
    /// The target's own port.
    pub const OWN: u8 = 1;
    /// The port of the far end.
    pub const FAR: u8 = 2;
    /// Either.
    pub const EITHER: u8 = 3;
}

/// What the program remembers of the first fragment of a packet that a traffic rule with ports let through: later
/// fragments have no ports, and follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FragmentKey {
    /// Source address, an IPv4 one in the first four bytes.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// Identification, as a number.
    pub identification: u32,
    /// IPv4: the protocol, which is part of the packet's identity (RFC 791 section 3.2); IPv6: 0 (RFC 8200 section 4.5).
    pub protocol: u8,
    /// 4 or 6.
    pub version: u8,
    /// Always 0.
    pub reserved: [u8; 2],
}

/// See [`FragmentKey`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FragmentEntry {
    /// The key that this entry was written for: elements are reused under a reader.
    pub key: FragmentKey,
    /// When the first fragment came: `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// The source side's references that were let through; unused places are [`SlotRef::NONE`](crate::SlotRef::NONE).
    pub source: [crate::SlotRef; crate::SLOTS_PER_ADDRESS],
    /// The destination side's, likewise.
    pub destination: [crate::SlotRef; crate::SLOTS_PER_ADDRESS],
}

impl FragmentEntry {
    /// How long later fragments follow, in nanoseconds: no receiver waits longer (RFC 8200 section 4.5).
    pub const LIFE_NS: u64 = 60_000_000_000;
}

const _: () = assert!(size_of::<Condition>() == 16 + 8 * MOST_TRAFFIC_RULES);
const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<FragmentEntry>() == 48 + 64);

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C), Copy, 'static, integers without padding (sizes asserted above).
    unsafe impl aya::Pod for super::Condition {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::FragmentKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::FragmentEntry {}
}
