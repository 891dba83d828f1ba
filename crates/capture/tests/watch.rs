//! The guard over the kernel's tables: what somebody else writes there is found and put right, and what was written by
//! the probe itself never is.

mod support;

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use std::collections::BTreeMap;
use support::{BOTH, BYSTANDER, SMALL, TARGET, claims, in_force, intercept, prefix_of, udp};
use writ_abi::{
    Claim, Condition, Front, Intercepts, MacAddress, MacEntry, MacKey, PortSide, PrefixEntry4, PrefixEntry6,
    PrefixKey4, PrefixKey6, PrefixLengths, Selector, SlotPolicy, SlotRef, TrafficRule, VlanEntry, VlanMatch, maps,
};
use writ_capture::{Action, Foreign, Kernel, OnMiss, Tampering, Watch, Written};

const SLOT: SlotRef = SlotRef { slot: 3, generation: 9 };
const THIEF: SlotRef = SlotRef { slot: 5, generation: 1 };

/// What the test wrote.
struct Book {
    bound: BTreeMap<Selector, Vec<Claim>>,
    policies: BTreeMap<u16, SlotPolicy>,
}

impl Written for Book {
    fn claims(&self, selector: Selector) -> Option<Vec<Claim>> {
        self.bound.get(&selector).cloned()
    }

    fn selectors(&self) -> Vec<Selector> {
        self.bound.keys().copied().collect()
    }

    fn policy(&self, slot: u16) -> Option<SlotPolicy> {
        self.policies.get(&slot).copied()
    }
}

fn condition(port: u16) -> Condition {
    let rule = TrafficRule { protocol: 17, side: PortSide::FAR, first: port, last: port, reserved: 0 };
    Condition::new(None, None, &[rule]).unwrap().unwrap()
}

/// Some of everything, and twenty prefixes, so that a pass takes several pieces.
fn filled() -> (Kernel, Book) {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    let policy = kernel.tables().policy(SLOT.slot).unwrap();
    let on = |port| Claim { slot: SLOT, condition: Some(condition(port)) };
    let mut bound = BTreeMap::from([
        (prefix_of(TARGET), claims(&[SLOT])),
        (prefix_of("198.51.100.64/29"), vec![on(53), on(54)]),
        (prefix_of("2001:db8::7"), claims(&[SLOT])),
        (Selector::Mac(MacAddress([2, 0, 0, 0, 0, 7])), claims(&[SLOT])),
        (Selector::Vlan(VlanMatch { outer: 100, inner: VlanMatch::ANY }), claims(&[SLOT])),
    ]);
    bound.extend((1..=20).map(|last| (prefix_of(&format!("192.0.2.{last}")), claims(&[SLOT]))));
    for (selector, claims) in &bound {
        kernel.tables().bind(*selector, claims).unwrap();
    }
    (kernel, Book { bound, policies: BTreeMap::from([(SLOT.slot, policy)]) })
}

/// One pass through all tables.
fn pass(kernel: &mut Kernel, watch: &mut Watch, piece: usize, book: &Book) -> Vec<Foreign> {
    let mut found = Vec::new();
    for _ in 0..1000 {
        if kernel.tables().inspect(watch, piece, book, &mut found).unwrap() {
            found.sort_unstable();
            return found;
        }
    }
    panic!("a pass has an end");
}

fn map_of(kernel: &Kernel, name: &str) -> MapData {
    let id = kernel.program_id().unwrap();
    let program = loaded_programs().filter_map(Result::ok).find(|found| found.id() == id).expect("loaded");
    let ids = program.map_ids().unwrap().unwrap_or_default();
    let info = ids.iter().filter_map(|id| MapInfo::from_id(*id).ok()).find(|info| info.name_as_str() == Some(name));
    MapData::from_id(info.expect("a map of that name").id()).unwrap()
}

fn table<K: aya::Pod, V: aya::Pod>(kernel: &Kernel, name: &str) -> HashMap<MapData, K, V> {
    HashMap::try_from(Map::HashMap(map_of(kernel, name))).unwrap()
}

fn array<V: aya::Pod>(kernel: &Kernel, name: &str) -> Array<MapData, V> {
    Array::try_from(Map::Array(map_of(kernel, name))).unwrap()
}

fn of_thief() -> Intercepts {
    let mut slots = [SlotRef::NONE; 8];
    slots[0] = THIEF;
    Intercepts::new(slots, [0; 8])
}

#[test]
fn what_the_probe_wrote_is_never_foreign() {
    let (mut kernel, mut book) = filled();
    let mut watch = Watch::default();
    for piece in [1, 2, 7, 1000] {
        assert_eq!(pass(&mut kernel, &mut watch, piece, &book), [], "{piece} at a time");
    }
    // Entries that come and go between two pieces are none either, nor is a slot that was stopped.
    for last in 1..=10 {
        let (gone, new) = (prefix_of(&format!("192.0.2.{last}")), prefix_of(&format!("203.0.113.{last}")));
        kernel.tables().unbind(gone).unwrap();
        kernel.tables().bind(new, &claims(&[SLOT])).unwrap();
        book.bound.remove(&gone);
        book.bound.insert(new, claims(&[SLOT]));
        let mut found = Vec::new();
        kernel.tables().inspect(&mut watch, 3, &book, &mut found).unwrap();
        assert_eq!(found, []);
    }
    kernel.tables().disarm(SLOT.slot).unwrap();
    book.policies.clear();
    assert_eq!(pass(&mut kernel, &mut watch, 5, &book), []);
    assert_eq!(pass(&mut kernel, &mut watch, 5, &book), []);
}

