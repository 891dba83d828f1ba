//! The kernel half, from here: the XDP program loaded with tables of the configured size, attached to ports, and its
//! queues opened as sources of frames. Dropping a [`Kernel`] detaches everything; so does the death of the process.

use crate::counters::{CounterError, CounterFds, CounterView};
use crate::jumbo;
use crate::link::Link;
use crate::object::{AbiMismatch, check_abi, object};
use crate::port::Port;
use crate::privileges;
use crate::ring::RingSource;
use crate::settings::{AttachMode, BindMode, KernelSettings, OnMiss, PortSettings, Tunnel};
use crate::tables::{TableError, Tables, errno, map_fd, refused, take_map};
use aya::maps::{HashMap, MapData, XskMap};
use aya::programs::{ProgramError, ProgramFd, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use thiserror::Error;
use writ_abi::{
    FrameHeader, PROGRAM_DROP, PROGRAM_JUMBO_DROP, PROGRAM_JUMBO_PASS, PROGRAM_JUMBO_TUNNEL_DROP,
    PROGRAM_JUMBO_TUNNEL_PASS, PROGRAM_PASS, PROGRAM_TUNNEL_DROP, PROGRAM_TUNNEL_PASS, Port as PortEntry, maps,
};
use zerocopy::IntoBytes;

/// Why the kernel half cannot be set up or asked.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The object is of another version of the border.
    #[error(transparent)]
    Abi(#[from] AbiMismatch),
    /// A capability is missing.
    #[error("{what} is not permitted; run as root or with {capabilities}")]
    NotPermitted {
        /// What was refused.
        what: &'static str,
        /// What is needed for it.
        capabilities: &'static str,
    },
    /// The object does not load.
    #[error("the XDP object cannot be loaded into this kernel; `writ doctor` says what the kernel lacks")]
    Load(#[source] Box<EbpfError>),
    /// The kernel's verifier, or the kernel, refuses the program.
    #[error("this kernel refuses the XDP program {program}; `writ doctor` says what the kernel lacks")]
    Refused {
        /// Which one.
        program: &'static str,
        /// What it said, the verifier's log included.
        #[source]
        source: Box<ProgramError>,
    },
    /// The program cannot be attached.
    #[error("interface {interface}: {problem}; {remedy}")]
    Attach {
        /// The interface.
        interface: String,
        /// What is in the way.
        problem: &'static str,
        /// What to do.
        remedy: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There are more queues than places for sockets.
    #[error("{needed} queues need {needed} sockets, {free} are free; raise `sockets` in [tables]")]
    Sockets {
        /// Queues of the interface.
        needed: u32,
        /// Places left.
        free: u32,
    },
    /// A socket cannot be bound.
    #[error("queue {queue} of interface {interface}: {problem}; {remedy}")]
    Bind {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What is in the way.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A table cannot be made or changed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The counters cannot be read.
    #[error(transparent)]
    Counter(#[from] CounterError),
    /// A frame could not be tried.
    #[error("the XDP program could not be run over a frame of {length} bytes")]
    Try {
        /// Length of the frame.
        length: usize,
        /// What the kernel said.
        #[source]
        source: Box<ProgramError>,
    },
    /// The system refused something else.
    #[error("{what}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What an XDP program decides over a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `XDP_ABORTED`: the program failed.
    Aborted,
    /// `XDP_DROP`.
    Drop,
    /// `XDP_PASS`: on to the host's network stack.
    Pass,
    /// `XDP_TX`. The program never says so.
    Transmit,
    /// `XDP_REDIRECT`: to user space.
    Redirect,
}

/// The outcome of [`Kernel::try_frame`].
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// What the program decided.
    pub action: Action,
    /// The frame as the program left it; after a redirect with the FrameHeader in front.
    pub data: &'a [u8],
}

/// The loaded program and its tables.
pub struct Kernel {
    /// Before `ebpf`: a port goes first.
    links: Vec<Link>,
    tables: Tables,
    ports: HashMap<MapData, u32, PortEntry>,
    sockets: XskMap<MapData>,
    /// Places of `sockets` in use; one more, the last, is kept for [`Kernel::try_frame`].
    sockets_used: u32,
    sockets_most: u32,
    trial: Option<Trial>,
    trial_output: Vec<u8>,
    ebpf: Ebpf,
}

/// What the port that tried frames seem to come from is set up for.
struct Trial {
    /// At the end of a redirect; not bound.
    _socket: OwnedFd,
    tunnel: Tunnel,
}

/// The loopback interface has this index in every network namespace; frames that are tried seem to come in there.
const LOOPBACK: u32 = 1;

impl Kernel {
    /// Loads the program that is built into this binary. Attaches nothing.
    pub fn load(settings: &KernelSettings) -> Result<Self, KernelError> {
        Self::load_object(object(), settings)
    }

    /// Loads a program from an object file, which must be of this version of the border.
    pub fn load_object(object: &[u8], settings: &KernelSettings) -> Result<Self, KernelError> {
        check_abi(object)?;
        // By possible CPUs, not those online: the kernel numbers CPUs within these.
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, source)| KernelError::System { what: "the CPUs cannot be counted", source })?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        let slots = u32::from(settings.slots);
        let sockets = settings.sockets.saturating_add(1);
        let mut ebpf = EbpfLoader::new()
            .override_global(maps::CPUS, &cpus, true)
            .map_max_entries(maps::FILTER, settings.filter_words())
            .map_max_entries(maps::PREFIXES_V4, settings.addresses_v4)
            .map_max_entries(maps::PREFIXES_V6, settings.addresses_v6)
            .map_max_entries(maps::MACS, settings.macs)
            .map_max_entries(maps::VLANS, settings.vlans)
            .map_max_entries(maps::CONDITIONS, settings.condition_rows())
            .map_max_entries(maps::FRAGMENTS, settings.fragments)
            .override_global(maps::LOOK_INSIDE, &u32::from(settings.look_inside), true)
            .map_max_entries(maps::SLOTS, slots)
            .map_max_entries(maps::SLOT_COUNTERS, slots.saturating_mul(cpus))
            .map_max_entries(maps::PROBE_COUNTERS, cpus)
            .map_max_entries(maps::PORTS, sockets)
            .map_max_entries(maps::SOCKETS, sockets)
            .map_max_entries(maps::QUEUE_NUMBERS, sockets)
            .load(object)
            .map_err(|error| match errno(&error) {
                Some(libc::EPERM) => not_permitted("making BPF maps"),
                _ => KernelError::Load(Box::new(error)),
            })?;
        for program in [PROGRAM_DROP, PROGRAM_PASS] {
            load(&mut ebpf, program)?;
        }
        let tables = Tables::take(&mut ebpf)?;
        let ports = HashMap::try_from(take_map(&mut ebpf, maps::PORTS)?).map_err(refused(maps::PORTS))?;
        let socket_map = XskMap::try_from(take_map(&mut ebpf, maps::SOCKETS)?).map_err(refused(maps::SOCKETS))?;
        Ok(Self {
            links: Vec::new(),
            tables,
            ports,
            sockets: socket_map,
            sockets_used: 0,
            sockets_most: settings.sockets,
            trial: None,
            trial_output: Vec::new(),
            ebpf,
        })
    }

    /// The tables of addresses and slots.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Descriptors of the counters, for another process.
    pub fn counter_fds(&self) -> Result<CounterFds, KernelError> {
        let copy = |name| {
            map_fd(&self.ebpf, name)?
                .try_clone_to_owned()
                .map_err(|source| KernelError::System { what: "a descriptor cannot be copied", source })
        };
        Ok(CounterFds { slots: copy(maps::SLOT_COUNTERS)?, probe: copy(maps::PROBE_COUNTERS)? })
    }

    /// The kernel's number of the loaded program, by which [`CounterView::of_running_probes`] lists it.
    pub fn program_id(&self) -> Result<u32, KernelError> {
        let refused = |source| KernelError::Refused { program: PROGRAM_DROP, source: Box::new(source) };
        Ok(xdp(&self.ebpf, PROGRAM_DROP)?.info().map_err(refused)?.id())
    }

    /// A view of the counters.
    pub fn counters(&self) -> Result<CounterView, KernelError> {
        Ok(CounterView::open(&self.counter_fds()?)?)
    }

    /// Attaches the program to a port, in the configured mode and no other, and opens its queues. One source for each
    /// queue, from queue 0 on, ready to receive. Each port once: the program remembers where its sockets are.
    pub fn capture(&mut self, port: &Port, settings: &PortSettings) -> Result<Vec<RingSource>, KernelError> {
        let free = self.sockets_most - self.sockets_used;
        if port.queues() > free {
            return Err(KernelError::Sockets { needed: port.queues(), free });
        }
        if settings.bind == BindMode::ZeroCopy {
            self.tables.expose()?;
        }
        // Some drivers bind a socket only where a program is attached already. It finds no port in its table yet.
        let program = program_name(settings.on_miss, settings.tunnel, settings.jumbo);
        load(&mut self.ebpf, program)?;
        let program_fd = xdp(&self.ebpf, program)?
            .fd()
            .map_err(|source| KernelError::Refused { program, source: Box::new(source) })?;
        let link = Link::create(program_fd.as_fd(), port.ifindex(), settings.mode)
            .map_err(|source| explain_attach(settings, port.ifindex(), port.mtu(), source))?;
        let first_socket = self.sockets_used;
        let mut sources = Vec::new();
        for queue in 0..port.queues() {
            let source = RingSource::bind(port.name(), queue, settings)?;
            self.sockets.set(first_socket + queue, source.descriptor(), 0).map_err(refused(maps::SOCKETS))?;
            sources.push(source);
        }
        // Last: from here on the program hands over, into rings that are filled.
        self.ports
            .insert(port.ifindex(), PortEntry { first_socket, queues: port.queues(), tunnel: settings.tunnel.abi() }, 0)
            .map_err(refused(maps::PORTS))?;
        self.sockets_used += port.queues();
        self.links.push(link);
        Ok(sources)
    }

    /// The loaded program. A bench enters it into a program array, to time it between programs of its own.
    pub fn program(&self, on_miss: OnMiss) -> Result<&ProgramFd, KernelError> {
        let program = program_name(on_miss, Tunnel::None, false);
        let fd = xdp(&self.ebpf, program)?.fd();
        fd.map_err(|source| KernelError::Refused { program, source: Box::new(source) })
    }

    /// Detaches the program from all ports. What is in the rings stays there, to be drained.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// Runs the program over one frame, as if it had just come in, without any interface: `BPF_PROG_TEST_RUN`. Counters
    /// and tables are the real ones; a hit is handed back instead of being queued.
    ///
    /// The kernel takes frames of 14 bytes up to a page, less what it needs itself.
    pub fn try_frame(&mut self, on_miss: OnMiss, frame: &[u8]) -> Result<Verdict<'_>, KernelError> {
        self.try_mirrored(on_miss, Tunnel::None, frame)
    }

    /// [`Kernel::try_frame`] as on a port whose mirror wraps its frames.
    pub fn try_mirrored(&mut self, on_miss: OnMiss, tunnel: Tunnel, frame: &[u8]) -> Result<Verdict<'_>, KernelError> {
        self.try_with(program_name(on_miss, tunnel, false), tunnel, frame, None)
    }

    /// [`Kernel::try_mirrored`] as on a port with jumbo frames: a frame longer than a page comes in several buffers. `first`
    /// says how much of the frame the first buffer is to hold, which not every kernel tries.
    pub fn try_jumbo(
        &mut self,
        on_miss: OnMiss,
        tunnel: Tunnel,
        frame: &[u8],
        first: Option<u32>,
    ) -> Result<Verdict<'_>, KernelError> {
        self.try_with(program_name(on_miss, tunnel, true), tunnel, frame, first)
    }

    fn try_with(
        &mut self,
        program: &'static str,
        tunnel: Tunnel,
        frame: &[u8],
        first: Option<u32>,
    ) -> Result<Verdict<'_>, KernelError> {
        load(&mut self.ebpf, program)?;
        self.prepare_trial(tunnel)?;
        self.trial_output.resize(frame.len() + FrameHeader::SIZE, 0);
        // `struct xdp_md`: where the frame's first buffer starts and ends, then numbers of which 0 leaves all as it is.
        let context = first.map(|end| [0, end, 0, 0, 0, 0]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.trial_output),
            ctx_in: context.as_ref().map(IntoBytes::as_bytes),
            ..TestRunOptions::default()
        };
        let result = xdp(&self.ebpf, program)?
            .test_run(options)
            .map_err(|source| KernelError::Try { length: frame.len(), source: Box::new(source) })?;
        let action = match result.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Transmit,
            4 => Action::Redirect,
            _ => Action::Aborted,
        };
        let data = self.trial_output.get(..result.data_size_out as usize).unwrap_or_default();
        Ok(Verdict { action, data })
    }

    /// A redirect needs a socket at its end, which need not be bound.
    fn prepare_trial(&mut self, tunnel: Tunnel) -> Result<(), KernelError> {
        if self.trial.as_ref().is_some_and(|trial| trial.tunnel == tunnel) {
            return Ok(());
        }
        let socket = xdp_socket().map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM) => not_permitted("making an AF_XDP socket"),
            _ => KernelError::System { what: "an AF_XDP socket cannot be made", source },
        })?;
        use std::os::fd::AsRawFd;
        self.sockets.set(self.sockets_most, socket.as_raw_fd(), 0).map_err(refused(maps::SOCKETS))?;
        let entry = PortEntry { first_socket: self.sockets_most, queues: 1, tunnel: tunnel.abi() };
        self.ports.insert(LOOPBACK, entry, 0).map_err(refused(maps::PORTS))?;
        self.trial = Some(Trial { _socket: socket, tunnel });
        Ok(())
    }
}

