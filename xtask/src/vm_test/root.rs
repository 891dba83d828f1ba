//! The machine's file system: test programs, the programs that they start, the libraries that both need, and a first
//! program that runs one test program after the other. Packed as an initramfs, which lives in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Message;
use writ_lab::run;

use super::kernel::{remove, text};
use super::{MARK, Suite};
use crate::workspace;

/// What the tests start. Their own directory comes first, so that busybox stands in only for what is not named here.
const TOOLS: &[&str] =
    &["ip", "tc", "ss", "ethtool", "nsenter", "ping", "tcpdump", "nginx", "curl", "ssh-keygen", "openssl"];

/// The programs under test, which the demo looks for beside its own.
const BINARIES: [&str; 2] = ["writ", "writ-collect"];

/// Whom tcpdump and nginx want to become, and ssh-keygen to be.
const USERS: &str = "root:x:0:0::/root:/bin/sh\ntcpdump:x:100:100::/:/bin/false\n\
    www-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nwww-data:x:33:\ntcpdump:x:100:\nnogroup:x:65534:\n";

/// What cargo has built, by name: tests and binaries.
pub(super) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds the suites, and the programs under test.
    pub(super) fn build(suites: &[Suite]) -> Result<Self> {
        let mut built = BTreeMap::new();
        let packages: BTreeSet<_> = suites.iter().map(|suite| suite.package).collect();
        let mut tests = workspace::cargo()?;
        tests.args(["test", "--no-run"]);
        tests.args(packages.iter().flat_map(|package| ["--package", package]));
        tests.args(suites.iter().flat_map(|suite| ["--test", suite.test]));
        let mut binaries = workspace::cargo()?;
        binaries.args(["build", "--package", "writ-probe", "--package", "writ-collector", "--bins"]);
        for mut command in [tests, binaries] {
            // What the compiler has to say goes to standard error, for people.
            command.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
            let mut cargo = command.spawn().context("cannot start cargo")?;
            let messages = cargo.stdout.take().context("cargo's messages are read already")?;
            for message in Message::parse_stream(BufReader::new(messages)) {
                if let Message::CompilerArtifact(artifact) = message?
                    && let Some(executable) = artifact.executable
                {
                    built.insert(artifact.target.name, executable.into());
                }
            }
            if !cargo.wait()?.success() {
                bail!("the test programs cannot be built");
            }
        }
        Ok(Self(built))
    }

    fn get(&self, name: &str) -> Result<&Path> {
        self.0.get(name).map(PathBuf::as_path).with_context(|| format!("cargo has built no program {name}"))
    }
}

/// Makes the initramfs and returns its path.
pub(super) fn pack(folder: &Path, modules: &[PathBuf], suites: &[Suite], programs: &Programs) -> Result<PathBuf> {
    let root = folder.join("root");
    remove(&root)?;
    for directory in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tests", "tmp", "usr/bin"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let mut linked = Vec::new();
    for tool in TOOLS {
        let path = writ_lab::program(tool)?;
        fs::copy(&path, root.join("usr/bin").join(tool)).with_context(|| path.display().to_string())?;
        linked.push(path);
    }
    for name in suites.iter().map(|suite| suite.test).chain(BINARIES) {
        let path = programs.get(name)?;
        // Without what is for debuggers only: nine tenths of it.
        run(Command::new("strip").arg("--strip-debug").arg("-o").arg(root.join("tests").join(name)).arg(path))?;
        linked.push(path.to_owned());
    }
    for library in libraries(&linked)? {
        let place = root.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(place.parent().unwrap_or(&root))?;
        fs::copy(&library, place).with_context(|| library.display().to_string())?;
    }
    // The shell sorts them.
    for (number, module) in modules.iter().enumerate() {
        fs::copy(module, root.join(format!("modules/{number:02}.ko"))).with_context(|| module.display().to_string())?;
    }
    let busybox = writ_lab::program("busybox")?;
    fs::copy(&busybox, root.join("bin/busybox")).with_context(|| busybox.display().to_string())?;
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    fs::write(root.join("init"), first_program(suites))?;
    fs::set_permissions(root.join("init"), Permissions::from_mode(0o755))?;

    let initrd = folder.join("initrd");
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--owner=+0:+0", "--quiet"]).current_dir(&root);
    cpio.stdin(Stdio::piped()).stdout(File::create(&initrd)?);
    let mut cpio = cpio.spawn().context("cannot start cpio")?;
    let files = text(Command::new("find").arg(".").current_dir(&root))?;
    cpio.stdin.take().context("cpio reads no names")?.write_all(files.as_bytes())?;
    if !cpio.wait()?.success() {
        bail!("cpio cannot pack {}", root.display());
    }
    remove(&root)?;
    Ok(initrd)
}

/// The libraries of programs, and the loader. Each is linked with some: `ldd` fails over one that is not.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut libraries = BTreeSet::new();
    for program in programs {
        let told = text(Command::new("ldd").arg(program))?;
        libraries.extend(told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(libraries)
}

/// A shell script. Its lines that begin with [`MARK`] are read by whoever started the machine.
fn first_program(suites: &[Suite]) -> String {
    let mut script = format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         export PATH=/usr/bin:/bin HOME=/root RUST_BACKTRACE=0 WRIT_REQUIRE_TOOLS=1\n\
         mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev\n\
         mount -t tmpfs none /run; mount -t tmpfs none /tmp\n\
         for module in /modules/*.ko; do [ -f $module ] && insmod $module; done\n\
         ip link set lo up\n\
         cd /tmp\n\
         echo \"{MARK} kernel $(uname -r)\"\n"
    );
    for suite in suites {
        let name = suite.name();
        let skip: String = suite.skip.iter().map(|(test, _)| format!(" --skip {test}")).collect();
        let test = suite.test;
        script += &format!(
            "echo; echo '{MARK} begin {name}'\n\
             /tests/{test}{skip} </dev/null 2>&1; status=$?\n\
             echo; echo \"{MARK} end {name} $status\"\n"
        );
    }
    script + "reboot -f\n"
}
