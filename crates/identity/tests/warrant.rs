//! From a signed warrant to the kernel's entries: the example of the documentation, with real signatures.

use std::path::Path;
use std::process::Command;
use writ_abi::{PolicyFlags, SlotRef};
use writ_authority::{
    APPROVE, ApprovedWarrant, Namespace, ProbeIdentity, ROSTER, Roster, Signature, TrustedRoster, Warrant, approve,
};
use writ_identity::{FixedAddresses, Room, Tenant, reconcile};

const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

/// The warrant with two new officers' signatures.
fn approved(text: &str) -> ApprovedWarrant {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["ada", "ben"].map(|name| folder.path().join(name));
    let mut roster = "version = 1\noperator = \"ExampleNet\"\n".to_owned();
    for key in &keys {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let name = key.file_name().unwrap().to_str().unwrap();
        roster += &format!("[[officer]]\nname = {name:?}\nrole = \"legal\"\nkeys = [{:?}]\n", public.trim());
    }
    let sign = |namespace: Namespace, text: &str| {
        let sign = |key| {
            let file = folder.path().join("document");
            std::fs::write(&file, text).unwrap();
            let _ = std::fs::remove_file(folder.path().join("document.sig"));
            let args = ["-q", "-Y", "sign", "-n", namespace.as_str(), "-f"];
            assert!(Command::new("ssh-keygen").args(args).arg(key).arg(&file).status().unwrap().success());
            Signature::parse(&std::fs::read(folder.path().join("document.sig")).unwrap(), &file).unwrap()
        };
        keys.iter().map(sign).collect::<Vec<_>>()
    };
    let document = Roster::parse(roster.as_bytes(), Path::new("roster.toml")).unwrap();
    let trusted = TrustedRoster::first(document, sign(ROSTER, &roster)).unwrap();
    let warrant = Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap();
    let probe = ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() };
    approve(warrant, sign(APPROVE, text), &trusted, &probe).unwrap()
}

#[test]
fn two_warrants_of_one_subscriber_each_keep_their_own_scope() {
    let content = approved(WARRANT);
    let pen = WARRANT.replace("title-iii", "pen").replace("\"content\"", "\"headers\"").replace("\"both\"", "\"from\"");
    let headers = approved(&pen.replace("[\"cmii\", \"cmc\"]", "[\"cmii\"]").replace("1f0c6a52", "2f0c6a52"));
    let slot = |slot| SlotRef { slot, generation: 3 };
    let tenants = [Tenant::new(slot(4), &content, &FixedAddresses), Tenant::new(slot(5), &headers, &FixedAddresses)];
    let reconciled = reconcile(&tenants, Room { v4: 1, v6: 1 });
    assert_eq!(reconciled.left_out, []);
    let desired = reconciled.desired;
    let prefixes: Vec<_> = desired.prefixes().iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(prefixes, ["192.0.2.7/32", "2001:db8:20:117::7/128"]);
    for (_, slots) in desired.prefixes().iter() {
        assert_eq!(slots.iter().collect::<Vec<_>>(), [slot(4), slot(5)]);
    }
    let flags: Vec<_> = desired.slots().map(|(slot, terms)| (slot.slot, terms.flags())).collect();
    let both = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    assert_eq!(flags, [(4, both), (5, PolicyFlags::SOURCE | PolicyFlags::HEADERS_ONLY)]);
    for (_, terms) in desired.slots() {
        assert_eq!(terms.start_utc_ns, content.warrant().window().start_utc_ns());
        assert_eq!(terms.stop_utc_ns, content.warrant().window().stop_utc_ns());
    }
}
