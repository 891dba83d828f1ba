//! A stream with numbered PDUs at one end and an agency that reads them at the other.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use writ_delivery::{
    Destination, Ended, Endpoint, FailureKind, Predecessor, Route, Session, SessionHandle, SessionSetup, Timing,
    Transport,
};
use writ_spool::{
    AppendError, Consumer, DeliverySnapshot, Ledger, LossReason, Producer, Record, RecordKind, StreamSnapshot, Wake,
    create_stream,
};

/// Gives up on a condition that never comes; no test depends on how soon it comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Impatient enough for tests.
pub(crate) fn timing() -> Timing {
    Timing {
        hold: Duration::from_millis(100),
        datagram_hold: Duration::from_millis(100),
        retry_first: Duration::from_millis(10),
        retry_most: Duration::from_millis(50),
        ..Timing::default()
    }
}

pub(crate) struct Stream {
    memory: OwnedFd,
    wake: Wake,
    pub(crate) ledger: Arc<Ledger>,
    producer: Producer,
    next: u64,
    pub(crate) label: String,
}

impl Stream {
    pub(crate) fn new(segments: usize, segment_bytes: usize) -> Self {
        let ledger = Arc::new(Ledger::open(Ledger::create(1, 1).unwrap()).unwrap());
        ledger.slot(0).unwrap().reset(1, 1);
        let memory = create_stream("test", segments, segment_bytes).unwrap();
        let wake = Wake::create().unwrap();
        let producer = Producer::open(&memory, wake.try_clone().unwrap(), ledger.clone()).unwrap();
        Self { memory, wake, ledger, producer, next: 0, label: "lab cmc".to_owned() }
    }

    /// Appends `count` numbered PDUs; those that find the stream full are counted lost. Returns the numbers appended.
    pub(crate) fn feed(&mut self, count: u64) -> Vec<u64> {
        self.feed_with(count, MAX_PDU, write_pdu)
    }

    /// The same of PDUs that `write` makes of their numbers, of at most `most` bytes each.
    pub(crate) fn feed_with(&mut self, count: u64, most: usize, write: impl Fn(&mut [u8], u64) -> usize) -> Vec<u64> {
        let mut appended = Vec::new();
        for _ in 0..count {
            let number = self.next;
            self.next += 1;
            let slot = self.ledger.slot(0).unwrap();
            slot.receive(1, 0);
            let record = Record { slot: 0, generation: 1, delivery: 0, kind: RecordKind::Content, sequence: number };
            match self.producer.append(most, record, |room| Ok::<_, ()>(write(room, number))) {
                Ok(_) => appended.push(number),
                Err(AppendError::Full) => slot.lost(0, LossReason::SpoolFull, 1),
                Err(other) => panic!("{other:?}"),
            }
        }
        self.producer.commit().unwrap();
        appended
    }

    pub(crate) fn session(&self, endpoint: &str, transport: Transport, timing: Timing) -> SessionHandle {
        self.session_to(
            Route::Endpoint { endpoint: Endpoint::try_from(endpoint.to_owned()).unwrap(), transport },
            timing,
        )
    }

    pub(crate) fn session_to(&self, route: Route, timing: Timing) -> SessionHandle {
        let consumer = Consumer::open(&self.memory, self.wake.try_clone().unwrap(), self.ledger.clone()).unwrap();
        Session::spawn(SessionSetup {
            label: self.label.clone(),
            route,
            predecessor: Predecessor::FormerRun,
            consumer,
            ledger: self.ledger.clone(),
            stream: 0,
            timing,
            digests: None,
            notices: None,
        })
        .unwrap()
    }

    pub(crate) fn books(&self) -> DeliverySnapshot {
        self.ledger.slot(0).unwrap().snapshot().unwrap().deliveries[0]
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.books().delivered(RecordKind::Content)
    }

    pub(crate) fn account(&self) -> StreamSnapshot {
        self.ledger.stream(0).unwrap().snapshot()
    }

    pub(crate) fn failure(&self) -> Option<FailureKind> {
        FailureKind::from_code(self.account().failure)
    }
}

const MAX_PDU: usize = 1500;

