//! As many targets as a probe must hold, from the warrants to the kernel: every one is found, none of their neighbours
//! is, and when they go nothing is left. Needs root.

use ipnet::IpNet;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;
use writ_abi::{FrameHeader, SlotPolicy, SlotRef};
use writ_authority::{
    APPROVE, ApprovedWarrant, Namespace, POLICY, ProbeIdentity, Roster, Signature, Standing, TrustedRoster, Warrant,
    judge,
};
use writ_capture::{Action, Kernel, KernelSettings, OnMiss, Tables};
use writ_identity::{Change, Desired, FixedAddresses, Room, Tenant, difference, reconcile};
use writ_lab::Officer;
use writ_lab::documents::{self, Order, Seen};
use writ_tests::stack::{self, protocol::UDP};
use zerocopy::FromBytes;

const TARGETS: usize = 10_000;
/// What the tables hold by default.
const ROOM: Room = Room { v4: 16_384, v6: 16_384, macs: 1024, vlans: 1024, conditions: 1024 };
/// Each is a target in turn.
const LENGTHS: ([u8; 4], [u8; 4]) = ([32, 29, 28, 24], [128, 64, 60, 56]);

/// The targets: of both families, of many lengths, none in another.
fn targets() -> Vec<IpNet> {
    let target = |number: usize| {
        let (v6, length) = (number.is_multiple_of(2), number / 2 % 4);
        let number = number as u32;
        let (address, length) = if v6 {
            let group = |shift: u32| (number.wrapping_mul(2_654_435_761) >> shift) as u16;
            (IpAddr::from([0x2001, 0xdb8, group(16), group(0), 1, 2, 3, 4]), LENGTHS.1[length])
        } else {
            (IpAddr::from((10 << 24 | number << 8 | 0x53).to_be_bytes()), LENGTHS.0[length])
        };
        IpNet::new(address, length).unwrap().trunc()
    };
    let mut apart = BTreeSet::<IpNet>::new();
    for target in (0..).map(target).take(2 * TARGETS) {
        if apart.len() < TARGETS && !apart.range(..=target).next_back().is_some_and(|it| it.contains(&target)) {
            apart.insert(target);
        }
    }
    apart.into_iter().collect()
}

/// Warrants with the signatures of two officers.
fn approved(orders: &[Order]) -> Vec<ApprovedWarrant> {
    let folder = tempfile::tempdir().unwrap();
    let officers = ["ada", "ben"].map(|name| Officer::new(folder.path(), name).unwrap());
    let signed = |name: &str, text: &str, namespace: Namespace| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let sign = |officer: &Officer| {
            let signature = officer.sign(&file, namespace.as_str()).unwrap();
            Signature::parse(&fs::read(&signature).unwrap(), &signature).unwrap()
        };
        officers.iter().map(sign).collect::<Vec<_>>()
    };
    let roster = documents::roster(&officers);
    let document = Roster::parse(roster.as_bytes(), Path::new("roster.toml")).unwrap();
    let roster = TrustedRoster::first(document, signed("roster.toml", &roster, POLICY)).unwrap();
    let probe = ProbeIdentity { operator: documents::OPERATOR.to_owned(), probe: documents::PROBE.to_owned() };
    let approved = |order: &Order| {
        let text = order.warrant(&Seen::nothing()).unwrap();
        let warrant = Warrant::parse(text.as_bytes(), Path::new("warrant.toml")).unwrap();
        let (signatures, now) = (signed("warrant.toml", &text, APPROVE), Timestamp::now());
        match judge(warrant, None, signatures, &roster, &probe, now).unwrap() {
            Standing::Approved(approved) => approved,
            standing => panic!("{standing:?}"),
        }
    };
    orders.iter().map(approved).collect()
}

/// As the capture role does it.
fn carry_out(tables: &mut Tables, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Stop(slot) => tables.disarm(slot.slot).unwrap(),
            Change::Arm { slot, terms } => {
                let (flags, generation) = (terms.flags(), slot.generation);
                let policy = SlotPolicy { start_ns: 0, stop_ns: u64::MAX, flags, generation, reserved: 0 };
                tables.arm(slot.slot, &policy).unwrap();
            }
            Change::Bind { selector, claims } => tables.bind(selector, &claims.iter().collect::<Vec<_>>()).unwrap(),
            Change::Unbind(selector) => tables.unbind(selector).unwrap(),
        }
    }
}

