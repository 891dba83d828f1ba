//! Links between namespaces, and the router's mirror port.
//!
//! A veth pair with XDP at the receiving end is enough for native XDP and AF_XDP: the driver turns NAPI on with the
//! program. (Only a program that sends frames *out* of a veth needs NAPI at the other end too.)

use crate::{LabError, Namespace};

/// How a veth pair is made.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Receive and transmit queues at each end. A flow stays on the queue that the sender's hash picks.
    pub queues: u16,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether the second end is brought up too. A tap port is left down, for the probe to make it silent first.
    pub second_up: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        LinkOptions { queues: 1, mtu: 1500, second_up: true }
    }
}

/// Joins two namespaces by a cable: `(namespace, interface name)` at each end.
///
/// Segmentation, merging and checksum offloads are off at both ends: what passes is what would pass on a wire.
pub fn veth(a: (&Namespace, &str), b: (&Namespace, &str), options: LinkOptions) -> Result<(), LabError> {
    let (queues, mtu) = (options.queues.to_string(), options.mtu.to_string());
    let end = |name: &str| -> Vec<String> {
        ["name", name, "mtu", &mtu, "numrxqueues", &queues, "numtxqueues", &queues].map(String::from).to_vec()
    };
    let mut arguments = vec!["link".to_owned(), "add".to_owned()];
    arguments.extend(end(a.1));
    arguments.extend(["type", "veth", "peer"].map(String::from));
    arguments.extend(end(b.1));
    arguments.extend(["netns", b.0.name()].map(String::from));
    a.0.ip(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    for ((namespace, interface), up) in [(a, true), (b, options.second_up)] {
        let offloads =
            ["tso", "off", "gso", "off", "gro", "off", "tx", "off", "rx", "off", "rxvlan", "off", "txvlan", "off"];
        let mut arguments = vec!["-K", interface];
        arguments.extend(offloads);
        namespace.exec("ethtool", &arguments)?;
        if up {
            namespace.ip(&["link", "set", interface, "up"])?;
        }
    }
    Ok(())
}

/// Makes an interface say nothing by itself: no ARP, no IPv6 of its own.
pub fn quiet(namespace: &Namespace, interface: &str) -> Result<(), LabError> {
    namespace.set(&format!("ipv6/conf/{interface}/disable_ipv6"), "1")?;
    namespace.ip(&["link", "set", interface, "arp", "off"]).map(drop)
}

/// Copies every frame that `from` receives or sends to the mirror port `to` of the same namespace.
///
/// With u32 filters, which match all (`matchall` is a module that small kernels lack).
pub fn mirror(namespace: &Namespace, from: &str, to: &str) -> Result<(), LabError> {
    namespace.exec("tc", &["qdisc", "add", "dev", from, "clsact"])?;
    for direction in ["ingress", "egress"] {
        let mut arguments = vec!["filter", "add", "dev", from, direction, "protocol", "all"];
        arguments.extend(["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", to]);
        namespace.exec("tc", &arguments)?;
    }
    Ok(())
}
