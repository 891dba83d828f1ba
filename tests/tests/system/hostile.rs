//! Damaged and made-up frames as fast as a sender can: counters go up, and nothing else moves. Tables, policies, memory and
//! descriptors are what they were, the counters add up, the books close, and the orders go on.

use crate::isolation::map_of;
use crate::scene::{ALICE, PATIENCE, Scene, order};
use crate::traffic::{Traffic, hold};
use aya::maps::{Array, HashMap, Map};
use ipnet::IpNet;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;
use writ_abi::{Front, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6, SlotPolicy, maps};
use writ_lab::documents::Order;
use writ_lab::until;
use writ_tests::cast::{PEN, Party, SUBJECT};
use writ_tests::grammar::Dice;
use zerocopy::IntoBytes;

/// Every frame is exactly one of these.
const OUTCOMES: [&str; 10] = [
    "hits",
    "misses",
    "not_ip",
    "too_short",
    "vlan_depth",
    "mpls_depth",
    "bad_version",
    "not_tunnel",
    "tunnel_fragment",
    "tunnel_depth",
];
/// Different frames, and how often each is sent.
const FRAMES: usize = 20_000;
const TIMES: usize = 6;
/// What a process may have come to use more of, in KiB: a heap that grows with the frames would pass it at once.
const GROWTH: u64 = 8 << 10;

fn addresses(party: Party) -> Vec<IpNet> {
    [IpAddr::from(party.v4()), IpAddr::from(party.v6())].map(IpNet::from).to_vec()
}

/// What decides over packets, as the kernel holds it: both prefix tables, their lengths, the filter, the policies.
fn tables(scene: &Scene) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let program = scene.probe().kernel_status().unwrap()["program_id"].as_u64().unwrap();
    let array = |name| Map::Array(map_of(program, name));
    let words = |name| {
        let words = Array::<_, u64>::try_from(array(name)).unwrap();
        words.iter().map(|word| word.unwrap().to_le_bytes().to_vec()).collect::<Vec<_>>()
    };
    let v4 = HashMap::<_, PrefixKey4, PrefixEntry4>::try_from(Map::HashMap(map_of(program, maps::PREFIXES_V4)));
    let v6 = HashMap::<_, PrefixKey6, PrefixEntry6>::try_from(Map::HashMap(map_of(program, maps::PREFIXES_V6)));
    let v4 = v4.unwrap().iter().map(|entry| entry.unwrap().1.as_bytes().to_vec()).collect();
    let v6 = v6.unwrap().iter().map(|entry| entry.unwrap().1.as_bytes().to_vec()).collect();
    let front = Array::<_, Front>::try_from(array(maps::PREFIX_LENGTHS)).unwrap();
    let front = front.iter().flat_map(|words| words.unwrap()).map(|word| word.to_le_bytes().to_vec()).collect();
    let slots = Array::<_, SlotPolicy>::try_from(array(maps::SLOTS)).unwrap();
    let slots = slots.iter().map(|policy| policy.unwrap().as_bytes().to_vec()).collect();
    let mut tables = BTreeMap::from([
        (maps::PREFIXES_V4, v4),
        (maps::PREFIXES_V6, v6),
        (maps::SLOTS, slots),
        (maps::PREFIX_LENGTHS, front),
        (maps::FILTER, words(maps::FILTER)),
    ]);
    // A hash table has no order.
    for name in [maps::PREFIXES_V4, maps::PREFIXES_V6] {
        tables.entry(name).and_modify(|entries: &mut Vec<Vec<u8>>| entries.sort());
    }
    tables
}

/// Of each role: its process, memory of its own in KiB, and open descriptors.
fn processes(scene: &Scene) -> BTreeMap<&'static str, (u32, u64, usize)> {
    let of = |role| {
        let pid = scene.probe().role(&scene.host, role).unwrap().expect("the role runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        (role, (pid, anonymous.unwrap().parse().unwrap(), descriptors))
    };
    ["capture", "control", "deliver"].map(of).into()
}

/// The program's counters, once they stand still.
fn counters(scene: &Scene) -> Value {
    let mut last = Value::Null;
    until("quiet on the tap", PATIENCE, || {
        sleep(Duration::from_millis(50));
        let now = scene.probe().status()?["program"].take();
        let quiet = now == last;
        last = now;
        Ok(quiet.then_some(()))
    })
    .unwrap();
    last
}

#[test]
fn hostile_frames_at_full_speed_change_nothing_but_counters() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = Order { targets: addresses(SUBJECT), ..order(0, ALICE, "CASE-HOSTILE") };
    let headers = Order {
        authority: "pen-trap",
        scope: "headers",
        targets: addresses(PEN),
        ..order(1, ALICE, "CASE-HOSTILE-HEADERS")
    };
    let steady = order(2, ALICE, "CASE-STEADY");
    [&content, &headers, &steady].into_iter().for_each(|order| scene.arm(order));
    // Every process has done each of its tasks once before it is looked at.
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_millis(300));
    let sent_before = traffic.stop().len() as u64;
    assert_eq!(scene.probe().settled(&steady).unwrap().delivered, sent_before);
    let (tables_before, processes_before, counters_before) = (tables(&scene), processes(&scene), counters(&scene));

    let mut dice = Dice::new(0x7217);
    let frames: Vec<_> = std::iter::repeat_with(|| dice.frame()).filter(|it| it.len() <= 1514).take(FRAMES).collect();
    let mut sender = scene.senders(&["tap0"]).remove(0);
    for frame in frames.iter().cycle().take(TIMES * FRAMES) {
        sender.send(frame).unwrap();
    }

    let counters = counters(&scene);
    let since = |name: &str| counters[name].as_u64().unwrap() - counters_before[name].as_u64().unwrap();
    let sum: u64 = OUTCOMES.iter().map(|outcome| since(outcome)).sum();
    assert_eq!(sum, since("frames"), "every frame is one of them: {counters}");
    // A link drops what comes faster than it is taken; that is before the program.
    assert!(since("frames") > 10_000, "too few frames arrived to prove anything: {counters}");
    for common in ["hits", "misses", "cut", "not_ip", "too_short", "vlan_depth", "bad_version", "bad_transport"] {
        assert!(since(common) > 10, "{common} is too rare: {counters}");
    }
    for order in [&content, &headers] {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.delivered > 0, "{}: {counts:?}", order.case_id);
    }
    scene.assert_isolated();
    let queue = scene.probe().status().unwrap()["capture"]["queues"][0].take();
    assert_eq!(queue["malformed"], 0, "{queue}");

    for (name, table) in tables(&scene) {
        assert!(table == tables_before[name], "{name} is not what it was");
    }
    for (role, (pid, memory, descriptors)) in processes(&scene) {
        let before = processes_before[role];
        assert_eq!((pid, descriptors), (before.0, before.2), "{role}: process and descriptors");
        assert!(memory < before.1 + GROWTH, "{role} had {} KiB of its own, and now {memory}", before.1);
    }

    // What comes now is taken as before.
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_secs(1));
    let sent = traffic.stop();
    let counts = scene.probe().settled(&steady).unwrap();
    assert_eq!((counts.matched, counts.lost), (sent_before + sent.len() as u64, 0), "{counts:?}");
    let delivered = scene.packets(&steady).split_off(sent_before as usize);
    hold(steady.case_id, &sent, &delivered, 0..u64::MAX, 0..u64::MAX);
    scene.assert_log_names_nobody();
}
