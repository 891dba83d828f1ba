//! Flows summed up for a headers-only order: each packet is in one summary, and what no summary tells is counted lost.

use super::flows::{Flows, Kind, Sum, back, conversation};
use super::{kill, revoke};
use crate::scene::{ALICE, BOB, BYSTANDER, FIRST, PATIENCE, Scene, net, order};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Counts, Ends, LabError, until};

/// The first agency takes summaries from now on, on these terms.
fn sum_up(scene: &Scene, terms: &str) {
    let name = format!("name = \"{}\"\n", FIRST.name);
    let configuration = scene.configuration().replacen(&name, &format!("{name}summaries = {{ {terms} }}\n"), 1);
    fs::write(scene.path("writ.toml"), configuration).unwrap();
}

fn headers_of_two(case_id: &'static str) -> Order {
    Order { authority: "pen-trap", scope: "headers", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, case_id) }
}

/// The flow and the packets of a Packet-Data-Summary-Report.
fn summary(message: &Value) -> (Ends, u64) {
    let address = |side: &str| message[side]["address"].as_str().unwrap().parse().unwrap();
    let port = |side: &str| u16::try_from(message[side].as_u64().unwrap()).unwrap();
    let ports = Some((port("source_port"), port("destination_port")));
    let ends = Ends { source: address("source"), destination: address("destination"), ports };
    (ends, message["packet_count"].as_u64().unwrap())
}

/// The summaries that the agency has, one by one.
fn told(scene: &Scene, order: &Order) -> Result<Vec<(Ends, u64)>, LabError> {
    let messages = scene.agency(order).messages(order.case_id)?;
    assert!(messages.iter().all(|message| message["message"] != "header-report"), "reports beside the summaries");
    Ok(messages.iter().filter(|message| message["message"] == "summary-report").map(summary).collect())
}

/// Their sums.
fn sums(told: &[(Ends, u64)]) -> HashMap<Ends, u64> {
    told.iter().fold(HashMap::new(), |mut sums, (flow, packets)| {
        *sums.entry(*flow).or_default() += packets;
        sums
    })
}

/// Packets of each flow.
fn packets(sent: &HashMap<Ends, Sum>) -> HashMap<Ends, u64> {
    sent.iter().map(|(flow, sum)| (*flow, sum.packets)).collect()
}

