//! This crate's part of the configuration file: one [`PortSettings`] for each `[[capture]]` section, and the sizes of
//! the kernel's tables from `[tables]`. Read by `writ check-config` and `writ run`, judged by `validate`.

use crate::frames::{FRAME_ROOM, MAX_PIECES};
use crate::port::{JUMBO_MTU_LIMIT, MTU_LIMIT};
use rustix::thread::CpuSet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// In the driver, before the kernel makes a socket buffer.
    #[default]
    Driver,
    /// In the kernel's own stack: works with any driver, and costs several times as much.
    Generic,
}

/// How frames get into the memory of the capture role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindMode {
    /// The kernel copies what the program hands over, and nothing else.
    #[default]
    Copy,
    /// The NIC writes every frame of the queue straight into that memory, also those that are no target's.
    ZeroCopy,
}

/// What happens to a frame that no intercept wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMiss {
    /// It is dropped: for a tap port, where nobody else wants it.
    #[default]
    Drop,
    /// It goes on to the host's network stack: for a shared port.
    Pass,
}

/// In what a mirror wraps the frames that it sends to this port. The frame in the tunnel is then the frame; what is no
/// such tunnel is no target's, and `on_miss` says what becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tunnel {
    /// In nothing: the port is a tap, or a mirror port of a switch beside it.
    #[default]
    None,
    /// GRE with Ethernet, IPv4 or IPv6 in it.
    Gre,
    /// ERSPAN of type I, II or III.
    Erspan,
    /// VXLAN over UDP port 4789.
    Vxlan,
    /// TZSP over UDP port 37008.
    Tzsp,
}

impl Tunnel {
    /// As the kernel half writes it.
    pub(crate) const fn abi(self) -> u32 {
        match self {
            Self::None => writ_abi::Tunnel::NONE,
            Self::Gre => writ_abi::Tunnel::GRE,
            Self::Erspan => writ_abi::Tunnel::ERSPAN,
            Self::Vxlan => writ_abi::Tunnel::VXLAN,
            Self::Tzsp => writ_abi::Tunnel::TZSP,
        }
    }
}

/// What keeps a bystander's frame away from user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// The memory of user space never holds it.
    #[default]
    Memory,
    /// The memory may hold it, no descriptor leads to it. Needed for [`BindMode::ZeroCopy`].
    Descriptor,
}

/// What happens to a packet of an intercept that came before on its queue within the window, because a mirror shows it
/// twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuplicateAction {
    /// It is not looked for.
    Off,
    /// It is counted and delivered.
    #[default]
    Count,
    /// It is counted, not delivered, and in the intercept's books as lost for the reason `duplicate`.
    Drop,
}

/// One `[[capture]]` section: an interface and how to capture on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSettings {
    /// Name of the interface.
    pub interface: String,
    /// Where the XDP program runs.
    #[serde(default)]
    pub mode: AttachMode,
    /// How frames get into user space.
    #[serde(default)]
    pub bind: BindMode,
    /// What isolation is promised; `descriptor` is the price of `bind = "zero-copy"`.
    #[serde(default)]
    pub isolation: Isolation,
    /// What happens to a frame that no intercept wants.
    #[serde(default)]
    pub on_miss: OnMiss,
    /// In what a mirror wraps the frames that it sends here.
    #[serde(default)]
    pub tunnel: Tunnel,
    /// What happens to packets that a mirror shows twice.
    #[serde(default)]
    pub duplicates: DuplicateAction,
    /// How long after a packet its copy can come, in microseconds. Shorter than the shortest round trip of a
    /// connection, or a TCP segment sent again can be taken for a copy.
    #[serde(default = "two_milliseconds")]
    pub duplicate_window_us: u32,
    /// Whether Writ brings the link up if it is down (after it has made the interface silent).
    #[serde(default = "yes")]
    pub bring_up: bool,
    /// How long to wait for a carrier, in seconds.
    #[serde(default = "five")]
    pub carrier_wait_s: u32,
    /// Whether frames come that are too long for one buffer, up to [`JUMBO_MTU_LIMIT`]. Needs Linux 6.6 or newer, and in
    /// driver mode a driver that chains buffers for XDP.
    #[serde(default)]
    pub jumbo: bool,
    /// How many receive queues to bind, from queue 0 on. Without it, all that the interface has.
    #[serde(default)]
    pub queues: Option<u32>,
    /// On which CPU the worker of each queue runs, from queue 0 on. Without it, the scheduler decides.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// Sizes of the rings.
    #[serde(default)]
    pub ring: RingSettings,
}

