//! Receivers of datagrams: each PDU comes whole and once.

use crate::rig::{PATIENCE, Stream, eventually, take_pdus, timing};
use std::net::UdpSocket;
use writ_delivery::{Destination, Ended, FailureKind, Route};
use writ_spool::SessionState;

fn route(endpoint: &str) -> Route {
    let destination: Destination =
        toml::from_str(&format!("name = \"lab\"\nformat = \"jmirror\"\ncmc = \"{endpoint}\"\nplain = {{}}\n")).unwrap();
    let [cmii, cmc] = destination.load("destination[0]").unwrap();
    assert!(matches!(cmii, Route::Nowhere), "content alone");
    cmc
}

fn receiver() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = socket.local_addr().unwrap().to_string();
    (socket, endpoint)
}

/// The number of the next datagram, which is one PDU and nothing else.
fn next(socket: &UdpSocket) -> u64 {
    let mut room = vec![0; 1 << 16];
    let length = socket.recv(&mut room).unwrap();
    room.truncate(length);
    let numbers = take_pdus(&mut room);
    assert!(room.is_empty() && numbers.len() == 1, "{numbers:?} and {} octets", room.len());
    numbers[0]
}

#[test]
fn each_pdu_is_a_datagram() {
    let (socket, endpoint) = receiver();
    let mut stream = Stream::new(64, 64 * 1024);
    let session = stream.session_to(route(&endpoint), timing());
    for round in 0..20 {
        let fed = stream.feed(70);
        assert_eq!(fed.iter().map(|_| next(&socket)).collect::<Vec<_>>(), fed, "round {round}");
    }
    eventually("delivered", || stream.delivered() == 1400);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    assert_eq!((stream.account().sessions, stream.account().resent_records), (1, 0));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err(), "nothing more");
}

#[test]
fn what_goes_to_a_receiver_that_is_not_there_waits_for_it() {
    let (socket, endpoint) = receiver();
    drop(socket);
    let mut stream = Stream::new(64, 64 * 1024);
    let session = stream.session_to(route(&endpoint), timing());
    let fed = stream.feed(100);
    eventually("refusal noted", || stream.failure() == Some(FailureKind::Refused));
    assert_eq!(stream.delivered(), 0);
    let socket = UdpSocket::bind(&endpoint).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have come up in the midst of an attempt, the rest of which it gets, and then the whole again.
    let mut numbers = vec![next(&socket)];
    while numbers.iter().rev().take(100).rev().ne(&fed) {
        numbers.push(next(&socket));
    }
    eventually("delivered", || stream.delivered() == 100);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
}

#[test]
fn a_stream_that_the_format_does_not_have_is_in_order_and_ends_at_once() {
    let stream = Stream::new(2, 4096);
    let session = stream.session_to(Route::Nowhere, timing());
    eventually("in order", || stream.account().state == SessionState::Connected);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    assert_eq!(stream.account().attempts_failed, 0);
}

#[test]
fn the_longest_datagram_goes_and_a_longer_one_stands_in_nobodys_way() {
    let (socket, endpoint) = receiver();
    let mut stream = Stream::new(4, 256 * 1024);
    let session = stream.session_to(route(&endpoint), timing());
    for length in [65_507, 65_508, 100] {
        stream.feed_with(1, length, |room, _| {
            room.fill(7);
            length
        });
    }
    let mut room = vec![0; 1 << 17];
    for length in [65_507, 100] {
        assert_eq!(socket.recv(&mut room).unwrap(), length);
    }
    eventually("nothing waits", || stream.delivered() == 3);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
}
