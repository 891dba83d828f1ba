//! A capture file through the same program and the same pipeline, without a port.

use crate::destinations::configure;
use crate::scene::{ALICE, BYSTANDER, Scene, ns, order, seconds_ahead, words};
use crate::traffic::Traffic;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_encoder::stream::StreamDecoder;
use writ_encoder::t1_ias::decode_cmcc;
use writ_lab::documents::Order;
use writ_lab::{IpPacket, Recorder, compare_packets, read_packets, run};

/// The content in a stream that a replay has written.
fn packets(stream: &Path) -> Vec<IpPacket> {
    let mut decoder = StreamDecoder::default();
    decoder.push(&fs::read(stream).unwrap());
    let mut packets = Vec::new();
    while let Some(pdu) = decoder.next_pdu().unwrap() {
        let (content, _) = decode_cmcc(pdu.bytes).unwrap();
        assert_eq!(content.case_id.as_deref(), Some("CASE-REPLAY"));
        assert_eq!(content.sequence, Some(packets.len() as u64), "numbered without a gap");
        let utc_us = u64::try_from(content.timestamp.expect("a time").unix_micros()).unwrap();
        packets.push(IpPacket { utc_ns: utc_us * 1000, bytes: content.payload.to_vec() });
    }
    assert_eq!(decoder.pending(), 0, "the stream ends with a whole PDU");
    packets
}

#[test]
fn a_replay_takes_what_the_warrant_names_within_its_window_and_asks_for_the_same_approvals() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    configure(
        &scene,
        "[[destination]]\nname = \"mediation\"\nformat = \"x3\"\ncmii = \"127.0.0.1:1\"\ncmc = \"127.0.0.1:2\"\nplain = {}\n\
         [[destination]]\nname = \"network\"\nformat = \"ccc\"\ncmc = \"127.0.0.1:3\"\nplain = {}\n\
         [[destination]]\nname = \"county\"\nformat = \"files\"\nfolder = \"/srv/county\"\n",
    );
    // No probe runs: the file is recorded at the far end of a port that nobody reads.
    scene.host.ip(&["link", "set", "tap0", "up"]).unwrap();
    let file = scene.path("recorded.pcap");
    let recorder = Recorder::start(&scene.far, "far0", &file, "ip").unwrap();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE, BYSTANDER].map(|it| it.parse().unwrap()));
    let content = Order { start: seconds_ahead(2), ..order(0, ALICE, "CASE-REPLAY") };
    // A start on the full second is one to two seconds away: traffic goes on until half a second past it, whenever that is.
    let until_start = Duration::from_nanos(ns(content.start).saturating_sub(ns(jiff::Timestamp::now())));
    sleep(until_start + Duration::from_millis(500));
    traffic.stop();
    let truth = recorder.stop().unwrap();
    let of_alice = |packet: &&IpPacket| {
        packet.ends().is_some_and(|ends| [ends.source, ends.destination].contains(&ALICE.parse().unwrap()))
    };
    let in_window: Vec<_> =
        truth.iter().filter(of_alice).filter(|packet| packet.utc_ns >= ns(content.start)).cloned().collect();
    let outside = truth.iter().filter(of_alice).count() - in_window.len();
    assert!(in_window.len() > 50 && outside > 50, "{} packets inside, {outside} outside", in_window.len());

    let warrant = scene.path("replay.toml");
    fs::write(&warrant, content.warrant(&scene.head()).unwrap()).unwrap();
    let signatures = [0, 1].map(|at| scene.officers[at].sign(&warrant, "writ-approve").unwrap().display().to_string());
    let replay = |warrant: &Path, signatures: &[String], output: &Path| {
        let [file, warrant, output] = [&file, warrant, output].map(|path: &Path| path.display().to_string());
        let configuration = scene.path("writ.toml").display().to_string();
        let mut arguments =
            vec!["replay", &file, "--warrant", &warrant, "--output", &output, "--config", &configuration, "--json"];
        for signature in signatures {
            arguments.extend(["--signature", signature]);
        }
        scene.writ(&arguments)
    };
    let output = scene.path("replayed");
    let done = replay(&warrant, &signatures, &output);
    assert!(done.status.success(), "{}", words(&done));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["frames"], truth.len());
    assert_eq!(report["matched"], in_window.len() + outside);
    assert_eq!(report["outside_window"], outside);
    let replayed = packets(&output.join("agency-a-cmc.ber"));
    let comparison = compare_packets(&in_window, &replayed);
    assert!(comparison.holds(), "{comparison}");
    for (truth, replayed) in in_window.iter().zip(&replayed) {
        assert_eq!(truth.utc_ns / 1000, replayed.utc_ns / 1000, "the file's time, to the microsecond");
    }
    for other in ["agency-b-cmii.ber", "agency-b-cmc.ber"] {
        assert!(!output.join(other).exists(), "{other}: nothing is the other agency's");
    }

    // In other formats each file is as its reader wants it: a stream, a capture file of datagrams, a file of packets.
    let several = scene.path("several.toml");
    let further = [("mediation", "cmii\", \"cmc"), ("network", "cmc"), ("county", "cmii\", \"cmc")];
    let further = further.map(|(destination, streams)| {
        let names = "case_id = \"CASE-REPLAY\"\ncontent_identifier = \"4711\"";
        format!("\n[[delivery]]\ndestination = \"{destination}\"\n{names}\nstreams = [\"{streams}\"]\n")
    });
    fs::write(&several, content.warrant(&scene.head()).unwrap() + &further.concat()).unwrap();
    let signatures_of_it =
        [0, 1].map(|at| scene.officers[at].sign(&several, "writ-approve").unwrap().display().to_string());
    let formats = scene.path("formats");
    let done = replay(&several, &signatures_of_it, &formats);
    assert!(done.status.success(), "{}", words(&done));
    let decoded = |arguments: &[&str], file: &str| {
        let mut decode = Command::new(&scene.binaries.writ_collect);
        let output = run(decode.arg("decode").args(arguments).arg(formats.join(file))).unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!(decoded(&["--format", "x3"], "mediation-cmc.bin"), in_window.len());
    assert_eq!(decoded(&["--format", "ccc"], "network-cmc.pcap"), in_window.len());
    assert!(!formats.join("network-cmii.pcap").exists(), "the format has content alone");
    let comparison = compare_packets(&in_window, &read_packets(&formats.join("county-cmc.pcapng")).unwrap());
    assert!(comparison.holds(), "{comparison}");
    let lines = fs::read_to_string(formats.join("county-cmii.jsonl")).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && !lines.is_empty(), "{lines}");

    // Without approval, with half of it, and with a document changed behind the signatures: refused, nothing written.
    let refused = scene.path("refused");
    for (signatures, wanted) in [(&signatures[..0], "nobody signed"), (&signatures[..1], "asks for 2 different people")]
    {
        let answer = replay(&warrant, signatures, &refused);
        assert_eq!(answer.status.code(), Some(1), "{}", words(&answer));
        assert!(words(&answer).contains(wanted), "{}", words(&answer));
    }
    let other_target = content.warrant(&scene.head()).unwrap().replace(ALICE, BYSTANDER);
    fs::write(&warrant, other_target).unwrap();
    let answer = replay(&warrant, &signatures, &refused);
    assert_eq!(answer.status.code(), Some(1), "{}", words(&answer));
    assert!(words(&answer).contains("does not fit the document"), "{}", words(&answer));
    assert!(!refused.exists());
    let audit = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    assert_eq!(audit.lines().filter(|line| line.contains("\"refused\"")).count(), 3, "refusals are recorded: {audit}");
}
