//! A tap port: found and checked, made silent before its link comes up, promiscuous while it is open, and put back as
//! it was.
//!
//! [`quiet`] and [`restore`] are for the supervisor, which outlives the capture role; [`Port::open`] is for the capture
//! role. Nothing is sent on a quiet port: IPv6 is off before the link is up (else the kernel greets the network with
//! neighbour discovery and group reports), and so are ARP and multicast. What the firmware of a NIC sends of its own,
//! LLDP or pause frames, cannot be reached from here: `writ doctor` reminds of it.

use crate::busy_poll::Deferral;
use crate::interface::{Interface, MULTICAST, NO_ARP, UP};
use crate::settings::{OnMiss, PortSettings};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The largest MTU at which a frame with two VLAN tags fits into one page together with what XDP needs: 256 bytes in
/// front and 320 behind. Drivers can have a lower limit of their own.
pub const MTU_LIMIT: u32 = 4096 - 256 - 320 - 14 - 8;

/// Why a port cannot be used.
#[derive(Debug, Error)]
pub enum PortError {
    /// No such interface.
    #[error("there is no interface {interface}; see `ip link` for those there are, and correct `interface`")]
    Missing {
        /// The name asked for.
        interface: String,
    },
    /// The link is down and Writ was told to leave it so.
    #[error("interface {interface} is down; write bring_up = true, or bring it up with `ip link set {interface} up`")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The link is up, and nothing is at its other end.
    #[error(
        "interface {interface} has no carrier after {seconds} s; check the cable, the optics and the tap's far end"
    )]
    NoCarrier {
        /// The interface.
        interface: String,
        /// How long was waited.
        seconds: u32,
    },
    /// More queues are asked for than there are.
    #[error(
        "interface {interface} has {found} receive queues, not {wanted}; `ethtool -L {interface}` sets them, or lower `queues`"
    )]
    TooFewQueues {
        /// The interface.
        interface: String,
        /// Queues it has.
        found: u32,
        /// Queues asked for.
        wanted: u32,
    },
    /// There are not as many CPUs named as queues.
    #[error(
        "interface {interface} has {queues} queues and `cpus` names {named}; name one for each queue, or leave `cpus` out"
    )]
    Cpus {
        /// The interface.
        interface: String,
        /// Queues captured from.
        queues: u32,
        /// CPUs named.
        named: usize,
    },
    /// Interrupts cannot be held back for busy polling.
    #[error("interface {interface}: `ring.busy_poll_us` cannot be had: {problem}; write busy_poll_us = 0")]
    BusyPoll {
        /// The interface.
        interface: String,
        /// What is in the way.
        problem: String,
    },
    /// A frame would not fit into one buffer.
    #[error(
        "interface {interface} has an MTU of {mtu}, and one buffer holds frames up to an MTU of {limit}; set it with `ip link set {interface} mtu 1500`, or give its frames more memory with ring.frame_size = 4096 (up to an MTU of 3498)"
    )]
    Mtu {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The largest that works.
        limit: u32,
    },
    /// The system refused.
    #[error("interface {interface}: {what} failed; run as root or with CAP_NET_ADMIN and CAP_NET_RAW")]
    System {
        /// The interface.
        interface: String,
        /// What was being done.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// How an interface was before Writ touched it. Can be stored and given to [`restore`] by another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// Name of the interface.
    pub interface: String,
    /// Its index; another interface that got the name since is left alone.
    pub ifindex: u32,
    /// Whether the link was up.
    pub up: bool,
    /// Whether ARP was on.
    pub arp: bool,
    /// Whether multicast was on.
    pub multicast: bool,
    /// Whether IPv6 was on; `None` if the kernel has none.
    pub ipv6: Option<bool>,
    /// How it held interrupts back; `None` where that cannot be seen.
    #[serde(default)]
    pub deferral: Option<Deferral>,
}

impl PortState {
    /// How an interface is now.
    pub fn read(interface: &str) -> Result<Self, PortError> {
        Self::of(&find(interface)?, interface)
    }

