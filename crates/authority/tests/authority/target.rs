//! What a target can be besides an address, how it is said back to people, and what is refused.

use crate::officers::WARRANT;
use std::path::Path;
use writ_authority::{Criteria, DocumentError, PortSide, Warrant};

fn parse(text: &str) -> Result<Warrant, DocumentError> {
    Warrant::parse(text.as_bytes(), Path::new("w.toml"))
}

/// The example with these fields in place of its first target's address.
fn with(fields: &str) -> String {
    WARRANT.replacen("address = \"192.0.2.7\"", fields, 1)
}

/// The example with these two targets.
fn two(first: &str, second: &str) -> String {
    with(first).replacen("address = \"2001:db8:20:117::7\"", second, 1)
}

#[test]
fn a_target_says_back_which_packets_are_meant() {
    for (fields, words) in [
        ("mac = \"02:00:5E:10:00:01\"", "MAC 02:00:5e:10:00:01"),
        ("vlan = \"100\"", "VLAN 100"),
        ("vlan = \"200.100\"", "VLAN 200.100"),
        ("vlan = \"4094.*\"", "VLAN 4094.*"),
        ("address = \"192.0.2.0/28\"\nvlan = \"1.4094\"", "192.0.2.0/28 in VLAN 1.4094"),
        (
            "address = \"192.0.2.7\"\nmac = \"02:00:5e:10:00:01\"\nvlan = \"200.*\"",
            "192.0.2.7 at MAC 02:00:5e:10:00:01 in VLAN 200.*",
        ),
        ("mac = \"02:00:5e:10:00:01\"\nvlan = \"100\"", "MAC 02:00:5e:10:00:01 in VLAN 100"),
        (
            "address = \"192.0.2.7\"\ntraffic = [\"tcp far 25,587-590\", \"udp own 5060\", \"icmp\", \"47\"]",
            "192.0.2.7, only TCP port 25 at the far end or TCP ports 587-590 at the far end or UDP port 5060 at the \
             target's own end or ICMP or protocol 47",
        ),
        (
            "vlan = \"200.100\"\ntraffic = [\"sctp either 0-65535\", \"icmpv6\"]",
            "VLAN 200.100, only SCTP ports 0-65535 at either end or ICMPv6",
        ),
    ] {
        let warrant = parse(&with(fields)).unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(warrant.targets()[0].criteria.to_string(), words);
    }
}

#[test]
fn the_example_of_lines_says_what_its_text_says() {
    let warrant = parse(include_str!("../../../../docs/examples/warrant-lines.toml")).unwrap();
    let words: Vec<_> = warrant.targets().iter().map(|target| target.criteria.to_string()).collect();
    assert_eq!(
        words,
        [
            "192.0.2.7 in VLAN 100, only TCP port 25 at the far end or TCP port 465 at the far end or TCP port 587 at \
             the far end or UDP port 5060 at the target's own end",
            "MAC 02:00:5e:10:00:01",
            "VLAN 200.100, only TCP port 80 at either end or TCP ports 8080-8089 at either end or ICMP or protocol 47",
        ]
    );
}

#[test]
fn protocols_have_one_meaning_by_name_and_by_number() {
    let rules = |text: &str| match &parse(&with(&format!("address = \"192.0.2.7\"\ntraffic = [{text:?}]"))) {
        Ok(warrant) => match &warrant.targets()[0].criteria {
            Criteria::Address { traffic, .. } => traffic.clone(),
            other => panic!("{other}"),
        },
        Err(error) => panic!("{error}"),
    };
    assert_eq!(rules("tcp own 80"), rules("6 own 80"));
    let [first, second] = rules("udp far 53,5353-5355")[..] else { panic!("a rule for each range") };
    let ports = |rule: writ_authority::TrafficRule| rule.ports.map(|it| (it.side, it.first, it.last)).unwrap();
    assert_eq!(ports(first), (PortSide::Far, 53, 53));
    assert_eq!(ports(second), (PortSide::Far, 5353, 5355));
    for (name, number) in [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58), ("sctp", 132), ("255", 255)] {
        assert_eq!((rules(name)[0].protocol, rules(name)[0].ports), (number, None));
    }
}

#[test]
fn targets_of_one_kind_may_not_mean_the_same_packets() {
    let mac = |number: u8, vlan: &str| format!("mac = \"02:00:5e:10:00:{number:02x}\"{vlan}");
    let (in_100, in_200, in_pair, in_any) =
        ("\nvlan = \"100\"", "\nvlan = \"200\"", "\nvlan = \"200.100\"", "\nvlan = \"200.*\"");
    let address = |text: &str, more: &str| format!("address = {text:?}{more}");
    for (first, second, field) in [
        (address("192.0.2.7", in_100), address("192.0.2.7", in_200), None),
        (address("192.0.2.0/28", in_200), address("192.0.2.7", in_pair), None),
        (address("192.0.2.7", in_pair), address("192.0.2.0/28", in_any), Some("address")),
        (address("192.0.2.7", in_100), address("192.0.2.7", ""), Some("address")),
        (address("192.0.2.7", "\ntraffic = [\"tcp\"]"), address("192.0.2.7", "\ntraffic = [\"udp\"]"), Some("address")),
        (address("192.0.2.7", &format!("\n{}", mac(1, ""))), address("192.0.2.7", &format!("\n{}", mac(2, ""))), None),
        (
            address("192.0.2.7", &format!("\n{}", mac(1, ""))),
            address("192.0.2.7", &format!("\n{}", mac(1, ""))),
            Some("address"),
        ),
        // The same line by two marks of its own: each packet is taken once.
        (address("192.0.2.7", ""), mac(1, ""), None),
        (mac(1, ""), "vlan = \"100\"".to_owned(), None),
        (mac(1, ""), mac(2, ""), None),
        (mac(1, in_100), mac(1, in_200), None),
        (mac(1, in_pair), mac(1, in_any), Some("mac")),
        (mac(1, ""), mac(1, in_any), Some("mac")),
        ("vlan = \"100\"".to_owned(), "vlan = \"200.100\"".to_owned(), None),
        ("vlan = \"200\"".to_owned(), "vlan = \"200.100\"".to_owned(), None),
        ("vlan = \"200\"".to_owned(), "vlan = \"200.*\"".to_owned(), Some("vlan")),
        ("vlan = \"200.*\"".to_owned(), "vlan = \"200.100\"".to_owned(), Some("vlan")),
    ] {
        let parsed = parse(&two(&first, &second));
        let found = parsed.as_ref().err().map(|error| error.faults()[0].field.as_str());
        let field = field.map(|field| format!("target[2].{field}"));
        assert_eq!(found, field.as_deref(), "{first}; {second}");
        if let Err(error) = parsed {
            assert!(error.faults()[0].problem.contains("overlaps"), "{error}");
        }
    }
}

