//! Faults of documents, ports, certificates and files: each is named, with what to do, and nothing is started.

use crate::scene::{ALICE, FIRST, PATIENCE, SECOND, Scene, order, words};
use crate::traffic::{CONTENT, Traffic};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use writ_lab::documents::{self, Order};
use writ_lab::{Process, contains, until};

/// Runs `writ run` on a configuration that must be refused: exit code 2, nothing left. Gives what it said.
fn refused_run(scene: &Scene, configuration: &Path) -> String {
    let said = scene.path("refusal");
    let mut command = scene.host.command(&scene.binaries.writ);
    command.args(["run", "--config"]).arg(configuration).stdin(Stdio::null()).stdout(Stdio::null());
    let mut run = Process::spawn(command.stderr(fs::File::create(&said).unwrap())).unwrap();
    let status = run.wait(PATIENCE).unwrap();
    let said = fs::read_to_string(&said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    said
}

/// The configuration with one thing changed, as a file.
fn changed(scene: &Scene, (from, to): (&str, &str)) -> std::path::PathBuf {
    let good = scene.configuration();
    let bad = good.replacen(from, to, 1);
    assert_ne!(good, bad, "{from} is in the configuration");
    let file = scene.path("changed.toml");
    fs::write(&file, bad).unwrap();
    file
}

fn assert_says(said: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
}

#[test]
fn a_fault_of_the_configuration_is_named_and_nothing_is_started() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    let before = scene.port_state("tap0");
    let runtime = scene.path("run");
    for (from, to, wanted) in [
        ("id = \"lab-probe1\"", "id = \"a name that is far too long\"", ["probe.id", "1 to 15"]),
        ("operator = \"ExampleNet\"", "operator = \"\"", ["probe.operator", "name the carrier"]),
        ("on_miss = \"drop\"", "on_miss = \"drop\"\ncolour = 1", ["colour", "see the example"]),
        ("mode = \"driver\"", "mode = \"fast\"", ["capture[0].mode", "driver"]),
        ("bind = \"copy\"", "bind = \"zero-copy\"", ["capture[0].isolation", "isolation = \"descriptor\""]),
        ("interface = \"tap0\"", "interface = \"../tap0\"", ["capture[0].interface", "ip link"]),
        ("on_miss = \"drop\"", "queues = 0", ["capture[0].queues", "leave it out"]),
        ("format = \"t1-ias\"", "format = \"fax\"", ["destination[0].format", "t1-ias"]),
        ("cmii = \"192.0.2.2:7443\"", "cmii = \"192.0.2.2\"", ["destination[0].cmii", "port"]),
        ("name = \"agency-b\"", "name = \"agency-a\"", ["destination[1].name", "a name of its own"]),
        ("tls = {", "# tls = {", ["destination[0]", "tls"]),
        ("authority.pem", "nobody.pem", ["destination[0].tls.ca", "nobody.pem"]),
        ("probe.key", "agency.key", ["destination[0].tls", "agency.key"]),
        ("[probe]", "[tables]\nslots = 0\n\n[probe]", ["tables.slots", "at least 1"]),
        ("[probe]", "[spool]\nsegments = 1\n\n[probe]", ["spool.segments", "2 to 4096"]),
        ("[probe]", "[probe", ["line 1", "see the example"]),
    ] {
        let file = changed(&scene, (from, to));
        let said = refused_run(&scene, &file);
        assert_says(&said, &wanted);
        assert_says(&said, &[&file.display().to_string()]);
        let checked = scene.writ(&["check-config", "--config", &file.display().to_string()]);
        assert_eq!(checked.status.code(), Some(2), "check-config of {to:?} says the same");
        assert_says(&words(&checked), &wanted);
    }
    let said = refused_run(&scene, &scene.path("nowhere.toml"));
    assert_says(&said, &["nowhere.toml", "--config"]);
    assert!(!runtime.exists(), "not even the runtime directory is made");
    scene.assert_nothing_runs(&["tap0"]);
    assert_eq!(scene.port_state("tap0"), before);
}

