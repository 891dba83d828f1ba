//! What the tests have in common: the program as a process, a probe that speaks to it, certificates, packets.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustix::process::{Pid, Signal, kill_process};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use writ_encoder::{
    UtcMicros,
    t1_ias::{
        Allocation, Assignment, CaseId, ContentIdentifier, CorrelationId, Direction, Flow, IapSystemId, Intercept,
        OptionalModule, SessionId, Status, SubscriberIdentity, Summary, Surveillance,
    },
};

/// Tests wait for what has to come; this is only how long until it counts as never.
const NEVER: Duration = Duration::from_secs(60);

/// Waits until `ready` gives something.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < NEVER, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `writ-collect listen`, killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) cmii: SocketAddr,
    pub(crate) cmc: SocketAddr,
    events: Arc<Mutex<VecDeque<Value>>>,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it on free ports of loopback, with these arguments besides.
    pub(crate) fn start(directory: &Path, arguments: &[&OsStr]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_writ-collect")), directory, arguments)
    }

    /// Starts it without TLS, with these flags besides, in words. `cmii` is whether the format has any.
    pub(crate) fn start_plain(directory: &Path, cmii: bool, flags: &str) -> Self {
        let flags: Vec<&OsStr> = ["--plain"].into_iter().chain(flags.split_whitespace()).map(OsStr::new).collect();
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_writ-collect")), directory, cmii, &flags)
    }

    /// Starts it by a command that ends in it.
    pub(crate) fn start_as(command: Command, directory: &Path, arguments: &[&OsStr]) -> Self {
        Self::spawn(command, directory, true, arguments)
    }

    fn spawn(mut command: Command, directory: &Path, cmii: bool, arguments: &[&OsStr]) -> Self {
        let mut child = command
            .args(["listen", "--json", "--cmc", "127.0.0.1:0"])
            .args(["--cmii", "127.0.0.1:0"].iter().filter(|_| cmii))
            .arg("--directory")
            .arg(directory)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("writ-collect starts");
        let log = Arc::new(Mutex::new(String::new()));
        let events = Arc::new(Mutex::new(VecDeque::<Value>::new()));
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let to_log = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = to_log.lock().expect("log");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let to_events = Arc::clone(&events);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                to_events.lock().expect("events").push_back(serde_json::from_str(&line).expect("a JSON line"));
            }
        });
        let first = until("listening", || events.lock().expect("events").pop_front());
        assert_eq!(first["event"], "listening");
        let address = |name: &str| first["endpoints"][name].as_str().map(|text| text.parse().expect("address"));
        let (cmii, cmc) = (address("cmii"), address("cmc").expect("there is content in every format"));
        Self { child, cmii: cmii.unwrap_or(cmc), cmc, events, log }
    }

    /// Waits until the log holds a text; gives the line.
    pub(crate) fn logged(&self, text: &str) -> String {
        until(text, || {
            let log = self.log.lock().expect("log");
            log.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// Waits until the latest counts are so.
    pub(crate) fn counted(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        until(what, || self.events.lock().expect("events").back().filter(|status| good(status)).cloned())
    }

    /// Ends it in order; gives the final counts and how it ended.
    pub(crate) fn stop(mut self) -> (Value, ExitStatus) {
        self.signal(Signal::TERM);
        let status = self.child.wait().expect("ended");
        let last = self.counted("final counts", |event| event["event"] == "final");
        (last, status)
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("ended");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("log of writ-collect:\n{}", self.log.lock().expect("log"));
        }
    }
}

/// Writes the PDUs of one intercept.
pub(crate) struct Probe {
    intercept: Intercept,
}

/// 2026-06-01T00:00:00Z and some microseconds.
pub(crate) fn time(micros: i64) -> UtcMicros {
    UtcMicros::new(1_780_272_000_000_000 + micros).expect("in range")
}

impl Probe {
    pub(crate) fn new(case_id: &str) -> Self {
        let correlation = CorrelationId::new(*b"C1").expect("fits");
        Self {
            intercept: Intercept::new(
                &CaseId::new(case_id).expect("fits"),
                &IapSystemId::new("LAB-1").expect("fits"),
                &ContentIdentifier::Correlation(correlation),
                &SubscriberIdentity::new("account 7").expect("fits"),
            ),
        }
    }

    /// The packet with this number; odd ones come from the subject.
    pub(crate) fn content(&self, sequence: u64) -> Vec<u8> {
        let packet = packet(sequence);
        let mut out = vec![0; self.intercept.content_bound(packet.len())];
        let micros = i64::try_from(sequence).expect("small");
        let written = self.intercept.content(&mut out, time(micros), direction(sequence), sequence, &packet);
        out.truncate(written.expect("room"));
        out
    }

    /// The packets with these numbers.
    pub(crate) fn contents(&self, sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
        sequences.into_iter().flat_map(|sequence| self.content(sequence)).collect()
    }

    /// The header report of the packet with this number.
    pub(crate) fn report(&self, number: u16) -> Vec<u8> {
        let mut out = vec![0; self.intercept.header_report_bound()];
        let written = self.intercept.header_report(&mut out, time(number.into()), &flow(number)).expect("room");
        out.truncate(written);
        out
    }

    /// A summary of the flow of the packet with this number.
    pub(crate) fn summary(&self, number: u16, packets: u64) -> Vec<u8> {
        let summary = Summary { flow: flow(number), packets };
        let mut out = vec![0; Intercept::SUMMARY_REPORT_BOUND];
        let written = self.intercept.summary_report(&mut out, time(number.into()), &summary).expect("room");
        out.truncate(written);
        out
    }

    /// What became of the surveillance, in the optional module of this number.
    pub(crate) fn surveillance(&self, module: &str, surveillance: Surveillance, status: &str) -> Vec<u8> {
        let module = OptionalModule::new(module).expect("numbers");
        self.intercept.surveillance(&module, time(0), surveillance, &Status::new(status).expect("fits"))
    }

    /// The session's announcement.
    pub(crate) fn session(&self) -> Vec<u8> {
        self.intercept.session_already_established(
            time(0),
            &SessionId::new("session, \"one\"").expect("fits"),
            Assignment::of("198.51.100.7".parse().expect("address"), Allocation::Static),
        )
    }
}

/// The flow of the packet with this number.
fn flow(number: u16) -> Flow {
    Flow {
        source: "198.51.100.7".parse().expect("address"),
        destination: "2001:db8::7".parse().expect("address"),
        protocol: 17,
        ports: Some((1024 + number, 53)),
        flow_label: None,
    }
}

/// Which way the packet with this number goes.
pub(crate) fn direction(sequence: u64) -> Direction {
    if sequence % 2 == 1 { Direction::FromSubject } else { Direction::ToSubject }
}

/// The packet with this number: every third is IPv6, none is like another.
pub(crate) fn packet(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_be_bytes().to_vec();
    payload.resize(8 + usize::try_from(sequence).expect("small") * 7 % 1400, 0xa5);
    let length = u16::try_from(payload.len()).expect("small");
    let mut packet = Vec::new();
    if sequence.is_multiple_of(3) {
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&[253, 64]); // a protocol for experiments, hop limit
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    } else {
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&(20 + length).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, 64, 253, 0, 0]);
        packet.extend_from_slice(&[198, 51, 100, 7, 203, 0, 113, 9]);
    }
    packet.extend_from_slice(&payload);
    packet
}

