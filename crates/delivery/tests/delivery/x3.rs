//! Mediation functions of X3: keep-alives both ways.

use crate::rig::{PATIENCE, Stream, eventually, listen, timing};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use writ_delivery::{Destination, Ended, KeepAlive, Manner, Route};
use writ_encoder::UtcMicros;
use writ_encoder::x2x3::{Direction, Format, Identity, Kind, PduStream, Task, decode, keep_alive, keep_alive_answer};

fn route(endpoint: &str, keep_alive: KeepAlive) -> Route {
    let destination: Destination = toml::from_str(&format!(
        "name = \"lab\"\nformat = \"x3\"\ncmii = \"127.0.0.1:1\"\ncmc = \"{endpoint}\"\nplain = {{}}\n"
    ))
    .unwrap();
    let [_, cmc] = destination.load("destination[0]").unwrap();
    let Route::Conversation { endpoint, transport, .. } = cmc else { panic!("{cmc:?}") };
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
fn attend(listener: &TcpListener, mut react: impl FnMut(Kind, u32, &mut TcpStream)) -> Vec<(Kind, u32)> {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut cut, mut came, mut room) = (PduStream::default(), Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = socket.read(&mut room) {
        cut.push(&room[..read]);
        while let Some(bytes) = cut.next_pdu().unwrap() {
            let (pdu, _) = decode(bytes.bytes).unwrap();
            let number = pdu.attributes.sequence_number().unwrap();
            react(pdu.kind, number, &mut socket);
            came.push((pdu.kind, number));
        }
    }
    came
}

fn answer(kind: Kind, number: u32, socket: &mut TcpStream) {
    if kind == Kind::KeepAlive {
        let mut room = [0; 64];
        let length = keep_alive_answer(&mut room, number).unwrap();
        let _the_probe_may_be_gone = socket.write_all(&room[..length]);
    }
}

#[test]
fn keep_alives_are_asked_and_answered() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        attend(&listener, |kind, number, socket| {
            answer(kind, number, socket);
            if (kind, number) == (Kind::X3, 0) {
                let mut room = [0; 64];
                let length = keep_alive(&mut room, 77).unwrap();
                socket.write_all(&room[..length]).unwrap();
            }
        })
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let keep_alive = KeepAlive { idle: Some(Duration::from_millis(40)), answer: PATIENCE };
    let session = stream.session_to(route(&endpoint, keep_alive), timing());
    feed(&mut stream, 3);
    eventually("delivered", || stream.delivered() == 3);
    thread::sleep(Duration::from_millis(200));
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    assert_eq!(stream.account().sessions, 1);
    let came = agency.join().unwrap();
    let of =
        |wanted: Kind| came.iter().filter(|(kind, _)| *kind == wanted).map(|(_, number)| *number).collect::<Vec<_>>();
    assert_eq!(of(Kind::X3), [0, 1, 2]);
    assert_eq!(of(Kind::KeepAliveAnswer), [77]);
    let asked = of(Kind::KeepAlive);
    assert!(asked.len() > 1 && (1..).zip(&asked).all(|(number, asked)| number == *asked), "{asked:?}");
}

#[test]
fn an_answer_with_another_number_and_none_at_all_end_the_connection() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        let wrong = attend(&listener, |kind, number, socket| answer(kind, number + 1, socket));
        let silent = attend(&listener, |_, _, _| {});
        (wrong, silent, attend(&listener, answer))
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let keep_alive = KeepAlive { idle: Some(Duration::from_millis(40)), answer: Duration::from_millis(200) };
    let session = stream.session_to(route(&endpoint, keep_alive), timing());
    eventually("both were left", || stream.account().sessions == 3);
    feed(&mut stream, 3);
    eventually("delivered", || stream.delivered() == 3);
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    let (wrong, silent, good) = agency.join().unwrap();
    assert_eq!((wrong, silent), (vec![(Kind::KeepAlive, 1)], vec![(Kind::KeepAlive, 1)]));
    assert_eq!(good.iter().filter(|(kind, _)| *kind == Kind::X3).count(), 3);
}
