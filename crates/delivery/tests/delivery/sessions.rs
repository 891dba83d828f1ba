//! Sessions under bad luck: agencies that are away, slow, stuck, or break off in the middle of a PDU.

use crate::rig::{PATIENCE, Peer, Pki, Stream, eventually, listen, take_pdus, timing};
use rustls::ServerConfig;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use writ_delivery::{Ended, FailureKind, Timing, Transport};
use writ_spool::{LossReason, SessionState};

/// Accepts connections one after the other, reads as many bytes of each as `limits` says and drops it; reads the last
/// one to its end. Returns the numbers of the whole PDUs of each connection.
fn breaking_agency(listener: TcpListener, tls: Option<Arc<ServerConfig>>, limits: Vec<usize>) -> Vec<Vec<u64>> {
    let mut connections = Vec::new();
    for limit in limits.into_iter().map(Some).chain([None]) {
        let mut peer = Peer::accept(&listener, tls.as_ref()).unwrap();
        let (mut bytes, mut numbers, mut left) = (Vec::new(), Vec::new(), limit.unwrap_or(usize::MAX));
        let mut room = [0; 8192];
        while left > 0 {
            let most = left.min(room.len());
            let read = peer.read(&mut room[..most]);
            if read == 0 {
                break;
            }
            left -= read;
            bytes.extend_from_slice(&room[..read]);
            numbers.extend(take_pdus(&mut bytes));
        }
        connections.push(numbers);
    }
    connections
}

/// Everything arrives, in order; repeats only where a connection begins.
fn check_arrivals(connections: &[Vec<u64>], expected: &[u64]) {
    let mut next = expected.first().copied().unwrap_or(0);
    for numbers in connections {
        for pair in numbers.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "order within a connection");
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            assert!(*first <= next, "gap: the connection begins at {first}, {next} was due");
            next = next.max(last + 1);
        }
    }
    let all: BTreeSet<u64> = connections.iter().flatten().copied().collect();
    assert!(all.into_iter().eq(expected.iter().copied()), "every PDU, once or more");
}

