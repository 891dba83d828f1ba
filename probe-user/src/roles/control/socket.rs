//! The control socket: takes connections, reads a request from each, hands it to the role's one thread of decision, and
//! writes its answer. The kernel tells who is at the other end, and `access` what that one may.

use super::access::{self, Access, Asker, Peer};
use crate::config::Config;
use crate::ipc::{LINE_LIMIT, Reply, Request};
use crossbeam::channel::{Sender, bounded};
use hashbrown::HashMap;
use rustix::net::sockopt::socket_peercred;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use writ_authority::Actor;
use writ_capture::peer_groups;

/// Conversations of one user at once; one more is told to come back. Another user's are not in its way.
const CONVERSATIONS: usize = 16;
/// How long a conversation may take, for either side.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request with who asks and where the answer goes.
pub(super) struct Asked {
    /// Or why it is none.
    pub(super) request: Result<Request, String>,
    pub(super) asker: Asker,
    pub(super) answer: Sender<Reply>,
}

/// Where the control socket of a probe is.
pub fn socket_path(config: &Config) -> PathBuf {
    config.probe.runtime.join("control.sock")
}

/// Listens, in a thread of its own.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn listen<E: From<Asked> + Send + 'static>(
    config: &Config,
    access: Access,
    events: Sender<E>,
) -> std::io::Result<()> {
    let path = socket_path(config);
    // What a killed predecessor left. Two probes with one runtime directory are kept apart by the supervisor's lock.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    access::open(&access, &config.probe.runtime, &path)?;
    let (access, busy) = (Arc::new(access), Busy::default());
    std::thread::Builder::new().name("socket".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let peer = match peer(&stream) {
                Ok(peer) => peer,
                Err(error) => {
                    answer(&stream, &Reply::Failed { error: format!("who asks cannot be told: {error}") });
                    continue;
                }
            };
            let Some(turn) = busy.turn(peer.actor.uid) else {
                answer(&stream, &Reply::Failed { error: "too many conversations at once; try again".into() });
                continue;
            };
            let (events, access) = (events.clone(), Arc::clone(&access));
            let spawned = std::thread::Builder::new().name("conversation".into()).spawn(move || {
                converse(&stream, access.asker(peer), &events);
                drop(turn);
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "a conversation gets no thread");
            }
        }
    })?;
    Ok(())
}

/// How many conversations each user has.
#[derive(Clone, Default)]
struct Busy(Arc<Mutex<HashMap<u32, usize>>>);

/// A conversation, counted until it is dropped.
struct Turn {
    busy: Busy,
    user: u32,
}

impl Busy {
    /// One more of this user, if that is not too many.
    fn turn(&self, user: u32) -> Option<Turn> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(user).or_default();
        (*count < CONVERSATIONS).then(|| {
            *count += 1;
            Turn { busy: self.clone(), user }
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut users = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

fn converse<E: From<Asked>>(stream: &UnixStream, asker: Asker, events: &Sender<E>) {
    let (sender, receiver) = bounded(1);
    if events.send(Asked { request: read(stream), asker, answer: sender }.into()).is_err() {
        return;
    }
    let reply = receiver
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Reply::Failed { error: "the control role does not answer".into() });
    answer(stream, &reply);
}

/// Who is at the other end, as the kernel noted it when the connection was made.
fn peer(stream: &UnixStream) -> std::io::Result<Peer> {
    let peer = socket_peercred(stream)?;
    let uid = peer.uid.as_raw();
    let actor = Actor { who: login_name(uid), uid, pid: peer.pid.as_raw_nonzero().get().cast_unsigned() };
    Ok(Peer { actor, group: peer.gid.as_raw(), more_groups: peer_groups(stream)? })
}

fn read(stream: &UnixStream) -> Result<Request, String> {
    let mut line = String::new();
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line))
        .map_err(|error| format!("the request cannot be read: {error}"))?;
    serde_json::from_str(&line).map_err(|error| format!("not a request of this version: {error}"))
}

fn answer(mut stream: &UnixStream, reply: &Reply) {
    let Ok(mut line) = serde_json::to_vec(reply) else { return };
    line.push(b'\n');
    if let Reply::CaseArchive(archive) = reply {
        line.extend_from_slice(&archive.bytes);
    }
    // Somebody who does not wait for the answer does not get it; what was done stays done and recorded.
    drop(stream.write_all(&line));
}

/// Whoever runs this command, for records that are made without a probe that runs. The kernel tells who that is, not
/// the environment.
pub fn caller() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    Actor { who: login_name(uid), uid, pid: std::process::id() }
}

/// The login name of a user, as /etc/passwd has it; the number where it has none.
fn login_name(uid: u32) -> String {
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    table
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string())
}
