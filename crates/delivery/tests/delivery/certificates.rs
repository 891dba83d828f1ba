//! A wrong certificate is refused on either side, and said; no PDU leaves before the agency has taken ours.

use crate::rig::{PATIENCE, Peer, Pki, Stream, eventually, listen, take_pdus, timing};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use writ_delivery::{ConfigError, FailureKind, Timing};
use writ_spool::SessionState;

/// A session with an agency that is to end in this failure, with nothing delivered. Returns what the agency saw.
fn fails(pki: &Pki, probe: &str, agency: &str, expected: FailureKind) -> String {
    let (listener, endpoint) = listen();
    let server = pki.server(agency, 2);
    let side = std::thread::spawn(move || {
        let error = Peer::accept(&listener, Some(&server)).err().map(|error| error.to_string());
        // The following attempts are dropped.
        drop(listener);
        error.unwrap_or_default()
    });
    let mut stream = Stream::new(2, 64 * 1024);
    stream.feed(10);
    // Attempts after the first would find nobody and say so: wait long before the second.
    let timing = Timing { retry_first: PATIENCE, retry_most: PATIENCE, ..timing() };
    let session = stream.session(&endpoint, pki.transport(probe), timing);
    eventually("failure noted", || stream.failure().is_some());
    assert_eq!(stream.failure(), Some(expected));
    let account = stream.account();
    assert_eq!((account.sessions, account.attempts_failed, account.sent_bytes), (0, 1, 0));
    assert_eq!(stream.delivered(), 0);
    session.stop(Duration::ZERO);
    session.join().unwrap();
    side.join().unwrap()
}

#[test]
fn the_right_certificates_on_both_sides() {
    let pki = Pki::new();
    // With the agency's tickets as a sign of acceptance, and without.
    for tickets in [2, 0] {
        let (listener, endpoint) = listen();
        let server = pki.server("ours-server", tickets);
        let mut stream = Stream::new(4, 64 * 1024);
        let fed = stream.feed(100);
        let timing = Timing { acceptance: Duration::from_millis(100), ..timing() };
        let session = stream.session(&endpoint, pki.transport("ours-probe"), timing);
        let mut peer = Peer::accept(&listener, Some(&server)).unwrap();
        let (mut bytes, mut numbers, mut room) = (Vec::new(), Vec::new(), [0; 4096]);
        while numbers.len() < fed.len() {
            let read = peer.read(&mut room);
            assert_ne!(read, 0);
            bytes.extend_from_slice(&room[..read]);
            numbers.extend(take_pdus(&mut bytes));
        }
        assert_eq!(numbers, fed);
        eventually("delivered", || stream.delivered() == 100);
        assert_eq!(stream.account().state, SessionState::Connected);
        session.stop(Duration::from_secs(5));
        assert_eq!(peer.read(&mut room), 0);
        drop(peer);
        session.join().unwrap();
    }
}

#[test]
fn the_agency_refuses_a_strange_probe() {
    let seen = fails(&Pki::new(), "strange-probe", "ours-server", FailureKind::ClientCertificate);
    assert!(seen.contains("UnknownIssuer"), "{seen}");
}

#[test]
fn the_agency_refuses_a_certificate_for_another_purpose() {
    let seen = fails(&Pki::new(), "ours-misnamed", "ours-server", FailureKind::ClientCertificate);
    assert!(seen.contains("key usage"), "{seen}");
}

#[test]
fn a_strange_agency_is_refused() {
    let seen = fails(&Pki::new(), "ours-probe", "strange-server", FailureKind::ServerUnknownIssuer);
    assert!(seen.contains("UnknownCA"), "the agency is told why: {seen}");
}

#[test]
fn an_agency_with_another_name_is_refused() {
    fails(&Pki::new(), "ours-probe", "ours-misnamed", FailureKind::ServerWrongName);
}

#[test]
fn an_agency_whose_certificate_has_expired_is_refused() {
    fails(&Pki::new(), "ours-probe", "ours-expired", FailureKind::ServerExpired);
}

#[test]
fn a_server_that_does_not_speak_tls_is_named() {
    let (listener, endpoint) = listen();
    let pki = Pki::new();
    let stream = Stream::new(2, 4096);
    let session = stream.session(&endpoint, pki.transport("ours-probe"), timing());
    let (mut socket, _) = listener.accept().unwrap();
    socket.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    eventually("failure noted", || stream.failure() == Some(FailureKind::TlsProtocol));
    session.stop(Duration::ZERO);
    session.join().unwrap();
}

#[test]
fn a_server_of_tls_1_2_is_refused() {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("WRIT_REQUIRE_TOOLS").is_none(), "openssl is missing");
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let pki = Pki::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_2", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("-cert")
        .arg(pki.path("ours-server.pem"))
        .arg("-key")
        .arg(pki.path("ours-server.key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stream = Stream::new(2, 4096);
    let session = stream.session(&format!("127.0.0.1:{port}"), pki.transport("ours-probe"), timing());
    eventually("failure noted", || stream.failure() == Some(FailureKind::TlsVersion));
    assert_eq!(stream.account().sessions, 0);
    session.stop(Duration::ZERO);
    session.join().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn wrong_files_are_named_before_anything_starts() {
    let pki = Pki::new();
    let load = |pki: &Pki| pki.destination("ours-probe").load("destination[2]").unwrap_err();
    let check = |error: ConfigError, field: &str, file: &str, words: &str| {
        assert_eq!(error.field, format!("destination[2].tls.{field}"));
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(words), "{text}");
    };
    let (cert, key) = ("ours-probe.pem", "ours-probe.key");
    let good_cert = std::fs::read_to_string(pki.path(cert)).unwrap();
    let good_key = std::fs::read_to_string(pki.path(key)).unwrap();

    pki.write(cert, "no PEM at all");
    check(load(&pki), "cert", cert, "holds no certificate");
    pki.write(cert, &good_cert[..good_cert.len() / 2]);
    check(load(&pki), "cert", cert, "is not whole PEM");
    pki.write(cert, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    check(load(&pki), "cert", cert, "cannot be used");
    pki.write(cert, &good_cert);

    pki.write(key, &good_cert);
    check(load(&pki), "key", key, "holds no private key");
    let torn = &good_key[..good_key.len() - 40];
    pki.write(key, torn);
    let error = load(&pki);
    assert!(!error.to_string().contains(&torn[30..60]), "no key material in an error");
    check(error, "key", key, "is not whole PEM");
    pki.write(key, &std::fs::read_to_string(pki.path("ours-server.key")).unwrap());
    check(load(&pki), "key", key, "is not the key of the certificate");
    pki.write(key, &good_key);
    std::fs::set_permissions(pki.path(key), std::fs::Permissions::from_mode(0o644)).unwrap();
    check(load(&pki), "key", key, "chmod 600");
    std::fs::remove_file(pki.path(key)).unwrap();
    check(load(&pki), "key", key, "cannot be opened");
    pki.write("ours-ca.pem", "");
    check(load(&pki), "ca", "ours-ca.pem", "holds no certificate");
}
