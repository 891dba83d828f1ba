//! Ethernet and its VLAN tags: from the first byte to the IP header. Which VLAN it is makes no difference to an
//! address.

use aya_ebpf::programs::XdpContext;
use writ_abi::ProbeCounter;

use crate::count::Counters;
use crate::packet;

/// How many VLAN tags are walked: a customer's inside a provider's.
const MAX_VLAN_TAGS: usize = 2;

/// Offset of the EtherType behind the two MAC addresses.
const ETHER_TYPE: usize = 12;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const CUSTOMER_TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;

/// Which IP it is, and at which offset.
#[derive(Clone, Copy)]
pub enum Network {
    V4(usize),
    V6(usize),
}

/// Finds the IP header. `None`: there is none within reach, which has been counted.
#[inline(always)]
pub fn network(ctx: &XdpContext, counters: Counters) -> Option<Network> {
    let mut offset = ETHER_TYPE;
    let mut tags = 0;
    loop {
        let Some(kind) = packet::at::<[u8; 2]>(ctx, offset) else {
            counters.count(ProbeCounter::TooShort);
            return None;
        };
        // SAFETY: `at` has checked the bounds.
        let kind = u16::from_be_bytes(unsafe { *kind });
        offset += 2;
        match kind {
            IPV4 => return Some(Network::V4(offset)),
            IPV6 => return Some(Network::V6(offset)),
            CUSTOMER_TAG | SERVICE_TAG if tags == MAX_VLAN_TAGS => {
                counters.count(ProbeCounter::VlanDepth);
                return None;
            }
            CUSTOMER_TAG | SERVICE_TAG => {
                tags += 1;
                offset += 2;
            }
            _ => {
                counters.count(ProbeCounter::NotIp);
                return None;
            }
        }
    }
}