/// Sizes of the rings of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RingSettings {
    /// Frames that can wait for the worker. A power of two.
    pub receive: u32,
    /// Frames of the queue in all; each has a place in the fill ring. A power of two, more than `receive`.
    pub frames: u32,
    /// Bytes of memory of one frame: 2048 or 4096. A jumbo frame takes as many as it needs.
    pub frame_size: u32,
    /// Frames that are handed to the worker at once.
    pub batch: u32,
    /// Whether the driver sleeps until it is woken. Saves a core on some drivers.
    pub need_wakeup: bool,
    /// How long an idle worker looks for frames before it sleeps until it is woken, in microseconds. Being woken costs the
    /// processor that receives more than a packet where hits come a few microseconds apart; 0 sleeps at once, and saves
    /// power where they are rare.
    pub spin_us: u32,
    /// The pause between two such looks, in microseconds. Frames that come meanwhile are taken together, and the ring's
    /// memory does not move between two processors for each of them; so long, and the kernel's timer slack, can a frame
    /// wait. 0 looks without a pause, which needs a processor for each worker.
    pub pause_us: u32,
    /// How long an idle worker runs the driver's receive routine itself before it sleeps, in microseconds, while the
    /// port's interrupts are held back. It takes the place of `spin_us`; 0 leaves that routine to interrupts.
    pub busy_poll_us: u32,
    /// Frames that the receive routine takes from the NIC in one such run, at most.
    pub busy_poll_budget: u32,
}

impl Default for RingSettings {
    fn default() -> Self {
        Self {
            receive: 8192,
            frames: 16_384,
            frame_size: 2048,
            batch: 64,
            need_wakeup: true,
            spin_us: 1000,
            pause_us: 50,
            busy_poll_us: 0,
            busy_poll_budget: 64,
        }
    }
}

/// The `[tables]` section: sizes of the kernel's tables, and what is looked up in them. Look-ups in larger tables cost more, used or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KernelSettings {
    /// Intercepts that can be in force at once.
    pub slots: u16,
    /// IPv4 addresses and prefixes of all targets.
    pub addresses_v4: u32,
    /// IPv6 addresses and prefixes of all targets.
    pub addresses_v6: u32,
    /// MAC addresses of all targets.
    pub macs: u32,
    /// VLANs of all targets.
    pub vlans: u32,
    /// Different conditions (VLAN, MAC address, kinds of traffic) that targets ask besides.
    pub conditions: u16,
    /// Fragmented packets that are followed at once for targets that name ports; the oldest are forgotten.
    pub fragments: u32,
    /// Memory of the filter before the tables of addresses, at most: a power of two. As much of it is in use as there are
    /// addresses for, a page at first. 2 MiB let 1 in 140 bystanders through to
    /// the tables at a million targets, and next to none at a thousand.
    pub filter_bytes: u32,
    /// Queues of all interfaces.
    pub sockets: u32,
    /// Whether a packet within a packet (6in4, IP in IP) is looked up too, where the outer one is no target's. Costs every
    /// other packet a walk through its headers.
    pub look_inside: bool,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self {
            slots: 1024,
            addresses_v4: 16_384,
            addresses_v6: 16_384,
            macs: 1024,
            vlans: 1024,
            conditions: 1024,
            fragments: 16_384,
            filter_bytes: 2 << 20,
            sockets: 128,
            look_inside: false,
        }
    }
}

/// A value that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{field}`: {problem}; {remedy}")]
pub struct SettingsError {
    /// Where it stands, within the section.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub remedy: &'static str,
}

impl SettingsError {
    fn new(field: &'static str, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { field, problem: problem.into(), remedy }
    }
}