/// Connects without TLS and sends.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(to).expect("connected");
    connection.write_all(bytes).expect("sent");
    connection
}

/// Waits until the other side ends the connection; an error is one way to.
pub(crate) fn ended(mut connection: impl Read) -> io::Result<()> {
    io::copy(&mut connection, &mut io::sink()).map(drop)
}

/// Certificates in a folder: an authority, what it issued, and a stranger.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) collector: Identity,
    pub(crate) probe: Identity,
    pub(crate) stranger: Identity,
}

pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    pub(crate) fn issue(folder: &Path) -> Self {
        let (authority, known) = new_authority(folder, "authority");
        let (_, strange) = new_authority(folder, "strange");
        let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        Self {
            authority,
            collector: issue(folder, "collector", &known, "127.0.0.1", server),
            probe: issue(folder, "probe", &known, "probe.invalid", client.clone()),
            stranger: issue(folder, "stranger", &strange, "probe.invalid", client),
        }
    }

    /// The flags of a collector with TLS.
    pub(crate) fn flags(&self) -> [&OsStr; 6] {
        [
            "--tls-cert".as_ref(),
            self.collector.certificate.as_os_str(),
            "--tls-key".as_ref(),
            self.collector.key.as_os_str(),
            "--client-ca".as_ref(),
            self.authority.as_os_str(),
        ]
    }

    /// Connects with TLS, as somebody or as nobody.
    pub(crate) fn connect(&self, to: SocketAddr, who: Option<&Identity>) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority).expect("authority")).expect("usable");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let config = match who {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(certificate).expect("certificate")],
                    PrivateKeyDer::from_pem_file(key).expect("key"),
                )
                .expect("matching"),
        };
        let name = ServerName::from(to.ip());
        let session = ClientConnection::new(Arc::new(config), name).expect("session");
        StreamOwned::new(session, TcpStream::connect(to).expect("connected"))
    }
}

