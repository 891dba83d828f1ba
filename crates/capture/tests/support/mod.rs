//! What the tests of this crate share: frames, and a warrant in force.

use etherparse::PacketBuilder;
use ipnet::IpNet;
use std::net::IpAddr;
use writ_abi::{Claim, PolicyFlags, Selector, SlotPolicy, SlotRef};
use writ_capture::{Kernel, KernelSettings, boot_now_ns};

/// A target, in the documentation's address ranges.
pub(crate) const TARGET: &str = "198.51.100.7";
/// Nobody's target.
pub(crate) const BYSTANDER: &str = "203.0.113.9";

pub(crate) const BOTH: u32 = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;

/// Tables small enough to be made for each test.
pub(crate) const SMALL: KernelSettings = KernelSettings {
    slots: 16,
    addresses_v4: 64,
    addresses_v6: 64,
    macs: 4,
    vlans: 4,
    conditions: 4,
    fragments: 64,
    filter_bytes: 4096,
    sockets: 8,
    look_inside: false,
};

/// A policy that is in force from now on, for an hour.
pub(crate) fn in_force(generation: u16, flags: u32) -> SlotPolicy {
    let now = boot_now_ns();
    SlotPolicy { start_ns: 0, stop_ns: now + 3_600_000_000_000, flags, generation, reserved: 0 }
}

/// Puts a warrant for one address or prefix in force.
pub(crate) fn intercept(kernel: &mut Kernel, slot: SlotRef, prefix: &str, flags: u32) {
    kernel.tables().arm(slot.slot, &in_force(slot.generation, flags)).unwrap();
    kernel.tables().bind(prefix_of(prefix), &claims(&[slot])).unwrap();
}

/// What an address or prefix is found by.
pub(crate) fn prefix_of(text: &str) -> Selector {
    Selector::Prefix(net(text))
}

/// Claims on no condition.
pub(crate) fn claims(slots: &[SlotRef]) -> Vec<Claim> {
    slots.iter().map(|slot| Claim { slot: *slot, condition: None }).collect()
}

/// A prefix, or an address as a prefix.
pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| text.parse::<IpAddr>().unwrap().into())
}

/// A UDP packet in Ethernet.
pub(crate) fn udp(source: &str, destination: &str, source_port: u16, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let builder = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 64),
        _ => panic!("two families in one packet"),
    };
    let mut frame = Vec::new();
    builder.udp(source_port, 53).write(&mut frame, payload).unwrap();
    frame
}
