//! What a person reads in the log when an agency cannot be reached: the reason, what to do, and that once.

use crate::rig::{Stream, eventually, listen, timing};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use writ_delivery::Transport;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failure_is_said_once_and_not_at_every_attempt() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().json().with_writer(move || writer.clone()).init();
    let (listener, endpoint) = listen();
    drop(listener);
    let mut stream = Stream::new(2, 4096);
    stream.label = "quiet cmii".to_owned();
    let session = stream.session(&endpoint, Transport::Plain, timing());
    eventually("several attempts", || stream.account().attempts_failed >= 4);
    session.stop(Duration::ZERO);
    session.join().unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warnings: Vec<_> =
        text.lines().filter(|line| line.contains("\"WARN\"") && line.contains("quiet cmii")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    for words in ["quiet cmii", "\"reason\":\"refused\"", "check host and port"] {
        assert!(warnings[0].contains(words), "{words}: {}", warnings[0]);
    }
}
