//! What stands between this machine and a capture without loss: found by looking, for `writ doctor`. Every finding that
//! is not well says what to do. What can be done to a port itself is a [`Change`], which [`fix`] makes if asked; nothing
//! else in here changes anything.

mod card;
mod change;
mod clock;

pub use change::{Change, Outcome, Step, Way};
pub use clock::clock;

use crate::interface::{Interface, UP};
use crate::jumbo;
use crate::kernel::xdp_socket;
use crate::nic::{Nic, cpu_list};
use crate::privileges;
use crate::settings::{AttachMode, OnMiss, PortSettings};
use card::{FINDINGS, Finding, Machine, Subject};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, with a risk.
    Warn,
    /// Does not work.
    Fail,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, for example `kernel` or `eth0: link`.
    pub name: String,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, found: found.into(), remedy: String::new() }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Warn, found: found.into(), remedy: remedy.into() }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Fail, found: found.into(), remedy: remedy.into() }
    }
}

/// Drivers that have native XDP and AF_XDP as of Linux 6.1. One that is missing here may have it all the same.
const XDP_DRIVERS: &[&str] = &[
    "bnxt_en",
    "dpaa2-eth",
    "ena",
    "fsl_dpaa2_eth",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "tun",
    "veth",
    "virtio_net",
    "vmxnet3",
];

/// Checks the machine.
pub fn machine() -> Vec<Check> {
    vec![kernel(), btf(), capabilities(), af_xdp(), locked_memory(), balancer(), frequency()]
}

/// What [`fix`] would change about one interface, in the order in which it would. Changes nothing.
pub fn plan(settings: &PortSettings) -> Vec<Change> {
    findings(settings).into_iter().flat_map(|finding| finding.changes).collect()
}

/// Makes every change that an interface needs, and tells each with what became of it. What is refused does not keep the
/// rest from being made; what is right already is not touched.
pub fn fix(settings: &PortSettings, told: &mut dyn FnMut(&Change, Outcome)) {
    let machine = Machine::read();
    for finding in FINDINGS {
        // Read anew each time: a change can undo what was there before.
        let Ok(nic) = Nic::read(&settings.interface) else { return };
        for change in finding(&Subject { nic: &nic, settings, machine: &machine }).changes {
            told(&change, change.make());
        }
    }
}

fn findings(settings: &PortSettings) -> Vec<Finding> {
    let Ok(nic) = Nic::read(&settings.interface) else { return Vec::new() };
    let machine = Machine::read();
    FINDINGS.into_iter().map(|finding| finding(&Subject { nic: &nic, settings, machine: &machine })).collect()
}

impl Machine {
    fn read() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_default();
        let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).filter_map(|cpu| u32::try_from(cpu).ok());
        Self { kernel: kernel_version().0, cpus: cpus.collect() }
    }
}

/// Checks one interface against its settings.
pub fn port(settings: &PortSettings) -> Vec<Check> {
    let name = &settings.interface;
    let title = |what: &str| format!("{name}: {what}");
    let Ok(interface) = Interface::open(name) else {
        return vec![Check::fail(
            title("interface"),
            "there is none of this name",
            "correct `interface`; see `ip link`",
        )];
    };
    let mut checks = vec![link(&interface, settings), driver(&interface, settings)];

    let limit = settings.mtu_limit();
    checks.push(match interface.mtu() {
        Ok(mtu) if mtu <= limit => Check::ok(title("MTU"), format!("{mtu}")),
        Ok(mtu) if settings.jumbo => Check::fail(
            title("MTU"),
            format!("{mtu}, frames up to {limit} are captured"),
            format!("`ip link set {name} mtu {limit}`"),
        ),
        Ok(mtu) => Check::fail(
            title("MTU"),
            format!("{mtu}, one buffer holds {limit}"),
            format!("`ip link set {name} mtu 1500`, or write jumbo = true (Linux 6.6 or newer)"),
        ),
        Err(error) => Check::fail(title("MTU"), error.to_string(), "see `dmesg`"),
    });
    if settings.jumbo {
        checks.push(jumbo_frames(&interface, settings));
    }

    checks.extend(findings(settings).into_iter().map(|finding| finding.check));
    if let Some(hardware) = interface.hardware_ring().map(|ring| ring.frames) {
        let needed = hardware.saturating_add(settings.ring.receive);
        checks.push(if settings.ring.frames >= needed {
            Check::ok(title("frames"), format!("{} for a NIC ring of {hardware}", settings.ring.frames))
        } else {
            Check::warn(
                title("frames"),
                format!("{} frames, the NIC's ring ({hardware}) and ring.receive take {needed}", settings.ring.frames),
                format!("write ring.frames = {}", needed.checked_next_power_of_two().unwrap_or(needed)),
            )
        });
    }
    if settings.on_miss == OnMiss::Drop {
        checks.push(match own_traffic(name) {
            None => Check::ok(title("address"), "none"),
            Some(found) => Check::warn(
                title("address"),
                found,
                "a tap port needs none, and the host may send from it: take it away (`ip address flush dev ...`)",
            ),
        });
    }
    checks
}

