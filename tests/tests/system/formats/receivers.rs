//! Agencies that do no more than take what comes, and such as do not even do that. Who is not made to leave ends with the
//! test's process.

use crate::scene::address;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writ_lab::Namespace;

/// How often somebody looks, and how long who is slow rests.
const PACE: Duration = Duration::from_millis(20);

/// What has come so far: the octets of each connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received(Arc<Mutex<Vec<Vec<u8>>>>);

impl Received {
    /// A copy of it.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    }

    fn extend(&self, place: usize, octets: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place].extend_from_slice(octets);
    }
}

/// Takes connections at a port of the agencies' address.
pub(crate) fn tcp(office: &Namespace, port: u16) -> Received {
    let listener = office.enter(|| TcpListener::bind((address(), port))).unwrap().unwrap();
    let received = Received::default();
    let kept = received.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (kept, place) = (kept.clone(), kept.begin());
            thread::spawn(move || read(connection, |octets| kept.extend(place, octets)));
        }
    });
    received
}

fn read(mut connection: TcpStream, mut take: impl FnMut(&[u8])) {
    let mut octets = vec![0; 1 << 16];
    while let Ok(length @ 1..) = connection.read(&mut octets) {
        take(&octets[..length]);
    }
}

/// How an agency behaves that does not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Reads a hundred kilobytes a second.
    Slow,
    /// Reads everything and answers nothing.
    Silent,
    /// Answers in another protocol.
    Nonsense,
    /// Goes away in the middle of a PDU, and does so each time.
    Gone,
}

/// An agency with bad manners, until it leaves.
pub(crate) struct Unruly {
    received: Received,
    hurries: Arc<AtomicBool>,
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Unruly {
    pub(crate) fn start(office: &Namespace, port: u16, manners: Manners) -> Self {
        let listener = office.enter(|| TcpListener::bind((address(), port))).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (received, hurries, leaves) = (Received::default(), Arc::default(), Arc::default());
        let (kept, hurried, left): (Received, Arc<AtomicBool>, Arc<AtomicBool>) =
            (received.clone(), Arc::clone(&hurries), Arc::clone(&leaves));
        let thread = thread::spawn(move || {
            while !left.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((connection, _)) => behave(connection, manners, &kept, &hurried, &left),
                    Err(_) => thread::sleep(PACE),
                }
            }
        });
        Self { received, hurries, leaves, thread }
    }

    /// Makes it read as fast as anybody.
    pub(crate) fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
    }

    /// What it has read so far.
    pub(crate) fn received(&self) -> Received {
        self.received.clone()
    }

    /// Ends it, so that its port is free. Gives what it has read.
    pub(crate) fn leave(self) -> Received {
        self.leaves.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic");
        self.received
    }
}

fn behave(mut connection: TcpStream, manners: Manners, kept: &Received, hurries: &AtomicBool, leaves: &AtomicBool) {
    /// Ends within a PDU: none of the probe's is so short.
    const UNTIL_GONE: usize = 10_003;
    connection.set_nonblocking(false).unwrap();
    connection.set_read_timeout(Some(PACE)).unwrap();
    let (place, mut octets, mut count) = (kept.begin(), vec![0; 1 << 16], 0);
    while !leaves.load(Ordering::Relaxed) {
        let is_slow = manners == Manners::Slow && !hurries.load(Ordering::Relaxed);
        let most = match manners {
            Manners::Gone => UNTIL_GONE - count,
            _ if is_slow => 2000,
            _ => octets.len(),
        };
        match connection.read(&mut octets[..most]) {
            Ok(0) => return,
            Ok(length) => {
                kept.extend(place, &octets[..length]);
                count += length;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        match manners {
            Manners::Slow if is_slow => thread::sleep(PACE),
            Manners::Nonsense if connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err() => return,
            Manners::Gone if count == UNTIL_GONE => return,
            _ => {}
        }
    }
}
