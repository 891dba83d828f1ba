//! The slot table against a plain model: no slot has two owners, and none is reused before it is drained.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use writ_abi::SlotRef;
use writ_identity::{AdoptError, SlotTable};

#[derive(Clone, Debug)]
enum Step {
    Allocate(u128),
    Release(u128),
    Drained(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u128..8).prop_map(Step::Allocate),
        (1u128..8).prop_map(Step::Release),
        (0usize..20).prop_map(Step::Drained),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn no_slot_has_two_owners_and_none_is_reused_undrained(steps in steps()) {
        const SLOTS: u16 = 4;
        let mut table = SlotTable::new(SLOTS);
        let mut owned: BTreeMap<u128, SlotRef> = BTreeMap::new();
        let mut draining: Vec<SlotRef> = Vec::new();
        let mut seen: BTreeSet<(u16, u16)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Allocate(owner) => match (table.allocate(Uuid::from_u128(owner)), owned.get(&owner)) {
                    (Ok(slot), Some(before)) => prop_assert_eq!(slot, *before),
                    (Ok(slot), None) => {
                        prop_assert!(owned.values().chain(&draining).all(|taken| taken.slot != slot.slot));
                        prop_assert!(seen.insert((slot.slot, slot.generation)), "a reference was given out twice");
                        owned.insert(owner, slot);
                    }
                    (Err(_), before) => {
                        prop_assert!(before.is_none());
                        prop_assert_eq!(owned.len() + draining.len(), usize::from(SLOTS));
                    }
                },
                Step::Release(owner) => {
                    let released = table.release(Uuid::from_u128(owner));
                    prop_assert_eq!(released, owned.remove(&owner));
                    draining.extend(released);
                }
                Step::Drained(which) if !draining.is_empty() => {
                    let slot = draining.remove(which % draining.len());
                    prop_assert!(table.drained(slot));
                    prop_assert!(!table.drained(slot));
                }
                Step::Drained(_) => {}
            }
            for (owner, slot) in &owned {
                prop_assert_eq!(table.slot_of(Uuid::from_u128(*owner)), Some(*slot));
                prop_assert_eq!(table.owner_of(*slot), Some(Uuid::from_u128(*owner)));
                prop_assert!(!table.clone().drained(*slot), "a slot in use was freed");
            }
        }
    }
}

#[test]
fn after_a_restart_slots_go_on_where_the_kernel_has_them() {
    let mut table = SlotTable::new(3);
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let running = SlotRef { slot: 1, generation: 7 };
    let left_over = SlotRef { slot: 0, generation: 4 };
    table.adopt(running, Some(a)).unwrap();
    table.adopt(left_over, None).unwrap();
    assert_eq!(table.allocate(a).unwrap(), running);
    assert_eq!(table.allocate(b).unwrap().slot, 2);
    assert!(table.allocate(Uuid::from_u128(3)).is_err());
    assert!(table.drained(left_over));
    assert_eq!(table.allocate(Uuid::from_u128(3)).unwrap(), SlotRef { slot: 0, generation: 5 });
    assert_eq!(table.adopt(running, None), Err(AdoptError::Taken(1)));
    assert_eq!(table.adopt(SlotRef { slot: 9, generation: 0 }, None), Err(AdoptError::OutOfRange(9)));
}

#[test]
fn a_full_table_says_what_to_do() {
    let mut table = SlotTable::new(1);
    table.allocate(Uuid::from_u128(1)).unwrap();
    let message = table.allocate(Uuid::from_u128(2)).unwrap_err().to_string();
    assert!(message.contains("all 1 slots are in use; raise the number of slots"), "{message}");
}

/// A slot's generation has 16 bits. It comes again after all the others, and its last owner is long drained by then.
#[test]
fn a_generation_comes_again_after_all_others_and_only_in_a_drained_slot() {
    const GENERATIONS: u128 = 1 << 16;
    let mut table = SlotTable::new(1);
    let mut names = BTreeSet::new();
    let next = Uuid::from_u128(u128::MAX);
    for owner in 0..2 * GENERATIONS + 2 {
        let slot = table.allocate(Uuid::from_u128(owner)).unwrap();
        assert!(names.insert(slot.generation), "generation {} came twice in {GENERATIONS} owners", slot.generation);
        if names.len() as u128 == GENERATIONS {
            names.clear();
        }
        table.release(Uuid::from_u128(owner)).unwrap();
        assert!(table.allocate(next).is_err(), "nobody follows before the slot is drained");
        assert!(!table.drained(SlotRef { generation: slot.generation.wrapping_sub(1), ..slot }), "not by an old name");
        assert!(table.drained(slot));
    }
}