#[test]
fn what_somebody_else_writes_is_found_and_put_right() {
    use Tampering::{Added, Changed, Removed};
    let (mut kernel, book) = filled();
    let frame = udp(TARGET, BYSTANDER, 1000, b"wanted");
    let found = |kernel: &mut Kernel| kernel.try_frame(OnMiss::Drop, &frame).unwrap().action;
    let before = kernel.tables().bound().unwrap().len();

    let (key4, key6) = (PrefixKey4::new([203, 0, 113, 9], 32), PrefixKey6::new([0x20; 16], 64));
    let mut v4 = table::<PrefixKey4, PrefixEntry4>(&kernel, maps::PREFIXES_V4);
    v4.insert(key4, PrefixEntry4 { key: key4, intercepts: of_thief() }, 0).unwrap();
    let target = PrefixKey4::new([198, 51, 100, 7], 32);
    v4.insert(target, PrefixEntry4 { key: target, intercepts: of_thief() }, 0).unwrap();
    v4.remove(&PrefixKey4::new([192, 0, 2, 20], 32)).unwrap();
    let mut v6 = table::<PrefixKey6, PrefixEntry6>(&kernel, maps::PREFIXES_V6);
    v6.insert(key6, PrefixEntry6 { key: key6, intercepts: of_thief() }, 0).unwrap();
    let mac = MacKey::new(MacAddress([2; 6]));
    let mut macs = table::<MacKey, MacEntry>(&kernel, maps::MACS);
    macs.insert(mac, MacEntry { key: mac, intercepts: of_thief() }, 0).unwrap();
    let vlan = VlanMatch { outer: 7, inner: VlanMatch::NONE };
    let mut vlans = table::<VlanMatch, VlanEntry>(&kernel, maps::VLANS);
    vlans.insert(vlan, VlanEntry { key: vlan, intercepts: of_thief() }, 0).unwrap();
    array::<Condition>(&kernel, maps::CONDITIONS).set(1, condition(9999), 0).unwrap();
    array::<SlotPolicy>(&kernel, maps::SLOTS).set(THIEF.slot.into(), in_force(1, BOTH), 0).unwrap();
    let longer = SlotPolicy { stop_ns: u64::MAX, ..book.policies[&SLOT.slot] };
    array::<SlotPolicy>(&kernel, maps::SLOTS).set(SLOT.slot.into(), longer, 0).unwrap();
    assert_eq!(found(&mut kernel), Action::Redirect, "to the thief");

    let mut watch = Watch::default();
    let mut expected = [
        (maps::PREFIXES_V4, Added),
        (maps::PREFIXES_V4, Changed),
        (maps::PREFIXES_V4, Removed),
        (maps::PREFIXES_V6, Added),
        (maps::MACS, Added),
        (maps::VLANS, Added),
        (maps::CONDITIONS, Changed),
        (maps::SLOTS, Changed),
        (maps::SLOTS, Changed),
    ]
    .map(|(table, done)| Foreign { table, done });
    expected.sort_unstable();
    assert_eq!(pass(&mut kernel, &mut watch, 3, &book), expected);
    assert_eq!(pass(&mut kernel, &mut watch, 3, &book), []);

    assert_eq!(kernel.tables().policy(SLOT.slot).unwrap(), book.policies[&SLOT.slot]);
    assert_eq!(kernel.tables().policy(THIEF.slot).unwrap().stop_ns, 0);
    assert_eq!(kernel.tables().bound().unwrap().len(), before);
    assert_eq!(found(&mut kernel), Action::Redirect, "to its own intercept again");
    assert_eq!(kernel.counters().unwrap().slot(SLOT.slot).matched, 1);
}

#[test]
fn a_filter_that_was_wiped_finds_targets_again() {
    let (mut kernel, book) = filled();
    let frame = udp(TARGET, BYSTANDER, 1000, b"wanted");
    // While it is small it lies behind the lengths.
    let mut front = array::<Front>(&kernel, maps::PREFIX_LENGTHS);
    let mut wiped = front.get(&0, 0).unwrap();
    wiped[PrefixLengths::PLACES..].fill(0);
    front.set(0, wiped, 0).unwrap();
    assert_eq!(kernel.try_frame(OnMiss::Drop, &frame).unwrap().action, Action::Drop);
    let found = pass(&mut kernel, &mut Watch::default(), 8, &book);
    assert!(found.iter().all(|foreign| foreign.table == maps::FILTER) && !found.is_empty(), "{found:?}");
    assert_eq!(kernel.try_frame(OnMiss::Drop, &frame).unwrap().action, Action::Redirect);
}
