//! Running programs: to their end with their output checked, or in the background under a guard that ends them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{LabError, until};

/// The path of a program in PATH or in the system directories that a user's PATH often lacks.
pub fn program(name: &str) -> Result<PathBuf, LabError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| LabError::Missing { what: format!("program {name}"), remedy: "run `cargo xtask setup`" })
}

/// Runs a program to its end and gives its output; any exit code but 0 is an error that quotes what it said.
pub fn run(command: &mut Command) -> Result<Output, LabError> {
    let output = command.stdin(Stdio::null()).output().map_err(LabError::io(line(command)))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Command { command: line(command), status: output.status, stderr })
}

/// A command as a person would type it, for messages.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A program in the background. Dropping it kills it, also when it was stopped with SIGSTOP.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
}

impl Process {
    /// Starts it in a process group of its own, so that Ctrl-C in the terminal reaches only the lab, which then cleans up.
    pub fn spawn(command: &mut Command) -> Result<Self, LabError> {
        let child = command.process_group(0).spawn().map_err(LabError::io(line(command)))?;
        Ok(Process { command: line(command), child })
    }

    /// Its process id. `ip netns exec` replaces itself with the program, so this is the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, to take its pipes from.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal. One that has ended already is not an error.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        send(self.id(), signal)
    }

    /// Its exit status, if it has ended.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child.try_wait().map_err(LabError::io(self.command.clone()))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        let what = format!("end of `{}`", self.command);
        until(&what, limit, || self.status())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Sends a signal to a process; one that is not there any more is not an error.
pub(crate) fn send(pid: u32, signal: Signal) -> Result<(), LabError> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(LabError::Io { what: format!("signal to process {pid}"), source: io::Error::from(error) }),
    }
}
