//! Agencies of `etsi`: that answer, that are silent, that answer wrongly, that go away. What they verify and open.

use crate::rig::{PATIENCE, Pki, Stream, eventually, listen, timing};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writ_delivery::{Destination, Ended, EtsiManner, FailureKind, Manner, Route, Timing};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{
    CaseKey, DeliveryOption, Direction, Identity, Intercept, Liid, Messenger, NoticePriority, OperatorId, Payload, Pdu,
    SigningKey, Tri, Verdict, Verifier, decode,
};
use writ_encoder::stream::StreamDecoder;
use writ_spool::LossReason;

fn intercept(liid: &str, cin: u32) -> Intercept {
    let identity = Identity {
        liid: Liid::new(liid).unwrap(),
        authorization_country: None,
        operator: OperatorId::new("OPER1").unwrap(),
        network_element: None,
        delivery_country: None,
        interception_point: None,
        edition: Default::default(),
    };
    Intercept::new(&identity, cin)
}

const MOST: usize = 4096;

fn packet(number: u64) -> Vec<u8> {
    vec![number as u8; 40 + (number * 131 % 1300) as usize]
}

/// Content of two sessions by turns, numbered in each from 0.
fn feed_for(stream: &mut Stream, liid: &str, count: u64) {
    let intercepts = [0, 1].map(|cin| intercept(liid, cin));
    stream.feed_with(count, MOST, |room, number| {
        let (time, direction) = (UtcMicros::from_unix_nanos(1 << 60), Direction::ToTarget);
        let sequence = (number / 2) as u32;
        intercepts[(number % 2) as usize].content(room, time, direction, sequence, (&*packet(number)).into()).unwrap()
    });
}

fn feed(stream: &mut Stream, count: u64) {
    feed_for(stream, "LIID-1", count);
}

/// The number of a PDU of content.
fn number_of(pdu: &Pdu) -> Option<u64> {
    matches!(pdu.payload, Payload::Cc(_) | Payload::Encrypted(_))
        .then(|| u64::from(pdu.header.sequence) * 2 + u64::from(pdu.header.cin.unwrap()))
}

/// The way to an agency that listens there, with these settings, and what is impatient enough for a test.
fn route(endpoint: &str, settings: &str, keep_alive: (Option<Duration>, Duration)) -> Route {
    let destination: Destination = toml::from_str(&format!(
        "name = \"lab\"\nformat = \"etsi\"\ncmii = \"127.0.0.1:1\"\ncmc = \"{endpoint}\"\nplain = {{}}\n\
         etsi = {{ operator = \"OPER1\" }}\n{settings}"
    ))
    .unwrap();
    let [_, cmc] = destination.load("destination[0]").unwrap();
    let Route::Conversation { endpoint, transport, manner: Manner::Etsi(manner) } = cmc else { panic!("{cmc:?}") };
    let mut manner = EtsiManner::clone(&manner);
    (manner.keep_alive.idle, manner.keep_alive.answer) = keep_alive;
    Route::Conversation { endpoint, transport, manner: Manner::Etsi(Arc::new(manner)) }
}

const PATIENT: (Option<Duration>, Duration) = (None, PATIENCE);

/// What an agency does about a PDU.
type Reaction<'a> = &'a mut dyn FnMut(&Pdu, &mut Mouth) -> ControlFlow<()>;

/// The agency's way to say something.
struct Mouth {
    socket: TcpStream,
    name: Messenger,
}

impl Mouth {
    fn say(&mut self, tri: &Tri) {
        let pdu = self.name.tri(UtcMicros::from_unix_nanos(1), 0, tri);
        let _the_probe_may_be_gone = self.socket.write_all(&pdu);
    }
}

