//! The second look, end to end: where the kernel's table is wrong, and hands over a bystander's packet, the packet is
//! destroyed, counted and an alarm, and everybody else gets what is theirs.

use crate::scene::{ALICE, BYSTANDER, PATIENCE, Scene, order, words};
use crate::traffic::{Traffic, hold};
use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;
use writ_abi::{Front, Intercepts, PrefixEntry4, PrefixKey4, PrefixLengths, SLOTS_PER_ADDRESS, SlotRef, maps};
use writ_lab::{LabError, until};

/// A map of the running probe, as root can open it from outside.
pub(crate) fn map_of(program: u64, name: &str) -> MapData {
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|found| u64::from(found.id()) == program).expect("the probe's program is loaded");
    let ids = program.map_ids().unwrap().unwrap_or_default();
    let mut infos = ids.iter().filter_map(|id| MapInfo::from_id(*id).ok());
    let id = infos.find(|info| info.name_as_str() == Some(name)).expect("a map of that name").id();
    MapData::from_id(id).unwrap()
}

/// Writes past the probe that an address is this slot's target: what a fault in the kernel's half would amount to.
fn make_a_target_of(address: Ipv4Addr, slot: SlotRef, program: u64) {
    let key = PrefixKey4::new(address.octets(), 32);
    let mut slots = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    slots[0] = slot;
    let entry = PrefixEntry4 { key, intercepts: Intercepts::new(slots, [0; SLOTS_PER_ADDRESS]) };
    let table = Map::HashMap(map_of(program, maps::PREFIXES_V4));
    HashMap::try_from(table).unwrap().insert(key, entry, 0).unwrap();
    let mut front = Array::<_, Front>::try_from(Map::Array(map_of(program, maps::PREFIX_LENGTHS))).unwrap();
    let mut words = front.get(&0, 0).unwrap();
    let last = words[PrefixLengths::FILTER_LAST];
    assert_eq!(last, PrefixLengths::FILTER_WORDS as u64 - 1, "for few targets the filter is in this map");
    let word = key.mark().word(u32::try_from(last).unwrap());
    words[PrefixLengths::PLACES + word as usize] |= key.mark().bits();
    front.set(0, words, 0).unwrap();
}

#[test]
fn what_a_wrong_entry_lets_through_is_destroyed_counted_and_an_alarm() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let content = order(0, ALICE, "CASE-ISOLATED");
    scene.arm(&content);
    let alice: IpAddr = ALICE.parse().unwrap();
    let bystander: Ipv4Addr = BYSTANDER.parse().unwrap();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[alice, bystander.into()]);
    sleep(Duration::from_millis(300));
    scene.assert_isolated();

    let slot = scene.probe().slot(&content).unwrap().expect("the order has a slot");
    let number = |name: &str| u16::try_from(slot[name].as_u64().unwrap()).unwrap();
    let slot = SlotRef { slot: number("slot"), generation: number("generation") };
    let program = scene.probe().kernel_status().unwrap()["program_id"].as_u64().unwrap();
    let violations =
        || -> Result<Option<u64>, LabError> { Ok(scene.probe().status()?["capture"]["isolation_violations"].as_u64()) };
    // The probe takes a foreign entry out again within seconds, so it is put there again and again.
    let enough = until("violations", PATIENCE, || {
        make_a_target_of(bystander, slot, program);
        Ok(violations()?.filter(|count| *count > 100))
    });
    enough.unwrap();
    let sent = traffic.stop();

    let counts = scene.probe().settled(&content).unwrap();
    let ledger = scene.probe().ledger(&content).unwrap();
    assert!(counts.settled(), "the books close: {ledger}");
    assert_eq!(ledger["lost"]["isolation_violation"].as_u64(), Some(counts.lost), "and say why: {ledger}");
    assert_eq!(counts.delivered, sent.len() as u64, "the target's own packets are all there");
    let shown = until("the last report", PATIENCE, || Ok(violations()?.filter(|count| *count == counts.lost)));
    assert!(shown.is_ok(), "{:?} violations are shown, {} packets destroyed", violations(), counts.lost);
    let configuration = scene.path("writ.toml").display().to_string();
    let status = words(&scene.writ(&["status", "--config", &configuration]));
    assert!(status.contains(&format!("ALARM: {} isolation violations", counts.lost)), "{status}");

    // The agency has the target's packets, each once, and nobody else's.
    hold(content.case_id, &sent, &scene.packets_of(&content, counts.delivered), 0..u64::MAX, 0..u64::MAX);
    for packet in scene.agency(&content).packets(content.case_id).unwrap() {
        let ends = packet.ends().unwrap();
        assert!([ends.source, ends.destination].contains(&alice), "a bystander's packet: {ends:?}");
    }
    let log = std::fs::read_to_string(scene.path("writ.log")).unwrap();
    assert!(log.contains("ALARM"), "the log has the alarm");
    scene.assert_log_names_nobody();

    // The alarm does not go out with the process that gave it.
    scene.probe().signal_role(&scene.host, "capture", rustix::process::Signal::KILL).unwrap();
    let again = until("another capture role's report", PATIENCE, || {
        let status = scene.probe().status()?;
        let restarted = status["restarts"]["capture"].as_u64() == Some(1) && status["capture_age_ms"] != Value::Null;
        Ok(restarted.then_some(status))
    });
    assert_eq!(again.unwrap()["capture"]["isolation_violations"].as_u64(), Some(counts.lost));
}