const fn program_name(on_miss: OnMiss, tunnel: Tunnel, jumbo: bool) -> &'static str {
    match (on_miss, tunnel, jumbo) {
        (OnMiss::Drop, Tunnel::None, false) => PROGRAM_DROP,
        (OnMiss::Pass, Tunnel::None, false) => PROGRAM_PASS,
        (OnMiss::Drop, _, false) => PROGRAM_TUNNEL_DROP,
        (OnMiss::Pass, _, false) => PROGRAM_TUNNEL_PASS,
        (OnMiss::Drop, Tunnel::None, true) => PROGRAM_JUMBO_DROP,
        (OnMiss::Pass, Tunnel::None, true) => PROGRAM_JUMBO_PASS,
        (OnMiss::Drop, _, true) => PROGRAM_JUMBO_TUNNEL_DROP,
        (OnMiss::Pass, _, true) => PROGRAM_JUMBO_TUNNEL_PASS,
    }
}

/// Loads a program, if it is not loaded yet.
pub(crate) fn load(ebpf: &mut Ebpf, program: &'static str) -> Result<(), KernelError> {
    match xdp_mut(ebpf, program)?.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(match errno(&error) {
            Some(libc::EPERM) => not_permitted("loading an XDP program"),
            // The verifier refuses for many reasons; to those who lack a capability it refuses more.
            // Without CAP_PERFMON, Linux 6.1 says EINVAL.
            Some(libc::EACCES | libc::EINVAL) if !privileges::missing().is_empty() => {
                not_permitted("loading the XDP program")
            }
            _ => KernelError::Refused { program, source: Box::new(error) },
        }),
    }
}