/// The slots that get what comes from an address.
fn found(kernel: &mut Kernel, address: IpAddr) -> Vec<SlotRef> {
    let payload = stack::udp(b"whose");
    let frame = match address {
        IpAddr::V4(source) => {
            stack::ethernet(stack::IPV4, &stack::ipv4(source, [203, 0, 113, 9].into(), UDP, &payload))
        }
        IpAddr::V6(source) => {
            let peer = [0x2001, 0xdb9, 0, 0, 0, 0, 0, 9].into();
            stack::ethernet(stack::IPV6, &stack::ipv6(source, peer, UDP, &payload))
        }
    };
    let verdict = kernel.try_frame(OnMiss::Drop, &frame).unwrap();
    if verdict.action != Action::Redirect {
        return Vec::new();
    }
    let (header, _) = FrameHeader::read_from_prefix(verdict.data).unwrap();
    header.source.into_iter().filter(|slot| slot.is_some()).collect()
}

/// The addresses right before and right behind a prefix.
fn neighbours(target: IpNet) -> [IpAddr; 2] {
    match target {
        IpNet::V4(net) => [net.network().to_bits().wrapping_sub(1), net.broadcast().to_bits().wrapping_add(1)]
            .map(|it| IpAddr::V4(it.into())),
        IpNet::V6(net) => [net.network().to_bits().wrapping_sub(1), net.broadcast().to_bits().wrapping_add(1)]
            .map(|it| IpAddr::V6(it.into())),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how long it takes is worth reading")]
fn ten_thousand_targets_are_found_and_none_of_their_neighbours() {
    let targets = targets();
    assert_eq!(targets.len(), TARGETS);
    let order = |uuid, targets: &[IpNet]| Order {
        uuid,
        authority: "title-iii",
        scope: "content",
        targets: targets.to_vec(),
        start: Timestamp::now() - jiff::SignedDuration::from_mins(1),
        stop: Timestamp::now() + jiff::SignedDuration::from_hours(1),
        agency: "agency-a",
        case_id: "CASE-SCALE",
    };
    // One over all of them, and one over every tenth.
    let tenth: Vec<_> = targets.iter().copied().step_by(10).collect();
    let orders = [
        order("5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2200", &targets),
        order("5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2201", &tenth),
    ];
    let warrants = approved(&orders);
    let slots = [0, 1].map(|slot| SlotRef { slot, generation: 1 });
    let tenants: Vec<_> =
        slots.iter().zip(&warrants).map(|(slot, warrant)| Tenant::new(*slot, warrant, &FixedAddresses)).collect();
    let mut kernel = Kernel::load(&KernelSettings::default()).expect("the XDP program loads (as root)");

    let begun = Instant::now();
    let reconciled = reconcile(&tenants, ROOM);
    assert_eq!(reconciled.left_out, []);
    let worked_out = begun.elapsed();
    let steps = difference(&Desired::default(), &reconciled.desired);
    carry_out(kernel.tables(), steps);
    println!("{TARGETS} targets: worked out in {worked_out:?}, in the kernel in {:?}", begun.elapsed());

    let is_target = |address: IpAddr| targets.binary_search_by(|it| range(*it, address)).is_ok();
    for (number, target) in targets.iter().enumerate() {
        let expected: &[SlotRef] = if number % 10 == 0 { &slots } else { &slots[..1] };
        for address in [target.network(), target.broadcast()] {
            assert_eq!(found(&mut kernel, address), expected, "{target}");
        }
        for neighbour in neighbours(*target) {
            assert_eq!(found(&mut kernel, neighbour).is_empty(), !is_target(neighbour), "{neighbour} beside {target}");
        }
    }

    // The second goes: an update touches what changed, and that is a thousand entries of the first.
    let alone = reconcile(&tenants[..1], ROOM).desired;
    let steps = difference(&reconciled.desired, &alone);
    assert_eq!(steps.len(), 1 + tenth.len());
    carry_out(kernel.tables(), steps);
    for target in &targets {
        assert_eq!(found(&mut kernel, target.network()), &slots[..1], "{target}");
    }
    carry_out(kernel.tables(), difference(&alone, &Desired::default()));
    assert!(targets.iter().all(|target| found(&mut kernel, target.network()).is_empty()));
    assert_eq!(kernel.tables().bound().unwrap(), []);
}

/// Where a prefix lies, seen from an address.
fn range(target: IpNet, address: IpAddr) -> std::cmp::Ordering {
    if target.broadcast() < address {
        std::cmp::Ordering::Less
    } else if target.network() > address {
        std::cmp::Ordering::Greater
    } else {
        std::cmp::Ordering::Equal
    }
}