/// Accepts one connection and reads it until `react` has enough or the probe ends it. Gives all that came.
fn attend(listener: &TcpListener, react: Reaction<'_>) -> Vec<(Vec<u8>, Pdu)> {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut mouth = Mouth { socket, name: intercept("agency", 0).into() };
    let (mut decoder, mut came, mut room) = (StreamDecoder::default(), Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = mouth.socket.read(&mut room) {
        decoder.push(&room[..read]);
        while let Some(bytes) = decoder.next_pdu().unwrap() {
            let (pdu, _) = decode(bytes.bytes).unwrap();
            let reaction = react(&pdu, &mut mouth);
            came.push((bytes.bytes.to_vec(), pdu));
            if reaction == Break(()) {
                return came;
            }
        }
    }
    came
}

/// An agency as it should be.
fn good(pdu: &Pdu, mouth: &mut Mouth) -> ControlFlow<()> {
    if let Payload::Tri(tri) = &pdu.payload
        && let Some(answer) = tri.answer(&[DeliveryOption::PduAcknowledgement])
    {
        mouth.say(&answer);
    }
    Continue(())
}

fn numbers(came: &[(Vec<u8>, Pdu)]) -> Vec<u64> {
    came.iter().filter_map(|(_, pdu)| number_of(pdu)).collect()
}

/// One after the other, and begun no later than at `due`; gives what is due next.
fn check_order(numbers: &[u64], due: u64) -> u64 {
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert!(numbers.first().is_none_or(|first| *first <= due), "begins at {:?}, {due} was due", numbers.first());
    numbers.last().map_or(due, |last| due.max(last + 1))
}

fn finish(session: writ_delivery::SessionHandle) {
    session.stop(PATIENCE);
    assert!(matches!(session.join().unwrap(), Ended::Drained));
}

/// Takes notice of nothing but its own confirmations.
fn no_hold() -> Timing {
    Timing { hold: Duration::ZERO, ..timing() }
}

#[test]
fn delivered_is_what_the_agency_has_confirmed() {
    let (listener, endpoint) = listen();
    let (may_answer, answers) = channel::<()>();
    let (request, requests) = channel();
    let agency = thread::spawn(move || {
        attend(&listener, &mut |pdu, mouth| {
            if pdu.payload == Payload::Tri(Tri::AcknowledgementRequest) {
                request.send(()).unwrap();
                answers.recv().unwrap();
            }
            good(pdu, mouth)
        })
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, "acknowledge = true", PATIENT), no_hold());
    feed(&mut stream, 30);
    requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(stream.delivered(), 0, "all of it has arrived, and the agency has not said so");
    may_answer.send(()).unwrap();
    eventually("confirmed", || stream.delivered() == 30);
    // At the end it is asked about the rest at once.
    feed(&mut stream, 5);
    session.stop(PATIENCE);
    requests.recv_timeout(PATIENCE).unwrap();
    may_answer.send(()).unwrap();
    assert!(matches!(session.join().unwrap(), Ended::Drained));
    assert_eq!(stream.delivered(), 35);
    let came = agency.join().unwrap();
    assert_eq!(
        came[0].1.payload,
        Payload::Tri(Tri::OptionRequest { requested: vec![DeliveryOption::PduAcknowledgement] })
    );
    assert_eq!(came[1].1.payload, Payload::Tri(Tri::OptionComplete));
    assert_eq!(check_order(&numbers(&came), 0), 35);
}

#[test]
fn an_agency_that_declines_to_confirm_gets_everything_all_the_same() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        attend(&listener, &mut |pdu, mouth| {
            if let Payload::Tri(tri) = &pdu.payload
                && let Some(answer) = tri.answer(&[])
            {
                mouth.say(&answer);
            }
            Continue(())
        })
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, "acknowledge = true", PATIENT), timing());
    feed(&mut stream, 30);
    eventually("delivered", || stream.delivered() == 30);
    finish(session);
    let came = agency.join().unwrap();
    assert!(came.iter().all(|(_, pdu)| pdu.payload != Payload::Tri(Tri::AcknowledgementRequest)));
    assert_eq!(check_order(&numbers(&came), 0), 30);
}