/// An AF_XDP socket that is bound to nothing.
pub(crate) fn xdp_socket() -> io::Result<OwnedFd> {
    let family = AddressFamily::from_raw(libc::AF_XDP as u16);
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

pub(crate) fn xdp<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a Xdp, KernelError> {
    let program = ebpf.program(name).ok_or(TableError::Missing(name))?;
    program.try_into().map_err(|source| KernelError::Refused { program: name, source: Box::new(source) })
}

fn xdp_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, KernelError> {
    let program = ebpf.program_mut(name).ok_or(TableError::Missing(name))?;
    program.try_into().map_err(|source| KernelError::Refused { program: name, source: Box::new(source) })
}

pub(crate) fn not_permitted(what: &'static str) -> KernelError {
    KernelError::NotPermitted { what, capabilities: "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW" }
}

/// Why the program cannot be attached to a port of this MTU.
pub(crate) fn explain_attach(settings: &PortSettings, ifindex: u32, mtu: u32, source: io::Error) -> KernelError {
    let interface = &settings.interface;
    let native = settings.mode == AttachMode::Driver;
    let (problem, remedy) = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => return not_permitted("attaching an XDP program"),
        Some(libc::EBUSY | libc::EEXIST) => (
            "another XDP program is attached",
            format!("find it with `ip link show {interface}` and remove it with `ip link set {interface} xdp off`"),
        ),
        // Each driver has its own error for an MTU that is too large for it.
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE)
            if native && settings.jumbo && jumbo::driver(ifindex) == jumbo::Driver::OneBuffer =>
        {
            (
                "its driver gives XDP no frames of several buffers, which jumbo frames need",
                format!(
                    "use a NIC whose driver does, write mode = \"generic\", or write jumbo = false and lower the MTU, \
                     `ip link set {interface} mtu 1500` (it is {mtu} now)"
                ),
            )
        }
        Some(libc::EOPNOTSUPP) if native => {
            ("its driver has no XDP", "use a NIC whose driver has, or write mode = \"generic\"".to_owned())
        }
        Some(libc::ERANGE) => (
            "its MTU needs more than one buffer a frame with this driver",
            format!("lower it, `ip link set {interface} mtu 1500` (it is {mtu} now)"),
        ),
        Some(libc::EINVAL) if native => (
            "its driver refuses XDP in its present setting",
            format!(
                "switch off LRO and lower the MTU (`ethtool -K {interface} lro off`, it is {mtu} now), and see `dmesg`"
            ),
        ),
        Some(libc::ENODEV) => ("it is gone", "see `ip link`".to_owned()),
        _ => ("the XDP program cannot be attached", "see `dmesg` and `writ doctor`".to_owned()),
    };
    KernelError::Attach { interface: interface.clone(), problem, remedy, source }
}