/// The kernel's version, and all that it says of it.
fn kernel_version() -> ((u32, u32), String) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (version, release)
}

fn kernel() -> Check {
    match kernel_version() {
        (version, release) if version >= (6, 1) => Check::ok("kernel", release),
        (version, release) if version >= (5, 19) => {
            Check::warn("kernel", release, "Writ is tried from Linux 6.1 on: upgrade")
        }
        (_, release) => Check::fail("kernel", release, "use Linux 6.1 or newer"),
    }
}

/// Whether a program moves interrupts about.
fn balancer() -> Check {
    let name = "irqbalance";
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let runs = processes.map(|entry| entry.path().join("comm")).any(|comm| {
        // A process that has ended since has no name.
        fs::read_to_string(comm).is_ok_and(|comm| comm.trim() == name)
    });
    if runs {
        let remedy = "`systemctl disable --now irqbalance`, or ban the tap ports' interrupts in its configuration";
        Check::warn(name, "runs, and moves interrupts away from the workers' CPUs", remedy)
    } else {
        Check::ok(name, "does not run")
    }
}

/// Whether CPUs save power at the price of latency.
fn frequency() -> Check {
    let name = "CPU frequency";
    let online = cpu_list(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default());
    let governor = |cpu| fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")).ok();
    let governors: BTreeSet<String> =
        online.into_iter().filter_map(governor).map(|governor| governor.trim().to_owned()).collect();
    let found = governors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if governors.is_empty() {
        Check::ok(name, "not the kernel's to govern")
    } else if found == "performance" {
        Check::ok(name, "governor performance")
    } else {
        Check::warn(name, format!("governor {found}"), "`cpupower frequency-set --governor performance`")
    }
}

fn btf() -> Check {
    let path = "/sys/kernel/btf/vmlinux";
    if Path::new(path).exists() {
        Check::ok("BTF", path)
    } else {
        Check::warn(
            "BTF",
            format!("no {path}"),
            "use a kernel with CONFIG_DEBUG_INFO_BTF, if the program does not load",
        )
    }
}

fn capabilities() -> Check {
    let missing = privileges::missing();
    if missing.is_empty() {
        return Check::ok("capabilities", "all there");
    }
    let list: Vec<String> = missing.iter().map(|(capability, what)| format!("{capability} ({what})")).collect();
    Check::fail(
        "capabilities",
        format!("missing: {}", list.join(", ")),
        "run as root, or name them in AmbientCapabilities= of the unit",
    )
}

fn af_xdp() -> Check {
    match xdp_socket() {
        Ok(_) => Check::ok("AF_XDP", "there"),
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            Check::fail("AF_XDP", "this kernel has none", "use a kernel with CONFIG_XDP_SOCKETS")
        }
        Err(error) => Check::fail("AF_XDP", error.to_string(), "give CAP_NET_RAW"),
    }
}