#[test]
fn what_a_silent_agency_did_not_confirm_goes_again_before_anything_new() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        // Agrees to confirm, and never does.
        let silent = attend(&listener, &mut |pdu, mouth| match &pdu.payload {
            Payload::Tri(Tri::OptionRequest { .. }) => good(pdu, mouth),
            _ => Continue(()),
        });
        (silent, attend(&listener, &mut good))
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let impatient = (None, Duration::from_millis(200));
    let session = stream.session_to(route(&endpoint, "acknowledge = true", impatient), no_hold());
    feed(&mut stream, 20);
    eventually("the silence is noted", || stream.account().resent_records >= 20);
    feed(&mut stream, 20);
    eventually("delivered", || stream.delivered() == 40);
    finish(session);
    let (silent, answering) = agency.join().unwrap();
    assert_eq!(numbers(&silent)[..20], (0..20).collect::<Vec<_>>());
    assert_eq!(numbers(&answering), (0..40).collect::<Vec<_>>());
}

#[test]
fn an_agency_that_reads_slowly_is_not_taken_for_a_silent_one() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        attend(&listener, &mut |pdu, mouth| {
            // Some four seconds for all of it, which is more than an answer may take.
            thread::sleep(Duration::from_millis(2));
            good(pdu, mouth)
        })
    });
    let mut stream = Stream::new(64, 64 * 1024);
    feed(&mut stream, 2000);
    let session = stream.session_to(route(&endpoint, "acknowledge = true", (None, Duration::from_secs(2))), no_hold());
    eventually("delivered", || stream.delivered() == 2000);
    finish(session);
    assert_eq!(stream.account().sessions, 1);
    assert_eq!(check_order(&numbers(&agency.join().unwrap()), 0), 2000);
}

#[test]
fn an_idle_connection_is_asked_and_given_up_without_an_answer() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        let mut asked = 0;
        let answering = attend(&listener, &mut |pdu, mouth| {
            if pdu.payload == Payload::Tri(Tri::KeepAlive) {
                asked += 1;
            }
            if asked < 3 { good(pdu, mouth) } else { Continue(()) }
        });
        (answering, attend(&listener, &mut good))
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let restless = (Some(Duration::from_millis(50)), Duration::from_millis(500));
    let session = stream.session_to(route(&endpoint, "", restless), timing());
    feed(&mut stream, 10);
    eventually("the third one unanswered", || stream.account().sessions == 2);
    eventually("delivered", || stream.delivered() == 10);
    finish(session);
    let (answering, _) = agency.join().unwrap();
    let about: Vec<_> = answering.iter().filter(|(_, pdu)| number_of(pdu).is_none()).collect();
    assert_eq!(about.len(), 3, "a question is not repeated before it is answered");
    assert_eq!((0..).zip(&about).filter(|(number, (_, pdu))| pdu.header.sequence != *number).count(), 0);
}

#[test]
fn an_agency_that_talks_nonsense_is_left_and_loses_nothing() {
    let nonsense: [fn(&mut Mouth); 5] = [
        |mouth| mouth.socket.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap(),
        |mouth| mouth.socket.write_all(&[0x30, 0x03, 0x81, 0x01, 0x00]).unwrap(),
        |mouth| mouth.say(&Tri::AcknowledgementResponse),
        |mouth| mouth.say(&Tri::OptionResponse { accepted: Vec::new(), declined: Vec::new() }),
        |mouth| {
            let mut room = vec![0; MOST];
            let time = UtcMicros::from_unix_nanos(1);
            let length = intercept("L", 1).content(&mut room, time, Direction::ToTarget, 0, (&[0x45; 20][..]).into());
            mouth.socket.write_all(&room[..length.unwrap()]).unwrap();
        },
    ];
    for say in nonsense {
        let (listener, endpoint) = listen();
        let agency = thread::spawn(move || {
            let talking = attend(&listener, &mut |pdu, mouth| {
                if number_of(pdu) == Some(3) {
                    say(mouth);
                }
                Continue(())
            });
            drop(listener);
            talking
        });
        let mut stream = Stream::new(16, 64 * 1024);
        let session = stream.session_to(route(&endpoint, "", PATIENT), Timing { hold: PATIENCE, ..timing() });
        feed(&mut stream, 10);
        agency.join().unwrap();
        eventually("somebody noticed", || stream.account().sessions >= 1 && stream.account().resent_records == 10);
        assert_eq!(stream.delivered(), 0);
        session.stop(Duration::ZERO);
        session.join().unwrap();
    }
}