/// Waits until the agency was told of so many packets; gives what it was told.
fn wait_for(scene: &Scene, order: &Order, packets: u64) -> Vec<(Ends, u64)> {
    until("the summaries", PATIENCE, || {
        let told = told(scene, order)?;
        Ok((told.iter().map(|(_, packets)| packets).sum::<u64>() >= packets).then_some(told))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?} of {packets}", told(scene, order)))
}

/// The ledger once the kernel has counted so many packets.
fn matched(scene: &Scene, order: &Order, packets: u64) -> Counts {
    until("the kernel's count", PATIENCE, || {
        Ok(Some(scene.probe().counts(order)?).filter(|counts| counts.matched >= packets))
    })
    .unwrap()
}

#[test]
fn the_sums_of_a_flow_are_what_was_sent_whatever_made_the_probe_tell_of_it() {
    let Some(mut scene) = Scene::build(&[("tap0", 2)]) else { return };
    sum_up(&scene, "at_start = true, idle_seconds = 1, period_seconds = 0, packet_count = 7, most_flows = 16");
    scene.run();
    let headers = headers_of_two("CASE-SUMS");
    scene.arm(&headers);
    let mut flows = Flows::new(scene.senders(&["tap0"]).remove(0));
    let mut unheard = Flows::new(scene.senders(&["tap0"]).remove(0));

    // More flows than there is room for at once, some longer than are told of together, some that end.
    for round in 0..4_u16 {
        for port in 0..20 {
            let kind = if port % 2 == 0 { Kind::Udp } else { Kind::Tcp };
            for length in 0..10 {
                for party in [ALICE, BOB] {
                    let there = conversation(party, 20_000 + port);
                    flows.send(there, kind, length * usize::from(round));
                    if port % 3 == 0 {
                        flows.send(back(there), kind, 700);
                    }
                }
                unheard.send(conversation(BYSTANDER, 20_000 + port), kind, length);
            }
            sleep(Duration::from_millis(2));
        }
    }
    for port in (1..20).step_by(2) {
        flows.send(conversation(ALICE, 20_000 + port), Kind::LastOfTcp, 0);
    }
    // All fall silent.
    let by_silence = wait_for(&scene, &headers, flows.packets());
    assert_eq!(sums(&by_silence), packets(&flows.sent));
    let counts = scene.probe().settled(&headers).unwrap();
    assert_eq!((counts.matched, counts.delivered, counts.lost), (flows.packets(), flows.packets(), 0), "{counts:?}");
    assert!(by_silence.iter().all(|(_, packets)| *packets <= 7), "{by_silence:?}");
    assert!((by_silence.len() as u64) < flows.packets() / 2, "{} summaries", by_silence.len());

    // What is counted when the intercept ends is told then.
    for port in 0..3 {
        for _ in 0..5 {
            flows.send(conversation(BOB, 30_000 + port), Kind::Udp, 40);
        }
    }
    matched(&scene, &headers, flows.packets());
    revoke(&scene, &headers);
    assert_eq!(sums(&wait_for(&scene, &headers, flows.packets())), packets(&flows.sent));
    let counts = scene.probe().settled(&headers).unwrap();
    assert_eq!((counts.matched, counts.delivered, counts.lost), (flows.packets(), flows.packets(), 0), "{counts:?}");
    let last = scene.agency(&headers).messages(headers.case_id).unwrap().pop().unwrap();
    assert_eq!(last["message"], "session-end", "the sums come before the end");
    scene.assert_isolated();
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn what_a_killed_capture_role_had_counted_is_lost_and_a_probe_that_ends_tells_all() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    sum_up(&scene, "idle_seconds = 3600, period_seconds = 0");
    scene.run();
    let headers = headers_of_two("CASE-SUMS-KILLED");
    scene.arm(&headers);
    let flow = conversation(ALICE, 20_000);
    let [mut before, mut after] = [(); 2].map(|()| Flows::new(scene.senders(&["tap0"]).remove(0)));
    for length in 0..100 {
        before.send(flow, Kind::Udp, length);
        before.send(back(flow), Kind::Udp, 2 * length);
    }
    let counts = matched(&scene, &headers, before.packets());
    assert_eq!((counts.delivered, counts.lost), (0, 0), "{counts:?}");
    kill(&scene, "capture");
    let counts = until("the books of who was killed", PATIENCE, || {
        let slot = scene.probe().slot(&headers)?;
        let counts = scene.probe().counts(&headers)?;
        Ok((slot.is_some() && counts.lost > 0).then_some(counts))
    })
    .unwrap();
    assert_eq!((counts.matched, counts.lost), (before.packets(), before.packets()), "{counts:?}");

    // Packets are taken again once one is.
    until("packets to be taken", PATIENCE, || {
        after.send(flow, Kind::Udp, 1);
        sleep(Duration::from_millis(20));
        Ok((scene.probe().counts(&headers)?.matched > before.packets()).then_some(()))
    })
    .unwrap();
    let missed = before.packets() + after.packets() - scene.probe().counts(&headers).unwrap().matched;
    for length in 0..50 {
        after.send(flow, Kind::Tcp, length);
    }
    matched(&scene, &headers, before.packets() + after.packets() - missed);
    assert_eq!(told(&scene, &headers).unwrap(), []);
    scene.stop();
    let taken = after.packets() - missed;
    assert_eq!(sums(&wait_for(&scene, &headers, taken)), HashMap::from([(flow, taken)]));
    scene.assert_log_names_nobody();
}
