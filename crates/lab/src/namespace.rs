//! A network namespace of our own, and everything that runs in it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::send;
use crate::{LabError, Process, run, until};

/// Where iproute2 keeps the names.
const DIRECTORY: &str = "/run/netns";

/// A network namespace. Dropping it kills what runs in it and removes it, with the links that end in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes an empty namespace with its loopback up. The label is for people who look at `ip netns list`.
    pub fn new(label: &str) -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("writ-{}-{number}-{label}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Namespace { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, to hand to a program that enters it by itself.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// A command that will run inside. Add arguments, then [`run`] or [`Process::spawn`] it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program inside to its end; gives what it printed.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<String, LabError> {
        let output = run(self.command(program).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a program inside, in the background.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Process, LabError> {
        Process::spawn(self.command(program).args(arguments))
    }

    /// Runs `ip -n NAME ...`.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, LabError> {
        let output = run(Command::new("ip").args(["-n", &self.name]).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a closure on a thread inside, for sockets that the caller wants to hold itself. What it opens stays inside
    /// when it is handed out. `/sys` still shows the caller's own namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let file = File::open(self.path()).map_err(LabError::io(self.name.clone()))?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(LabError::io(format!("enter {}", self.name)))?;
                Ok(work())
            });
            inside.join().map_err(|_| LabError::Panicked(self.name.clone()))?
        })
    }

    /// Sets a network setting, named as under /proc/sys/net: `ipv4/ip_forward`.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), LabError> {
        let path = Path::new("/proc/sys/net").join(setting);
        self.enter(|| fs::write(&path, value))?.map_err(LabError::io(format!("{} of {}", path.display(), self.name)))
    }

    /// Gives an interface an address. v6 addresses are usable at once (no duplicate address detection).
    pub fn address(&self, interface: &str, address: IpNet) -> Result<(), LabError> {
        let address = address.to_string();
        let mut arguments = vec!["addr", "add", &address, "dev", interface];
        if address.contains(':') {
            arguments.push("nodad");
        }
        self.ip(&arguments).map(drop)
    }

    /// Adds a default route.
    pub fn default_route(&self, gateway: std::net::IpAddr) -> Result<(), LabError> {
        let family = if gateway.is_ipv4() { "-4" } else { "-6" };
        self.ip(&[family, "route", "add", "default", "via", &gateway.to_string()]).map(drop)
    }

    /// Makes it a router for v4 and v6.
    pub fn forward(&self) -> Result<(), LabError> {
        self.set("ipv4/ip_forward", "1")?;
        self.set("ipv6/conf/all/forwarding", "1")
    }

    /// Process ids of everything that runs inside.
    pub fn processes(&self) -> Result<BTreeSet<u32>, LabError> {
        let output = run(Command::new("ip").args(["netns", "pids", &self.name]))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// Removes the namespaces, and the processes in them, of lab runs that were killed before they could clean up.
    pub fn sweep() -> Result<(), LabError> {
        let Ok(entries) = fs::read_dir(DIRECTORY) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.split('-');
            let owner = (parts.next() == Some("writ")).then(|| parts.next()?.parse::<u32>().ok()).flatten();
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                drop(Namespace { name });
            }
        }
        Ok(())
    }

    /// Kills what runs inside, waits until it is gone, and takes the namespace away.
    fn remove(&self) -> Result<(), LabError> {
        for pid in self.processes()? {
            send(pid, Signal::KILL)?;
        }
        // Zombies of a parent that lives elsewhere hold nothing; a name can be deleted under a process that ends late.
        _ = until("end of the processes inside", Duration::from_secs(2), || {
            Ok(self.processes()?.is_empty().then_some(()))
        });
        run(Command::new("ip").args(["netns", "del", &self.name])).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("lab: {} is left behind: {error}", self.name);
        }
    }
}
