//! `writ run`: makes the shared memory and the channels, makes the tap ports quiet, starts the three roles, starts
//! again what ends, and puts everything back at the end. It takes no decision about any intercept and sees no packet.
//!
//! It keeps a handle to all memory and to both ends of every channel, so that a role that comes back finds its state:
//! PDUs that wait, counts, messages not yet read.

use super::control::Files;
use super::kept_ledger::KeptLedger;
use super::launch::{self, Launch, Role, StreamDescriptors};
use crate::config::Config;
use crate::ipc::{Channel, ChannelError, FromRole, ToControl};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use writ_capture::{PortError, PortSettings, PortState, port};
use writ_spool::{KeepError, create_stream};

/// How often the supervisor looks at its children.
const TICK: Duration = Duration::from_millis(20);
/// How long a role may take to say that it is ready: carrier, sockets and certificates included.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Waits before a role is started again: the first, doubling up to the last.
const RESTART_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The probe does not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A tap port cannot be used as configured.
    #[error("{0}")]
    Port(#[from] PortError),
    /// Another `writ run` holds the runtime directory.
    #[error("{lock}: another writ runs with this runtime directory; stop it first, or choose another probe.runtime", lock = .0.display())]
    Running(PathBuf),
    /// A directory or file of the probe's own.
    #[error("{path}: {source}; check the owner and mode of the path", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No memory, no descriptors.
    #[error("{what}: {source}")]
    Resource {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// What former runs left cannot be gone on with.
    #[error("{0}")]
    Ledger(#[from] KeepError),
    /// A role failed at its first start.
    #[error("the {role} role did not start: {error}")]
    Role {
        /// Which.
        role: Role,
        /// In its own words.
        error: String,
    },
    /// A channel.
    #[error("{0}")]
    Channel(#[from] ChannelError),
}

impl SupervisorError {
    /// Whether the fault is in what the operator set up, not in the run: exit code 2 of the command line.
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Port(_) | Self::Running(_) | Self::Role { .. } | Self::Ledger(_))
    }
}

/// Everything the roles share, kept for those that come back.
struct Shared {
    /// The configuration's text, as every role gets it.
    text: String,
    ledger: OwnedFd,
    /// The file of digests of what was delivered.
    delivered: OwnedFd,
    streams: Vec<StreamDescriptors>,
    /// control's end and capture's end.
    capture_channel: (Channel, Channel),
    /// control's end and deliver's end.
    deliver_channel: (Channel, Channel),
}

impl Shared {
    fn create(config: &Config, text: String, ledger: OwnedFd) -> Result<Self, SupervisorError> {
        let resource = |what| move |source: std::io::Error| SupervisorError::Resource { what, source };
        let mut streams = Vec::new();
        for destination in &config.destination {
            for kind in ["cmii", "cmc"] {
                let memory = create_stream(
                    &format!("writ-{}-{kind}", destination.name),
                    config.spool.segments as usize,
                    config.spool.segment_bytes as usize,
                )
                .map_err(resource("shared memory for the spool (spool.segments x spool.segment_bytes per endpoint)"))?;
                let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                    .map_err(|error| resource("an eventfd")(error.into()))?;
                streams.push(StreamDescriptors { memory, wake });
            }
        }
        let delivered = open_delivered(&Files::of(config).delivered)?;
        Ok(Self {
            text,
            ledger,
            delivered,
            streams,
            capture_channel: Channel::pair()?,
            deliver_channel: Channel::pair()?,
        })
    }

    /// The streams' memory holds content: only the roles that write and send it get it.
    fn streams(&self, role: Role) -> &[StreamDescriptors] {
        match role {
            Role::Capture | Role::Deliver => &self.streams,
            Role::Control => &[],
        }
    }

    fn delivered(&self, role: Role) -> Option<BorrowedFd<'_>> {
        (role == Role::Deliver).then(|| self.delivered.as_fd())
    }

    fn channels(&self, role: Role) -> Vec<&Channel> {
        match role {
            Role::Capture => vec![&self.capture_channel.1],
            Role::Deliver => vec![&self.deliver_channel.1],
            Role::Control => vec![&self.capture_channel.0, &self.deliver_channel.0],
        }
    }
}

/// One role's process and its past.
struct Keeper {
    role: Role,
    process: Option<(Child, Channel)>,
    started: Instant,
    ready: bool,
    life: u32,
    wait: Duration,
    due: Instant,
    failure: Option<String>,
}

impl Keeper {
    fn new(role: Role) -> Self {
        let now = Instant::now();
        Self {
            role,
            process: None,
            started: now,
            ready: false,
            life: 0,
            wait: RESTART_WAITS.0,
            due: now,
            failure: None,
        }
    }

