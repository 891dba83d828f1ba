//! The two endpoints, and the collector as a whole: start, counts, stop.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConfig;

use crate::{
    Stream,
    case::CaseError,
    cases::{Cases, lock},
    config::{Endpoint, Problem, Settings, Transport},
    connection::{Connection, Ending, Service},
    datagrams::Datagrams,
    formats::{Format, Terms},
    lines::Lines,
    now,
    status::{Counts, Endpoints, Status},
    tls,
};

/// How often a listener looks whether the collector stops.
const ACCEPT_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Connections that may wait to be accepted: what the standard library asks the kernel for.
const BACKLOG: u32 = 128;
/// After an accept that failed, for example because all descriptors are in use.
const ACCEPT_BREATH: Duration = Duration::from_millis(200);

/// Why a collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting that only now shows to be wrong.
    #[error(transparent)]
    Setting(#[from] Problem),
    /// The system gives no thread.
    #[error("no thread for an endpoint: {0}; raise the limit of processes")]
    Thread(io::Error),
}

/// A collector that runs.
pub struct Collector {
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
}

struct Shared {
    cases: Arc<Cases>,
    tls: Option<Arc<ServerConfig>>,
    terms: Terms,
    datagrams: Vec<Arc<Datagrams>>,
    keep_streams: bool,
    max_connections: usize,
    endpoints: Endpoints,
    stop: AtomicBool,
    accepted: AtomicU64,
    refused: AtomicU64,
    faults: AtomicU64,
    active: Mutex<BTreeMap<u64, Arc<Connection>>>,
    record: Mutex<Lines>,
}

impl Collector {
    /// Opens the folder and the ports, and begins to accept.
    ///
    /// # Errors
    /// The setting that does not work out. Nothing is left running then.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let origin = &settings.origin;
        let tls = match &settings.transport {
            Transport::Tls(files) => Some(tls::server_config(files, origin)?),
            Transport::Plain => None,
        };
        let bind = |field, endpoint: Endpoint| {
            Port::bind(&endpoint).map_err(|error| {
                let remedy = "give a free port on an address of this machine";
                origin.problem(field, format!("{}: {error}", endpoint.address), remedy)
            })
        };
        let cmii = settings.cmii.map(|endpoint| bind("cmii", endpoint)).transpose()?;
        let cmc = bind("cmc", settings.cmc)?;
        let endpoints = Endpoints { cmii: cmii.as_ref().map(|port| port.address), cmc: cmc.address };
        let ports: Vec<_> = cmii.map(|port| (Stream::Cmii, port)).into_iter().chain([(Stream::Cmc, cmc)]).collect();
        let unusable = |error: io::Error| {
            let what = format!("{}: {error}", settings.directory.display());
            origin.problem("directory", what, "give a folder that may be written and is no other collector's")
        };
        let cases = Cases::open(&settings.directory, settings.max_cases, settings.keep_streams).map_err(unusable)?;
        let record = cases.connections().map_err(unusable)?;
        let (mut listeners, mut datagrams) = (Vec::new(), Vec::new());
        for (stream, Port { way, .. }) in ports {
            match way {
                Way::Connections(listener, format) => listeners.push((stream, listener, format)),
                Way::Datagrams(socket, format) => {
                    let endpoint = Datagrams::new(stream, format, socket).map_err(|error| {
                        let remedy = "see what limits sockets on this machine";
                        origin.problem(stream.name(), error.to_string(), remedy)
                    })?;
                    datagrams.push(Arc::new(endpoint));
                }
            }
        }
        let shared = Arc::new(Shared {
            cases: Arc::new(cases),
            tls,
            terms: Terms::new(&settings.reading),
            datagrams,
            keep_streams: settings.keep_streams,
            max_connections: settings.max_connections,
            endpoints,
            stop: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            active: Mutex::default(),
            record: Mutex::new(record),
        });
        let mut collector = Self { shared, listeners: Vec::new() };
        let mut threads: Vec<(Stream, Box<dyn FnOnce() + Send>)> = Vec::new();
        for (stream, listener, format) in listeners {
            let shared = Arc::clone(&collector.shared);
            threads.push((stream, Box::new(move || shared.accept(stream, &listener, format))));
        }
        for endpoint in &collector.shared.datagrams {
            let (shared, stream) = (Arc::clone(&collector.shared), endpoint.stream());
            let endpoint = Arc::clone(endpoint);
            let serve = move || endpoint.serve(&shared.terms, &shared.cases, &shared.stop);
            threads.push((stream, Box::new(serve)));
        }
        for (stream, serve) in threads {
            match thread::Builder::new().name(format!("listen-{}", stream.name())).spawn(serve) {
                Ok(thread) => collector.listeners.push(thread),
                Err(error) => {
                    collector.stop();
                    return Err(StartError::Thread(error));
                }
            }
        }
        Ok(collector)
    }

    /// Where it listens: the ports that were bound, if the settings left them open.
    pub fn endpoints(&self) -> Endpoints {
        self.shared.endpoints
    }

    /// The folder of the cases.
    pub fn directory(&self) -> PathBuf {
        self.shared.cases.root().to_owned()
    }

    /// Counts until now.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Writes the `digest.json` of each case that something came for. Failures are logged and end the case's
    /// connections with their next PDU.
    pub fn write_digests(&self) {
        for case in self.shared.cases.all() {
            let mut case = lock(&case);
            if let Err(error) = case.write_digest() {
                tracing::error!(case = case.name(), "{error}");
            }
        }
    }

    /// Ends all connections in order, files what had arrived, closes all files. Returns the final counts and what could
    /// not be closed well.
    pub fn stop(self) -> (Status, Vec<CaseFailure>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for listener in self.listeners {
            // A listener that panicked has ended as well.
            let _ = listener.join();
        }
        let mut failures = Vec::new();
        for case in self.shared.cases.all() {
            let mut case = lock(&case);
            if let Err(error) = case.close() {
                tracing::error!(case = case.name(), "{error}");
                failures.push(CaseFailure { case: case.name().to_owned(), error });
            }
        }
        (self.shared.status(), failures)
    }
}