fn new_authority(folder: &Path, name: &str) -> (PathBuf, Issuer<'static, KeyPair>) {
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("key");
    let path = folder.join(format!("{name}.pem"));
    fs::write(&path, parameters.self_signed(&key).expect("signed").pem()).expect("written");
    (path, Issuer::new(parameters, key))
}

fn issue(
    folder: &Path,
    name: &str,
    issuer: &Issuer<'_, KeyPair>,
    subject: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> Identity {
    let mut parameters = CertificateParams::new([subject.to_owned()]).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().expect("key");
    let identity =
        Identity { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    fs::write(&identity.certificate, parameters.signed_by(&key, issuer).expect("signed").pem()).expect("written");
    fs::write(&identity.key, key.serialize_pem()).expect("written");
    identity
}

/// The packets of a pcapng file as tshark reads them: microsecond since 1970, bytes. None where there is no tshark.
pub(crate) fn tshark(file: &Path) -> Option<Vec<(u64, Vec<u8>)>> {
    let pcap = run_tshark(file, &["-w", "-", "-F", "pcap"])?;
    let u32_at = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().expect("four"));
    let per_micro = match u32_at(0) {
        0xa1b2_c3d4 => 1,
        0xa1b2_3c4d => 1000,
        magic => panic!("not a pcap file: {magic:#x}"),
    };
    // tshark writes DLT_RAW for raw IP.
    assert!([12, 101].contains(&u32_at(20)), "link type {}", u32_at(20));
    let mut packets = Vec::new();
    let mut at = 24;
    while at < pcap.len() {
        let length = u32_at(at + 8) as usize;
        assert!(length <= u32_at(at + 12) as usize);
        let micros = u64::from(u32_at(at)) * 1_000_000 + u64::from(u32_at(at + 4) / per_micro);
        packets.push((micros, pcap[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    Some(packets)
}

/// What tshark prints for a file. None where there is no tshark.
pub(crate) fn run_tshark(file: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = match Command::new("tshark").arg("-r").arg(file).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let required = std::env::var_os("WRIT_REQUIRE_TOOLS").is_some_and(|value| value == "1");
            assert!(!required, "tshark is missing: run `cargo xtask setup`");
            eprintln!("skipped: tshark is missing, run `cargo xtask setup`");
            return None;
        }
        Err(error) => panic!("tshark: {error}"),
    };
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// The JSON lines of a file.
pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