    fn of(interface: &Interface, name: &str) -> Result<Self, PortError> {
        let flags = interface.flags().map_err(failed(name, "reading its flags"))?;
        let ifindex = interface.index().map_err(failed(name, "reading its index"))?;
        Ok(Self {
            interface: name.to_owned(),
            ifindex,
            up: flags & UP != 0,
            arp: flags & NO_ARP == 0,
            multicast: flags & MULTICAST != 0,
            ipv6: ipv6(name),
            deferral: Deferral::read(name, ifindex),
        })
    }
}

/// Makes a port silent, holds its interrupts back if its workers are to poll for themselves, and, if the settings say
/// so, brings its link up: in this order. A shared port (`on_miss = "pass"`) belongs to the host too and is not made
/// silent.
///
/// A link that is up with IPv6 on goes down for a moment, since switching IPv6 off on a live link sends farewells.
pub fn quiet(settings: &PortSettings) -> Result<PortState, PortError> {
    let name = settings.interface.as_str();
    let interface = find(name)?;
    let state = PortState::of(&interface, name)?;
    if !state.up && !settings.bring_up {
        return Err(PortError::Down { interface: name.to_owned() });
    }
    let silence = || -> Result<(), PortError> {
        if settings.on_miss == OnMiss::Drop {
            if state.ipv6 == Some(true) {
                interface.change_flags(0, UP).map_err(failed(name, "taking the link down"))?;
                set_ipv6(name, false).map_err(failed(name, "switching IPv6 off"))?;
            }
            interface.change_flags(NO_ARP, MULTICAST).map_err(failed(name, "switching ARP and multicast off"))?;
        }
        if settings.ring.busy_poll_us > 0 {
            defer_interrupts(&state)?;
        }
        interface.change_flags(UP, 0).map_err(failed(name, "bringing the link up"))
    };
    // Half-way is no state to be left in.
    silence().inspect_err(|_| drop(restore(&state)))?;
    Ok(state)
}

/// Puts an interface back as it was. An interface that is gone needs nothing. IPv6 addresses that somebody had given to
/// the tap port are not among what comes back: the kernel forgets them with IPv6 (`writ doctor` warns of such).
pub fn restore(state: &PortState) -> Result<(), PortError> {
    let name = state.interface.as_str();
    let interface = match find(name) {
        Err(PortError::Missing { .. }) => return Ok(()),
        found => found?,
    };
    if interface.index().map_err(failed(name, "reading its index"))? != state.ifindex {
        return Ok(());
    }
    // The link goes down first, so that nothing is sent that was not sent before.
    if !state.up {
        interface.change_flags(0, UP).map_err(failed(name, "taking the link down"))?;
    }
    let flag = |on: bool, bit: u32| if on { (bit, 0) } else { (0, bit) };
    let (set_arp, clear_arp) = flag(!state.arp, NO_ARP);
    let (set_multicast, clear_multicast) = flag(state.multicast, MULTICAST);
    interface
        .change_flags(set_arp | set_multicast, clear_arp | clear_multicast)
        .map_err(failed(name, "restoring ARP and multicast"))?;
    if let Some(on) = state.ipv6 {
        set_ipv6(name, on).map_err(failed(name, "restoring IPv6"))?;
    }
    if state.up {
        interface.change_flags(UP, 0).map_err(failed(name, "bringing the link up"))?;
    }
    if let Some(before) = state.deferral
        && Deferral::read(name, state.ifindex).is_some_and(|now| now != before)
    {
        before.apply(name).map_err(|(_, error)| failed(name, "restoring its interrupts")(error))?;
    }
    Ok(())
}

/// A port that is ready to capture from. Promiscuous for as long as this lives; the kernel ends that with the process.
#[derive(Debug)]
pub struct Port {
    name: String,
    ifindex: u32,
    queues: u32,
    mtu: u32,
    driver: Option<String>,
    _promiscuous: OwnedFd,
}