#[test]
fn every_fault_of_a_target_is_named_with_field_and_remedy() {
    let many: Vec<_> = (0..17).map(|port| port.to_string()).collect();
    let many = format!("address = \"192.0.2.7\"\ntraffic = [\"tcp own {}\"]", many.join(","));
    let one_sided = |fields: &str| {
        with(fields)
            .replace("title-iii", "pen")
            .replace("\"content\"", "\"headers\"")
            .replace("\"both\"", "\"from\"")
            .replace("[\"cmii\", \"cmc\"]", "[\"cmii\"]")
    };
    let traffic = |rule: &str| with(&format!("address = \"192.0.2.7\"\ntraffic = [{rule:?}]"));
    for (document, field, problem, remedy) in [
        (with("reason = \"x\""), "address", "nothing tells the target's packets", "a mac or a vlan"),
        (with("traffic = [\"tcp\"]"), "address", "nothing tells the target's packets", "a mac or a vlan"),
        (with("mac = \"02:00:5e:10:00\""), "mac", "not a MAC address", "02:00:5e:10:00:01"),
        (with("mac = \"02:00:5e:10:00:01:02\""), "mac", "not a MAC address", "02:00:5e:10:00:01"),
        (with("mac = \"+2:00:5e:10:00:01\""), "mac", "not a MAC address", "02:00:5e:10:00:01"),
        (with("mac = \"0200.5e10.0001\""), "mac", "not a MAC address", "02:00:5e:10:00:01"),
        (with("mac = \"01:00:5e:00:00:01\""), "mac", "multicast", "the subscriber's own"),
        (with("mac = \"ff:ff:ff:ff:ff:ff\""), "mac", "broadcast", "the subscriber's own"),
        (with("mac = \"00:00:00:00:00:00\""), "mac", "nobody's", "the subscriber's own"),
        (with("vlan = \"0\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"4095\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"0100\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"200.0\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"*.100\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"*\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = \"300.200.100\""), "vlan", "not a VLAN", "1 to 4094"),
        (with("vlan = 100"), "vlan", "a whole number where a text", "vlan = \"200.100\""),
        (with("vlan = \"100\"\ntraffic = [\"tcp own 25\"]"), "traffic", "which end", "write either"),
        (with("vlan = \"100\"\ntraffic = [\"udp\", \"tcp far 25\"]"), "traffic", "which end", "write either"),
        (one_sided("vlan = \"100\""), "vlan", "does not say who sends", "add the address"),
        (with("address = \"192.0.2.7\"\ntraffic = []"), "traffic", "empty", "traffic ="),
        (traffic("http"), "traffic[1]", "does not begin with a protocol", "icmp, tcp, udp, icmpv6, sctp"),
        (traffic("TCP"), "traffic[1]", "does not begin with a protocol", "number up to 255"),
        (traffic("256"), "traffic[1]", "does not begin with a protocol", "number up to 255"),
        (traffic("icmp own 8"), "traffic[1]", "ICMP has no ports", "only tcp, udp and sctp"),
        (traffic("47 far 1"), "traffic[1]", "protocol 47 has no ports", "only tcp, udp and sctp"),
        (traffic("tcp 25"), "traffic[1]", "whose ports", "far (the other end's)"),
        (traffic("tcp far"), "traffic[1]", "not a kind of traffic", "\"tcp far 25,587-590\""),
        (traffic("tcp far 25, 26"), "traffic[1]", "not a kind of traffic", "\"tcp far 25,587-590\""),
        (traffic("tcp far 65536"), "traffic[1]", "not a kind of traffic", "\"tcp far 25,587-590\""),
        (traffic("tcp far 590-587"), "traffic[1]", "runs backwards", "587-590"),
        (traffic("tcp far 25,20-30"), "traffic[1]", "named already", "once"),
        (traffic("tcp\", \"tcp own 25").replace("\\\"", "\""), "traffic[2]", "named already", "once"),
        (traffic("udp either 53\", \"udp own 50-60").replace("\\\"", "\""), "traffic[2]", "named already", "once"),
        (with(&many), "traffic", "17 protocols and ranges", "wider ranges"),
    ] {
        let error = parse(&document).expect_err(problem);
        let path = format!("target[1].{field}");
        let fault = error.faults().iter().find(|fault| fault.field == path);
        let fault = fault.unwrap_or_else(|| panic!("no fault of {path} in:\n{error}"));
        assert!(fault.problem.contains(problem), "{fault}");
        assert!(fault.remedy.contains(remedy), "{fault}");
    }
}
