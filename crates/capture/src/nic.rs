//! A network card as `writ doctor` judges it: its queues and rings, how it spreads frames over them, what it sends by
//! itself, and which CPUs serve it. Read from ethtool's ioctls, `/sys` and `/proc/interrupts` into typed values, so that
//! what is made of them can be tried with the values of cards that are not there.

pub(crate) mod hashing;
pub(crate) mod interrupts;

use crate::busy_poll::Deferral;
use crate::interface::{Channels, HardwareRing, Interface, Offloads, Pause};
use hashing::{Fields, Flow, Hashing};
use interrupts::{Device, Interrupt};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// What a card and its driver say; what they do not say is `None` or empty.
#[derive(Clone, Debug)]
pub(crate) struct Nic {
    /// Name of the interface.
    pub(crate) name: String,
    pub(crate) channels: Option<Channels>,
    /// Receive queues in use.
    pub(crate) queues: u32,
    pub(crate) ring: Option<HardwareRing>,
    pub(crate) offloads: Option<Offloads>,
    pub(crate) pause: Option<Pause>,
    pub(crate) hashing: Option<Hashing>,
    /// Which fields of a flow are hashed.
    pub(crate) fields: Vec<(Flow, Fields)>,
    /// The interrupts of its receive queues.
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) deferral: Option<Deferral>,
    /// The part of the machine that it is plugged into.
    pub(crate) node: Option<Node>,
}

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) number: u32,
    pub(crate) cpus: BTreeSet<u32>,
}

impl Nic {
    /// Asks an interface of this network namespace.
    pub(crate) fn read(name: &str) -> io::Result<Self> {
        let interface = Interface::open(name)?;
        let index = interface.index()?;
        let device = format!("/sys/class/net/{name}/device");
        // Where `/sys` shows another namespace, an interface of this name there is another one.
        let here = number(&format!("/sys/class/net/{name}/ifindex")) == Some(index);
        Ok(Self {
            name: name.to_owned(),
            channels: interface.channels(),
            queues: interface.receive_queues(),
            ring: interface.hardware_ring().filter(|ring| ring.most > 0),
            offloads: interface.offloads().ok(),
            pause: interface.pause(),
            hashing: interface.hashing().map(Hashing::new),
            fields: Flow::ALL.into_iter().filter_map(|flow| Some((flow, Fields::read(&interface, flow)?))).collect(),
            interrupts: if here { interrupts_of(name, Path::new(&device)) } else { Vec::new() },
            deferral: Deferral::read(name, index),
            node: if here { node_of(&device) } else { None },
        })
    }
}

fn interrupts_of(name: &str, device: &Path) -> Vec<Interrupt> {
    let parent = fs::canonicalize(device).ok();
    let bus = parent.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let table = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let mut found = interrupts::parse(&table, &Device { interface: name, bus: bus.as_deref() });
    for interrupt in &mut found {
        // What the hardware does comes before what it was asked for, where the kernel tells the two apart.
        let folder = format!("/proc/irq/{}", interrupt.number);
        let effective = fs::read_to_string(format!("{folder}/effective_affinity_list")).unwrap_or_default();
        let asked = fs::read_to_string(format!("{folder}/smp_affinity_list")).unwrap_or_default();
        interrupt.allowed = cpu_list(&asked);
        interrupt.served = if effective.trim().is_empty() { interrupt.allowed.clone() } else { cpu_list(&effective) };
    }
    found
}

fn node_of(device: &str) -> Option<Node> {
    // -1 where the machine is one node.
    let node: u32 = number(&format!("{device}/numa_node"))?;
    let cpus = fs::read_to_string(format!("/sys/devices/system/node/node{node}/cpulist")).ok()?;
    Some(Node { number: node, cpus: cpu_list(&cpus) })
}

fn number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Reads a list of CPUs as the kernel writes it: `0-3,8`. What is no such list has none.
pub(crate) fn cpu_list(text: &str) -> BTreeSet<u32> {
    let part = |part: &str| -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // No machine has so many; a list that says so is not read for ever.
        (last < 1 << 16).then_some(first..=last)
    };
    text.trim().split(',').filter_map(part).flatten().collect()
}

/// Writes a list of CPUs as the kernel does.
pub(crate) fn list_cpus(cpus: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => runs.push((*cpu, *cpu)),
        }
    }
    let write = |(first, last): &(u32, u32)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    runs.iter().map(write).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_and_written_as_the_kernel_writes_them() {
        for (text, cpus) in
            [("0-3,8\n", vec![0, 1, 2, 3, 8]), ("5", vec![5]), ("\n", vec![]), ("0-1,3-4", vec![0, 1, 3, 4])]
        {
            let set: BTreeSet<u32> = cpus.into_iter().collect();
            assert_eq!(cpu_list(text), set);
            assert_eq!(list_cpus(&set), text.trim());
        }
        assert!(cpu_list("0-4000000000").is_empty() && cpu_list("a-b,").is_empty());
    }
}
