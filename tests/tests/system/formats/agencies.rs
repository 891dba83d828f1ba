//! Agencies of TS 102 232 that are slow, say nothing, talk nonsense or go away in the middle of a PDU. Whatever they do, the
//! operator is told, the others do not notice, and what they did not keep is handed to who comes after them.

use super::etsi::{contents, pdus};
use super::receivers::{Manners, Unruly};
use super::{add_destination, burst, collector, whose};
use crate::scene::{ALICE, BOB, PATIENCE, Scene, net, order, words};
use std::collections::BTreeSet;
use std::net::IpAddr;
use writ_encoder::etsi::CcContents;
use writ_lab::documents::Order;
use writ_lab::{IpPacket, LabError, until};

/// An agency, what is agreed on with it, and how the probe says what is wrong with it.
struct Bad {
    name: &'static str,
    manners: Manners,
    settings: &'static str,
    complaint: &'static str,
    case_id: &'static str,
    ports: [u16; 2],
}

const AGENCIES: [Bad; 4] = [
    Bad {
        name: "slow",
        manners: Manners::Slow,
        settings: "",
        complaint: "",
        case_id: "CASE-SLOW",
        ports: [8701, 8702],
    },
    Bad {
        name: "gone",
        manners: Manners::Gone,
        settings: "",
        complaint: "the connection to the agency broke",
        case_id: "CASE-GONE",
        ports: [8711, 8712],
    },
    Bad {
        name: "nonsense",
        manners: Manners::Nonsense,
        settings: "acknowledge = true",
        complaint: "is not what the handover knows",
        case_id: "CASE-NONSENSE",
        ports: [8721, 8722],
    },
    Bad {
        name: "silent",
        manners: Manners::Silent,
        settings: "acknowledge = true\nkeep_alive = { answer_seconds = 5 }",
        complaint: "does not answer",
        case_id: "CASE-SILENT",
        ports: [8731, 8732],
    },
];

/// Whose packet it is and its number, of every packet.
fn numbers(packets: &[IpPacket]) -> Vec<(IpAddr, usize)> {
    whose(packets).into_iter().map(|(party, (number, _))| (party, number)).collect()
}

#[test]
fn whatever_an_agency_does_nothing_is_lost_and_its_successor_gets_the_rest() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    for bad in &AGENCIES {
        let terms = format!("etsi = {{ operator = \"EXNET\" }}\n{}", bad.settings);
        add_destination(&scene, bad.name, "etsi", bad.ports.map(Some), &terms);
    }
    let start = |bad: &Bad| bad.ports.map(|port| Unruly::start(&scene.office, port, bad.manners));
    let mut unruly: Vec<[Unruly; 2]> = AGENCIES.iter().map(start).collect();
    scene.run();
    let targets = || vec![net(ALICE), net(BOB)];
    let order =
        |(number, bad): (u8, &Bad)| Order { agency: bad.name, targets: targets(), ..order(number, ALICE, bad.case_id) };
    let orders: Vec<Order> = (0..).zip(&AGENCIES).map(order).collect();
    orders.iter().for_each(|order| scene.arm(order));
    let mut sender = scene.senders(&["tap0"]).remove(0);
    let mut sent = Vec::new();
    burst(&mut sender, &mut sent, 2000);
    let state = |name: &str| -> Result<String, LabError> {
        let status = scene.probe().status()?;
        let mut sessions = status["sessions"].as_array().unwrap().iter();
        let session = sessions.find(|it| it["destination"] == name && it["stream"] == "cmc").unwrap();
        Ok(session["state"].as_str().unwrap().to_owned())
    };
    let slow = scene.probe().counts(&orders[0]).unwrap();
    assert!(slow.waiting > 0, "who reads slowly makes records wait: {slow:?}");
    // Each in turn is found out, and another takes its place.
    let mut successors = Vec::new();
    let mut kept = Vec::new();
    for bad in &AGENCIES[1..] {
        until(bad.name, PATIENCE, || Ok(state(bad.name)?.contains(bad.complaint).then_some(())))
            .unwrap_or_else(|error| panic!("{error}: {:?}", state(bad.name)));
        let [cmii, cmc] = unruly.remove(1);
        cmii.leave();
        kept.push(cmc.leave());
        successors.push(collector(&scene, bad.name, bad.ports.map(Some), ""));
    }
    burst(&mut sender, &mut sent, 500);
    let [_, slow] = unruly.remove(0);
    slow.hurry();
    kept.insert(0, slow.received());

    let everything: BTreeSet<(IpAddr, usize)> =
        [ALICE, BOB].iter().flat_map(|party| (0..2500).map(|number| (party.parse().unwrap(), number))).collect();
    for (place, order) in orders.iter().enumerate() {
        let counts = until(order.agency, PATIENCE, || {
            let counts = scene.probe().counts(order)?;
            Ok((counts.settled() && counts.matched == everything.len() as u64).then_some(counts))
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", scene.probe().counts(order), state(order.agency)));
        assert_eq!(counts.lost, 0, "{}: {counts:?}", order.agency);
        let pdus = pdus(&kept[place]);
        let of_unruly: Vec<IpPacket> = contents(&pdus, order)
            .iter()
            .flat_map(|(_, packets)| packets.iter())
            .map(|cc| match &cc.contents {
                CcContents::Packet(octets) => IpPacket { utc_ns: 0, bytes: octets.0.clone() },
                other => panic!("no whole packet: {other:?}"),
            })
            .collect();
        let mut there: BTreeSet<_> = numbers(&of_unruly).into_iter().collect();
        if let Some(successor) = place.checked_sub(1).map(|place| &successors[place]) {
            let rest = until("the successor's file", PATIENCE, || match successor.packets(order.case_id) {
                Err(LabError::Malformed { .. }) => Ok(None),
                packets => {
                    let rest = numbers(&packets?);
                    let all = there.iter().copied().chain(rest.iter().copied()).collect::<BTreeSet<_>>();
                    Ok((all == everything).then_some(rest))
                }
            })
            .unwrap();
            assert_eq!(rest.iter().collect::<BTreeSet<_>>().len(), rest.len(), "{}: twice", order.agency);
            there.extend(rest);
        }
        assert!(there == everything, "{}: {} of {}", order.agency, there.len(), everything.len());
    }
    scene.assert_isolated();
    scene.stop();
    scene.assert_log_names_nobody();
}

/// One batch of datagrams, each of which is refused: however the kernel tells it, none of them is delivered.
#[test]
fn datagrams_to_a_port_where_nobody_listens_are_not_good() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    add_destination(&scene, "nobody", "ccc", [None, Some(8742)], "");
    let configuration = scene.path("writ.toml").display().to_string();
    let tried = scene.writ(&["destination", "test", "nobody", "--config", &configuration]);
    let said = words(&tried);
    assert!(!tried.status.success(), "{said}");
    assert!(said.contains("nobody listens") && said.contains("0 not refused"), "{said}");
}