#[test]
fn nonsense_has_a_name_of_its_own() {
    let (listener, endpoint) = listen();
    let (done, wait) = channel::<()>();
    let agency = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        drop(listener);
        socket.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
        let _the_end = socket.read(&mut [0]);
        wait.recv().unwrap();
    });
    let stream = Stream::new(2, 4096);
    let patient = Timing { retry_first: PATIENCE, retry_most: PATIENCE, ..timing() };
    let session = stream.session_to(route(&endpoint, "", PATIENT), patient);
    eventually("noted", || stream.failure() == Some(FailureKind::Nonsense));
    done.send(()).unwrap();
    agency.join().unwrap();
    session.stop(Duration::ZERO);
    session.join().unwrap();
}

#[test]
fn connections_that_break_in_the_midst_of_a_pdu_lose_nothing_that_is_not_confirmed() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        let mut connections = Vec::new();
        for limit in [3, 40, 200, 1, 90] {
            let mut left = limit;
            connections.push(attend(&listener, &mut |pdu, mouth| {
                left -= usize::from(number_of(pdu).is_some());
                // What follows in the buffer is read in part and left.
                if left == 0 { Break(()) } else { good(pdu, mouth) }
            }));
        }
        connections.push(attend(&listener, &mut good));
        connections
    });
    let mut stream = Stream::new(64, 64 * 1024);
    let session = stream.session_to(route(&endpoint, "acknowledge = true", PATIENT), no_hold());
    for _ in 0..40 {
        feed(&mut stream, 25);
        thread::sleep(Duration::from_millis(2));
    }
    eventually("everything delivered", || stream.delivered() == 1000);
    finish(session);
    let due = agency.join().unwrap().iter().fold(0, |due, came| check_order(&numbers(came), due));
    assert_eq!(due, 1000);
    assert_eq!(stream.books().lost_total(), 0);
}

#[test]
fn an_agency_that_asks_is_answered() {
    let (listener, endpoint) = listen();
    let agency = thread::spawn(move || {
        attend(&listener, &mut |pdu, mouth| {
            if number_of(pdu) == Some(0) {
                for tri in
                    [Tri::KeepAlive, Tri::OptionRequest { requested: vec![DeliveryOption::Unknown(7)] }, Tri::Test]
                {
                    mouth.say(&tri);
                }
            }
            Continue(())
        })
    });
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, "", PATIENT), timing());
    feed(&mut stream, 1);
    eventually("delivered", || stream.delivered() == 1);
    finish(session);
    let said: Vec<_> = agency.join().unwrap().into_iter().map(|(_, pdu)| pdu.payload).collect();
    let declined = Tri::OptionResponse { accepted: vec![], declined: vec![DeliveryOption::Unknown(7)] };
    assert_eq!(said[1..], [Payload::Tri(Tri::KeepAliveResponse), Payload::Tri(declined)]);
}

