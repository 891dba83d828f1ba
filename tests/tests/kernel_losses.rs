//! What the XDP program does where it cannot hand over what it should: it destroys the frame and says so, in its own
//! counters and in the account of every intercept that wanted the frame. Needs root.

use aya::maps::{Array, HashMap, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::{AsRawFd, OwnedFd};
use writ_abi::{
    FrameHeader, Front, Intercepts, NO_SLOT, PROGRAM_PASS, PolicyFlags, Port, PrefixEntry4, PrefixKey4, PrefixLengths,
    ProbeCounter, ProbeCounters, SLOTS_PER_ADDRESS, SlotCounters, SlotPolicy, SlotRef, Tunnel, maps,
};
use writ_capture::object;
use writ_tests::cast::{BYSTANDER, Party, SUBJECT};
use writ_tests::stack::{IPV4, ethernet, ipv4, protocol::UDP, udp};

const DROP: u32 = 1;
const PASS: u32 = 2;
/// Interface that a test run seems to come from: loopback.
const LOOPBACK: u32 = 1;
const OWNER: SlotRef = SlotRef { slot: 0, generation: 1 };

/// The program with one intercept, and with nowhere to hand anything over to.
struct Program {
    ebpf: Ebpf,
    cpus: u32,
}

impl Program {
    /// `entry` is what the table says of the subject's address.
    fn load(entry: PrefixEntry4) -> Self {
        let cpus = aya::util::nr_cpus().expect("CPUs can be counted") as u32;
        let mut ebpf = EbpfLoader::new()
            .override_global(maps::CPUS, &cpus, true)
            .map_max_entries(maps::SLOT_COUNTERS, cpus)
            .map_max_entries(maps::PROBE_COUNTERS, cpus)
            .load(object())
            .expect("the object loads");
        let program: &mut Xdp = ebpf.program_mut(PROGRAM_PASS).expect("it is there").try_into().expect("it is XDP");
        program.load().expect("the kernel accepts it (as root)");

        let flags = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
        let policy = SlotPolicy { start_ns: 0, stop_ns: u64::MAX, flags, generation: 1, reserved: 0 };
        let mut slots = Array::try_from(ebpf.map_mut(maps::SLOTS).expect("it is there")).expect("an array");
        slots.set(0, policy, 0).expect("a slot");
        let mut first =
            Array::<_, Front>::try_from(ebpf.map_mut(maps::PREFIX_LENGTHS).expect("it is there")).expect("an array");
        // A filter that lets everything through.
        let mut front: Front = [u64::MAX; size_of::<Front>() / 8];
        front[..PrefixLengths::PLACES].fill(0);
        front[PrefixLengths::V4] = PrefixLengths::new([32]).expect("one").word();
        front[PrefixLengths::FILTER_LAST] = PrefixLengths::FILTER_WORDS as u64 - 1;
        first.set(0, front, 0).expect("the one element");
        let mut prefixes = HashMap::try_from(ebpf.map_mut(maps::PREFIXES_V4).expect("it is there")).expect("a hash");
        prefixes.insert(key(SUBJECT), entry, 0).expect("room");
        Self { ebpf, cpus }
    }

    fn set_port(&mut self, port: Port) {
        let map = self.ebpf.map_mut(maps::PORTS).expect("it is there");
        HashMap::try_from(map).expect("a hash").insert(LOOPBACK, port, 0).expect("room");
    }

    /// A socket that is bound to nothing. It leaves the map when it is closed.
    fn set_socket(&mut self) -> OwnedFd {
        const AF_XDP: u16 = 44;
        let family = AddressFamily::from_raw(AF_XDP);
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None).expect("AF_XDP");
        let map = self.ebpf.map_mut(maps::SOCKETS).expect("it is there");
        XskMap::try_from(map).expect("a socket map").set(0, socket.as_raw_fd(), 0).expect("room");
        socket
    }

    /// Runs the program over a datagram of the subject's, with metadata of `meta` bytes in front of it.
    fn run(&self, meta: usize) -> u32 {
        let frame = ethernet(IPV4, &ipv4(SUBJECT.v4(), BYSTANDER.v4(), UDP, &udp(b"SECRETWORD")));
        let data = [vec![0; meta], frame].concat();
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [meta as u32, data.len() as u32, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
        let mut out = vec![0; data.len() + FrameHeader::SIZE];
        let options = TestRunOptions {
            data_in: Some(&data),
            data_out: Some(&mut out),
            ctx_in: (meta != 0).then_some(&context[..]),
            ..TestRunOptions::default()
        };
        let program: &Xdp = self.ebpf.program(PROGRAM_PASS).expect("it is there").try_into().expect("it is XDP");
        program.test_run(options).expect("the kernel runs it").return_value
    }

    fn count(&self, counter: ProbeCounter) -> u64 {
        let map = self.ebpf.map(maps::PROBE_COUNTERS).expect("it is there");
        let counters = Array::<_, ProbeCounters>::try_from(map).expect("an array");
        (0..self.cpus).map(|cpu| counters.get(&cpu, 0).expect("within")).map(|all| all.0[counter as usize]).sum()
    }

    /// Matched, no socket, cut failed.
    fn account(&self) -> (u64, u64, u64) {
        let map = self.ebpf.map(maps::SLOT_COUNTERS).expect("it is there");
        let counters = Array::<_, SlotCounters>::try_from(map).expect("an array");
        (0..self.cpus).map(|cpu| counters.get(&cpu, 0).expect("within")).fold((0, 0, 0), |sum, counters| {
            (sum.0 + counters.matched, sum.1 + counters.no_socket, sum.2 + counters.cut_failed)
        })
    }
}

fn key(party: Party) -> PrefixKey4 {
    PrefixKey4::new(party.v4().octets(), 32)
}

/// An entry that says it was written for this party.
fn entry_of(party: Party) -> PrefixEntry4 {
    let mut slots = [SlotRef { slot: NO_SLOT, generation: 0 }; SLOTS_PER_ADDRESS];
    slots[0] = OWNER;
    PrefixEntry4 { key: key(party), intercepts: Intercepts::new(slots, [0; SLOTS_PER_ADDRESS]) }
}

#[test]
fn an_interface_outside_the_port_table() {
    let program = Program::load(entry_of(SUBJECT));
    assert_eq!(program.run(0), DROP);
    assert_eq!((program.count(ProbeCounter::Hits), program.count(ProbeCounter::NoPort)), (1, 1));
    assert_eq!(program.account(), (1, 1, 0));
}

#[test]
fn a_queue_without_a_socket() {
    let mut program = Program::load(entry_of(SUBJECT));
    program.set_port(Port { first_socket: 0, queues: 1, tunnel: Tunnel::NONE });
    assert_eq!(program.run(0), DROP);
    assert_eq!((program.count(ProbeCounter::Hits), program.count(ProbeCounter::NoSocket)), (1, 1));
    assert_eq!(program.account(), (1, 1, 0));
}

#[test]
fn a_queue_outside_the_port() {
    let mut program = Program::load(entry_of(SUBJECT));
    let _socket = program.set_socket();
    program.set_port(Port { first_socket: 0, queues: 0, tunnel: Tunnel::NONE });
    assert_eq!(program.run(0), DROP);
    assert_eq!(program.count(ProbeCounter::NoSocket), 1);
    assert_eq!(program.account(), (1, 1, 0));
}

#[test]
fn a_frame_without_room_in_front() {
    let mut program = Program::load(entry_of(SUBJECT));
    let _socket = program.set_socket();
    program.set_port(Port { first_socket: 0, queues: 1, tunnel: Tunnel::NONE });
    // A driver's metadata lies where the header is to go. 256 bytes of room less these, less what the kernel keeps.
    assert_eq!(program.run(160), DROP);
    assert_eq!((program.count(ProbeCounter::Hits), program.count(ProbeCounter::NoHeadroom)), (1, 1));
    assert_eq!(program.account(), (1, 0, 1));
}

#[test]
fn an_entry_that_is_another_one_by_now() {
    let mut of_two = entry_of(SUBJECT);
    of_two.intercepts.slots[1] = SlotRef { slot: 0, generation: 2 };
    for entry in [entry_of(BYSTANDER), of_two] {
        let program = Program::load(entry);
        assert_eq!(program.run(0), PASS);
        let counters = [ProbeCounter::Torn, ProbeCounter::Misses, ProbeCounter::Hits];
        // It is looked at twice.
        assert_eq!(counters.map(|counter| program.count(counter)), [2, 1, 0]);
        assert_eq!(program.account(), (0, 0, 0));
    }
}