#[test]
fn a_port_that_cannot_be_used_is_named_and_left_as_it_was() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    scene.host.ip(&["link", "set", "lo", "mtu", "1500"]).unwrap();
    let refused = |change: (&str, &str), wanted: &[&str]| {
        let before = ["tap0", "lo"].map(|tap| scene.port_state(tap));
        let said = refused_run(&scene, &changed(&scene, change));
        assert_says(&said, wanted);
        scene.assert_nothing_runs(&["tap0", "lo"]);
        assert_eq!(["tap0", "lo"].map(|tap| scene.port_state(tap)), before, "after: {said}");
    };
    let tap0 = "interface = \"tap0\"";
    refused((tap0, "interface = \"tap7\""), &["there is no interface tap7", "`ip link`"]);
    refused((tap0, "interface = \"tap0\"\nbring_up = false"), &["interface tap0 is down", "bring_up = true"]);
    refused((tap0, "interface = \"tap0\"\nqueues = 3"), &["tap0 has 1 receive queues, not 3", "`ethtool -L tap0`"]);
    refused((tap0, "interface = \"lo\""), &["lo", "mode = \"generic\""]);
    scene.far.ip(&["link", "set", "far0", "down"]).unwrap();
    refused((tap0, "interface = \"tap0\"\ncarrier_wait_s = 1"), &["tap0 has no carrier after 1 s", "check the cable"]);
    scene.far.ip(&["link", "set", "far0", "up"]).unwrap();
    scene.host.ip(&["link", "set", "tap0", "mtu", "9000"]).unwrap();
    let remedies = ["tap0 has an MTU of 9000", "`ip link set tap0 mtu 1642`", "jumbo = true"];
    refused((tap0, "interface = \"tap0\" # as it was"), &remedies);
}

#[test]
fn a_second_probe_with_the_same_runtime_directory_is_refused_and_the_first_goes_on() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    scene.arm(&order(0, ALICE, "CASE-FIRST"));
    let before = scene.link("tap0")["xdp"].clone();
    let said = refused_run(&scene, &scene.path("writ.toml"));
    assert_says(&said, &["another writ runs with this runtime directory", "probe.runtime"]);
    assert_eq!(scene.link("tap0")["xdp"], before, "the first probe's program is still there");
    assert_eq!(scene.probe().status().unwrap()["intercepts"].as_array().map(Vec::len), Some(1));
    scene.stop();
    scene.assert_nothing_runs(&["tap0"]);
}

