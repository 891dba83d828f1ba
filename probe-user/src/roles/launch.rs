//! How a role comes to life: the supervisor starts this same binary with a channel as its standard input, and sends
//! down that channel the configuration and every descriptor the role may have. A role opens nothing that it was not
//! handed, but for the files that only it may read (keys, warrants).

use crate::config::Config;
use crate::explain::explain;
use crate::ipc::{Channel, ChannelError};
use crate::{roles, telemetry};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// One of the three processes under the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Tap ports, kernel maps, encoding.
    Capture,
    /// Sessions with agencies.
    Deliver,
    /// Warrants, audit log, control socket.
    Control,
}

impl Role {
    /// All of them, in the order in which they are started: nobody waits for a peer that is not there yet.
    pub const ALL: [Self; 3] = [Self::Deliver, Self::Control, Self::Capture];

    /// Its name in logs and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Deliver => "deliver",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a role is told at its start; the descriptors of [`Inheritance`] travel beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The configuration file as `writ run` read it.
    pub config: String,
    /// How many processes had this role before in this run.
    pub life: u32,
    /// How many of the descriptors are channels: they come first.
    pub channels: usize,
    /// Whether the file of what was delivered is among them, behind the ledger.
    pub delivered: bool,
}

/// The memory behind one endpoint of one destination, and the event by which its producer wakes its consumer.
#[derive(Debug)]
pub struct StreamDescriptors {
    /// Shared memory of `writ_spool`.
    pub memory: OwnedFd,
    /// eventfd.
    pub wake: OwnedFd,
}

/// Everything a role is handed.
#[derive(Debug)]
pub struct Inheritance {
    /// To the supervisor. Closed when the supervisor is gone.
    pub supervisor: Channel,
    /// To other roles: capture and deliver have one to control, control one to capture and one to deliver behind it. Deliver's
    /// is for trials of destinations and for witnesses: all it has to say of its sessions stands in the ledger.
    pub channels: Vec<Channel>,
    /// The ledger's shared memory.
    pub ledger: OwnedFd,
    /// The file of digests of what was delivered, for reading and appending. For deliver alone.
    pub delivered: Option<OwnedFd>,
    /// By destination in order of the configuration; of each, CmII first and CmC behind it. None for control: they hold
    /// content.
    pub streams: Vec<StreamDescriptors>,
}

/// A role cannot begin.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    /// Somebody typed `writ role ...`.
    #[error("this role was not started by `writ run`: {0}; start the probe with `writ run --config FILE`")]
    NotSupervised(String),
    /// The supervisor's words do not arrive.
    #[error("the supervisor's message cannot be read: {0}")]
    Channel(#[from] ChannelError),
    /// A signal handler or a process attribute cannot be set.
    #[error("the process cannot be set up: {0}")]
    Process(#[from] std::io::Error),
}

/// Sends a new role its launch message.
///
/// # Errors
/// When the channel fails.
pub(super) fn send(
    to: &Channel,
    launch: &Launch,
    channels: &[&Channel],
    ledger: BorrowedFd<'_>,
    delivered: Option<BorrowedFd<'_>>,
    streams: &[StreamDescriptors],
) -> Result<(), ChannelError> {
    let mut descriptors: Vec<BorrowedFd<'_>> = channels.iter().map(|channel| channel.as_fd()).collect();
    descriptors.push(ledger);
    descriptors.extend(delivered);
    descriptors.extend(streams.iter().flat_map(|stream| [stream.memory.as_fd(), stream.wake.as_fd()]));
    to.send(launch, &descriptors)
}

/// The life of a role's process: takes the launch message from standard input, then does the role's work until
/// SIGTERM or until the supervisor is gone.
///
/// # Errors
/// When the role cannot start or cannot go on; the supervisor has been told the same words.
pub fn enter(role: Role) -> anyhow::Result<()> {
    let supervisor_pid = getppid();
    // The kernel ends the role if the supervisor is killed; one that died before this line shows as another parent.
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    if getppid() != supervisor_pid {
        anyhow::bail!("the supervisor is gone");
    }
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stop))?;
    for ignored in [SIGINT, SIGHUP] {
        signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
    }
    let (launch, inheritance) = receive()?;
    let config = Config::parse(&launch.config)
        .map_err(|_| LaunchError::NotSupervised("the configuration is not that of this version".into()))?;
    if role != Role::Control && inheritance.streams.len() != config.destination.len() * 2 {
        anyhow::bail!("descriptors are missing");
    }
    telemetry::start(&config.log);
    tracing::info!(role = role.name(), pid = std::process::id(), life = launch.life, "role started");
    let supervisor = inheritance.supervisor.try_clone()?;
    let result = match role {
        Role::Capture => roles::capture::run(config, launch.life, inheritance, &stop),
        Role::Deliver => roles::deliver::run(config, launch.life, inheritance, &stop),
        Role::Control => roles::control::run(config, &launch.config, launch.life, inheritance, &stop),
    };
    if let Err(error) = &result {
        tracing::error!(role = role.name(), error = explain(error), "role failed");
        let words = crate::ipc::FromRole::Failed { error: explain(error) };
        if let Err(error) = supervisor.send(&words, &[]) {
            tracing::warn!(%error, "the supervisor does not hear it");
        }
    }
    tracing::info!(role = role.name(), "role ended");
    result
}

fn receive() -> Result<(Launch, Inheritance), LaunchError> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    if rustix::net::sockopt::socket_type(&socket).ok() != Some(rustix::net::SocketType::SEQPACKET) {
        return Err(LaunchError::NotSupervised("standard input is no channel".into()));
    }
    let supervisor = Channel::from_descriptor(socket);
    let Some((launch, descriptors)) = supervisor.receive::<Launch>(Duration::from_secs(10))? else {
        return Err(LaunchError::NotSupervised("no message on standard input".into()));
    };
    let mut descriptors = descriptors.into_iter();
    let channels: Vec<Channel> = descriptors.by_ref().take(launch.channels).map(Channel::from_descriptor).collect();
    let short = || LaunchError::NotSupervised("descriptors are missing".into());
    let ledger = descriptors.next().ok_or_else(short)?;
    let delivered = launch.delivered.then(|| descriptors.next().ok_or_else(short)).transpose()?;
    let mut streams = Vec::new();
    while let Some(memory) = descriptors.next() {
        streams.push(StreamDescriptors { memory, wake: descriptors.next().ok_or_else(short)? });
    }
    if channels.len() != launch.channels {
        return Err(short());
    }
    Ok((launch, Inheritance { supervisor, channels, ledger, delivered, streams }))
}
