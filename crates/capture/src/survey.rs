//! A survey of taps: the program of `writ tap survey` on one or more ports, and its counters. The kernel counts; no frame
//! reaches this process, and what the kernel remembers of flows and packets is under keyed digests and goes with it.
//! [`findings`] says in words what the counters mean.

mod findings;

pub use findings::{Finding, findings};

use crate::interface::Interface;
use crate::kernel::{KernelError, explain_attach, load, not_permitted, xdp};
use crate::link::Link;
use crate::object::{check_abi, object};
use crate::port::{Port, PortError};
use crate::settings::{OnMiss, PortSettings, Tunnel};
use crate::shared::{Access, SharedWords};
use crate::tables::{errno, map_fd, refused, take_map};
use aya::maps::HashMap;
use aya::{Ebpf, EbpfLoader};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use writ_abi::{PROGRAM_SURVEY_DROP, PROGRAM_SURVEY_PASS, Port as PortEntry, SurveyCounter, SurveyCounters, maps};

/// TCP flows that are followed at once; the least recently used goes first.
const FLOWS: u32 = 1 << 18;
/// Packets that are remembered to find them again: 26 million bytes in all with the flows.
const PACKETS: u32 = 1 << 18;

/// A port of a survey, and what of it changes what the counters mean.
#[derive(Clone, Debug)]
pub struct SurveyedPort {
    /// Its settings.
    pub settings: PortSettings,
    /// Whether its NIC takes the outermost VLAN tag off each frame; `None` if the driver does not say.
    pub strips_tags: Option<bool>,
}

/// A survey under way. Dropping it ends it, and so does the death of the process.
pub struct Survey {
    /// Before `ebpf`: a port goes first.
    links: Vec<Link>,
    ports: Vec<Port>,
    surveyed: Vec<SurveyedPort>,
    counters: SharedWords,
    _ebpf: Ebpf,
}

/// Counters of a survey, over all its ports and CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyCounts(SurveyCounters);

impl Survey {
    /// Loads the program and puts it on these ports, whose links may still be down. It fails where another program is:
    /// a port that a running probe holds is left as it is.
    ///
    /// # Errors
    /// Names the port, what is in the way and what to do.
    pub fn attach(settings: &[PortSettings]) -> Result<Self, KernelError> {
        check_abi(object())?;
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, source)| KernelError::System { what: "the CPUs cannot be counted", source })?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        let key = key().map_err(|source| KernelError::System { what: "/dev/urandom cannot be read", source })?;
        let last = PACKETS - 1;
        let mut ebpf = EbpfLoader::new()
            .override_global(maps::SURVEY_KEY, &key, true)
            .override_global(maps::SURVEY_LAST, &last, true)
            .map_max_entries(maps::SURVEY_COUNTERS, cpus)
            .map_max_entries(maps::SURVEY_FLOWS, FLOWS)
            .map_max_entries(maps::SURVEYED_PACKETS, PACKETS)
            .map_max_entries(maps::PORTS, u32::try_from(settings.len()).unwrap_or(u32::MAX).max(1))
            .load(object())
            .map_err(|error| match errno(&error) {
                Some(libc::EPERM) => not_permitted("making BPF maps"),
                _ => KernelError::Load(Box::new(error)),
            })?;
        let counters =
            SharedWords::map(map_fd(&ebpf, maps::SURVEY_COUNTERS)?, size_of::<SurveyCounters>(), Access::Read)
                .map_err(|source| KernelError::System { what: "the survey's counters cannot be mapped", source })?;
        let mut tunnels = HashMap::try_from(take_map(&mut ebpf, maps::PORTS)?).map_err(refused(maps::PORTS))?;
        let (mut links, mut surveyed) = (Vec::new(), Vec::new());
        for settings in settings {
            let interface = open(settings)?;
            let found = (|| Ok((interface.index()?, interface.mtu()?)))();
            let (ifindex, mtu) =
                found.map_err(|source| KernelError::System { what: "an interface cannot be read", source })?;
            if settings.tunnel != Tunnel::None {
                let entry = PortEntry { first_socket: 0, queues: 0, tunnel: settings.tunnel.abi() };
                tunnels.insert(ifindex, entry, 0).map_err(refused(maps::PORTS))?;
            }
            let program = match settings.on_miss {
                OnMiss::Drop => PROGRAM_SURVEY_DROP,
                OnMiss::Pass => PROGRAM_SURVEY_PASS,
            };
            load(&mut ebpf, program)?;
            let fd = xdp(&ebpf, program)?
                .fd()
                .map_err(|source| KernelError::Refused { program, source: Box::new(source) })?;
            links.push(
                Link::create(fd.as_fd(), ifindex, settings.mode)
                    .map_err(|source| held(settings, ifindex, mtu, source))?,
            );
            let strips_tags = interface.offloads().ok().map(|offloads| offloads.rx_vlan);
            surveyed.push(SurveyedPort { settings: settings.clone(), strips_tags });
        }
        Ok(Self { links, ports: Vec::new(), surveyed, counters, _ebpf: ebpf })
    }

    /// Makes the ports promiscuous and waits for their carriers. They should be quiet by now.
    ///
    /// # Errors
    /// Names the port, what is in the way and what to do.
    pub fn open_ports(&mut self) -> Result<(), PortError> {
        self.ports = self.surveyed.iter().map(|port| Port::open(&port.settings)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The ports.
    pub fn ports(&self) -> &[SurveyedPort] {
        &self.surveyed
    }

    /// What was counted so far.
    pub fn counts(&self) -> SurveyCounts {
        let mut counts = SurveyCounts::default();
        for (place, sum) in counts.0.0.iter_mut().enumerate() {
            let of_cpu = |cpu| self.counters.word(cpu, place).map_or(0, |word| word.load(Ordering::Relaxed));
            let all = (0..self.counters.len()).map(of_cpu);
            *sum = if place == SurveyCounter::Longest as usize { all.max().unwrap_or(0) } else { all.sum() };
        }
        counts
    }

    /// Takes the program off the ports, and ends promiscuous mode.
    pub fn detach(&mut self) {
        self.links.clear();
        self.ports.clear();
    }
}

impl Default for SurveyCounts {
    fn default() -> Self {
        Self(SurveyCounters([0; SurveyCounters::PLACES]))
    }
}

impl SurveyCounts {
    /// One counter.
    pub fn get(&self, counter: SurveyCounter) -> u64 {
        self.0.0.get(counter as usize).copied().unwrap_or(0)
    }
}

fn open(settings: &PortSettings) -> Result<Interface, KernelError> {
    let name = &settings.interface;
    Interface::open(name).map_err(|source| KernelError::Attach {
        interface: name.clone(),
        problem: "there is no such interface",
        remedy: "see `ip link` for those there are".to_owned(),
        source,
    })
}

fn held(settings: &PortSettings, ifindex: u32, mtu: u32, source: io::Error) -> KernelError {
    let interface = &settings.interface;
    match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => KernelError::Attach {
            interface: interface.clone(),
            problem: "another XDP program is attached",
            remedy: format!(
                "if it is the running probe's, stop that first (`systemctl stop writ`); whose it is `ip link show {interface}` says"
            ),
            source,
        },
        _ => explain_attach(settings, ifindex, mtu, source),
    }
}

/// The key of this run's digests. It lies in the kernel's memory of the program alone.
fn key() -> io::Result<[u64; 2]> {
    let mut key = [[0; 8]; 2];
    let mut random = File::open("/dev/urandom")?;
    for word in &mut key {
        random.read_exact(word)?;
    }
    Ok(key.map(u64::from_ne_bytes))
}