impl PortSettings {
    /// The settings for an interface of this name that a section with nothing else in it means.
    pub fn named(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            mode: AttachMode::default(),
            bind: BindMode::default(),
            isolation: Isolation::default(),
            on_miss: OnMiss::default(),
            tunnel: Tunnel::default(),
            duplicates: DuplicateAction::default(),
            duplicate_window_us: two_milliseconds(),
            bring_up: yes(),
            carrier_wait_s: five(),
            jumbo: false,
            queues: None,
            cpus: Vec::new(),
            ring: RingSettings::default(),
        }
    }

    /// Everything that can be said without looking at the machine.
    pub fn validate(&self) -> Result<(), SettingsError> {
        // The kernel's own rule (dev_valid_name), which also makes the name safe as a part of a path.
        let name = &self.interface;
        if name.is_empty() || name.len() > 15 || name == "." || name == ".." {
            return Err(SettingsError::new(
                "interface",
                format!("\"{name}\" is no interface name"),
                "write a name of 1 to 15 bytes, as `ip link` shows it",
            ));
        }
        if name.bytes().any(|byte| byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace()) {
            return Err(SettingsError::new(
                "interface",
                format!("\"{name}\" holds a character that no interface name can hold"),
                "write the name as `ip link` shows it",
            ));
        }
        if self.bind == BindMode::ZeroCopy && self.isolation != Isolation::Descriptor {
            return Err(SettingsError::new(
                "isolation",
                "with bind = \"zero-copy\" bystanders' frames do reach the memory of the capture role",
                "write isolation = \"descriptor\" to accept that, or bind = \"copy\"",
            ));
        }
        if self.bind == BindMode::ZeroCopy && self.mode == AttachMode::Generic {
            return Err(SettingsError::new(
                "bind",
                "zero-copy needs the driver",
                "write mode = \"driver\" or bind = \"copy\"",
            ));
        }
        if !(1..=100_000).contains(&self.duplicate_window_us) {
            return Err(SettingsError::new(
                "duplicate_window_us",
                format!("{} microseconds", self.duplicate_window_us),
                "write 1 to 100000, or duplicates = \"off\" to look for none",
            ));
        }
        if self.queues == Some(0) {
            return Err(SettingsError::new("queues", "0 queues capture nothing", "leave it out to bind all queues"));
        }
        if let Some(queues) = self.queues
            && !self.cpus.is_empty()
            && self.cpus.len() != queues as usize
        {
            return Err(SettingsError::new(
                "cpus",
                format!("{} CPUs for {queues} queues", self.cpus.len()),
                "name one for each queue, or leave it out",
            ));
        }
        // What a set of CPUs has room for.
        if let Some(cpu) = self.cpus.iter().find(|cpu| **cpu as usize >= CpuSet::MAX_CPU) {
            return Err(SettingsError::new(
                "cpus",
                format!("there is no CPU {cpu}"),
                "write the numbers that `lscpu -e` shows",
            ));
        }
        self.ring.validate()?;
        if self.jumbo && self.ring.batch < MAX_PIECES {
            return Err(SettingsError::new(
                "ring.batch",
                format!("{} frames, of which a jumbo packet can take {MAX_PIECES}", self.ring.batch),
                "write at least 18, or jumbo = false",
            ));
        }
        Ok(())
    }

    /// The largest MTU that the port can have.
    pub fn mtu_limit(&self) -> u32 {
        if self.jumbo { JUMBO_MTU_LIMIT } else { self.ring.mtu_limit().min(MTU_LIMIT) }
    }
}

impl RingSettings {
    /// Everything that can be said without looking at the machine.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !self.receive.is_power_of_two() || !(64..=65_536).contains(&self.receive) {
            return Err(SettingsError::new(
                "ring.receive",
                format!("{} frames", self.receive),
                "write a power of two from 64 to 65536",
            ));
        }
        if !self.frames.is_power_of_two() || self.frames <= self.receive || self.frames > 1 << 20 {
            return Err(SettingsError::new(
                "ring.frames",
                format!("{} frames", self.frames),
                "write a power of two larger than ring.receive, at most 1048576",
            ));
        }
        if ![2048, 4096].contains(&self.frame_size) {
            return Err(SettingsError::new(
                "ring.frame_size",
                format!("{} bytes", self.frame_size),
                "write 2048 or 4096",
            ));
        }
        if self.spin_us > 1_000_000 {
            return Err(SettingsError::new(
                "ring.spin_us",
                format!("{} microseconds", self.spin_us),
                "write at most 1000000, which never lets the core rest",
            ));
        }
        if self.busy_poll_us > 1_000_000 {
            return Err(SettingsError::new(
                "ring.busy_poll_us",
                format!("{} microseconds", self.busy_poll_us),
                "write at most 1000000, which never lets the core rest",
            ));
        }
        // More than a u16 the kernel does not take.
        if !(1..=u32::from(u16::MAX)).contains(&self.busy_poll_budget) {
            return Err(SettingsError::new(
                "ring.busy_poll_budget",
                format!("{} frames", self.busy_poll_budget),
                "write 1 to 65535; 64 is what the kernel's own polling takes",
            ));
        }
        if self.pause_us > 10_000 {
            return Err(SettingsError::new(
                "ring.pause_us",
                format!("{} microseconds", self.pause_us),
                "write at most 10000, or the ring fills meanwhile",
            ));
        }
        if self.batch == 0 || self.batch > self.receive {
            return Err(SettingsError::new(
                "ring.batch",
                format!("{} frames", self.batch),
                "write at least 1 and at most ring.receive",
            ));
        }
        Ok(())
    }

    /// The largest MTU whose frames fit into one frame of the ring, link layer and FrameHeader included.
    pub fn mtu_limit(&self) -> u32 {
        self.frame_size.saturating_sub(FRAME_ROOM)
    }
}

impl KernelSettings {
    /// Words of the filter.
    pub(crate) fn filter_words(&self) -> u32 {
        self.filter_bytes / u64::BITS * u8::BITS
    }

