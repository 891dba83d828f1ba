//! A network interface as the kernel knows it, asked and set by ioctl: flags, MTU, and what ethtool shows. The socket
//! behind it is a Unix one, which carries these requests as well as any: the capture role has no IP socket.

use libc::{c_char, c_short, c_ulong, ifreq};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

pub(crate) const UP: u32 = libc::IFF_UP as u32;
const RUNNING: u32 = libc::IFF_RUNNING as u32;
pub(crate) const NO_ARP: u32 = libc::IFF_NOARP as u32;
pub(crate) const MULTICAST: u32 = libc::IFF_MULTICAST as u32;

/// Commands of `linux/ethtool.h`.
const GET_DRIVER: u32 = 0x03;
const GET_LINK: u32 = 0x0a;
const GET_RINGS: u32 = 0x10;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;
const GET_CHANNELS: u32 = 0x3c;

/// Bits of the answer to `GET_FLAGS`.
const FLAG_RX_VLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// An interface of the network namespace in which this was opened.
pub(crate) struct Interface {
    socket: OwnedFd,
    name: [c_char; libc::IFNAMSIZ],
}

/// Offloads that change frames before XDP, or merge them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offloads {
    pub(crate) lro: bool,
    pub(crate) gro: bool,
    pub(crate) rx_vlan: bool,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels` and `struct ethtool_ringparam`: nine numbers each, the command first.
#[repr(C)]
struct Numbers([u32; 9]);

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

impl Interface {
    /// Fails with ENODEV if there is no interface of this name.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        // The last byte stays zero.
        if name.len() >= libc::IFNAMSIZ || name.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let mut bytes = [0; libc::IFNAMSIZ];
        for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
            *place = byte as c_char;
        }
        let interface = Self { socket, name: bytes };
        interface.index()?;
        Ok(interface)
    }

    /// Its index.
    pub(crate) fn index(&self) -> io::Result<u32> {
        let request = self.request(libc::SIOCGIFINDEX as c_ulong, |_| ())?;
        // SAFETY: this request fills in the index.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex }.cast_unsigned())
    }

    /// `IFF_*`.
    pub(crate) fn flags(&self) -> io::Result<u32> {
        let request = self.request(libc::SIOCGIFFLAGS as c_ulong, |_| ())?;
        // SAFETY: this request fills in the flags.
        Ok(u32::from(unsafe { request.ifr_ifru.ifru_flags }.cast_unsigned()))
    }

    /// Sets some flags and clears others.
    pub(crate) fn change_flags(&self, set: u32, clear: u32) -> io::Result<()> {
        let now = self.flags()?;
        let wanted = (now | set) & !clear;
        if wanted != now {
            self.request(libc::SIOCSIFFLAGS as c_ulong, |request| request.ifr_ifru.ifru_flags = wanted as c_short)?;
        }
        Ok(())
    }

    /// Bytes of payload that a frame can hold.
    pub(crate) fn mtu(&self) -> io::Result<u32> {
        let request = self.request(libc::SIOCGIFMTU as c_ulong, |_| ())?;
        // SAFETY: this request fills in the MTU.
        Ok(unsafe { request.ifr_ifru.ifru_mtu }.cast_unsigned())
    }

    /// Whether the link is up and something is at its other end.
    pub(crate) fn carrier(&self) -> io::Result<bool> {
        let mut link = Value { command: GET_LINK, data: 0 };
        match self.ethtool(&mut link) {
            Ok(()) => Ok(link.data != 0),
            // The flag says the same, up to a second later.
            Err(_) => Ok(self.flags()? & RUNNING != 0),
        }
    }

    /// Name of the driver, if it has one.
    pub(crate) fn driver(&self) -> Option<String> {
        let mut info = DriverInfo { command: GET_DRIVER, driver: [0; 32], rest: [0; 160] };
        self.ethtool(&mut info).ok()?;
        let length = info.driver.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(info.driver.get(..length)?).into_owned();
        (!name.is_empty()).then_some(name)
    }

    /// How many receive queues are in use.
    pub(crate) fn receive_queues(&self) -> u32 {
        let mut channels = Numbers([0; 9]);
        channels.0[0] = GET_CHANNELS;
        match self.ethtool(&mut channels) {
            // Receive queues are of their own, or combined with those for sending.
            Ok(()) => (channels.0[5] + channels.0[8]).max(1),
            // A driver that does not answer has what it always has: one.
            Err(_) => 1,
        }
    }

    /// Frames that the NIC's own receive ring holds, if the driver says.
    pub(crate) fn hardware_ring(&self) -> Option<u32> {
        let mut rings = Numbers([0; 9]);
        rings.0[0] = GET_RINGS;
        self.ethtool(&mut rings).ok()?;
        Some(rings.0[5])
    }

    /// Offloads that are switched on.
    pub(crate) fn offloads(&self) -> io::Result<Offloads> {
        let get = |command| {
            let mut value = Value { command, data: 0 };
            self.ethtool(&mut value).map(|()| value.data)
        };
        let flags = get(GET_FLAGS)?;
        Ok(Offloads { lro: flags & FLAG_LRO != 0, rx_vlan: flags & FLAG_RX_VLAN != 0, gro: get(GET_GRO)? != 0 })
    }

    fn request(&self, code: c_ulong, fill: impl FnOnce(&mut ifreq)) -> io::Result<ifreq> {
        // SAFETY: integers, a pointer and arrays of bytes, for all of which zero is a value.
        let mut request: ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name = self.name;
        fill(&mut request);
        // SAFETY: all requests used here take a `struct ifreq`, which is valid for reading and writing.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), code as _, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(request) }
    }

    /// `T` has to be the structure that the command in its first field asks for.
    fn ethtool<T>(&self, command: &mut T) -> io::Result<()> {
        let data = std::ptr::from_mut(command).cast::<c_char>();
        self.request(libc::SIOCETHTOOL as c_ulong, |request| request.ifr_ifru.ifru_data = data)?;
        Ok(())
    }
}
