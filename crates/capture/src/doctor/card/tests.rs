//! What is proposed for cards as their drivers show them when a machine has just started.

use super::*;
use crate::busy_poll::Deferral;
use crate::interface::{Channels, HardwareRing, Offloads, Pause};
use crate::nic::Node;
use crate::nic::hashing::{Fields, Flow};
use crate::settings::RingSettings;

const DEBIAN_12: (u32, u32) = (6, 1);
/// `RXH_*`: addresses; addresses and ports; the source address alone.
const ADDRESSES: Fields = Fields(0x30);
const ALL_FOUR: Fields = Fields(0xf0);
const SOURCE: Fields = Fields(0x10);

fn spread(function: Function, key: usize, entries: u32, queues: u32) -> Option<Hashing> {
    // A key of no pattern, as drivers draw one at random.
    let key = (0..key).map(|place| (place * place * 37 + 11) as u8).collect();
    let table = (0..entries).map(|entry| entry % queues).collect();
    Some(Hashing { function, transform: Transform::None, key, table })
}

fn fields(tcp: Fields, udp: Fields) -> Vec<(Flow, Fields)> {
    Flow::ALL.into_iter().map(|flow| (flow, if flow.is_fragmented() { udp } else { tcp })).collect()
}

fn served_by(cpus: &[u32]) -> BTreeSet<u32> {
    cpus.iter().copied().collect()
}

/// Two queues on interrupts 60 and 61, which any CPU may serve.
fn two_interrupts() -> Vec<Interrupt> {
    let one = |queue: u32| Interrupt {
        number: 60 + queue,
        queue,
        allowed: served_by(&[0, 1, 2, 3]),
        served: served_by(&[queue]),
    };
    vec![one(0), one(1)]
}

/// An 82599 with two of its queues in use.
fn ixgbe() -> Nic {
    Nic {
        name: "tap".into(),
        channels: Some(Channels { receive: 0, most_receive: 0, combined: 2, most_combined: 63 }),
        queues: 2,
        ring: Some(HardwareRing { frames: 512, most: 4096 }),
        offloads: Some(Offloads { lro: true, gro: true, rx_vlan: true }),
        pause: Some(Pause { negotiated: false, sent: true }),
        hashing: spread(Function::Toeplitz, 40, 128, 2),
        fields: fields(ALL_FOUR, ADDRESSES),
        interrupts: two_interrupts(),
        deferral: Some(Deferral { polls: 0, timeout_ns: 0 }),
        node: Some(Node { number: 0, cpus: served_by(&[0, 1]) }),
    }
}

fn i40e() -> Nic {
    Nic {
        offloads: Some(Offloads { lro: false, gro: true, rx_vlan: true }),
        pause: Some(Pause { negotiated: false, sent: false }),
        hashing: spread(Function::Toeplitz, 52, 512, 2),
        fields: fields(ALL_FOUR, ALL_FOUR),
        ..ixgbe()
    }
}

fn ice() -> Nic {
    Nic { ring: Some(HardwareRing { frames: 2048, most: 8160 }), ..i40e() }
}

/// Rings and offloads as they should be already.
fn mlx5() -> Nic {
    Nic {
        ring: Some(HardwareRing { frames: 8192, most: 8192 }),
        offloads: Some(Offloads { lro: false, gro: true, rx_vlan: false }),
        pause: Some(Pause { negotiated: false, sent: false }),
        hashing: spread(Function::Toeplitz, 40, 256, 2),
        ..i40e()
    }
}

/// Without a key to be seen, as older and simpler drivers are.
fn igb() -> Nic {
    Nic { hashing: spread(Function::Unnamed, 0, 128, 2), ..mlx5() }
}

/// A guest's card whose host offers no RSS.
fn virtio() -> Nic {
    Nic {
        ring: Some(HardwareRing { frames: 256, most: 256 }),
        pause: None,
        hashing: Some(Hashing { table: Vec::new(), key: Vec::new(), ..spread(Function::Toeplitz, 0, 0, 1).unwrap() }),
        fields: Vec::new(),
        node: None,
        ..mlx5()
    }
}

fn findings(nic: &Nic, settings: &PortSettings, kernel: (u32, u32)) -> Vec<Finding> {
    let machine = Machine { kernel, cpus: served_by(&[0, 1, 2, 3]) };
    FINDINGS.iter().map(|finding| finding(&Subject { nic, settings, machine: &machine })).collect()
}

/// Each proposed change: its ways, without `ethtool`, or the file and what is written to it.
fn proposed(nic: &Nic, settings: &PortSettings, kernel: (u32, u32)) -> Vec<Vec<String>> {
    let changes = findings(nic, settings, kernel).into_iter().flat_map(|finding| finding.changes);
    let brief = |way: &Way| way.step.to_string().replace("ethtool ", "").replace(&"6d:5a:".repeat(16), "...");
    changes.map(|change| change.ways.iter().map(brief).collect()).collect()
}

