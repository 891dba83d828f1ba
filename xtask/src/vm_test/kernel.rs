//! Kernels to boot: Debian's own packages, unpacked under target/vm and never installed, and the modules of an image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use writ_lab::run;

use crate::output;

/// What the tests need and Debian's kernels have as modules: links between namespaces, and the mirror port of the demo.
const MODULES: [&str; 4] = ["veth", "sch_ingress", "cls_u32", "act_mirred"];

/// The image of a Debian package, which is fetched and unpacked unless an earlier run has done so.
pub(super) fn debian(package: &str, folder: &Path) -> Result<PathBuf> {
    // A meta package depends on the package of today's kernel.
    let depends = text(Command::new("apt-cache").args(["depends", "--important", package]))?;
    let meant = depends.lines().find_map(|line| {
        let name = line.trim().strip_prefix("Depends: ")?;
        name.starts_with("linux-image-").then_some(name)
    });
    let name = meant.unwrap_or(package);
    // 'address' file size hash
    let offer = text(Command::new("apt-get").args(["download", "--print-uris", name]))?;
    let file = offer.split_whitespace().nth(1).with_context(|| {
        format!("apt offers no package {name}; `apt-get update` brings its lists up to date, --package names another")
    })?;
    let place = folder.join(file.trim_end_matches(".deb"));
    if !place.exists() {
        output::line(format!("vm-test: fetching {file}"));
        // Renamed when it is whole, so that what an interrupted run leaves is never taken for a kernel.
        let fresh = folder.join("fresh");
        remove(&fresh)?;
        fs::create_dir(&fresh)?;
        run(Command::new("apt-get").args(["download", "-q", name]).current_dir(&fresh))?;
        let archive = fs::read_dir(&fresh)?.next().context("apt-get has fetched nothing")??.path();
        let unpacked = fresh.join("root");
        run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
        let (_, version) = split(&image(&unpacked)?)?;
        run(Command::new("depmod").arg("-b").arg(&unpacked).arg(version))?;
        fs::rename(&unpacked, &place)?;
        remove(&fresh)?;
    }
    image(&place)
}

/// The modules of an image that the tests need, in the order in which they can be loaded. Those that are built in, and
/// those of an image that has no modules beside it, are not among them.
pub(super) fn modules(image: &Path) -> Result<Vec<PathBuf>> {
    let (base, version) = split(image)?;
    if !base.join("lib/modules").join(&version).is_dir() {
        return Ok(Vec::new());
    }
    let mut modprobe = Command::new("modprobe");
    modprobe.arg("-d").arg(&base).args(["-S", &version, "--show-depends", "-a"]).args(MODULES);
    let listed = text(&mut modprobe)?;
    let paths = listed.lines().filter_map(|line| line.strip_prefix("insmod "));
    Ok(paths.map(|path| PathBuf::from(path.trim())).collect())
}

/// The folder whose `boot` an image lies in, and its version.
fn split(image: &Path) -> Result<(PathBuf, String)> {
    let image = image.canonicalize().with_context(|| image.display().to_string())?;
    let version = image.file_name().and_then(|name| name.to_str()?.strip_prefix("vmlinuz-"));
    let base = image.parent().and_then(Path::parent);
    match (base, version) {
        (Some(base), Some(version)) => Ok((base.to_owned(), version.to_owned())),
        _ => bail!("{}: an image is to be named boot/vmlinuz-VERSION, as packages have it", image.display()),
    }
}

fn image(unpacked: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(unpacked.join("boot")).context("the package has no kernel in it")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")) {
            return Ok(path);
        }
    }
    bail!("no kernel in {}", unpacked.display())
}

/// Takes a folder away, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// What a program prints. In no language but English.
pub(super) fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(command.env("LC_ALL", "C"))?.stdout).into_owned())
}