fn locked_memory() -> Check {
    let name = "locked memory";
    if privileges::missing().iter().all(|(capability, _)| *capability != caps::Capability::CAP_IPC_LOCK) {
        return Check::ok(name, "CAP_IPC_LOCK: no limit");
    }
    match rustix::process::getrlimit(rustix::process::Resource::Memlock).current {
        None => Check::ok(name, "no limit"),
        // What the default ring takes for one queue.
        Some(bytes) if bytes >= 16 << 20 => Check::ok(name, format!("{bytes} bytes")),
        Some(bytes) => Check::warn(
            name,
            format!("{bytes} bytes"),
            "a queue's frames take 16 MiB: LimitMEMLOCK=infinity in the unit",
        ),
    }
}

fn link(interface: &Interface, settings: &PortSettings) -> Check {
    let name = format!("{}: link", settings.interface);
    match interface.flags() {
        Err(error) => Check::fail(name, error.to_string(), "see `dmesg`"),
        Ok(flags) if flags & UP == 0 && settings.bring_up => Check::ok(name, "down; Writ brings it up"),
        Ok(flags) if flags & UP == 0 => {
            Check::fail(name, "down", format!("write bring_up = true, or `ip link set {} up`", settings.interface))
        }
        Ok(_) if interface.carrier().unwrap_or(false) => Check::ok(name, "up, carrier"),
        Ok(_) => Check::fail(name, "up, no carrier", "check the cable, the optics and the tap's far end"),
    }
}

fn driver(interface: &Interface, settings: &PortSettings) -> Check {
    let name = format!("{}: driver", settings.interface);
    let driver = interface.driver();
    match (&driver, settings.mode) {
        (Some(driver), _) if XDP_DRIVERS.contains(&driver.as_str()) => Check::ok(name, driver),
        (Some(driver), AttachMode::Driver) => Check::warn(
            name,
            format!("{driver} is not known for native XDP"),
            "if attaching fails, write mode = \"generic\" or use another NIC",
        ),
        (None, AttachMode::Driver) => {
            Check::warn(name, "does not say its name", "if attaching fails, write mode = \"generic\"")
        }
        (driver, AttachMode::Generic) => {
            Check::ok(name, format!("{}, generic XDP", driver.as_deref().unwrap_or("unnamed")))
        }
    }
}

/// Whether kernel and driver have frames of several buffers.
fn jumbo_frames(interface: &Interface, settings: &PortSettings) -> Check {
    let name = format!("{}: jumbo frames", settings.interface);
    match jumbo::kernel_can() {
        Ok(true) => {}
        Ok(false) => {
            return Check::fail(
                name,
                "this kernel hands AF_XDP no frames of several buffers",
                "use Linux 6.6 or newer, or write jumbo = false",
            );
        }
        Err(error) => return Check::warn(name, format!("the kernel cannot be asked: {error}"), "give CAP_NET_RAW"),
    }
    if settings.mode == AttachMode::Generic {
        return Check::ok(name, "kernel");
    }
    match interface.index().map(jumbo::driver) {
        Ok(jumbo::Driver::Scatters) => Check::ok(name, "kernel and driver"),
        _ => Check::warn(
            name,
            "the driver does not say that it gives XDP frames of several buffers",
            "if attaching fails, write mode = \"generic\", use another NIC, or write jumbo = false",
        ),
    }
}

/// What would make the host send from an interface: an IPv4 route, or an IPv6 address that is not its own making (a
/// link-local one goes when the port is made silent).
fn own_traffic(name: &str) -> Option<String> {
    // Of the thread and not of the process: they can be in different network namespaces.
    let list = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    if list("route").lines().any(|line| line.split_whitespace().next() == Some(name)) {
        return Some("IPv4 routes lead to it".to_owned());
    }
    let inet6 = list("if_inet6");
    let mine = |line: &&str| line.split_whitespace().last() == Some(name) && !line.starts_with("fe80");
    inet6.lines().find(mine).map(|_| "it has an IPv6 address".to_owned())
}