fn state(nic: &Nic, settings: &PortSettings, what: &str) -> State {
    let findings = findings(nic, settings, DEBIAN_12);
    let finding = findings.iter().find(|finding| finding.check.name == format!("tap: {what}"));
    finding.unwrap_or_else(|| panic!("no finding on {what}")).check.state
}

fn tap() -> PortSettings {
    PortSettings::named("tap")
}

#[test]
fn each_card_gets_what_it_lacks_and_no_more() {
    let tail = |bytes: usize| ["6d:5a"; 26][..bytes / 2 - 16].join(":");
    let key = |bytes| format!("-X tap hkey ...{}", tail(bytes));
    let lists = |lists: &[&[&str]]| -> Vec<Vec<String>> {
        lists.iter().map(|ways| ways.iter().map(ToString::to_string).collect()).collect()
    };
    assert_eq!(
        proposed(&ixgbe(), &tap(), DEBIAN_12),
        lists(&[&["-G tap rx 4096"], &["-K tap lro off"], &["-K tap rxvlan off"], &["-A tap tx off"], &[&key(40)]])
    );
    assert_eq!(
        proposed(&i40e(), &tap(), DEBIAN_12),
        lists(&[&["-G tap rx 4096"], &["-K tap rxvlan off"], &[&key(52)]])
    );
    assert_eq!(
        proposed(&ice(), &tap(), (6, 8)),
        lists(&[&["-G tap rx 8160"], &["-K tap rxvlan off"], &["-X tap xfrm symmetric-xor", &key(52)]])
    );
    assert_eq!(proposed(&mlx5(), &tap(), DEBIAN_12), lists(&[&[&key(40)]]));
    assert_eq!(proposed(&igb(), &tap(), DEBIAN_12), lists(&[]), "it takes no key");
    assert_eq!(proposed(&igb(), &tap(), (6, 12)), lists(&[&["-X tap xfrm symmetric-xor"]]));
    assert_eq!(proposed(&virtio(), &tap(), DEBIAN_12), lists(&[]));
    let one_queue = Nic { queues: 1, hashing: spread(Function::Toeplitz, 40, 256, 1), ..mlx5() };
    assert_eq!(proposed(&one_queue, &tap(), DEBIAN_12), lists(&[]), "one queue has nothing to spread");
}

#[test]
fn what_is_symmetric_already_stays_as_it_is() {
    let with = |change: fn(&mut Hashing)| {
        let mut nic = mlx5();
        change(nic.hashing.as_mut().unwrap());
        (proposed(&nic, &tap(), (6, 12)).len(), state(&nic, &tap(), "RSS hash"))
    };
    assert_eq!(with(|_| ()), (1, State::Warn));
    assert_eq!(with(|hashing| hashing.key = symmetric_key(40)), (0, State::Ok));
    assert_eq!(with(|hashing| hashing.function = Function::Xor), (0, State::Ok));
    assert_eq!(with(|hashing| hashing.transform = Transform::SymmetricXor), (0, State::Ok));
    assert_eq!(with(|hashing| hashing.transform = Transform::SymmetricOrXor), (0, State::Ok));
    // A key that would be symmetric is none under a function that does not use it.
    assert_eq!(
        with(|hashing| (hashing.key, hashing.function) = (symmetric_key(40), Function::Crc32)),
        (1, State::Warn)
    );
}

#[test]
fn a_symmetric_key_is_of_no_use_where_only_one_side_is_hashed() {
    let mut nic = Nic { fields: fields(ALL_FOUR, SOURCE), ..mlx5() };
    nic.hashing.as_mut().unwrap().key = symmetric_key(40);
    assert_eq!(state(&nic, &tap(), "RSS hash"), State::Warn);
    let said = findings(&nic, &tap(), DEBIAN_12);
    assert!(said.iter().any(|finding| finding.check.remedy == "`ethtool -N tap rx-flow-hash udp4 sdfn`"));
}

#[test]
fn the_fragments_of_udp_are_spoken_of_only_where_ports_are_hashed() {
    let speaks = |nic: &Nic| findings(nic, &tap(), DEBIAN_12).iter().any(|of| of.check.found.contains("fragments"));
    assert!(speaks(&i40e()) && !speaks(&ixgbe()));
}

#[test]
fn an_uneven_table_is_made_even_and_the_way_back_is_said() {
    let mut nic = mlx5();
    let hashing = nic.hashing.as_mut().unwrap();
    (hashing.key, hashing.table) = (symmetric_key(40), vec![0, 0, 0, 1]);
    let changes: Vec<Change> =
        findings(&nic, &tap(), DEBIAN_12).into_iter().flat_map(|finding| finding.changes).collect();
    let [change] = &changes[..] else { panic!("{changes:?}") };
    let way = &change.ways[0];
    assert_eq!(
        (way.step.to_string(), way.undo.to_string()),
        ("ethtool -X tap equal 2".into(), "ethtool -X tap weight 3 1".into())
    );
}