fn survives_breaks(tls: Option<(Transport, Arc<ServerConfig>)>) {
    // Odd places: in the first PDU, on no boundary, far apart.
    let limits = vec![1, 13, 5_003, 99_991, 400_009, 7, 250_007];
    let breaks = limits.len() as u64;
    let (listener, endpoint) = listen();
    let (transport, config) = tls.map_or((Transport::Plain, None), |(client, server)| (client, Some(server)));
    let agency = std::thread::spawn(move || breaking_agency(listener, config, limits));
    let mut stream = Stream::new(64, 64 * 1024);
    let session = stream.session(&endpoint, transport, timing());
    let mut fed = Vec::new();
    for _ in 0..30 {
        fed.extend(stream.feed(100));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(stream.books().lost_total(), 0);
    eventually("everything delivered", || stream.delivered() == fed.len() as u64);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    let connections = agency.join().unwrap();
    check_arrivals(&connections, &fed);
    let account = stream.account();
    assert_eq!(account.sessions, breaks + 1);
    assert_eq!((account.delivered_records, account.state), (fed.len() as u64, SessionState::Stopped));
    let repeats = connections.iter().map(Vec::len).sum::<usize>() - fed.len();
    assert!(account.resent_records >= repeats as u64, "repeats are counted");
}

#[test]
fn a_connection_that_breaks_anywhere_loses_nothing() {
    survives_breaks(None);
}

#[test]
fn a_tls_connection_that_breaks_anywhere_loses_nothing() {
    let pki = Pki::new();
    survives_breaks(Some((pki.transport("ours-probe"), pki.server("ours-server", 2))));
}

#[test]
fn an_agency_that_comes_late_gets_everything() {
    let (listener, endpoint) = listen();
    drop(listener);
    let mut stream = Stream::new(8, 64 * 1024);
    let session = stream.session(&endpoint, Transport::Plain, timing());
    let fed = stream.feed(100);
    eventually("refusal noted", || stream.failure() == Some(FailureKind::Refused));
    assert!(stream.account().attempts_failed > 0 && stream.account().sessions == 0);
    let listener = TcpListener::bind(&endpoint).unwrap();
    let agency = std::thread::spawn(move || breaking_agency(listener, None, vec![]));
    eventually("everything delivered", || stream.delivered() == 100);
    assert_eq!((stream.failure(), stream.account().state), (None, SessionState::Connected));
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    check_arrivals(&agency.join().unwrap(), &fed);
}

#[test]
fn an_idle_session_notices_that_the_agency_has_gone() {
    let (listener, endpoint) = listen();
    let stream = Stream::new(2, 4096);
    let session = stream.session(&endpoint, Transport::Plain, timing());
    let peer = Peer::accept(&listener, None).unwrap();
    eventually("connected", || stream.account().state == SessionState::Connected);
    drop(peer);
    eventually("closing noted", || stream.failure() == Some(FailureKind::Closed));
    let _peer = Peer::accept(&listener, None).unwrap();
    eventually("connected again", || stream.account().sessions == 2);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
}

#[test]
fn a_slow_agency_fills_the_memory_and_the_loss_is_counted() {
    let (listener, endpoint) = listen();
    let agency = std::thread::spawn(move || {
        let mut peer = Peer::accept(&listener, None).unwrap();
        let (mut bytes, mut numbers, mut room) = (Vec::new(), Vec::new(), [0; 2048]);
        loop {
            let read = peer.read(&mut room);
            if read == 0 {
                return numbers;
            }
            bytes.extend_from_slice(&room[..read]);
            numbers.extend(take_pdus(&mut bytes));
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let mut stream = Stream::new(4, 64 * 1024);
    let session = stream.session(&endpoint, Transport::Plain, timing());
    // Far more than the stream and the sockets' buffers hold.
    let fed = stream.feed(20_000);
    let books = stream.books();
    assert!(books.lost(LossReason::SpoolFull) > 0);
    assert_eq!(books.lost_total() + fed.len() as u64, 20_000);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    assert_eq!(agency.join().unwrap(), fed, "what was taken in arrives, in order, once");
    assert_eq!(stream.delivered(), fed.len() as u64);
}

#[test]
fn a_stuck_agency_does_not_hold_up_the_end_and_a_successor_goes_on() {
    let (listener, endpoint) = listen();
    let mut stream = Stream::new(256, 64 * 1024);
    let session = stream.session(&endpoint, Transport::Plain, timing());
    let stuck = Peer::accept(&listener, None).unwrap();
    let fed = stream.feed(20_000);
    eventually("something sent", || stream.account().sent_bytes > 0);
    session.stop(Duration::from_millis(50));
    assert!(matches!(session.join().unwrap(), Ended::Undrained));
    let taken = stream.delivered();
    assert!(taken < fed.len() as u64);
    // What the agency's kernel acknowledged was released at the end; the rest goes on from the next PDU.
    let successor = stream.session(&endpoint, Transport::Plain, timing());
    let agency = std::thread::spawn(move || {
        let mut first = breaking_agency(listener, None, vec![]);
        first.remove(0)
    });
    successor.stop(PATIENCE);
    assert!(matches!(successor.join().unwrap(), Ended::Drained));
    let (mut peer, mut bytes, mut room) = (stuck, Vec::new(), vec![0; 1 << 20]);
    loop {
        let read = peer.read(&mut room);
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&room[..read]);
    }
    let first = take_pdus(&mut bytes);
    check_arrivals(&[first, agency.join().unwrap()], &fed);
    assert_eq!(stream.delivered(), fed.len() as u64);
}

#[test]
fn an_agency_out_of_reach_does_not_hold_up_the_end() {
    // A backlog of none: connection requests are left without an answer.
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = std::net::SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    let _in_the_backlog = std::net::TcpStream::connect(address).unwrap();
    let mut stream = Stream::new(2, 4096);
    let short = Timing { connect: Duration::from_millis(50), ..timing() };
    let session = stream.session(&address.to_string(), Transport::Plain, short);
    eventually("silence noted", || stream.failure() == Some(FailureKind::Timeout));
    stream.feed(1);
    session.stop(Duration::from_millis(50));
    assert!(matches!(session.join().unwrap(), Ended::Undrained));
    let patient = stream.session(&address.to_string(), Transport::Plain, timing());
    patient.stop(Duration::ZERO);
    assert!(matches!(patient.join().unwrap(), Ended::Undrained));
}

#[test]
fn a_stop_ends_with_the_agency_having_read_everything() {
    let pki = Pki::new();
    let tls = (pki.transport("ours-probe"), Some(pki.server("ours-server", 2)));
    for (transport, server) in [(Transport::Plain, None), tls] {
        let (listener, endpoint) = listen();
        let agency = std::thread::spawn(move || breaking_agency(listener, server, vec![]));
        let mut stream = Stream::new(16, 64 * 1024);
        // Held for ever: only the agency's own end, after ours, releases.
        let held = Timing { hold: 10 * PATIENCE, hold_bytes: u64::MAX, ..timing() };
        let session = stream.session(&endpoint, transport, held);
        let fed = stream.feed(200);
        session.stop(PATIENCE);
        assert!(matches!(session.join().unwrap(), Ended::Drained));
        assert_eq!((stream.delivered(), stream.account().sessions), (200, 1));
        check_arrivals(&agency.join().unwrap(), &fed);
    }
}