    /// Rows of the condition table: row 0 is never used, and while one set of targets takes the place of another both have
    /// their conditions there.
    pub(crate) fn condition_rows(&self) -> u32 {
        2 * u32::from(self.conditions) + 1
    }

    /// Everything that can be said without looking at the machine.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let table = |field, entries: u32, most: u32| {
            if (1..=most).contains(&entries) {
                Ok(())
            } else {
                Err(SettingsError::new(
                    field,
                    format!("{entries} entries"),
                    "write at least 1, and not more than 65535 slots, 16777216 addresses, 1048576 macs, vlans \
                     or fragments, 32767 conditions, or 4096 sockets",
                ))
            }
        };
        // The last u16 marks "no slot".
        table("slots", u32::from(self.slots), u32::from(u16::MAX))?;
        table("addresses_v4", self.addresses_v4, 1 << 24)?;
        table("addresses_v6", self.addresses_v6, 1 << 24)?;
        table("macs", self.macs, 1 << 20)?;
        table("vlans", self.vlans, 1 << 20)?;
        // Their rows have numbers of 16 bits.
        table("conditions", u32::from(self.conditions), u32::from(u16::MAX) / 2)?;
        table("fragments", self.fragments, 1 << 20)?;
        // At least a page, which is the least that can be mapped.
        if !self.filter_bytes.is_power_of_two() || !(4096..=1 << 28).contains(&self.filter_bytes) {
            return Err(SettingsError::new(
                "filter_bytes",
                format!("{} bytes", self.filter_bytes),
                "write a power of two from 4096 to 268435456; 2097152 do for a million targets",
            ));
        }
        table("sockets", self.sockets, 4096)
    }
}

const fn yes() -> bool {
    true
}

const fn two_milliseconds() -> u32 {
    2000
}

const fn five() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut PortSettings)) -> &'static str {
        let mut settings = PortSettings::named("tap0");
        change(&mut settings);
        settings.validate().map_or_else(|error| error.field, |()| "none")
    }

    #[test]
    fn each_fault_names_its_field() {
        assert_eq!(fault(|_| ()), "none");
        assert_eq!(fault(|s| s.interface = "../etc/passwd".into()), "interface");
        assert_eq!(fault(|s| s.interface = String::new()), "interface");
        assert_eq!(fault(|s| s.interface = "sixteen-bytes-xx".into()), "interface");
        assert_eq!(fault(|s| s.bind = BindMode::ZeroCopy), "isolation");
        assert_eq!(
            fault(|s| {
                s.bind = BindMode::ZeroCopy;
                s.isolation = Isolation::Descriptor;
                s.mode = AttachMode::Generic;
            }),
            "bind"
        );
        assert_eq!(fault(|s| s.queues = Some(0)), "queues");
        assert_eq!(fault(|s| s.duplicate_window_us = 0), "duplicate_window_us");
        assert_eq!(fault(|s| s.ring.receive = 1000), "ring.receive");
        assert_eq!(fault(|s| s.ring.frames = s.ring.receive), "ring.frames");
        assert_eq!(fault(|s| s.ring.frame_size = 9000), "ring.frame_size");
        assert_eq!(fault(|s| s.ring.batch = 0), "ring.batch");
        assert_eq!(fault(|s| s.ring.batch = 17), "none");
        assert_eq!(fault(|s| (s.ring.batch, s.jumbo) = (17, true)), "ring.batch");
        assert_eq!(fault(|s| s.ring.spin_us = 2_000_000), "ring.spin_us");
        assert_eq!(fault(|s| s.ring.busy_poll_us = 2_000_000), "ring.busy_poll_us");
        assert_eq!(fault(|s| s.ring.busy_poll_budget = 0), "ring.busy_poll_budget");
        assert_eq!(fault(|s| s.ring.busy_poll_budget = 65_536), "ring.busy_poll_budget");
        assert_eq!(fault(|s| (s.queues, s.cpus) = (Some(2), vec![0])), "cpus");
        assert_eq!(fault(|s| s.cpus = vec![70_000]), "cpus");
        assert_eq!(fault(|s| (s.queues, s.cpus) = (Some(2), vec![1, 0])), "none");
        assert_eq!(fault(|s| s.ring.pause_us = 20_000), "ring.pause_us");
        let tables = KernelSettings { sockets: 0, ..KernelSettings::default() };
        assert_eq!(tables.validate().unwrap_err().field, "sockets");
        for filter_bytes in [0, 2048, 3 << 20, 1 << 29] {
            let tables = KernelSettings { filter_bytes, ..KernelSettings::default() };
            assert_eq!(tables.validate().unwrap_err().field, "filter_bytes");
        }
    }
}
