//! The lab measured with its own instruments: what a subscriber's interface saw is what the mirror port delivers.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use etherparse::PacketBuilder;
use writ_lab::{
    Certificates, Family, FrameSender, LinkOptions, Namespace, Network, Officer, Process, Recorder, Subscriber,
    WebServer, compare_packets, contains, ready, rebuild_http_bodies, run, until, veth,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[test]
fn the_mirror_port_shows_what_a_subscriber_sends_and_receives() -> Result {
    if !ready(&["ip", "tc", "ethtool", "tcpdump", "nginx", "curl"])? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let network = Network::new(LinkOptions::default())?;
    let web = WebServer::start(&network.server, directory.path())?;
    let file: Vec<u8> = (0u32..300_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    std::fs::write(web.root().join("file"), &file)?;

    let target = &network.subscribers[1];
    let truth = Recorder::start(&target.namespace, Subscriber::INTERFACE, &directory.path().join("truth.pcap"), "tcp")?;
    let tap = Recorder::start(&network.probe, Network::TAP, &directory.path().join("tap.pcap"), "tcp")?;
    for family in [Family::V4, Family::V6] {
        let url = format!("http://{}/file", SocketAddr::new(network.server_address(family), 80));
        target.namespace.exec("curl", &["-sS", "-g", "-o", "/dev/null", "--max-time", "20", &url])?;
    }
    let (truth, tap) = (truth.stop()?, tap.stop()?);
    let comparison = compare_packets(&truth, &tap);
    assert!(comparison.holds(), "{comparison}");
    assert!(truth.iter().all(|packet| packet.bytes.len() <= 1500), "a merged packet is no packet of a wire");
    for family in [Family::V4, Family::V6] {
        let bodies = rebuild_http_bodies(&tap, SocketAddr::new(network.server_address(family), 80));
        assert!(bodies == [file.clone()], "{family:?}: the download does not come out of the packets");
    }
    web.stop()?;
    Ok(())
}

#[test]
fn frames_arrive_as_sent_and_a_dropped_namespace_takes_its_processes_along() -> Result {
    if !ready(&["ip", "ethtool", "tcpdump"])? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let (left, right) = (Namespace::new("left")?, Namespace::new("right")?);
    veth((&left, "a0"), (&right, "b0"), LinkOptions { queues: 2, ..LinkOptions::default() })?;
    let recorder = Recorder::start(&right, "b0", &directory.path().join("b0.pcap"), "udp")?;
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(9, 9)
        .write(&mut frame, b"sixteen byte mark")?;
    let mut sender = FrameSender::open(&left, "a0")?;
    for _ in 0..50 {
        sender.send(&frame)?;
    }
    let packets = recorder.stop()?;
    assert_eq!(packets.len(), 50);
    assert!(packets.iter().all(|packet| packet.bytes == frame[14..]));
    assert!(contains(directory.path(), b"byte mark")?.is_some());
    assert!(contains(directory.path(), b"byte_mark")?.is_none());

    let mut sleeper = Process::spawn(left.command("sleep").arg("600").stdin(Stdio::null()))?;
    until("the sleeper inside", Duration::from_secs(5), || {
        Ok(left.processes()?.contains(&sleeper.id()).then_some(()))
    })?;
    let path = left.path();
    drop(left);
    assert!(!path.exists());
    assert!(!sleeper.wait(Duration::from_secs(5))?.success());
    Ok(())
}

#[test]
fn certificates_and_signatures_are_accepted_by_the_tools_of_others() -> Result {
    if !ready(&["openssl", "ssh-keygen"])? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::issue(directory.path(), &["agency.invalid", "192.0.2.2"])?;
    let verify = |authority, certificate| {
        run(Command::new("openssl").arg("verify").arg("-CAfile").arg(authority).arg(certificate)).is_ok()
    };
    assert!(verify(&certificates.authority, &certificates.agency.certificate));
    assert!(verify(&certificates.authority, &certificates.probe.certificate));
    assert!(!verify(&certificates.authority, &certificates.strange_probe.certificate));
    assert!(verify(&certificates.strange_authority, &certificates.strange_agency.certificate));

    let officer = Officer::new(directory.path(), "a.clerk")?;
    let order = directory.path().join("order.toml");
    std::fs::write(&order, "an order")?;
    let signature = officer.sign(&order, "writ-approve")?;
    let signers = directory.path().join("signers");
    std::fs::write(&signers, format!("a.clerk {}\n", officer.public_key))?;
    let check = |namespace: &str| -> Result<bool> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "verify", "-I", "a.clerk", "-n", namespace, "-f"]).arg(&signers).arg("-s");
        command.arg(&signature).stdin(std::fs::File::open(&order)?).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status()?.success())
    };
    assert!(check("writ-approve")?);
    assert!(!check("writ-policy")?);
    Ok(())
}
