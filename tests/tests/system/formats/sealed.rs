//! TS 102 232 over TLS with everything that can be agreed on: payloads encrypted for the case, hashes, signatures, confirmed
//! PDUs. The agency's program opens and verifies all of it, and so does openssl.

use super::etsi::{Whole, pdus_of};
use super::{burst, filed, hold_both, kill, whose};
use crate::destinations::configure;
use crate::scene::{ALICE, BOB, Scene, address, net, order};
use crate::traffic::{CONTENT, now_ns};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use writ_encoder::etsi::{CheckType, Container, EncryptionType, Payload, Tri};
use writ_lab::documents::Order;
use writ_lab::{Agency, contains, run};

const PORTS: [u16; 2] = [8801, 8802];
/// The key of every case: 32 octets, AES-256.
const CASE_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn openssl(arguments: &[&str]) -> Vec<u8> {
    run(Command::new("openssl").args(arguments)).unwrap().stdout
}

/// A file that only its owner reads.
fn secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn what_is_sealed_and_signed_on_the_way_is_opened_and_verified_by_the_agency_and_by_openssl() {
    if !writ_lab::ready(&["openssl"]).unwrap() {
        return;
    }
    let Some(mut scene) = Scene::build(&[("tap0", 1)]) else { return };
    let [signs, verifies, keys] = ["signs.pem", "verifies.pem", "cases.keys"].map(|name| scene.path(name));
    let shown = |path: &Path| path.display().to_string();
    secret(&signs, &String::from_utf8(openssl(&["genpkey", "-algorithm", "ed25519"])).unwrap());
    fs::write(&verifies, openssl(&["pkey", "-pubout", "-in", &shown(&signs)])).unwrap();
    secret(&keys, &format!("CASE-SEALED {CASE_KEY}\n"));
    let [cmii, cmc] = PORTS.map(|port| SocketAddr::from((address(), port)));
    let (ca, probe, agency) = (&scene.certificates.authority, &scene.certificates.probe, &scene.certificates.agency);
    configure(
        &scene,
        &format!(
            "[[destination]]\nname = \"sealed\"\nformat = \"etsi\"\ncmii = \"{cmii}\"\ncmc = \"{cmc}\"\n\
             tls = {{ ca = {ca:?}, cert = {:?}, key = {:?} }}\netsi = {{ operator = \"EXNET\", hi1 = true }}\n\
             acknowledge = true\nencryption = {{ keys = {keys:?} }}\n\
             integrity = {{ hash_pdus = 100, hash_seconds = 1, signature_hashes = 4, signature_seconds = 2, key = {signs:?} }}\n",
            probe.certificate, probe.key
        ),
    );
    let configuration = |directory: &Path| {
        format!(
            "directory = {directory:?}\ncmii = \"{cmii}\"\ncmc = \"{cmc}\"\nkeep_streams = true\ncase_keys = {keys:?}\n\
             verify_key = {verifies:?}\n[tls]\ncert = {:?}\nkey = {:?}\nclient_ca = {ca:?}\n",
            agency.certificate, agency.key
        )
    };
    let (folder, binary) = (scene.path("agencies"), &scene.binaries.writ_collect);
    let mut agency = Agency::start_as(&scene.office, binary, &folder, "sealed", &[cmii, cmc], configuration).unwrap();
    scene.run();
    let content = Order { agency: "sealed", targets: vec![net(ALICE), net(BOB)], ..order(0, ALICE, "CASE-SEALED") };
    scene.arm(&content);
    // Its records would wait for a key, and those of the other case behind them.
    let [ada, ben, _] = &scene.officers;
    let keyless = Order { agency: "sealed", ..order(1, BOB, "CASE-KEYLESS") };
    let document = keyless.warrant(&scene.head()).unwrap();
    let refused = scene.probe().submit_document(keyless.case_id, &document, &[ada, ben]).unwrap();
    assert!(!refused.accepted && refused.words.contains("there is no key for it"), "{}", refused.words);
    let mut sender = scene.senders(&["tap0"]).remove(0);
    let (mut sent, from_ns) = (Vec::new(), now_ns());
    burst(&mut sender, &mut sent, 600);
    // Another connection: series of checks begin anew.
    kill(&scene, "deliver");
    burst(&mut sender, &mut sent, 600);
    let whole = from_ns..now_ns();
    let counts = scene.probe().settled(&content).unwrap();
    assert!(counts.settled() && counts.lost == 0, "{counts:?}");
    scene.assert_isolated();
    scene.stop();
    scene.assert_log_names_nobody();

    let packets = filed(&agency, content.case_id, 2 * sent.len()).unwrap();
    agency.stop().unwrap();
    hold_both("sealed", &sent, &whose(&packets), whole);
    let checks = fs::read_to_string(agency.directory.join(content.case_id).join("checks.jsonl")).unwrap();
    let checks: Vec<Value> = checks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let good = |kind: &str| checks.iter().filter(|it| it["check"] == kind && it["verdict"] == "good").count();
    assert!(good("hash") > 10 && good("signature") > 2, "{checks:?}");
    assert_eq!(good("hash") + good("signature"), checks.len(), "{checks:?}");

    // What came over the connections, for openssl: nothing of it in the clear.
    let streams = agency.directory.join("streams");
    assert_eq!(contains(&streams, CONTENT).unwrap(), None);
    let (mut opened, mut verified) = (0, 0);
    for file in files_below(&streams) {
        let mut hashes = HashMap::new();
        for Whole { pdu, .. } in pdus_of(&fs::read(&file).unwrap()) {
            match pdu.payload {
                // Every hundredth, since each is a process.
                Payload::Encrypted(container) if pdu.header.sequence % 100 == 7 => {
                    let plain = opened_by_openssl(&scene, &container, pdu.header.sequence);
                    opened += usize::from(plain.windows(CONTENT.len()).any(|window| window == CONTENT));
                }
                Payload::Tri(Tri::IntegrityCheck(check)) if check.check == CheckType::Hash => {
                    hashes.insert((check.data, pdu.header.sequence), check.value.0);
                }
                Payload::Tri(Tri::IntegrityCheck(check)) => {
                    let of_series = check.included.iter().map(|number| &hashes[&(check.data, *number)][..]);
                    let [value, signature] = ["value", "signature"].map(|name| scene.path(name));
                    fs::write(&value, of_series.collect::<Vec<_>>().concat()).unwrap();
                    fs::write(&signature, &check.value.0).unwrap();
                    let [key, value, signature] = [&verifies, &value, &signature].map(|path| shown(path));
                    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-in", &value];
                    openssl(&[&verify[..], &["-sigfile", &signature]].concat());
                    verified += 1;
                }
                _ => {}
            }
        }
    }
    assert!(opened > 5 && verified > 2, "openssl opened {opened} and verified {verified}");
}

fn opened_by_openssl(scene: &Scene, container: &Container, sequence: u32) -> Vec<u8> {
    assert_eq!(container.cipher, EncryptionType::Aes256Cbc);
    let file = scene.path("container");
    fs::write(&file, &container.octets.0).unwrap();
    let (file, vector) = (file.display().to_string(), format!("{sequence:08x}").repeat(4));
    openssl(&["enc", "-d", "-aes-256-cbc", "-K", CASE_KEY, "-iv", &vector, "-nopad", "-in", &file])
}