/// Length, number, filler that depends on the number.
fn write_pdu(room: &mut [u8], number: u64) -> usize {
    let length = 12 + (number * 7919 % 1400) as usize;
    room[..4].copy_from_slice(&(length as u32).to_be_bytes());
    room[4..12].copy_from_slice(&number.to_be_bytes());
    room[12..length].fill(number as u8);
    length
}

/// Takes whole PDUs off the front of what a connection brought, and checks every byte.
pub(crate) fn take_pdus(bytes: &mut Vec<u8>) -> Vec<u64> {
    let (mut numbers, mut at) = (Vec::new(), 0);
    let mut expected = [0; MAX_PDU];
    while bytes.len() - at >= 12 {
        let number = u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap());
        let length = write_pdu(&mut expected, number);
        if bytes.len() - at < length {
            break;
        }
        assert_eq!(bytes[at..at + length], expected[..length], "PDU {number} garbled");
        numbers.push(number);
        at += length;
    }
    bytes.drain(..at);
    numbers
}

/// A listener whose connections hold little that was acknowledged and not read.
pub(crate) fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 32 * 1024).unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    (listener, endpoint)
}

/// An agency's connection, plain or TLS.
pub(crate) enum Peer {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Peer {
    pub(crate) fn accept(listener: &TcpListener, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let (socket, _) = listener.accept()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
        while stream.conn.is_handshaking() {
            let done = stream.conn.complete_io(&mut stream.sock);
            if let Err(error) = done {
                // The alert that says why goes out even though the handshake failed.
                let _ = stream.conn.write_tls(&mut stream.sock);
                return Err(error);
            }
        }
        stream.flush()?;
        Ok(Self::Tls(Box::new(stream)))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // The probe may be gone, which the next read shows.
        let _ = match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
    }

    /// End of the connection reads as 0, however it came about.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> usize {
        match self {
            Self::Plain(socket) => socket.read(room),
            Self::Tls(stream) => stream.read(room),
        }
        .unwrap_or(0)
    }
}

/// Two authorities that do not know each other, and certificates of both.
pub(crate) struct Pki {
    pub(crate) directory: tempfile::TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self { directory: tempfile::tempdir().unwrap() };
        for authority in ["ours", "strange"] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, format!("{authority} authority"));
            let key = KeyPair::generate().unwrap();
            pki.write(&format!("{authority}-ca.pem"), &params.self_signed(&key).unwrap().pem());
            let issuer = Issuer::new(params, key);
            let server = ExtendedKeyUsagePurpose::ServerAuth;
            let client = ExtendedKeyUsagePurpose::ClientAuth;
            pki.issue(&issuer, &format!("{authority}-server"), "127.0.0.1", server.clone(), 2100);
            pki.issue(&issuer, &format!("{authority}-probe"), "probe.invalid", client, 2100);
            pki.issue(&issuer, &format!("{authority}-misnamed"), "other.invalid", server.clone(), 2100);
            pki.issue(&issuer, &format!("{authority}-expired"), "127.0.0.1", server, 2001);
        }
        pki
    }

    fn issue(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        name: &str,
        subject: &str,
        purpose: ExtendedKeyUsagePurpose,
        until_year: i32,
    ) {
        let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A destination that trusts our authority and shows the certificate of that name.
    pub(crate) fn destination(&self, certificate: &str) -> Destination {
        let file = |name: &str| self.path(name).display().to_string();
        toml::from_str(&format!(
            "name = \"lab\"\nformat = \"t1-ias\"\ncmii = \"127.0.0.1:1\"\ncmc = \"127.0.0.1:2\"\n\
             [tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"",
            file("ours-ca.pem"),
            file(&format!("{certificate}.pem")),
            file(&format!("{certificate}.key")),
        ))
        .unwrap()
    }

    pub(crate) fn transport(&self, certificate: &str) -> Transport {
        let [_, cmc] = self.destination(certificate).load("destination[0]").unwrap();
        let Route::Endpoint { transport, .. } = cmc else { panic!("{cmc:?}") };
        transport
    }

    /// An agency's side that shows the certificate of that name and wants one of our authority.
    pub(crate) fn server(&self, certificate: &str, tickets: usize) -> Arc<ServerConfig> {
        let read = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(read(&self.path("ours-ca.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![read(&self.path(&format!("{certificate}.pem")))],
                PrivateKeyDer::from_pem_file(self.path(&format!("{certificate}.key"))).unwrap(),
            )
            .unwrap();
        config.send_tls13_tickets = tickets;
        Arc::new(config)
    }
}

/// What is written for a packet of a case (0 or 1), by its number.
type Encode = Box<dyn Fn(usize, u64, &[u8]) -> Vec<u8>>;

/// A stream of content for two cases by turns, and the folder that it goes to.
pub(crate) struct FolderRig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) memory: OwnedFd,
    wake: Wake,
    pub(crate) ledger_memory: OwnedFd,
    pub(crate) ledger: Arc<Ledger>,
    producer: Producer,
    pub(crate) encode: Encode,
    pub(crate) next: u64,
    /// Of the destination, beside its folder.
    settings: &'static str,
    /// Which of the destination's streams: 0 identifying information, 1 content.
    pub(crate) stream: usize,
}

