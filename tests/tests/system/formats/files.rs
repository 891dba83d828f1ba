//! Files that an agency fetches: each is whole and has its sum, they change over by their size, and what is in them is what
//! was sent, though the deliver role is killed.

use super::{arm_document, burst, hold_both, kill, octets, party, revoke, tshark};
use crate::destinations::configure;
use crate::scene::{ALICE, BOB, Scene, net, ns, order};
use crate::traffic::{hold, now_ns, of_packets, of_reports};
use serde_json::Value;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use writ_lab::documents::Order;
use writ_lab::{Ends, IpPacket, run};

/// The files of a folder whose names end so, in the order of their numbers.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|file| file.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

/// Every file of a case is as its sum says, in the words of the tool that the agency uses.
fn check_sums(case: &Path) {
    let (sums, all) = (files(case, ".sha256"), files(case, ""));
    assert_eq!(2 * sums.len(), all.len(), "a sum for each file, and nothing else: {all:?}");
    run(Command::new("sha256sum").current_dir(case).args(["--check", "--strict", "--quiet"]).args(sums)).unwrap();
}

/// When a packet was seen, and who sent to whom, as a line of events tells it.
fn report(line: &Value) -> (u64, Ends) {
    let address = |side: &str| line[side].as_str().unwrap().parse().unwrap();
    let port = |side: &str| u16::try_from(line[side].as_u64().unwrap()).unwrap();
    let ports = Some((port("source_port"), port("destination_port")));
    let ends = Ends { source: address("source"), destination: address("destination"), ports };
    (ns(line["time"].as_str().unwrap().parse().unwrap()), ends)
}

#[test]
fn files_are_whole_and_hold_what_was_sent_though_the_deliver_role_is_killed() {
    if !writ_lab::ready(&["tshark", "sha256sum"]).unwrap() {
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let folder = scene.path("drop");
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    configure(
        &scene,
        &format!(
            "[[destination]]\nname = \"drop\"\nformat = \"files\"\nfolder = {folder:?}\n\
             rotate = {{ megabytes = 1, minutes = 60 }}\n"
        ),
    );
    scene.run();
    let content = Order { agency: "drop", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, "CASE-DROP") };
    let headers =
        Order { authority: "pen-trap", scope: "headers", agency: "drop", ..order(1, BOB, "CASE-DROP-HEADERS") };
    // The delivery is the document's last section.
    arm_document(&scene, &content, |document| format!("{document}content_identifier = \"CONTENT-1\"\n"));
    scene.arm(&headers);
    let mut sender = scene.senders(&["tap0"]).remove(0);
    let (mut sent, from_ns) = (Vec::new(), now_ns());
    for _ in 0..4 {
        burst(&mut sender, &mut sent, 800);
        kill(&scene, "deliver");
    }
    let whole = from_ns..now_ns();
    let cases = [&content, &headers].map(|order| {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
        folder.join(order.case_id)
    });
    // What has its name is whole while the rest is being written.
    assert!(!files(&cases[0], ".pcapng").is_empty(), "a file is full");
    check_sums(&cases[0]);
    revoke(&scene, &headers);
    scene.assert_isolated();
    scene.stop();
    scene.assert_log_names_nobody();
    cases.iter().for_each(|case| check_sums(case));
    assert!(files(&cases[1], ".pcapng").is_empty(), "headers only: no packet");

    // tshark reads packets, numbers, directions and whose they are.
    let fields =
        ["frame.packet_id", "frame.comment", "frame.packet_flags_direction", "frame.time_epoch", "udp.payload"];
    let ends = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst"];
    let (mut packets, mut numbers) = (Vec::new(), Vec::new());
    for file in files(&cases[0], ".pcapng") {
        for row in tshark(&file, &["-E", "aggregator=;"], &[&fields[..], &ends].concat()) {
            let pair = if row[5].is_empty() { [&row[7], &row[8]] } else { [&row[5], &row[6]] };
            let pair = pair.map(|address| address.parse().unwrap());
            let whose = party(pair);
            let way = if pair[0] == whose { ["fromSubject", "0x00000002"] } else { ["toSubject", "0x00000001"] };
            let [comments, direction] = [&row[1], &row[2]];
            for comment in [way[0], "case CASE-DROP", "content CONTENT-1"] {
                assert!(comments.contains(comment), "{comment}: {row:?}");
            }
            assert_eq!(direction, way[1], "{row:?}");
            let (seconds, fraction) = row[3].split_once('.').unwrap();
            let utc_ns = seconds.parse::<u64>().unwrap() * 1_000_000_000 + fraction.parse::<u64>().unwrap();
            packets.push((whose, of_packets(&[IpPacket { utc_ns, bytes: octets(&row[4]) }])[0]));
            numbers.push(row[0].parse::<u64>().unwrap());
        }
    }
    hold_both("files", &sent, &packets, whole.clone());
    numbers.sort_unstable();
    assert!(numbers.is_sorted_by(|before, after| before + 1 == *after), "one run of numbers");

    let text: String = files(&cases[1], ".jsonl").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reports: Vec<_> = lines.iter().filter(|line| line["event"] == "packet").map(report).collect();
    hold("lines", &sent, &of_reports(&reports), whole.clone(), whole);
    let told: Vec<_> = lines.iter().filter(|line| line["event"] != "packet").map(|line| &line["event"]).collect();
    assert_eq!(told, ["session-already-established", "session-end"]);
    let in_order =
        lines.windows(2).all(|pair| pair[0]["sequence"].as_u64().map(|it| it + 1) == pair[1]["sequence"].as_u64());
    assert!(in_order, "one run of numbers");
}
