//! Revisions: what takes less, what takes more, and that less is never more.

use crate::officers::{Key, Office, WARRANT, probe, roster_text, signing_day, trusted};
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::IpAddr;
use std::path::Path;
use writ_authority::{
    AMEND, APPROVE, Basis, Change, Criteria, Limit, MacAddress, Policy, PortSide, Ports, Refusal, Standing,
    TrafficRule, TrustedRoster, Vlan, Warrant, judge,
};

fn warrant(text: &str) -> Warrant {
    Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The next revision of the example, with pieces exchanged.
fn revision(pieces: &[(&str, &str)]) -> String {
    let number = format!("revision = 2\nprevious = \"{}\"", warrant(WARRANT).digest());
    let mut text = WARRANT.replacen("revision = 1", &number, 1);
    for (old, new) in pieces {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text
}

fn between(pieces: &[(&str, &str)]) -> Result<Change, String> {
    let faults = |faults: Vec<_>| faults.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
    Change::between(&warrant(WARRANT), &warrant(&revision(pieces))).map_err(|it: Vec<writ_authority::Fault>| faults(it))
}

const SECOND_TARGET: &str = "[[target]]\naddress = \"2001:db8:20:117::7\"\nconfirmed_by = \"Finn Osei, provisioning\"\n\
    confirmed_on = \"2026-11-19\"\nsubscriber = \"account 20117\"\n";
const NEW_ORDER: (&str, &str) = ("entered = \"2026-11-18\"", "entered = \"2026-11-19\"");

#[test]
fn what_only_takes_less_is_a_narrowing() {
    let headers: &[(&str, &str)] = &[("\"content\"", "\"headers\""), ("[\"cmii\", \"cmc\"]", "[\"cmii\"]")];
    for (pieces, words) in [
        (&[][..], &[][..]),
        (&[(SECOND_TARGET, "")], &["target 2001:db8:20:117::7 is no longer taken"]),
        (&[("\"192.0.2.7\"", "\"192.0.2.7\"\nvlan = \"100\"")], &["target 192.0.2.7 in VLAN 100 instead of 192.0.2.7"]),
        (headers, &["headers instead of content"]),
        (&[("\"both\"", "\"from\"")], &["direction from instead of both"]),
        (
            &[("2026-12-20T09", "2026-12-10T09")],
            &["stop 2026-12-10T09:00:00-05:00 instead of 2026-12-20T09:00:00-05:00"],
        ),
        (
            &[("start = \"2026-11-20T09", "start = \"2026-11-20T10")],
            &["start 2026-11-20T10:00:00-05:00 instead of 2026-11-20T09:00:00-05:00"],
        ),
        // What is said of the confirmation may be said anew.
        (&[("confirmed_on = \"2026-11-19\"", "confirmed_on = \"2026-11-20\"")], &[]),
    ] {
        assert_eq!(between(pieces), Ok(Change::Narrowing(words.iter().map(|it| (*it).to_owned()).collect())));
    }
}

#[test]
fn anything_else_is_a_widening_and_needs_an_order_of_its_own() {
    let wider_target = ("\"192.0.2.7\"", "\"192.0.2.6/31\"");
    for (piece, words) in [
        (wider_target, "target 192.0.2.6/31 is new"),
        (("2026-12-20T09", "2027-01-19T09"), "stop 2027-01-19T09:00:00-05:00 instead of 2026-12-20T09:00:00-05:00"),
        (("start = \"2026-11-20T09", "start = \"2026-11-20T08"), "start 2026-11-20T08:00:00-05:00"),
        (("title-iii", "state"), "under state instead of title-iii"),
        (("subscriber = \"account 20117\"", "subscriber = \"account 20118\""), "target 192.0.2.7 is new"),
        (("authority =", "compartment = \"gangs\"\nauthority ="), "compartment gangs instead of general"),
    ] {
        let Change::Widening(said) = between(&[piece, NEW_ORDER]).unwrap() else { panic!("{words}") };
        assert!(said.iter().any(|said| said.starts_with(words)), "{words}: {said:?}");
        let refused = between(&[piece]).unwrap_err();
        assert!(refused.starts_with("order: this revision does more than take less") && refused.contains(words));
        assert!(refused.contains("enter the new order"), "{refused}");
        between(&[piece, ("26-mc-0117", "26-mc-0144")]).unwrap();
    }
    // Narrower and wider at once is wider.
    let Change::Widening(said) = between(&[wider_target, NEW_ORDER, (SECOND_TARGET, "")]).unwrap() else { panic!() };
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(matches!(
        between(&[("Special Agent Dana Brook", "Special Agent Ed Cole"), NEW_ORDER]),
        Ok(Change::Widening(_))
    ));
}

#[test]
fn what_is_no_next_revision_says_why() {
    for (piece, wanted) in [
        (("1f0c6a52", "2f0c6a52"), "uuid: is not that of the warrant before"),
        (("revision = 2", "revision = 3"), "revision: 3, and revision 1 is in force; write revision = 2"),
        (("probe = \"pop3-probe1\"", "probe = \"pop4-probe1\""), "probe: \"pop4-probe1\", and the revision before is"),
        (
            ("\"FBI-2026-0117\"", "\"FBI-2026-0118\""),
            "delivery: not those of the revision before; another recipient is",
        ),
        (("[\"cmii\", \"cmc\"]", "[\"cmc\"]"), "delivery: not those of the revision before"),
    ] {
        let faults = between(&[piece]).unwrap_err();
        assert!(faults.starts_with(wanted), "{faults}");
    }
    let text = revision(&[]).replace(&warrant(WARRANT).digest().to_string(), &"7".repeat(64));
    let faults = Change::between(&warrant(WARRANT), &warrant(&text)).unwrap_err();
    assert!(faults[0].to_string().starts_with("previous: is not the digest of revision 1; write previous = \""));
}

struct Case {
    _office: Office,
    legal: Key,
    operations: Key,
    roster: TrustedRoster,
}

fn case() -> Case {
    let office = Office::open();
    let (legal, operations) = (office.key("ada"), office.key("ben"));
    let text = roster_text(1, 2, &[("Ada", &[&legal]), ("Ben", &[&operations])]);
    let roster = trusted(&text, &[&legal, &operations]);
    Case { _office: office, legal, operations, roster }
}

#[test]
fn one_legal_officer_narrows_and_the_quorum_does_the_rest() {
    let case = case();
    let before = warrant(WARRANT);
    let judge = |text: &str, signers: &[&Key], namespace| {
        let signatures = signers.iter().map(|key| key.sign(namespace, text.as_bytes())).collect();
        judge(warrant(text), Some(&before), signatures, &case.roster, &probe(), signing_day())
    };
    let narrower = revision(&[(SECOND_TARGET, "")]);
    let Standing::Approved(approved) = judge(&narrower, &[&case.legal], AMEND).unwrap() else { panic!() };
    assert_eq!(approved.approval().basis, Basis::Narrowing);
    let limit = Limit::of(&warrant(&narrower), Some(&before), &Policy::default());
    assert_eq!((limit.stop, limit.reason.contains("whose order this still is")), (before.window().stop(), true));
    let Standing::Waiting(missing) = judge(&narrower, &[&case.operations], AMEND).unwrap() else { panic!() };
    assert_eq!(missing.lacks, ["somebody with the role legal"]);
    assert!(missing.to_string().contains("ssh-keygen -Y sign -n writ-amend"), "{missing}");
    assert!(matches!(judge(&narrower, &[&case.legal], APPROVE), Err(Refusal::Signature(_))));
    let both: &[&Key] = &[&case.legal, &case.operations];
    let Standing::Approved(approved) = judge(&narrower, both, AMEND).unwrap() else { panic!() };
    assert_eq!(approved.approval().basis, Basis::Quorum);

    let extension =
        revision(&[("2026-12-20T09", "2027-01-19T09"), ("2026-11-18", "2026-12-15"), ("2026-11-19", "2026-12-16")]);
    assert!(matches!(judge(&extension, &[&case.legal], AMEND), Ok(Standing::Waiting(_))));
    assert!(matches!(judge(&extension, both, AMEND), Ok(Standing::Approved(_))));
    // Thirty days from the stop of the order before, and not a second more.
    let longer = extension.replace("2027-01-19T09:00:00", "2027-01-19T09:00:01");
    let refused = judge(&longer, both, AMEND).unwrap_err().to_string();
    assert!(refused.contains("window.stop: later than 30 days from the stop of the order before"), "{refused}");
    // An old order cannot be made to last by writing it anew.
    let no_order = revision(&[("2026-12-20T09", "2027-01-19T09")]);
    assert!(judge(&no_order, both, AMEND).unwrap_err().to_string().contains("order: this revision does more"));
}

/// A packet of a line, as far as a warrant can ask about it.
#[derive(Clone, Debug)]
struct Packet {
    address: IpAddr,
    mac: MacAddress,
    tags: Vec<u16>,
    protocol: u8,
    own: u16,
    far: u16,
}

/// Whether the criteria mean a packet, written anew from the manual.
fn means(criteria: &Criteria, packet: &Packet) -> bool {
    let tagged = |vlan: Vlan| match vlan {
        Vlan::Single(tag) => packet.tags == [tag.get()],
        Vlan::Pair { outer, inner } => packet.tags == [outer.get(), inner.get()],
        Vlan::Outer(outer) => packet.tags.first() == Some(&outer.get()),
    };
    let wanted = |rules: &[(u8, Option<Ports>)]| {
        rules.is_empty()
            || rules.iter().any(|(protocol, ports)| {
                *protocol == packet.protocol
                    && ports.is_none_or(|ports| {
                        let inside = |port| (ports.first..=ports.last).contains(&port);
                        match ports.side {
                            PortSide::Own => inside(packet.own),
                            PortSide::Far => inside(packet.far),
                            PortSide::Either => inside(packet.own) || inside(packet.far),
                        }
                    })
            })
    };
    let directed = |rules: &[TrafficRule]| rules.iter().map(|rule| (rule.protocol, rule.ports)).collect::<Vec<_>>();
    match criteria {
        Criteria::Address { prefix, mac, vlan, traffic } => {
            prefix.contains(&IpNet::from(packet.address))
                && mac.is_none_or(|mac| mac == packet.mac)
                && vlan.is_none_or(tagged)
                && wanted(&directed(traffic))
        }
        Criteria::Mac { mac, vlan, traffic } => {
            *mac == packet.mac && vlan.is_none_or(tagged) && wanted(&directed(traffic))
        }
        Criteria::Vlan { vlan, traffic } => {
            let either = |rule: &TrafficRule<writ_authority::EitherSide>| {
                let ports = rule.ports.map(|it| Ports { side: PortSide::Either, first: it.first, last: it.last });
                (rule.protocol, ports)
            };
            tagged(*vlan) && wanted(&traffic.iter().map(either).collect::<Vec<_>>())
        }
    }
}

fn target(selector: &str, vlan: &str, traffic: &str) -> String {
    let of_all = "confirmed_by = \"F\"\nconfirmed_on = \"2026-11-19\"\nsubscriber = \"account 20117\"\n";
    format!("[[target]]\n{selector}{vlan}{traffic}{of_all}\n")
}

/// Targets from a small world, so that many lie in each other.
fn targets() -> impl Strategy<Value = String> {
    let selector = prop::sample::select(vec![
        "address = \"192.0.2.7\"\n",
        "address = \"192.0.2.6/31\"\n",
        "address = \"192.0.2.0/28\"\n",
        "address = \"192.0.2.7\"\nmac = \"02:00:5e:10:00:01\"\n",
        "mac = \"02:00:5e:10:00:01\"\n",
        "mac = \"02:00:5e:10:00:02\"\n",
        "",
    ]);
    let vlan = prop::sample::select(vec![
        "",
        "vlan = \"100\"\n",
        "vlan = \"200\"\n",
        "vlan = \"200.100\"\n",
        "vlan = \"200.*\"\n",
    ]);
    let traffic = prop::sample::select(vec![
        "",
        "traffic = [\"tcp\"]\n",
        "traffic = [\"tcp either 80-90\"]\n",
        "traffic = [\"tcp either 80\"]\n",
        "traffic = [\"tcp far 80\"]\n",
        "traffic = [\"tcp own 80-85\", \"udp\"]\n",
        "traffic = [\"icmp\"]\n",
    ]);
    prop::collection::vec((selector, vlan, traffic), 1..4)
        .prop_map(|them| them.iter().map(|(selector, vlan, traffic)| target(selector, vlan, traffic)).collect())
}

fn packets() -> impl Strategy<Value = Packet> {
    let tags = prop::sample::select(vec![vec![], vec![100], vec![200], vec![200, 100], vec![200, 101], vec![100, 200]]);
    let mac = prop::sample::select(vec![1u8, 2, 3]);
    let ports = || prop::sample::select(vec![25u16, 80, 82, 85, 90, 91]);
    (0u8..20, mac, tags, prop::sample::select(vec![1u8, 6, 17]), ports(), ports()).prop_map(
        |(last, mac, tags, protocol, own, far)| {
            let text = target(&format!("mac = \"02:00:5e:10:00:0{mac}\"\n"), "", "");
            let carrier =
                with_targets(WARRANT, &text).and_then(|text| Warrant::parse(text.as_bytes(), Path::new("w")).ok());
            let Criteria::Mac { mac, .. } = carrier.unwrap().targets()[0].criteria else { panic!() };
            Packet { address: IpAddr::from([192, 0, 2, last]), mac, tags, protocol, own, far }
        },
    )
}

fn with_targets(text: &str, targets: &str) -> Option<String> {
    let (from, to) = (text.find("[[target]]")?, text.find("[[delivery]]")?);
    Some(format!("{}{targets}{}", &text[..from], &text[to..]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever a narrowing takes, the revision before it took.
    #[test]
    fn a_narrowing_never_takes_a_packet_that_was_not_taken(
        old in targets(),
        new in targets(),
        packets in prop::collection::vec(packets(), 40),
    ) {
        let old = with_targets(WARRANT, &old).unwrap();
        let Ok(old) = Warrant::parse(old.as_bytes(), Path::new("w.toml")) else { return Ok(()) };
        let number = format!("revision = 2\nprevious = \"{}\"", old.digest());
        let new = with_targets(&WARRANT.replacen("revision = 1", &number, 1), &new).unwrap();
        let Ok(new) = Warrant::parse(new.as_bytes(), Path::new("w.toml")) else { return Ok(()) };
        if let Ok(Change::Narrowing(_)) = Change::between(&old, &new) {
            for packet in &packets {
                let taken = |warrant: &Warrant| warrant.targets().iter().any(|it| means(&it.criteria, packet));
                prop_assert!(!taken(&new) || taken(&old), "{:?}", packet);
            }
        }
    }
}

/// Ten thousand addresses that are all exchanged for others, some of them narrower than one of before.
#[test]
fn a_long_list_is_compared_without_comparing_each_with_each() {
    let list = |text: fn(u32) -> String| -> String {
        (0..10_000).map(|n| target(&format!("address = \"{}\"\n", text(n)), "", "")).collect()
    };
    let old = list(|n| format!("10.{}.{}.0/28", n >> 8, n & 255));
    let new = list(|n| format!("10.{}.{}.{}", (n >> 8) + 60, n & 255, 1));
    let narrower = list(|n| format!("10.{}.{}.{}", n >> 8, n & 255, 1));
    let old = with_targets(WARRANT, &old).unwrap();
    let old = Warrant::parse(old.as_bytes(), Path::new("w.toml")).unwrap();
    let after = |targets: &str, order: &str| {
        let number = format!("revision = 2\nprevious = \"{}\"", old.digest());
        let text = with_targets(&WARRANT.replacen("revision = 1", &number, 1), targets).unwrap();
        Warrant::parse(text.replace("26-mc-0117", order).as_bytes(), Path::new("w.toml")).unwrap()
    };
    let Ok(Change::Narrowing(words)) = Change::between(&old, &after(&narrower, "26-mc-0117")) else { panic!() };
    assert_eq!(words.len(), 10_000);
    assert!(words.iter().all(|word| word.contains(" instead of ")), "{:?}", words[0]);
    let Ok(Change::Widening(words)) = Change::between(&old, &after(&new, "26-mc-0200")) else { panic!() };
    assert_eq!(words.iter().filter(|word| word.contains(" is new")).count(), 10_000);
    assert_eq!(words.iter().filter(|word| word.contains("no longer taken")).count(), 10_000);
}