impl FolderRig {
    pub(crate) fn new(
        settings: &'static str,
        mode: u32,
        encode: impl Fn(usize, u64, &[u8]) -> Vec<u8> + 'static,
    ) -> Self {
        let ledger_memory = Ledger::create(2, 1).unwrap();
        let ledger = Arc::new(Ledger::open(&ledger_memory).unwrap());
        let memory = create_stream("test", 4, 1 << 18).unwrap();
        let wake = Wake::create().unwrap();
        let producer = Producer::open(&memory, wake.try_clone().unwrap(), ledger.clone()).unwrap();
        for slot in [0, 1] {
            ledger.slot(slot).unwrap().reset(1, 1);
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        Self {
            folder,
            memory,
            wake,
            ledger_memory,
            ledger,
            producer,
            encode: Box::new(encode),
            next: 0,
            settings,
            stream: 1,
        }
    }

    /// Appends numbered packets, in runs of three for each case.
    pub(crate) fn feed(&mut self, count: u64) {
        for _ in 0..count {
            let (number, slot) = (self.next, (self.next / 3 % 2) as u16);
            self.next += 1;
            let record = Record { slot, generation: 1, delivery: 0, kind: RecordKind::Content, sequence: number };
            let packet = vec![number as u8; 40 + (number * 131 % 1300) as usize];
            let pdu = (self.encode)(slot.into(), number, &packet);
            let write = |room: &mut [u8]| {
                room.copy_from_slice(&pdu);
                Ok::<_, ()>(pdu.len())
            };
            self.producer.append(pdu.len(), record, write).unwrap();
        }
        self.producer.commit().unwrap();
    }

    /// The numbers that must be in the files of a case.
    pub(crate) fn expected(&self, case: u64) -> Vec<u64> {
        (0..self.next).filter(|number| number / 3 % 2 == case).collect()
    }

    pub(crate) fn destination(&self) -> Destination {
        let folder = self.folder.path();
        toml::from_str(&format!("name = \"here\"\nfolder = {folder:?}\n{}", self.settings)).unwrap()
    }

    pub(crate) fn route(&self) -> Route {
        let routes = self.destination().load("destination[0]").unwrap();
        routes[self.stream].clone()
    }

    pub(crate) fn consumer(&self) -> Consumer {
        Consumer::open(&self.memory, self.wake.try_clone().unwrap(), self.ledger.clone()).unwrap()
    }

    pub(crate) fn session(&self, predecessor: Predecessor) -> SessionHandle {
        session_of(self.route(), predecessor, self.consumer(), self.ledger.clone())
    }

    /// A session that writes everything there is and ends.
    pub(crate) fn write_all(&self, predecessor: Predecessor) {
        let session = self.session(predecessor);
        session.stop(PATIENCE);
        assert!(matches!(session.join().unwrap(), Ended::Drained));
    }

    /// Waits until so many records are released.
    pub(crate) fn wait_for(&self, records: u64) {
        eventually("all on disk", || self.ledger.stream(0).unwrap().snapshot().delivered_records == records);
    }
}

/// A session of the only stream of a ledger.
pub(crate) fn session_of(
    route: Route,
    predecessor: Predecessor,
    consumer: Consumer,
    ledger: Arc<Ledger>,
) -> SessionHandle {
    Session::spawn(SessionSetup {
        label: "here cmc".to_owned(),
        route,
        predecessor,
        consumer,
        ledger,
        stream: 0,
        timing: timing(),
        digests: None,
        notices: None,
    })
    .unwrap()
}