/// The messages for people that came: the LIID, the number, the text.
fn notices(came: &[(Vec<u8>, Pdu)]) -> Vec<(String, u32, String)> {
    let told = came.iter().filter_map(|(_, pdu)| match &pdu.payload {
        Payload::Tri(Tri::OperatorMessage { priority: NoticePriority::Error, message }) => {
            Some((pdu.header.liid.to_string(), pdu.header.sequence, message.to_string()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn the_agency_is_told_what_was_lost() {
    let (listener, endpoint) = listen();
    let (heard, notice) = channel();
    let agency = thread::spawn(move || {
        attend(&listener, &mut |pdu, _| {
            if let Payload::Tri(Tri::OperatorMessage { .. }) = pdu.payload {
                heard.send(()).unwrap();
            }
            Continue(())
        })
    });
    let mut stream = Stream::new(4, 64 * 1024);
    // Nobody takes them: the stream is full.
    feed(&mut stream, 2000);
    let early = stream.books().lost(LossReason::SpoolFull);
    assert!(early > 0);
    let session = stream.session_to(route(&endpoint, "loss_notice_seconds = 1", PATIENT), timing());
    notice.recv_timeout(PATIENCE).unwrap();
    let slot = stream.ledger.slot(0).unwrap();
    slot.lost(0, LossReason::Stale, 3);
    slot.lost(0, LossReason::Duplicate, 5);
    notice.recv_timeout(PATIENCE).unwrap();
    // At the end at once.
    slot.lost(0, LossReason::EncodeFailed, 2);
    finish(session);
    let told = notices(&agency.join().unwrap());
    let [(liid, 0, first), (_, 1, second), (_, 2, last)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(liid, "LIID-1");
    assert!(first.starts_with(&format!("{early} packets lost before ")), "{first}");
    assert!(first.ends_with(&format!(" {early} in all: spool_full {early}")), "{first}");
    assert!(second.starts_with("3 packets lost between "), "{second}");
    assert!(second.ends_with(&format!(" {} in all: stale 3", early + 3)), "{second}");
    assert!(last.starts_with("2 packets lost between ") && last.ends_with(": encode_failed 2"), "{last}");
}

#[test]
fn an_agency_that_wants_no_notices_is_told_of_no_losses() {
    let (listener, endpoint) = listen();
    let agency = good_agency(listener);
    let mut stream = Stream::new(4, 64 * 1024);
    feed(&mut stream, 2000);
    assert!(stream.books().lost_total() > 0);
    let session = stream.session_to(route(&endpoint, "loss_notice_seconds = 0", PATIENT), timing());
    finish(session);
    assert_eq!(notices(&agency.join().unwrap()), []);
}

/// An agency that is always good, and what came to it.
fn good_agency(listener: TcpListener) -> JoinHandle<Vec<(Vec<u8>, Pdu)>> {
    thread::spawn(move || attend(&listener, &mut good))
}

#[test]
fn every_pdu_is_under_a_hash_and_every_hash_under_a_signature() {
    let pki = Pki::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    pki.write("signing.pem", &key.serialize_pem());
    let public = SigningKey::from_pkcs8(&key.serialize_der()).unwrap().public();
    let settings = format!("integrity = {{ hash_pdus = 16, key = {:?} }}", pki.path("signing.pem"));
    let (listener, endpoint) = listen();
    let agency = good_agency(listener);
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, &settings, PATIENT), timing());
    feed(&mut stream, 100);
    eventually("delivered", || stream.delivered() == 100);
    feed(&mut stream, 5);
    finish(session);
    let came = agency.join().unwrap();
    assert_eq!(check_order(&numbers(&came), 0), 105);
    let mut verifier = Verifier::new(Some(public), 1 << 20);
    let verdicts: Vec<_> = came.iter().filter_map(|(bytes, pdu)| verifier.arrived(bytes, pdu)).collect();
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Good), "{verdicts:?}");
    let (mut pdus, mut hashes, mut signed) = (0, 0, 0);
    for (_, pdu) in &came {
        if let Payload::Tri(Tri::IntegrityCheck(check)) = &pdu.payload {
            assert_eq!(pdu.header.liid.to_string(), "LIID-1");
            match check.hash {
                Some(_) => (pdus, hashes) = (pdus + check.included.len(), hashes + 1),
                None => signed += check.included.len(),
            }
        }
    }
    assert_eq!((pdus, signed), (105, hashes), "the last ones too");
}

#[test]
fn a_hash_comes_by_the_clock_as_well() {
    let (listener, endpoint) = listen();
    let agency = good_agency(listener);
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, "integrity = {}", PATIENT), timing());
    feed(&mut stream, 2);
    // More than the hash's second: two series, each with its check.
    eventually("delivered", || stream.delivered() == 2);
    thread::sleep(Duration::from_millis(1500));
    feed(&mut stream, 1);
    eventually("delivered", || stream.delivered() == 3);
    finish(session);
    let came = agency.join().unwrap();
    let place = |wanted: &dyn Fn(&Pdu) -> bool| came.iter().position(|(_, pdu)| wanted(pdu)).unwrap();
    let first_check = place(&|pdu| matches!(pdu.payload, Payload::Tri(_)));
    assert!(first_check < place(&|pdu| number_of(pdu) == Some(2)), "before the next PDU");
}

#[test]
fn what_is_sealed_opens_with_the_key_of_its_case_alone() {
    let pki = Pki::new();
    let key = [7; 32];
    pki.write("keys", &format!("LIID-1 {}\n", "07".repeat(32)));
    let settings = format!("integrity = {{ hash_pdus = 5 }}\nencryption = {{ keys = {:?} }}", pki.path("keys"));
    let (listener, endpoint) = listen();
    let agency = good_agency(listener);
    let mut stream = Stream::new(16, 64 * 1024);
    let session = stream.session_to(route(&endpoint, &settings, PATIENT), timing());
    feed(&mut stream, 20);
    eventually("delivered", || stream.delivered() == 20);
    // There is no key for this one: it waits, and so does what is behind it.
    feed_for(&mut stream, "LIID-2", 1);
    feed(&mut stream, 1);
    eventually("the lack is noted", || stream.failure() == Some(FailureKind::NoKey));
    session.stop(Duration::from_millis(300));
    assert!(matches!(session.join().unwrap(), Ended::Undrained));
    assert_eq!(stream.delivered(), 20);
    let came = agency.join().unwrap();
    let mut verifier = Verifier::new(None, 1 << 20);
    let mut opened = 0;
    for (bytes, pdu) in &came {
        let verdict = verifier.arrived(bytes, pdu);
        match &pdu.payload {
            Payload::Encrypted(container) => {
                let (_, payload) = CaseKey::new(&key).unwrap().open(pdu.header.sequence, container).unwrap();
                let Payload::Cc(content) = payload else { panic!("{payload:?}") };
                let writ_encoder::etsi::CcContents::Packet(octets) = &content[0].contents else {
                    panic!("{content:?}")
                };
                assert_eq!(octets.0, packet(number_of(pdu).unwrap()));
                assert_eq!(pdu.header.liid.to_string(), "LIID-1");
                opened += 1;
            }
            _ => assert_eq!(verdict, Some(Verdict::Good), "{pdu:?}"),
        }
    }
    assert_eq!(opened, 20);
}

#[test]
fn keys_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let pki = Pki::new();
    pki.write("keys", &format!("* {}\n", "07".repeat(24)));
    let load = |settings: &str| {
        let text = format!(
            "name = \"lab\"\nformat = \"etsi\"\ncmii = \"127.0.0.1:1\"\ncmc = \"127.0.0.1:2\"\nplain = {{}}\n\
             etsi = {{ operator = \"OPER1\" }}\n{settings}"
        );
        toml::from_str::<Destination>(&text).unwrap().load("destination[0]").map_err(|error| error.to_string())
    };
    let encryption = format!("encryption = {{ keys = {:?} }}", pki.path("keys"));
    assert!(load(&encryption).is_ok());
    std::fs::set_permissions(pki.path("keys"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = load(&encryption).unwrap_err();
    assert!(error.contains("destination[0].encryption.keys") && error.contains("chmod 600"), "{error}");
    pki.write("keys", "LIID-1 secretsecret\n");
    let error = load(&encryption).unwrap_err();
    assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
    let error = load(&format!("integrity = {{ key = {:?} }}", pki.path("ours-ca.pem"))).unwrap_err();
    assert!(error.contains("destination[0].integrity.key"), "{error}");
}
