//! Mediation functions of X3: keep-alives both ways.

use crate::rig::{PATIENCE, Peer, Pki, Stream, eventually, listen, timing};
use rustls::ServerConfig;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use writ_delivery::{Destination, Ended, KeepAlive, Manner, Route, Transport};
use writ_encoder::UtcMicros;
use writ_encoder::x2x3::{Direction, Format, Identity, Kind, PduStream, Task, decode, keep_alive, keep_alive_answer};

/// The way to a mediation function that listens there.
fn route(endpoint: &str, transport: Transport, keep_alive: KeepAlive) -> Route {
    let destination: Destination = toml::from_str(&format!(
        "name = \"lab\"\nformat = \"x3\"\ncmii = \"127.0.0.1:1\"\ncmc = \"{endpoint}\"\nplain = {{}}\n"
    ))
    .unwrap();
    let [_, cmc] = destination.load("destination[0]").unwrap();
    let Route::Conversation { endpoint, manner: Manner::X3(_), .. } = cmc else { panic!("{cmc:?}") };
    Route::Conversation { endpoint, transport, manner: Manner::X3(keep_alive) }
}

fn feed(stream: &mut Stream, count: u64) {
    let task = Task::new(&Identity::default()).unwrap();
    stream.feed_with(count, 512, |room, number| {
        let (time, packet) = (UtcMicros::from_unix_nanos(1), [0x45; 40]);
        task.content(room, time, Direction::ToTarget, number, Format::IPV4, &packet).unwrap()
    });
}

/// Reads one connection to its end. Gives kinds and numbers of what came.
fn attend(
    listener: &TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    mut react: impl FnMut(Kind, u32, &mut Peer),
) -> Vec<(Kind, u32)> {
    let mut peer = Peer::accept(listener, tls).unwrap();
    let (mut cut, mut came, mut room) = (PduStream::default(), Vec::new(), [0; 4096]);
    loop {
        let read = peer.read(&mut room);
        if read == 0 {
            return came;
        }
        cut.push(&room[..read]);
        while let Some(bytes) = cut.next_pdu().unwrap() {
            let (pdu, _) = decode(bytes.bytes).unwrap();
            let number = pdu.attributes.sequence_number().unwrap();
            react(pdu.kind, number, &mut peer);
            came.push((pdu.kind, number));
        }
    }
}

fn answer(kind: Kind, number: u32, peer: &mut Peer) {
    if kind == Kind::KeepAlive {
        let mut room = [0; 64];
        let length = keep_alive_answer(&mut room, number).unwrap();
        peer.write(&room[..length]);
    }
}

#[test]
fn keep_alives_are_asked_and_answered() {
    let pki = Pki::new();
    let tls = (pki.transport("ours-probe"), Some(pki.server("ours-server", 2)));
    for (transport, server) in [(Transport::Plain, None), tls] {
        let (listener, endpoint) = listen();
        let agency = thread::spawn(move || {
            attend(&listener, server.as_ref(), |kind, number, peer| {
                answer(kind, number, peer);
                if (kind, number) == (Kind::X3, 0) {
                    let mut room = [0; 64];
                    let length = keep_alive(&mut room, 77).unwrap();
                    peer.write(&room[..length]);
                }
            })
        });
        let mut stream = Stream::new(16, 64 * 1024);
        let keep_alive = KeepAlive { idle: Some(Duration::from_millis(40)), answer: PATIENCE };
        let session = stream.session_to(route(&endpoint, transport, keep_alive), timing());
        feed(&mut stream, 3);
        eventually("delivered", || stream.delivered() == 3);
        thread::sleep(Duration::from_millis(200));
        session.stop(PATIENCE);
        assert!(matches!(session.join().unwrap(), Ended::Drained));
        assert_eq!(stream.account().sessions, 1);
        let came = agency.join().unwrap();
        let of =
            |wanted| came.iter().filter(|(kind, _)| *kind == wanted).map(|(_, number)| *number).collect::<Vec<_>>();
        assert_eq!(of(Kind::X3), [0, 1, 2]);
        assert_eq!(of(Kind::KeepAliveAnswer), [77]);
        let asked = of(Kind::KeepAlive);
        assert!(asked.len() > 1 && (1..).zip(&asked).all(|(number, asked)| number == *asked), "{asked:?}");
    }
}

#[test]
fn an_answer_with_another_number_and_none_at_all_end_the_connection() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        let wrong = attend(&listener, None, |kind, number, peer| answer(kind, number + 1, peer));
        let silent = attend(&listener, None, |_, _, _| {});
        (wrong, silent, attend(&listener, None, answer))
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let keep_alive = KeepAlive { idle: Some(Duration::from_millis(40)), answer: Duration::from_millis(200) };
    let session = stream.session_to(route(&endpoint, Transport::Plain, keep_alive), timing());
    eventually("both were left", || stream.account().sessions == 3);
    feed(&mut stream, 3);
    eventually("delivered", || stream.delivered() == 3);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    let (wrong, silent, good) = agency.join().unwrap();
    assert_eq!((wrong, silent), (vec![(Kind::KeepAlive, 1)], vec![(Kind::KeepAlive, 1)]));
    assert_eq!(good.iter().filter(|(kind, _)| *kind == Kind::X3).count(), 3);
}
