//! From a signed warrant to the kernel's entries: the example of the documentation, with real signatures.

use std::path::Path;
use std::process::Command;
use writ_abi::{Claim, Condition, MacAddress, PolicyFlags, PortSide, Selector, SlotRef, TrafficRule, VlanMatch};
use writ_authority::{
    APPROVE, ApprovedWarrant, Namespace, POLICY, ProbeIdentity, Roster, Signature, Standing, TrustedRoster, Warrant,
    judge,
};
use writ_identity::{FixedAddresses, Room, Tenant, reconcile};

const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

/// The warrant with two new officers' signatures.
fn approved(text: &str) -> ApprovedWarrant {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["ada", "ben"].map(|name| folder.path().join(name));
    let mut roster = "version = 1\noperator = \"ExampleNet\"\n".to_owned();
    for (key, role) in keys.iter().zip(["legal", "operations"]) {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let name = key.file_name().unwrap().to_str().unwrap();
        roster += &format!("[[officer]]\nname = {name:?}\nroles = [{role:?}]\nkeys = [{:?}]\n", public.trim());
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
    let trusted = TrustedRoster::first(document, sign(POLICY, &roster)).unwrap();
    let warrant = Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap();
    let probe = ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() };
    let now = warrant.heading().sign_by;
    match judge(warrant, None, sign(APPROVE, text), &trusted, &probe, now).unwrap() {
        Standing::Approved(approved) => approved,
        standing => panic!("{standing:?}"),
    }
}

#[test]
fn two_warrants_of_one_subscriber_each_keep_their_own_scope() {
    let content = approved(WARRANT);
    let pen = WARRANT.replace("title-iii", "pen").replace("\"content\"", "\"headers\"").replace("\"both\"", "\"from\"");
    let headers = approved(&pen.replace("[\"cmii\", \"cmc\"]", "[\"cmii\"]").replace("1f0c6a52", "2f0c6a52"));
    let slot = |slot| SlotRef { slot, generation: 3 };
    let tenants = [Tenant::new(slot(4), &content, &FixedAddresses), Tenant::new(slot(5), &headers, &FixedAddresses)];
    let reconciled = reconcile(&tenants, Room { v4: 1, v6: 1, macs: 0, vlans: 0, conditions: 0 });
    assert_eq!(reconciled.left_out, []);
    let desired = reconciled.desired;
    let selectors: Vec<_> = desired.entries().iter().map(|(selector, _)| selector).collect();
    let prefix = |text: &str| Selector::Prefix(text.parse().unwrap());
    assert_eq!(selectors, [prefix("192.0.2.7/32"), prefix("2001:db8:20:117::7/128")]);
    for (_, claims) in desired.entries().iter() {
        let claim = |number| Claim { slot: slot(number), condition: None };
        assert_eq!(claims.iter().collect::<Vec<_>>(), [claim(4), claim(5)]);
    }
    let flags: Vec<_> = desired.slots().map(|(slot, terms)| (slot.slot, terms.flags())).collect();
    let both = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    assert_eq!(flags, [(4, both), (5, PolicyFlags::SOURCE | PolicyFlags::HEADERS_ONLY)]);
    for (_, terms) in desired.slots() {
        assert_eq!(terms.start_utc_ns, content.warrant().window().start_utc_ns());
        assert_eq!(terms.stop_utc_ns, content.warrant().window().stop_utc_ns());
    }
}

#[test]
fn what_a_target_asks_beyond_its_selector_is_its_condition() {
    let first = "address = \"192.0.2.7\"";
    let fields = "address = \"192.0.2.7\"\nmac = \"02:00:5e:10:00:01\"\nvlan = \"200.*\"\n\
                  traffic = [\"udp own 5060\", \"tcp far 25,587-590\", \"icmp\"]";
    let more = "mac = \"02:00:5e:10:00:02\"\nvlan = \"100\"";
    let alone = "vlan = \"300.100\"\ntraffic = [\"tcp either 80\"]\nconfirmed_by = \"F\"\n\
                 confirmed_on = \"2026-11-19\"\nsubscriber = \"s\"\n\n[[delivery]]";
    let text = WARRANT.replacen(first, fields, 1).replacen("address = \"2001:db8:20:117::7\"", more, 1).replacen(
        "[[delivery]]",
        &format!("[[target]]\n{alone}"),
        1,
    );
    let slot = SlotRef { slot: 0, generation: 1 };
    let room = Room { v4: 1, v6: 0, macs: 1, vlans: 1, conditions: 3 };
    let reconciled = reconcile(&[Tenant::new(slot, &approved(&text), &FixedAddresses)], room);
    assert_eq!(reconciled.left_out, []);
    let rule = |protocol, side, first, last| TrafficRule { protocol, side, first, last, reserved: 0 };
    let mac = |last| MacAddress([2, 0, 0x5e, 0x10, 0, last]);
    let vlan = |outer, inner| VlanMatch { outer, inner };
    let rules = [
        rule(1, PortSide::NONE, 0, 0),
        rule(6, PortSide::FAR, 25, 25),
        rule(6, PortSide::FAR, 587, 590),
        rule(17, PortSide::OWN, 5060, 5060),
    ];
    let expected = [
        (
            Selector::Prefix("192.0.2.7/32".parse().unwrap()),
            Condition::new(Some(vlan(200, VlanMatch::ANY)), Some(mac(1)), &rules).unwrap(),
        ),
        (Selector::Mac(mac(2)), Condition::new(Some(vlan(100, VlanMatch::NONE)), None, &[]).unwrap()),
        (Selector::Vlan(vlan(300, 100)), Condition::new(None, None, &[rule(6, PortSide::EITHER, 80, 80)]).unwrap()),
    ];
    let entries = reconciled.desired.entries().iter();
    let found: Vec<_> = entries.map(|(selector, claims)| (selector, claims.iter().collect::<Vec<_>>())).collect();
    assert_eq!(found, expected.map(|(selector, condition)| (selector, vec![Claim { slot, condition }])));
}