    fn start(&mut self, shared: &Shared) -> Result<(), SupervisorError> {
        let (here, there) = Channel::pair()?;
        let child = Command::new("/proc/self/exe")
            .args(["role", self.role.name()])
            .stdin(Stdio::from(there.into_descriptor()))
            .stdout(Stdio::null())
            // A role must not die of the terminal's ctrl-C before the supervisor has ordered the stop.
            .process_group(0)
            .spawn()
            .map_err(|source| SupervisorError::Resource { what: "a process", source })?;
        let channels = shared.channels(self.role);
        let delivered = shared.delivered(self.role);
        let launch = Launch {
            config: shared.text.clone(),
            life: self.life,
            channels: channels.len(),
            delivered: delivered.is_some(),
        };
        self.life += 1;
        self.started = Instant::now();
        self.ready = false;
        self.failure = None;
        // Before the first word to it: a child is watched from its start, whatever becomes of that word.
        let (_, here) = self.process.insert((child, here));
        launch::send(here, &launch, &channels, shared.ledger.as_fd(), delivered, shared.streams(self.role))?;
        Ok(())
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|(child, _)| child.id())
    }

    /// Reads what the role has to say.
    fn listen(&mut self) {
        let Some((_, channel)) = &self.process else { return };
        while let Ok(Some((message, _))) = channel.receive::<FromRole>(Duration::ZERO) {
            match message {
                FromRole::Ready => self.ready = true,
                FromRole::Failed { error } => self.failure = Some(error),
            }
        }
    }

    /// Takes notice of the process's end.
    fn ended(&mut self) -> Option<ExitStatus> {
        let (child, _) = self.process.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        self.listen();
        self.process = None;
        self.ready = false;
        // A role that ran well for a minute starts its next life without the patience of a crash loop.
        if self.started.elapsed() > Duration::from_secs(60) {
            self.wait = RESTART_WAITS.0;
        }
        self.due = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(RESTART_WAITS.1);
        Some(status)
    }

    /// Asks the process to end, waits, and ends it. A role that is stopped (SIGSTOP) is woken to hear it.
    fn stop(&mut self, limit: Duration) {
        let Some((child, _)) = &mut self.process else { return };
        let pid = Pid::from_child(child);
        for signal in [Signal::TERM, Signal::CONT] {
            if let Err(error) = kill_process(pid, signal) {
                tracing::warn!(role = self.role.name(), %error, "signal not delivered");
            }
        }
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if matches!(child.try_wait(), Ok(Some(_))) {
                self.process = None;
                return;
            }
            std::thread::sleep(TICK);
        }
        tracing::error!(role = self.role.name(), "role does not end by itself: killed");
        self.kill();
        self.process = None;
    }

    /// Whether the role was started and is not ready although it had its time.
    fn hangs(&self) -> bool {
        self.process.is_some() && !self.ready && self.started.elapsed() > READY_LIMIT
    }

    fn kill(&mut self) {
        let Some((child, _)) = &mut self.process else { return };
        if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
            tracing::error!(role = self.role.name(), %error, "role cannot be killed");
        }
    }
}

/// Runs the probe until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: nothing is left running, and the ports are as they were.
pub fn supervise(config: &Config, text: String) -> Result<(), SupervisorError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|source| SupervisorError::Resource { what: "a signal handler", source })?;
    }
    let _lock = lock(&config.probe.runtime)?;
    create_private(&config.probe.state)?;
    let mut ports = Ports::new(&config.probe.runtime)?;
    for capture in &config.capture {
        ports.prepare(capture)?;
    }
    let (ledger, memory) = KeptLedger::open(config)?;
    let shared = Shared::create(config, text, memory)?;
    let mut keepers: Vec<Keeper> = Role::ALL.into_iter().map(Keeper::new).collect();
    let result = start_all(&mut keepers, &shared, &stop).and_then(|()| {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "probe is running");
        notify(&[sd_notify::NotifyState::Ready]);
        watch(&mut keepers, &shared, &stop)
    });
    notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("probe is stopping");
    // Capture first, so that nothing new comes; then what is queued goes out; control last, to record the final counts.
    let drain = Duration::from_secs(config.spool.drain_seconds.into());
    for (role, limit) in [
        (Role::Capture, Duration::from_secs(10)),
        (Role::Deliver, drain + Duration::from_secs(3)),
        (Role::Control, Duration::from_secs(10)),
    ] {
        for keeper in keepers.iter_mut().filter(|keeper| keeper.role == role) {
            keeper.stop(limit);
        }
    }
    ledger.close();
    drop(ports);
    tracing::info!("probe is stopped");
    result
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    // No systemd, no notice: that is as it should be.
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!(%error, "systemd was not notified");
    }
}

