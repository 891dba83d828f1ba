//! Agencies of TS 102 232 that are slow, say nothing, talk nonsense or go away in the middle of a PDU. Whatever they do, the
//! operator is told, the others do not notice, and what they did not keep is handed to who comes after them.

use super::etsi::{contents, pdus};
use super::receivers::{Manners, Unruly};
use super::{add_destination, burst, collector};
use crate::scene::{ALICE, BOB, PATIENCE, Scene, net, order, words};
use crate::traffic::of_packets;
use std::collections::BTreeSet;
use std::net::IpAddr;
use writ_encoder::etsi::CcContents;
use writ_lab::documents::Order;
use writ_lab::{IpPacket, LabError, until};

/// An agency, its manners, what it is asked for, and how the probe says what is wrong with it.
const AGENCIES: [(&str, Manners, &str, &str); 4] = [
    ("slow", Manners::Slow, "", ""),
    ("gone", Manners::Gone, "", "the connection to the agency broke"),
    ("nonsense", Manners::Nonsense, "acknowledge = true", "is not what the handover knows"),
    ("silent", Manners::Silent, "acknowledge = true\nkeep_alive = { answer_seconds = 5 }", "does not answer"),
];
const CASES: [&str; 4] = ["CASE-SLOW", "CASE-GONE", "CASE-NONSENSE", "CASE-SILENT"];
const PORTS: [[u16; 2]; 4] = [[8701, 8702], [8711, 8712], [8721, 8722], [8731, 8732]];

/// Whose packet it is and its number, of every packet.
fn numbers(packets: &[IpPacket]) -> impl Iterator<Item = (IpAddr, usize)> + '_ {
    packets.iter().map(|packet| {
        let ends = packet.ends().unwrap();
        (super::party([ends.source, ends.destination]), of_packets(std::slice::from_ref(packet))[0].0)
    })
}

#[test]
fn whatever_an_agency_does_nothing_is_lost_and_its_successor_gets_the_rest() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    for ((name, _, settings, _), ports) in AGENCIES.iter().zip(PORTS) {
        let terms = format!("etsi = {{ operator = \"EXNET\" }}\n{settings}");
        add_destination(&scene, name, "etsi", ports.map(Some), &terms);
    }
    let mut unruly: Vec<[Unruly; 2]> = AGENCIES
        .iter()
        .zip(PORTS)
        .map(|((_, manners, ..), ports)| ports.map(|port| Unruly::start(&scene.office, port, *manners)))
        .collect();
    scene.run();
    let orders: Vec<Order> = (0..)
        .zip(AGENCIES.iter().zip(CASES))
        .map(|(number, ((name, ..), case_id))| Order {
            agency: name,
            targets: vec![net(ALICE), net(BOB)],
            ..order(number, ALICE, case_id)
        })
        .collect();
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
    for (place, (name, _, _, complaint)) in AGENCIES.iter().enumerate().rev().take(3).rev() {
        until(name, PATIENCE, || Ok(state(name)?.contains(complaint).then_some(())))
            .unwrap_or_else(|error| panic!("{error}: {:?}", state(name)));
        let [cmii, cmc] = unruly.remove(1);
        cmii.leave();
        kept.push(cmc.leave());
        successors.push(collector(&scene, name, PORTS[place].map(Some), ""));
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
        let mut there: BTreeSet<_> = numbers(&of_unruly).collect();
        if let Some(successor) = place.checked_sub(1).map(|place| &successors[place]) {
            let rest = until("the successor's file", PATIENCE, || match successor.packets(order.case_id) {
                Err(LabError::Malformed { .. }) => Ok(None),
                packets => {
                    let rest: Vec<_> = numbers(&packets?).collect();
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
