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
const GET_PAUSE: u32 = 0x12;
const GET_FLAGS: u32 = 0x25;
const GET_HASH_FIELDS: u32 = 0x29;
const GET_GRO: u32 = 0x2b;
const GET_CHANNELS: u32 = 0x3c;
const GET_HASHING: u32 = 0x46;

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

/// How many receive queues there are, and how many there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Queues that only receive.
    pub(crate) receive: u32,
    pub(crate) most_receive: u32,
    /// Queues that receive and send.
    pub(crate) combined: u32,
    pub(crate) most_combined: u32,
}

/// Frames that the NIC's own receive ring holds, and could hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HardwareRing {
    pub(crate) frames: u32,
    pub(crate) most: u32,
}

/// Whether pause frames are negotiated, and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) negotiated: bool,
    pub(crate) sent: bool,
}

/// The answer to `GET_HASHING` as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawHashing {
    /// A bit for the function (`ETH_RSS_HASH_*`).
    pub(crate) function: u8,
    /// Bits of what happens to the fields before (`RXH_XFRM_*`); always 0 before Linux 6.8.
    pub(crate) transform: u8,
    /// The queue of each hash value, modulo its length.
    pub(crate) table: Vec<u32>,
    pub(crate) key: Vec<u8>,
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

/// `struct ethtool_pauseparam`: the command, autoneg, rx, tx.
#[repr(C)]
struct PauseNumbers([u32; 4]);

/// Most entries of a table and bytes of a key together, in words; the largest of a driver are 2,048 and 13.
const HASHING_ROOM: usize = 8192;

/// `struct ethtool_rxfh`.
#[repr(C)]
struct HashingAnswer {
    command: u32,
    context: u32,
    table_length: u32,
    key_length: u32,
    function: u8,
    transform: u8,
    reserved: [u8; 6],
    data: [u32; HASHING_ROOM],
}

/// `struct ethtool_rxnfc`, whose tail these requests do not use.
#[repr(C)]
struct HashFields {
    command: u32,
    flow: u32,
    data: u64,
    tail: [u64; 22],
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
        // Receive queues are of their own, or combined with those for sending. A driver that does not answer has what
        // it always has: one.
        self.channels().map_or(1, |channels| (channels.receive + channels.combined).max(1))
    }

    /// Its queues, if the driver says.
    pub(crate) fn channels(&self) -> Option<Channels> {
        let [_, most_receive, _, _, most_combined, receive, _, _, combined] = self.numbers(GET_CHANNELS)?;
        Some(Channels { receive, most_receive, combined, most_combined })
    }

    /// The NIC's own receive ring, if the driver says.
    pub(crate) fn hardware_ring(&self) -> Option<HardwareRing> {
        let [_, most, _, _, _, frames, ..] = self.numbers(GET_RINGS)?;
        Some(HardwareRing { frames, most })
    }

    /// Pause frames, if the driver says.
    pub(crate) fn pause(&self) -> Option<Pause> {
        let mut pause = PauseNumbers([GET_PAUSE, 0, 0, 0]);
        self.ethtool(&mut pause).ok()?;
        let [_, negotiated, _, sent] = pause.0;
        Some(Pause { negotiated: negotiated != 0, sent: sent != 0 })
    }

    /// How frames are spread over the queues, if the driver says.
    pub(crate) fn hashing(&self) -> Option<RawHashing> {
        let mut answer = HashingAnswer {
            command: GET_HASHING,
            context: 0,
            table_length: 0,
            key_length: 0,
            function: 0,
            transform: 0,
            reserved: [0; 6],
            data: [0; HASHING_ROOM],
        };
        // With lengths of 0 it tells the lengths; lengths that are not its own it refuses.
        self.ethtool(&mut answer).ok()?;
        let (entries, bytes) = (answer.table_length as usize, answer.key_length as usize);
        if entries + bytes.div_ceil(4) > HASHING_ROOM {
            return None;
        }
        self.ethtool(&mut answer).ok()?;
        let (table, rest) = answer.data.split_at_checked(entries)?;
        let key = rest.iter().flat_map(|word| word.to_ne_bytes()).take(bytes).collect();
        Some(RawHashing { function: answer.function, transform: answer.transform, table: table.to_vec(), key })
    }

    /// Which fields of a kind of flow (`TCP_V4_FLOW` and so on) are hashed: `RXH_*`, if the driver says.
    pub(crate) fn hash_fields(&self, flow: u32) -> Option<u64> {
        let mut fields = HashFields { command: GET_HASH_FIELDS, flow, data: 0, tail: [0; 22] };
        self.ethtool(&mut fields).ok()?;
        Some(fields.data)
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

    fn numbers(&self, command: u32) -> Option<[u32; 9]> {
        let mut numbers = Numbers([0; 9]);
        numbers.0[0] = command;
        self.ethtool(&mut numbers).ok()?;
        Some(numbers.0)
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