/// A case whose files could not be closed well.
#[derive(Debug, thiserror::Error)]
#[error("case {case}: {error}")]
pub struct CaseFailure {
    case: String,
    error: CaseError,
}

/// An endpoint whose port is taken.
struct Port {
    address: SocketAddr,
    way: Way,
}

/// How the handover comes to it.
enum Way {
    Connections(TcpListener, Option<Format>),
    Datagrams(UdpSocket, Format),
}

impl Port {
    fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint.format {
            Some(format) if format.is_datagrams() => {
                let socket = UdpSocket::bind(endpoint.address)?;
                Ok(Self { address: socket.local_addr()?, way: Way::Datagrams(socket, format) })
            }
            format => {
                let listener = TcpListener::bind(endpoint.address)?;
                // A peer may be gone between poll and accept.
                listener.set_nonblocking(true)?;
                Ok(Self { address: listener.local_addr()?, way: Way::Connections(listener, format) })
            }
        }
    }
}

impl Shared {
    /// Accepts connections until the collector stops, then waits for the last of them.
    fn accept(self: &Arc<Self>, stream: Stream, listener: &TcpListener, format: Option<Format>) {
        let mut threads = Vec::<JoinHandle<()>>::new();
        // What the kernel had taken when the stop came was acknowledged: it is served too.
        let mut last_ones = 0..BACKLOG;
        while !self.stop.load(Ordering::Relaxed) || last_ones.next().is_some() {
            let stopping = last_ones.start > 0;
            let wait = if stopping { Timespec::default() } else { ACCEPT_WAIT };
            let mut ready = [PollFd::new(listener, PollFlags::IN)];
            match poll(&mut ready, Some(&wait)) {
                Ok(0) if stopping => break,
                Ok(1..) => {}
                // A poll that fails (interrupted) is as good as one that waited.
                Ok(0) | Err(_) => continue,
            }
            match listener.accept() {
                Ok((socket, peer)) => threads.extend(self.admit(stream, format, socket, peer)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::error!("{} endpoint: no connection accepted: {error}", stream.name());
                    thread::sleep(ACCEPT_BREATH);
                }
            }
            threads.retain(|thread| !thread.is_finished());
        }
        for thread in threads {
            // A connection that panicked has ended as well.
            let _ = thread.join();
        }
    }

    /// Begins to serve a connection in a thread of its own, if there is room.
    fn admit(
        self: &Arc<Self>,
        stream: Stream,
        format: Option<Format>,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> Option<JoinHandle<()>> {
        let id = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Arc::new(Connection::new(id, stream, peer));
        {
            let mut active = lock(&self.active);
            if active.len() >= self.max_connections {
                drop(active);
                self.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("{}: refused: {} connections already", connection.title(), self.max_connections);
                return None;
            }
            active.insert(id, Arc::clone(&connection));
        }
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name(format!("{}-{id}", stream.name())).spawn(move || {
            shared.serve(&connection, format, socket);
        });
        match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                lock(&self.active).remove(&id);
                self.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{} endpoint: no thread for a connection: {error}", stream.name());
                None
            }
        }
    }

    fn serve(&self, connection: &Connection, format: Option<Format>, socket: TcpStream) {
        // Non-blocking was for the listener only.
        let (ending, record) = match socket.set_nonblocking(false) {
            Ok(()) => {
                let service = Service {
                    tls: self.tls.as_ref(),
                    format,
                    terms: &self.terms,
                    cases: &self.cases,
                    keep: self.keep_streams,
                    stop: &self.stop,
                };
                connection.serve(socket, &service)
            }
            Err(error) => (Ending::Broken(error), serde_json::Value::Null),
        };
        let title = connection.title();
        match &ending {
            Ending::Closed | Ending::Stopped => tracing::info!("{title}: {ending}"),
            Ending::WithinPdu { .. } | Ending::Broken(_) | Ending::Deaf => tracing::warn!("{title}: {ending}"),
            Ending::Refused(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("{title}: {ending}");
            }
            Ending::Fault(_) => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{title}: ended: {ending}");
            }
        }
        {
            let mut lines = lock(&self.record);
            if let Err(error) = lines.append(record.to_string().as_bytes()).and_then(|()| lines.flush()) {
                tracing::error!("{title}: its end is not on record: {error}");
            }
        }
        lock(&self.active).remove(&connection.id());
    }

    fn status(&self) -> Status {
        let mut totals = Counts::default();
        let mut cases = BTreeMap::new();
        for case in self.cases.all() {
            let case = lock(&case);
            let counts = case.counts();
            if !case.is_test() {
                totals.add(&counts);
            }
            cases.insert(case.name().to_owned(), counts);
        }
        Status {
            at: now(),
            endpoints: self.endpoints,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            datagrams: self.datagrams.iter().map(|endpoint| endpoint.status()).collect(),
            connections: lock(&self.active).values().map(|connection| connection.status()).collect(),
            totals,
            cases,
        }
    }
}