impl Port {
    /// Finds an interface, checks that it can be captured from, and makes it promiscuous. Its link must be up, or come
    /// up within `carrier_wait_s`.
    pub fn open(settings: &PortSettings) -> Result<Self, PortError> {
        let name = settings.interface.as_str();
        let interface = find(name)?;
        let ifindex = interface.index().map_err(failed(name, "reading its index"))?;
        let mtu = interface.mtu().map_err(failed(name, "reading its MTU"))?;
        let limit = settings.ring.mtu_limit().min(MTU_LIMIT);
        if mtu > limit {
            return Err(PortError::Mtu { interface: name.to_owned(), mtu, limit });
        }
        let found = interface.receive_queues();
        let wanted = settings.queues.unwrap_or(found);
        if wanted > found {
            return Err(PortError::TooFewQueues { interface: name.to_owned(), found, wanted });
        }
        if !settings.cpus.is_empty() && settings.cpus.len() != wanted as usize {
            return Err(PortError::Cpus { interface: name.to_owned(), queues: wanted, named: settings.cpus.len() });
        }
        let promiscuous = promiscuous(ifindex).map_err(failed(name, "making it promiscuous"))?;
        wait_for_carrier(&interface, settings)?;
        let driver = interface.driver();
        Ok(Self { name: name.to_owned(), ifindex, queues: wanted, mtu, driver, _promiscuous: promiscuous })
    }

    /// Name of the interface.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its index.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// How many receive queues are captured from, from queue 0 on.
    pub fn queues(&self) -> u32 {
        self.queues
    }

    /// Its MTU.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Name of its driver, if it has one.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }
}

/// Holds a port's interrupts back as busy polling needs it.
fn defer_interrupts(state: &PortState) -> Result<(), PortError> {
    let refused = |problem: String| PortError::BusyPoll { interface: state.interface.clone(), problem };
    if state.deferral.is_none() {
        return Err(refused("/sys/class/net shows no napi_defer_hard_irqs for this interface".to_owned()));
    }
    let apply = Deferral::BUSY_POLL.apply(&state.interface);
    apply.map_err(|(path, error)| refused(format!("{}: {error}", path.display())))
}

fn wait_for_carrier(interface: &Interface, settings: &PortSettings) -> Result<(), PortError> {
    let name = settings.interface.as_str();
    let until = Instant::now() + Duration::from_secs(u64::from(settings.carrier_wait_s));
    loop {
        let flags = interface.flags().map_err(failed(name, "reading its flags"))?;
        if flags & UP == 0 {
            return Err(PortError::Down { interface: name.to_owned() });
        }
        if interface.carrier().map_err(failed(name, "reading its carrier"))? {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(PortError::NoCarrier { interface: name.to_owned(), seconds: settings.carrier_wait_s });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Asks for promiscuous mode through a packet socket of protocol 0, which receives nothing. The kernel counts those who
/// ask, so the mode of others is left as it is, and ends the request with the socket.
fn promiscuous(ifindex: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let request = libc::packet_mreq {
        mr_ifindex: ifindex.cast_signed(),
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the option takes a `struct packet_mreq`, which the kernel reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            size_of::<libc::packet_mreq>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn find(name: &str) -> Result<Interface, PortError> {
    Interface::open(name).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => PortError::Missing { interface: name.to_owned() },
        _ => PortError::System { interface: name.to_owned(), what: "looking it up", source },
    })
}

fn failed(interface: &str, what: &'static str) -> impl FnOnce(io::Error) -> PortError {
    move |source| PortError::System { interface: interface.to_owned(), what, source }
}

fn ipv6_switch(interface: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))
}

/// Whether IPv6 is on; `None` if the kernel has none.
fn ipv6(interface: &str) -> Option<bool> {
    fs::read_to_string(ipv6_switch(interface)).ok().map(|text| text.trim() == "0")
}

fn set_ipv6(interface: &str, on: bool) -> io::Result<()> {
    fs::write(ipv6_switch(interface), if on { "0" } else { "1" })
}
