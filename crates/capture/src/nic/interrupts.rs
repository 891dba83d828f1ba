//! Which interrupts are those of a card's receive queues, from `/proc/interrupts`. Drivers name them as they like; the
//! kernel tells which queue an interrupt belongs to in no other way that Linux 6.1 has.

use std::collections::BTreeSet;

/// The interrupt of a receive queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interrupt {
    pub(crate) number: u32,
    pub(crate) queue: u32,
    /// CPUs that may serve it.
    pub(crate) allowed: BTreeSet<u32>,
    /// CPUs that do serve it.
    pub(crate) served: BTreeSet<u32>,
}

/// By what a driver names its interrupts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device<'a> {
    pub(crate) interface: &'a str,
    /// The device's name on its bus: `0000:81:00.0`, `virtio2`.
    pub(crate) bus: Option<&'a str>,
}

/// Finds the receive queues' interrupts in the text of `/proc/interrupts`; their CPUs are not in it.
pub(crate) fn parse(table: &str, device: &Device<'_>) -> Vec<Interrupt> {
    let line = |line: &str| {
        let (number, rest) = line.trim_start().split_once(':')?;
        // The last column: a chip's name and a trigger stand before it, of which none is like a driver's name.
        let queue = device.queue(rest.split_whitespace().last()?)?;
        Some(Interrupt { number: number.parse().ok()?, queue, allowed: BTreeSet::new(), served: BTreeSet::new() })
    };
    let mut found: Vec<Interrupt> = table.lines().filter_map(line).collect();
    found.sort_by_key(|interrupt| interrupt.queue);
    found
}

impl Device<'_> {
    /// The receive queue that an interrupt of this name is for; `None` if it is another device's, or for something else.
    ///
    /// Names that are known: `eth0-TxRx-3` (ixgbe, igb, igc, bnxt_en), `i40e-eth0-TxRx-3`, `ice-eth0-TxRx-3`,
    /// `eth0-rx-3`, `eth0-Tx-Rx-3` (ena), `eth0-rxtx-3` (vmxnet3, nfp), `eth0-3` (sfc), `eth0-fp-3` (qede),
    /// `mlx5_comp3@pci:0000:81:00.0`, `virtio2-input.3`.
    fn queue(&self, name: &str) -> Option<u32> {
        let part = match name.split_once("@pci:") {
            Some((part, address)) => (Some(address) == self.bus).then_some(part)?,
            None => self.own_part(name)?,
        };
        let digits = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let queue = part.get(digits.len()..)?.parse().ok()?;
        let what = digits.trim_matches(['-', '.', '_']).to_ascii_lowercase();
        let receives = what.is_empty()
            || ["rx", "txrx", "tx-rx", "rxtx", "rx-tx", "input", "fp"].contains(&what.as_str())
            || what.ends_with("comp");
        receives.then_some(queue)
    }

    /// What stands behind the device's own name.
    fn own_part<'n>(&self, name: &'n str) -> Option<&'n str> {
        [Some(self.interface), self.bus].into_iter().flatten().find_map(|own| {
            let (before, after) = name.split_once(own)?;
            // A driver's name may stand in front: `i40e-eth0-TxRx-3`. eth1 is no part of eth10.
            let whole = (before.is_empty() || before.ends_with('-')) && after.starts_with('-');
            whole.then(|| after.trim_start_matches('-'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
           CPU0       CPU1
 24:          1          0  IO-APIC   5-edge      ACPI:Ged
 38:          0      41481 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:      29328          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          0          0 PCI-MSIX-0000:00:04.0   0-edge      virtio3-config
 51:          0          9  IR-PCI-MSIX-0000:81:00.0    1-edge      mlx5_comp0@pci:0000:81:00.0
 52:          0          9  IR-PCI-MSIX-0000:81:00.0    2-edge      mlx5_comp1@pci:0000:81:00.0
 53:          0          9  IR-PCI-MSIX-0000:81:00.0    0-edge      mlx5_async0@pci:0000:81:00.0
 54:          0          9  IR-PCI-MSIX-0000:81:00.1    1-edge      mlx5_comp0@pci:0000:81:00.1
 61:          7          0  PCI-MSI 524289-edge      i40e-ens5f0-TxRx-1
 60:          7          0  PCI-MSI 524288-edge      i40e-ens5f0-TxRx-0
 62:          7          0  PCI-MSI 524290-edge      i40e-ens5f01-TxRx-0
 63:          7          0  PCI-MSI 524291-edge      i40e-0000:02:00.0:misc
 70:          7          0  PCI-MSI 1-edge      eth1
 71:          7          0  PCI-MSI 2-edge      eth1-TxRx-0
 72:          7          0  PCI-MSI 3-edge      eth1-tx-0
 73:          7          0  PCI-MSI 4-edge      eth10-TxRx-0
 74:          7          0  PCI-MSI 5-edge      ena-mgmnt@pci:0000:00:05.0
 75:          7          0  PCI-MSI 6-edge      eth2-Tx-Rx-3
NMI:       1306      11785   Non-maskable interrupts
";

    fn of(interface: &str, bus: Option<&str>) -> Vec<(u32, u32)> {
        let found = parse(TABLE, &Device { interface, bus });
        found.iter().map(|interrupt| (interrupt.queue, interrupt.number)).collect()
    }

    #[test]
    fn the_receive_queues_of_each_driver_are_found_and_no_others() {
        assert_eq!(of("ens5f0", Some("0000:02:00.0")), [(0, 60), (1, 61)]);
        assert_eq!(of("ens5f01", None), [(0, 62)]);
        assert_eq!(of("enp129s0", Some("0000:81:00.0")), [(0, 51), (1, 52)]);
        assert_eq!(of("enp129s0", Some("0000:81:00.1")), [(0, 54)]);
        assert_eq!(of("eth0", Some("virtio2")), [(0, 38)]);
        assert_eq!(of("eth1", None), [(0, 71)]);
        assert_eq!(of("eth2", Some("0000:00:05.0")), [(3, 75)]);
        assert_eq!(of("eth3", None), []);
    }
}
