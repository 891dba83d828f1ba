//! Ways out: files of this machine, and trials of a destination before it is needed.

use crate::scene::{ALICE, BOB, BYSTANDER, FIRST, PATIENCE, Scene, ns, order, words};
use crate::storage::SmallDisk;
use crate::traffic::{Delivered, Traffic, hold, now_ns, of_packets, of_reports};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::Order;
use writ_lab::{Ends, IpPacket, read_packets, run, until};

/// The destination that is a folder of the probe's own machine.
pub(crate) const HERE: &str = "here";

/// Adds destinations to the configuration.
pub(crate) fn configure(scene: &Scene, sections: &str) {
    fs::write(scene.path("writ.toml"), format!("{}\n{sections}", scene.configuration())).unwrap();
}

/// A folder as it has to be, and the section that makes it a destination.
pub(crate) fn add_folder(scene: &Scene) -> PathBuf {
    let folder = scene.path("files");
    if !folder.exists() {
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
    }
    configure(scene, &format!("[[destination]]\nname = \"{HERE}\"\nformat = \"t1-ias\"\nfolder = {folder:?}\n"));
    folder
}

/// A file as `writ-collect decode` reads it, to its end.
pub(crate) fn decode(scene: &Scene, file: &Path) -> Vec<Value> {
    let output = run(Command::new(&scene.binaries.writ_collect).arg("decode").arg(file)).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn utc_ns(line: &Value) -> u64 {
    ns(line["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap())
}

/// The numbered packets in a file of content.
pub(crate) fn packets_in(scene: &Scene, file: &Path) -> Vec<Delivered> {
    let packet = |line: &Value| {
        let payload = line["payload"].as_str().unwrap().as_bytes();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        IpPacket { utc_ns: utc_ns(line), bytes: payload.chunks(2).map(octet).collect() }
    };
    of_packets(&decode(scene, file).iter().map(packet).collect::<Vec<_>>())
}

/// The numbered packets that a file of identifying information reports.
fn reports_in(scene: &Scene, file: &Path) -> Vec<Delivered> {
    let lines = decode(scene, file);
    let report = |line: &&Value| line["message"] == "header-report";
    let ends = |line: &Value| {
        let address = |field: &str| line[field]["address"].as_str().unwrap().parse().unwrap();
        let port = |field: &str| u16::try_from(line[field].as_u64().unwrap()).unwrap();
        let ports = Some((port("source_port"), port("destination_port")));
        (utc_ns(line), Ends { source: address("source"), destination: address("destination"), ports })
    };
    of_reports(&lines.iter().filter(report).map(ends).collect::<Vec<_>>())
}

/// `writ destination test` with JSON.
fn test_destination(scene: &Scene, name: &str, count: u32) -> (bool, Value) {
    let (configuration, count) = (scene.path("writ.toml").display().to_string(), count.to_string());
    let output = scene.writ(&["destination", "test", name, "--count", &count, "--json", "--config", &configuration]);
    let answer = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", words(&output)));
    (output.status.success(), answer["destination-tested"].clone())
}

#[test]
fn files_hold_what_was_sent_though_the_deliver_role_is_killed() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let folder = add_folder(&scene);
    scene.run();
    let content = Order { agency: HERE, ..order(0, ALICE, "CASE-FILES") };
    let headers =
        Order { authority: "pen-trap", scope: "headers", agency: HERE, ..order(1, BOB, "CASE-FILES-HEADERS") };
    scene.arm(&content);
    scene.arm(&headers);
    let from_ns = now_ns();
    let parties = [ALICE, BOB, BYSTANDER].map(|address| address.parse().unwrap());
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    for kill in 0..8 {
        sleep(Duration::from_millis(120 + kill * 17));
        let before = scene.probe().role(&scene.host, "deliver").unwrap();
        scene.probe().signal_role(&scene.host, "deliver", Signal::KILL).unwrap();
        until("deliver to come back", PATIENCE, || {
            Ok(scene.probe().role(&scene.host, "deliver")?.filter(|after| Some(*after) != before))
        })
        .unwrap();
    }
    sleep(Duration::from_millis(100));
    let sent = traffic.stop();
    let all = from_ns..now_ns();
    let (content_file, report_file) = (folder.join("CASE-FILES/cmc.ber"), folder.join("CASE-FILES-HEADERS/cmii.ber"));
    for (order, file, read) in [
        (&content, &content_file, packets_in as fn(&Scene, &Path) -> Vec<Delivered>),
        (&headers, &report_file, reports_in),
    ] {
        let counts = scene.probe().settled(order).unwrap();
        assert!(counts.settled() && counts.lost == 0, "{}: {counts:?}", order.case_id);
        let delivered = read(&scene, file);
        assert_eq!(delivered.len() as u64, counts.delivered, "{}", order.case_id);
        hold(order.case_id, &sent, &delivered, all.clone(), all.clone());
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    assert!(!folder.join("CASE-FILES-HEADERS/cmc.ber").exists(), "headers only: no content file");
    scene.assert_isolated();

    // A file goes on over a restart of the whole probe.
    let before = packets_in(&scene, &content_file).len();
    scene.stop();
    scene.run();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &parties);
    sleep(Duration::from_millis(200));
    let again = traffic.stop().len();
    assert_eq!(scene.probe().settled(&content).unwrap().delivered, (before + again) as u64, "the books go on, too");
    assert_eq!(packets_in(&scene, &content_file).len(), before + again);
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn on_a_full_disk_records_wait_and_none_is_lost() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let disk = SmallDisk::mount(scene.path("files"));
    let folder = add_folder(&scene);
    scene.run();
    let content = Order { agency: HERE, ..order(0, ALICE, "CASE-FULL") };
    scene.arm(&content);
    let from_ns = now_ns();
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    let session = || {
        let status = scene.probe().status().unwrap();
        let sessions = status["sessions"].as_array().unwrap();
        sessions.iter().find(|it| it["destination"] == HERE && it["stream"] == "cmc").unwrap().clone()
    };
    until("something on disk", PATIENCE, || Ok((session()["delivered"].as_u64() > Some(50)).then_some(()))).unwrap();
    disk.fill();
    let full = until("the alarm", PATIENCE, || {
        let session = session();
        Ok(session["state"].as_str().unwrap().contains("is full").then_some(session))
    })
    .unwrap();
    assert_eq!(full["connected"], false, "{full}");
    sleep(Duration::from_millis(300));
    assert!(scene.probe().counts(&content).unwrap().waiting > 0);
    assert!(fs::read_to_string(scene.path("writ.log")).unwrap().contains("ALARM: the disk"));
    disk.make_room();
    sleep(Duration::from_millis(100));
    let sent = traffic.stop();
    let counts = until("all on disk", PATIENCE, || {
        let counts = scene.probe().counts(&content)?;
        Ok((counts.settled() && counts.matched == sent.len() as u64).then_some(counts))
    })
    .unwrap();
    assert_eq!(counts.lost, 0, "{counts:?}");
    let all = from_ns..now_ns();
    hold("full disk", &sent, &packets_in(&scene, &folder.join("CASE-FULL/cmc.ber")), all.clone(), all);
    assert_eq!(session()["connected"], true);
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn a_destination_is_tried_beside_an_intercept_that_does_not_notice() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let folder = add_folder(&scene);
    scene.run();
    let content = order(0, ALICE, "CASE-BESIDE");
    scene.arm(&content);
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_millis(200));
    let (good, report) = test_destination(&scene, FIRST.name, 20);
    assert!(good, "{report}");
    let (good, files) = test_destination(&scene, HERE, 5);
    assert!(good, "{files}");
    let configuration = scene.path("writ.toml").display().to_string();
    let told = scene.writ(&["destination", "test", FIRST.name, "--config", &configuration]);
    let told = words(&told);
    assert!(told.starts_with("TEST of destination agency-a: 10 made-up packets"), "{told}");
    assert!(told.contains("TLS 1.3, certificate of CN=Writ lab agency, issued by CN=Writ lab authority"), "{told}");
    let sent = traffic.stop();

    for (stream, records) in report["streams"].as_array().unwrap().iter().zip([22, 20]) {
        assert_eq!((&stream["records"], &stream["acknowledged"]), (&records.into(), &records.into()), "{stream}");
        assert_eq!(stream["peer"]["tls"]["version"], "TLS 1.3", "{stream}");
    }
    // The agency has it as a test, apart from its cases; the file destination has a file.
    let case_id = report["case_id"].as_str().unwrap();
    assert!(case_id.starts_with("TEST-"), "{case_id}");
    let tests = scene.agency(&content).directory.join("tests").join(case_id);
    until("the test's packets", PATIENCE, || {
        Ok((read_packets(&tests.join("content.pcapng"))?.len() == 20).then_some(()))
    })
    .unwrap();
    for packet in read_packets(&tests.join("content.pcapng")).unwrap() {
        assert!(packet.bytes.windows(5).any(|window| window == b"TEST."), "{packet:?}");
    }
    assert!(fs::read_to_string(scene.path("agency-a.log")).unwrap().contains("TEST: "));
    let written = folder.join(files["case_id"].as_str().unwrap());
    assert_eq!(decode(&scene, &written.join("cmc.ber")).len(), 5);
    assert_eq!(decode(&scene, &written.join("cmii.ber")).len(), 7);

    // The intercept: every packet once, no number skipped, no session opened anew.
    assert_eq!(scene.packets(&content).len(), sent.len());
    assert_eq!(scene.probe().counts(&content).unwrap().matched, sent.len() as u64);
    let ledger = scene.probe().ledger(&content).unwrap();
    assert_eq!(ledger["deliveries"].as_array().map(Vec::len), Some(1), "{ledger}");
    let sessions = scene.probe().status().unwrap()["sessions"].clone();
    for session in sessions.as_array().unwrap().iter().filter(|it| it["destination"] == FIRST.name) {
        assert_eq!((&session["sessions"], &session["resent"]), (&1.into(), &0.into()), "{session}");
    }
    scene.agencies[0].stop().unwrap();
    let digest = fs::read(scene.agency(&content).directory.join(content.case_id).join("digest.json")).unwrap();
    let digest: Value = serde_json::from_slice(&digest).unwrap();
    assert_eq!(
        (&digest["numberings"][0]["missing"], digest["numberings"].as_array().map(Vec::len)),
        (&0.into(), Some(1))
    );

    // Who asked, for what, and what came of it.
    let audit = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    let records: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_test = |record: &&Value| record["act"] == "destination-test" && record["details"]["case_id"] == case_id;
    let [begun, ended] = records.iter().filter(of_test).collect::<Vec<_>>()[..] else { panic!("{audit}") };
    assert_eq!((&begun["details"]["step"], &begun["actor"]["who"]), (&"begun".into(), &"root".into()), "{begun}");
    assert_eq!(ended["details"]["cmc"], "20 of 20 records acknowledged", "{ended}");
    scene.stop();
    scene.assert_log_names_nobody();
}

#[test]
fn what_is_wrong_with_the_way_is_said() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    // Accepts, and never says a word.
    let silent =
        scene.host.enter(|| ["192.0.2.1:9443", "192.0.2.1:9444"].map(|at| TcpListener::bind(at).unwrap())).unwrap();
    let (ca, strange) = (&scene.certificates.authority, &scene.certificates.strange_authority);
    let (cert, key) = (&scene.certificates.probe.certificate, &scene.certificates.probe.key);
    let (wrong_cert, wrong_key) =
        (&scene.certificates.strange_probe.certificate, &scene.certificates.strange_probe.key);
    for (name, at, tls) in [
        ("wrong-ca", ["192.0.2.2:7443", "192.0.2.2:7444"], (strange, cert, key)),
        ("wrong-probe", ["192.0.2.2:7443", "192.0.2.2:7444"], (ca, wrong_cert, wrong_key)),
        ("nobody", ["192.0.2.2:9", "192.0.2.2:10"], (ca, cert, key)),
        ("silent", ["192.0.2.1:9443", "192.0.2.1:9444"], (ca, cert, key)),
    ] {
        let ([cmii, cmc], (ca, cert, key)) = (at, tls);
        configure(
            &scene,
            &format!(
                "[[destination]]\nname = \"{name}\"\nformat = \"t1-ias\"\ncmii = \"{cmii}\"\ncmc = \"{cmc}\"\n\
                 tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n"
            ),
        );
    }
    // No probe runs: the same test, by itself.
    for (name, reason, remedy) in [
        ("wrong-ca", "server_unknown_issuer", "get the right CA file"),
        ("wrong-probe", "client_certificate", "check tls.cert"),
        ("nobody", "refused", "check host and port"),
        ("silent", "timeout", "check firewalls"),
    ] {
        let (good, report) = test_destination(&scene, name, 3);
        assert!(!good, "{name}: {report}");
        for stream in report["streams"].as_array().unwrap() {
            assert_eq!(
                (&stream["acknowledged"], &stream["failure"]["reason"]),
                (&0.into(), &reason.into()),
                "{stream}"
            );
            assert!(stream["failure"]["message"].as_str().unwrap().contains(remedy), "{stream}");
        }
    }
    let (good, report) = test_destination(&scene, FIRST.name, 3);
    assert!(good, "{report}");
    drop(silent);

    let configuration = scene.path("writ.toml").display().to_string();
    let unknown = scene.writ(&["destination", "test", "elsewhere", "--config", &configuration]);
    assert!(
        !unknown.status.success() && words(&unknown).contains("it has agency-a, agency-b, wrong-ca"),
        "{unknown:?}"
    );
    let log = scene.path("state/audit.jsonl").display().to_string();
    assert_eq!(fs::read_to_string(&log).unwrap().matches("\"destination-test\"").count(), 11);
    let verified = scene.writ(&["audit", "verify", &log]);
    assert!(verified.status.success(), "{}", words(&verified));
}
