//! The control socket: takes connections, reads a request from each, hands it to the role's one thread of decision, and
//! writes its answer. The kernel tells who is at the other end.

use crate::config::Config;
use crate::ipc::{LINE_LIMIT, Reply, Request};
use crossbeam::channel::{Sender, bounded};
use rustix::net::sockopt::socket_peercred;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use writ_authority::Actor;

/// Conversations at once; one more is told to come back.
const CONVERSATIONS: usize = 16;
/// How long a conversation may take, for either side.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request with who asks and where the answer goes.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) actor: Actor,
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
pub(super) fn listen<E: From<Asked> + Send + 'static>(config: &Config, events: Sender<E>) -> std::io::Result<()> {
    let path = socket_path(config);
    // What a killed predecessor left. Two probes with one runtime directory are kept apart by the supervisor's lock.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let busy = Arc::new(AtomicUsize::new(0));
    std::thread::Builder::new().name("socket".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if busy.fetch_add(1, Ordering::AcqRel) >= CONVERSATIONS {
                busy.fetch_sub(1, Ordering::AcqRel);
                answer(&stream, &Reply::Failed { error: "too many conversations at once; try again".into() });
                continue;
            }
            let (events, done) = (events.clone(), Arc::clone(&busy));
            let spawned = std::thread::Builder::new().name("conversation".into()).spawn(move || {
                converse(&stream, &events);
                done.fetch_sub(1, Ordering::AcqRel);
            });
            if spawned.is_err() {
                busy.fetch_sub(1, Ordering::AcqRel);
            }
        }
    })?;
    Ok(())
}

fn converse<E: From<Asked>>(stream: &UnixStream, events: &Sender<E>) {
    let reply = match read(stream) {
        Ok((request, actor)) => {
            let (sender, receiver) = bounded(1);
            if events.send(Asked { request, actor, answer: sender }.into()).is_err() {
                return;
            }
            receiver
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| Reply::Failed { error: "the control role does not answer".into() })
        }
        Err(error) => Reply::Failed { error },
    };
    answer(stream, &reply);
}

fn read(stream: &UnixStream) -> Result<(Request, Actor), String> {
    let peer = socket_peercred(stream).map_err(|error| format!("who asks cannot be told: {error}"))?;
    let uid = peer.uid.as_raw();
    let actor = Actor { who: login_name(uid), uid, pid: peer.pid.as_raw_nonzero().get().cast_unsigned() };
    let mut line = String::new();
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| BufReader::new(stream.take(LINE_LIMIT)).read_line(&mut line))
        .map_err(|error| format!("the request cannot be read: {error}"))?;
    let request = serde_json::from_str(&line).map_err(|error| format!("not a request of this version: {error}"))?;
    Ok((request, actor))
}

fn answer(mut stream: &UnixStream, reply: &Reply) {
    let Ok(mut line) = serde_json::to_vec(reply) else { return };
    line.push(b'\n');
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