#[test]
fn a_fault_of_a_roster_is_named_and_the_roster_in_force_stays() {
    let Some(scene) = Scene::build(&[("tap0", 1)]) else { return };
    let good = documents::roster(&scene.officers).replacen("version = 1", "version = 2", 1);
    let key = scene.officers[0].public_key.as_str();
    let file = scene.path("roster-2.toml");
    for (from, to, wanted) in [
        ("version = 2", "version = 0", ["version", "1"]),
        ("operator = \"ExampleNet\"", "", ["operator", "ExampleNet"]),
        ("approvals = 2", "approvals = 4", ["officer", "name more officers"]),
        ("roles = 2", "roles = 3", ["policy.roles", "ask for fewer roles"]),
        ("[\"on-call\"]", "[\"stand-by\"]", ["policy.emergency.roles", "give an officer one"]),
        ("roles = [\"legal\"]", "role = \"legal\"", ["officer[1].roles", "[\"legal\"]"]),
        ("name = \"ben.ortega\"", "name = \"Ada.Marsh\"", ["officer[2].name", "list a person once"]),
        (key, "ssh-rsa AAAA", ["officer[1].keys", "ssh-"]),
        ("approvals = 2", "approvals = 2\nquorum = 3", ["policy.quorum", "field"]),
        ("version = 2", "version = ", ["line 1", "TOML"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        fs::write(&file, bad).unwrap();
        let refused = scene.install_roster(&file);
        assert_eq!(refused.status.code(), Some(2), "{to:?}: {}", words(&refused));
        assert_says(&words(&refused), &wanted);
        assert_says(&words(&refused), &["roster-2.toml"]);
    }
    // A sound document that is not approved is no fault of its form: it is refused.
    fs::write(&file, &good).unwrap();
    let configuration = scene.path("writ.toml").display().to_string();
    let refused = scene.writ(&["roster", "install", &file.display().to_string(), "--config", &configuration]);
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert_says(&words(&refused), &["nobody signed", "2 different people of 2 different roles of version 1"]);
}

#[test]
fn a_fault_of_a_warrant_is_named_and_nothing_is_armed() {
    let Some(scene) = Scene::start(&[("tap0", 1)]) else { return };
    let order = order(0, ALICE, "CASE-FAULTS");
    let good = order.warrant(&scene.head()).unwrap();
    let (file, configuration) = (scene.path("CASE-FAULTS.toml"), scene.path("writ.toml").display().to_string());
    let submit = |document: &str| {
        fs::write(&file, document).unwrap();
        let [ada, ben, _] = &scene.officers;
        let signatures = [ada, ben].map(|officer| officer.sign(&file, "writ-approve").unwrap().display().to_string());
        scene.writ(&[
            "warrant",
            "submit",
            &file.display().to_string(),
            "--config",
            &configuration,
            "--signature",
            &signatures[0],
            "--signature",
            &signatures[1],
        ])
    };
    let start = format!("start = \"{}\"", order.start);
    let address = format!("address = \"{ALICE}\"");
    let sign_by = format!("sign_by = \"{}\"", order.stop);
    let revision_2 = format!("revision = 2\nprevious = \"{}\"", "7".repeat(64));
    for (from, to, wanted) in [
        (order.uuid, "5B0F8C7E", ["uuid", "uuidgen"]),
        ("scope = \"content\"", "scope = \"all\"", ["scope", "\"content\""]),
        ("authority = \"title-iii\"", "authority = \"pen-trap\"", ["scope", "write scope = \"headers\""]),
        (ALICE, "198.51.100.10/24", ["target[1].address", "198.51.100.0/24"]),
        (&address, "mac = \"01:00:5e:00:00:01\"", ["target[1].mac", "the subscriber's own equipment"]),
        (&address, "vlan = \"200.4095\"", ["target[1].vlan", "1 to 4094"]),
        (&address, "vlan = \"200\"\ntraffic = [\"tcp far 25\"]", ["target[1].traffic", "write either"]),
        (&address, "", ["target[1].address", "a mac or a vlan"]),
        (ALICE, "everybody", ["target[1].address", "write an address or prefix such as"]),
        ("confirmed_by = \"C. Engineer, provisioning\"\n", "", ["target[1].confirmed_by", "C. Engineer"]),
        (&start, "start = \"2026-11-20T09:00:00\"", ["window.start", "-05:00"]),
        (
            &start,
            "zone = \"America/New_York\"\nstart = \"2026-11-01T01:30:00\"",
            ["window.start", "is twice in this zone"],
        ),
        (&start, "days = 30\nstart = \"2026-11-01T01:30:00Z\"", ["window.days", "write stop or days"]),
        (&start, "start = \"2199-11-20T09:00:00Z\"", ["window.stop", "write a stop after the start"]),
        ("court = ", "kourt = ", ["order.kourt", "field"]),
        ("docket = \"26-mc-0117\"\n", "", ["order.docket", "26-mc"]),
        ("revision = 1", "revision = 0", ["revision", "1"]),
        ("revision = 1", "revision = 2", ["previous: missing", "write previous"]),
        ("sign_by = ", "signed_by = ", ["sign_by", "missing"]),
        ("[seen]", "[saw]", ["seen", "add a section [seen]"]),
        ("sealed = true\n", "", ["order.sealed", "write sealed = true or sealed = false"]),
        ("verified_how = ", "verified = ", ["order.verified_how", "called the field office back"]),
        ("case_id = \"CASE-FAULTS\"", "case_id = \"\"", ["delivery[1].case_id", "write"]),
        ("uuid = ", "uuid", ["line 1", "TOML"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let refused = submit(&bad);
        assert_eq!(refused.status.code(), Some(2), "{to:?}: {}", words(&refused));
        assert_says(&words(&refused), &wanted);
        assert_says(&words(&refused), &["CASE-FAULTS.toml"]);
    }
    // Sound documents that are not this probe's, or not signed: refused.
    for (from, to, wanted) in [
        (
            "destination = \"agency-a\"",
            "destination = \"agency-z\"",
            ["no destination \"agency-z\"", "agency-a, agency-b"],
        ),
        (&address, "vlan = \"200.*\"", ["target[1].vlan", "policy.wide_vlan"]),
        (&start, "start = \"2020-01-01T00:00:00Z\"", ["window.stop", "30 days from"]),
        (&sign_by, "sign_by = \"2020-01-01T00:00:00Z\"", ["sign_by", "draft it again with a later sign_by"]),
        ("revision = 1", &revision_2, ["revision", "hand in revision 1 first"]),
        ("probe = \"lab-probe1\"", "probe = \"lab-probe2\"", ["probe", "lab-probe1"]),
        ("operator = \"ExampleNet\"", "operator = \"OtherNet\"", ["operator", "ExampleNet"]),
    ] {
        let refused = submit(&good.replacen(from, to, 1));
        assert_eq!(refused.status.code(), Some(1), "{to:?}: {}", words(&refused));
        assert_says(&words(&refused), &wanted);
        assert_says(&words(&refused), &["CASE-FAULTS.toml"]);
    }
    let status = scene.probe().status().unwrap();
    assert_eq!(status["intercepts"].as_array().map(Vec::len), Some(0), "nothing is armed");
    let refusals = fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    assert_eq!(refusals.lines().filter(|line| line.contains("\"refused\"")).count(), 31, "every refusal is recorded");
    // What was wrong was the document each time.
    let accepted = submit(&good);
    assert!(accepted.status.success(), "{}", words(&accepted));
    scene.assert_log_names_nobody();
}

#[test]
fn a_wrong_certificate_is_refused_on_both_sides_and_said_and_nothing_goes_out() {
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    // To the first agency the probe is a stranger, and the second agency is a stranger to the probe.
    let configuration = scene.configuration();
    let (first, second) = configuration.split_once("name = \"agency-b\"").unwrap();
    let strange = &scene.certificates.strange_probe;
    let name = |path: &Path| path.display().to_string();
    let first = first
        .replace(&name(&scene.certificates.probe.certificate), &name(&strange.certificate))
        .replace(&name(&scene.certificates.probe.key), &name(&strange.key));
    let second = second.replace(&name(&scene.certificates.authority), &name(&scene.certificates.strange_authority));
    fs::write(scene.path("writ.toml"), format!("{first}name = \"agency-b\"{second}")).unwrap();
    scene.run();
    let orders =
        [order(0, ALICE, "CASE-STRANGER-A"), Order { agency: SECOND.name, ..order(1, ALICE, "CASE-STRANGER-B") }];
    orders.iter().for_each(|order| scene.arm(order));
    let traffic = Traffic::start(scene.senders(&["tap0"]), &[ALICE.parse().unwrap()]);
    sleep(Duration::from_millis(200));
    let sent = traffic.stop().len() as u64;

    for (endpoints, wanted, refusal) in [
        (FIRST, "refused this probe's certificate; check tls.cert", "refused: invalid peer certificate: UnknownIssuer"),
        (SECOND, "not from an authority in tls.ca", "refused: received fatal alert: UnknownCA"),
    ] {
        for stream in ["cmii", "cmc"] {
            until("the state of the session", PATIENCE, || {
                let status = scene.probe().status()?;
                let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
                let session =
                    sessions.into_iter().find(|it| it["destination"] == endpoints.name && it["stream"] == stream);
                let state = session.as_ref().and_then(|session| session["state"].as_str()).unwrap_or_default();
                Ok(state.contains(wanted).then_some(()))
            })
            .unwrap();
        }
        assert_says(&fs::read_to_string(scene.path("writ.log")).unwrap(), &[wanted]);
        let log = scene.path(&format!("{}.log", endpoints.name));
        until("the agency's word", PATIENCE, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            Ok(log.contains(refusal).then_some(()))
        })
        .unwrap();
    }
    // Everything waits; not a byte went to somebody else.
    for order in &orders {
        let counts = scene.probe().counts(order).unwrap();
        assert_eq!((counts.matched, counts.waiting, counts.delivered, counts.lost), (sent, sent, 0, 0));
        assert_eq!(contains(&scene.agency(order).directory, CONTENT).unwrap(), None);
    }
    scene.assert_log_names_nobody();
}

#[test]
fn a_damaged_audit_log_is_named_and_nothing_is_started() {
    let Some(mut scene) = Scene::start(&[("tap0", 1)]) else { return };
    scene.arm(&order(0, ALICE, "CASE-AUDIT"));
    scene.stop();
    let log = scene.path("state/audit.jsonl");
    let good = fs::read_to_string(&log).unwrap();
    let bad = good.replacen("warrant-submit", "warrant-revoke", 1);
    assert_ne!(good, bad);
    fs::write(&log, &bad).unwrap();
    let number = good.lines().position(|line| line.contains("warrant-submit")).unwrap() + 1;
    let said = refused_run(&scene, &scene.path("writ.toml"));
    assert_says(&said, &["audit.jsonl", &format!("record {number}"), "copy from outside the box"]);
    scene.assert_nothing_runs(&["tap0"]);
    fs::write(&log, good).unwrap();
    scene.run();
    let status: Value = scene.probe().status().unwrap();
    assert_eq!(status["intercepts"].as_array().map(Vec::len), Some(1), "with the log restored all is as before");
}