#[test]
fn queues_are_set_where_the_card_can_and_refused_where_it_cannot() {
    let with = |queues| PortSettings { queues: Some(queues), ..tap() };
    let mut nic = mlx5();
    nic.hashing.as_mut().unwrap().key = symmetric_key(40);
    assert_eq!(proposed(&nic, &with(2), DEBIAN_12), Vec::<Vec<String>>::new());
    // The table has to follow the queues.
    assert_eq!(proposed(&nic, &with(4), DEBIAN_12), [["-L tap combined 4"], ["-X tap equal 4"]]);
    assert_eq!(state(&nic, &with(4), "queues"), State::Fail);
    assert_eq!(state(&nic, &with(64), "queues"), State::Fail);
    assert_eq!(proposed(&nic, &with(64), DEBIAN_12).len(), 1, "only the table: the card has no 64 queues");
    // A queue that nobody captures from matters only if something comes in there.
    assert_eq!(state(&nic, &with(1), "queues"), State::Warn);
    nic.hashing.as_mut().unwrap().table = vec![0; 128];
    assert_eq!(state(&nic, &with(1), "queues"), State::Ok);
    let veth = Channels { receive: 2, most_receive: 4, combined: 0, most_combined: 0 };
    let veth = Nic { channels: Some(veth), hashing: None, fields: Vec::new(), ..mlx5() };
    assert_eq!(proposed(&veth, &with(3), DEBIAN_12), [["-L tap rx 3"]]);
}

#[test]
fn each_queue_s_interrupt_goes_to_the_cpu_of_its_worker() {
    let pinned = PortSettings { cpus: vec![1, 0], ..tap() };
    let mut nic = mlx5();
    nic.hashing.as_mut().unwrap().key = symmetric_key(40);
    assert_eq!(
        proposed(&nic, &tap(), DEBIAN_12),
        Vec::<Vec<String>>::new(),
        "without `cpus` there is no place for them"
    );
    assert_eq!(
        proposed(&nic, &pinned, DEBIAN_12),
        [["echo 1 > /proc/irq/60/smp_affinity_list"], ["echo 0 > /proc/irq/61/smp_affinity_list"]]
    );
    for (interrupt, cpu) in nic.interrupts.iter_mut().zip([1, 0]) {
        (interrupt.allowed, interrupt.served) = (served_by(&[cpu]), served_by(&[cpu]));
    }
    assert_eq!(proposed(&nic, &pinned, DEBIAN_12), Vec::<Vec<String>>::new());
    assert_eq!((state(&nic, &pinned, "interrupts"), state(&nic, &pinned, "workers")), (State::Ok, State::Ok));
}

#[test]
fn the_places_of_workers_are_judged() {
    let on = |cpus: &[u32]| state(&mlx5(), &PortSettings { cpus: cpus.to_vec(), ..tap() }, "workers");
    assert_eq!(on(&[]), State::Ok);
    assert_eq!(on(&[0, 1]), State::Ok);
    assert_eq!(on(&[0, 0]), State::Warn, "two on one CPU");
    assert_eq!(on(&[0, 2]), State::Warn, "far from the card");
    assert_eq!(on(&[0, 9]), State::Fail, "no such CPU");
    assert_eq!(on(&[0]), State::Fail, "one for two queues");
}

#[test]
fn a_shared_port_may_send_pause_frames_and_busy_poll_needs_the_kernel() {
    let shared = PortSettings { on_miss: OnMiss::Pass, ..tap() };
    assert_eq!(state(&ixgbe(), &shared, "pause frames"), State::Ok);
    assert_eq!(state(&ixgbe(), &tap(), "pause frames"), State::Warn);
    let ring = RingSettings { busy_poll_us: 50, ..RingSettings::default() };
    let busy = PortSettings { ring, ..tap() };
    assert_eq!(state(&mlx5(), &busy, "interrupts"), State::Ok);
    assert_eq!(state(&Nic { deferral: None, ..mlx5() }, &busy, "interrupts"), State::Fail);
}

#[test]
fn whatever_is_not_well_says_what_to_do() {
    for nic in [ixgbe(), i40e(), ice(), mlx5(), igb(), virtio()] {
        for kernel in [DEBIAN_12, (6, 12)] {
            for settings in [tap(), PortSettings { cpus: vec![2, 3], queues: Some(3), ..tap() }] {
                for Finding { check, changes } in findings(&nic, &settings, kernel) {
                    assert_eq!(check.state == State::Ok, check.remedy.is_empty(), "{check:?}");
                    assert!(check.state != State::Ok || changes.is_empty(), "{check:?}");
                    assert!(changes.iter().all(|change| change.from != change.to && !change.ways.is_empty()));
                }
            }
        }
    }
}