/// Starts every role and waits until it is ready. A failure here is the operator's to mend: nothing is tried again.
fn start_all(keepers: &mut [Keeper], shared: &Shared, stop: &AtomicBool) -> Result<(), SupervisorError> {
    for keeper in keepers {
        keeper.start(shared)?;
        while !keeper.ready {
            keeper.listen();
            let ended = keeper.ended();
            if let Some(error) = keeper.failure.take().or_else(|| ended.map(|status| format!("it ended with {status}")))
            {
                return Err(SupervisorError::Role { role: keeper.role, error });
            }
            if keeper.started.elapsed() > READY_LIMIT {
                return Err(SupervisorError::Role {
                    role: keeper.role,
                    error: "it is not ready after a minute".into(),
                });
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
    }
    Ok(())
}

fn watch(keepers: &mut [Keeper], shared: &Shared, stop: &AtomicBool) -> Result<(), SupervisorError> {
    // Told to control, which writes the audit log; kept while control is the one that is away.
    let mut news: VecDeque<ToControl> = keepers
        .iter()
        .filter_map(|keeper| Some(ToControl::RoleStarted { role: keeper.role, pid: keeper.pid()?, life: 0 }))
        .collect();
    while !stop.load(Ordering::Relaxed) {
        for keeper in keepers.iter_mut() {
            keeper.listen();
            if keeper.hangs() {
                tracing::error!(role = keeper.role.name(), "role does not get ready: killed");
                keeper.kill();
            }
            if let Some(status) = keeper.ended() {
                let status = keeper.failure.take().unwrap_or_else(|| status.to_string());
                tracing::error!(role = keeper.role.name(), %status, wait_ms = keeper.wait.as_millis(), "role ended: starting it again");
                news.push_back(ToControl::RoleEnded { role: keeper.role, status });
            }
            if keeper.process.is_none() && Instant::now() >= keeper.due {
                match keeper.start(shared) {
                    Ok(()) => {
                        if let Some(pid) = keeper.pid() {
                            news.push_back(ToControl::RoleStarted { role: keeper.role, pid, life: keeper.life - 1 });
                        }
                    }
                    Err(error) => {
                        tracing::error!(role = keeper.role.name(), %error, "role cannot be started");
                        keeper.due = Instant::now() + RESTART_WAITS.1;
                    }
                }
            }
        }
        if let Some((_, control)) = keepers
            .iter()
            .find(|keeper| keeper.role == Role::Control && keeper.ready)
            .and_then(|keeper| keeper.process.as_ref())
        {
            while let Some(message) = news.front() {
                if control.send(message, &[]).is_err() {
                    break;
                }
                news.pop_front();
            }
        }
        // A role that cannot start is news every ten seconds: enough of it is kept.
        while news.len() > 1000 {
            news.pop_front();
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// The tap ports as they were found, put back when this is dropped.
///
/// What they were is also written to the runtime directory: after a `kill -9` of the supervisor the next run still
/// knows, and its end restores the first state and not Writ's own.
pub struct Ports {
    runtime: PathBuf,
    states: Vec<PortState>,
}

impl Ports {
    /// None yet. `runtime`: the probe's runtime directory.
    ///
    /// # Errors
    /// When there is no such directory and none can be made.
    pub fn new(runtime: &Path) -> Result<Self, SupervisorError> {
        create_private(runtime)?;
        Ok(Self { runtime: runtime.to_owned(), states: Vec::new() })
    }

    fn file(&self, interface: &str) -> PathBuf {
        self.runtime.join(format!("port-{interface}.json"))
    }

    /// Makes a port quiet; before that it writes down how the port was, whole or not at all.
    ///
    /// # Errors
    /// When the port cannot be used as configured, or the record not be written.
    pub fn prepare(&mut self, settings: &PortSettings) -> Result<(), SupervisorError> {
        let file = self.file(&settings.interface);
        let before = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<PortState>(&bytes).ok());
        let found = PortState::read(&settings.interface)?;
        // An interface made anew since then (another index) has nothing to do with the old record.
        let state = before.filter(|before| before.ifindex == found.ifindex).unwrap_or(found);
        let unfinished = file.with_extension("new");
        serde_json::to_vec(&state)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&unfinished, text))
            .and_then(|()| std::fs::rename(&unfinished, &file))
            .map_err(|source| SupervisorError::File { path: file, source })?;
        self.states.push(state);
        port::quiet(settings)?;
        Ok(())
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        for state in &self.states {
            match port::restore(state) {
                Ok(()) => {
                    if let Err(error) = std::fs::remove_file(self.file(&state.interface)) {
                        tracing::warn!(%error, "the record of a port's former state stays behind");
                    }
                }
                Err(error) => tracing::error!(%error, "a tap port is not as it was before"),
            }
        }
    }
}

fn create_private(directory: &Path) -> Result<(), SupervisorError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| SupervisorError::File { path: directory.to_owned(), source })
}

/// Only ever appended to, so that several processes in a row cannot undo each other's lines.
fn open_delivered(path: &Path) -> Result<OwnedFd, SupervisorError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).read(true).append(true).mode(0o600).open(path);
    file.map(OwnedFd::from).map_err(|source| SupervisorError::File { path: path.to_owned(), source })
}

/// Whether a `writ run` holds this runtime directory.
pub fn is_running(runtime: &Path) -> bool {
    let file = std::fs::File::open(lock_file(runtime));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn lock_file(runtime: &Path) -> PathBuf {
    runtime.join("lock")
}

/// Keeps every `writ run` out of this runtime directory for as long as the file is open.
///
/// # Errors
/// When one is there.
pub fn lock(runtime: &Path) -> Result<std::fs::File, SupervisorError> {
    create_private(runtime)?;
    let path = lock_file(runtime);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| SupervisorError::File { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SupervisorError::Running(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(SupervisorError::File { path, source }),
    }
}
