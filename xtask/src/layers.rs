//! `cargo xtask layers`: the rooms use each other only as ARCHITECTURE.md allows, and unsafe code stays where it may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::{output, workspace};

/// What a room may use, and whether unsafe code may be in it.
struct Room {
    package: &'static str,
    uses: &'static [&'static str],
    unsafe_code: bool,
}

const fn room(package: &'static str, uses: &'static [&'static str]) -> Room {
    Room { package, uses, unsafe_code: false }
}

/// Every library between the two probes.
const LIBRARIES: &[&str] = &[
    "writ-abi",
    "writ-capture",
    "writ-encoder",
    "writ-authority",
    "writ-identity",
    "writ-spool",
    "writ-digests",
    "writ-delivery",
    "writ-flows",
];

/// Everything; for what tries the whole from outside.
const ALL: &[&str] = &[
    "writ-abi",
    "writ-capture",
    "writ-encoder",
    "writ-authority",
    "writ-identity",
    "writ-spool",
    "writ-digests",
    "writ-delivery",
    "writ-flows",
    "writ-collector",
    "writ-lab",
    "writ-probe",
    "writ-bench",
    "writ-tests",
    "writ-ebpf-toolchain",
];

/// The arrows. A new crate gets its line here and in ARCHITECTURE.md.
const ROOMS: &[Room] = &[
    Room { package: "writ-abi", uses: &[], unsafe_code: true },
    Room { package: "probe-ebpf", uses: &["writ-abi"], unsafe_code: true },
    Room { package: "writ-capture", uses: &["writ-abi", "writ-ebpf-toolchain"], unsafe_code: true },
    room("writ-ebpf-toolchain", &[]),
    room("writ-encoder", &[]),
    room("writ-flows", &[]),
    room("writ-authority", &[]),
    room("writ-officer", &["writ-authority"]),
    room("writ-identity", &["writ-authority", "writ-abi"]),
    // The shared-memory map; its module states the reason.
    Room { package: "writ-spool", uses: &[], unsafe_code: true },
    room("writ-digests", &[]),
    room("writ-delivery", &["writ-encoder", "writ-spool", "writ-digests"]),
    room("writ-collector", &["writ-encoder", "writ-digests"]),
    room("writ-lab", &[]),
    room("writ-probe", LIBRARIES),
    room("writ-bench", ALL),
    Room { package: "bench-ebpf", uses: &["writ-abi"], unsafe_code: true },
    room("writ-tests", ALL),
    room("writ-fuzz", ALL),
    room("xtask", ALL),
];

/// The lab is no part of a product: tests of any room may use it.
const TESTS_MAY_USE: &[&str] = &["writ-lab"];

pub(crate) fn command() -> Result<bool> {
    let root = workspace::root()?;
    let mut faults = Vec::new();
    let mut arrows = 0;
    let packages = packages(root)?;
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for package in &packages {
        let Some(room) = ROOMS.iter().find(|room| room.package == package.name.as_str()) else {
            faults.push(format!(
                "{}: no room of that name; add it to xtask/src/layers.rs and ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| names.contains(dependency.name.as_str())) {
            arrows += 1;
            let name = dependency.name.as_str();
            let allowed = room.uses.contains(&name)
                || dependency.kind == DependencyKind::Development && TESTS_MAY_USE.contains(&name);
            if !allowed {
                faults.push(format!("{} must not use {name} ({} dependency)", package.name, kind(dependency.kind)));
            }
        }
        faults.extend(unsafe_faults(package, room, root)?);
    }
    for fault in &faults {
        output::line(format!("layers: {fault}"));
    }
    if faults.is_empty() {
        let home = ROOMS.iter().filter(|room| room.unsafe_code).map(|room| room.package).collect::<Vec<_>>().join(", ");
        output::line(format!(
            "layers: {} rooms, {arrows} arrows, all as ARCHITECTURE.md allows; unsafe code only in {home}",
            packages.len()
        ));
    }
    Ok(faults.is_empty())
}

/// The workspace's packages, the eBPF programs and the fuzz targets, which are workspaces of their own.
fn packages(root: &Path) -> Result<Vec<Package>> {
    let read = |manifest: PathBuf| {
        let read = MetadataCommand::new().manifest_path(&manifest).no_deps().exec();
        read.with_context(|| format!("cannot read {}", manifest.display()))
    };
    let mut packages = read(root.join("Cargo.toml"))?.packages;
    for own in ["probe-ebpf/Cargo.toml", "bench/ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
        packages.extend(read(root.join(own))?.packages);
    }
    Ok(packages)
}

fn kind(kind: DependencyKind) -> &'static str {
    match kind {
        DependencyKind::Development => "test",
        DependencyKind::Build => "build",
        _ => "normal",
    }
}

/// Unsafe code outside its rooms, and libraries and programs that do not forbid it.
fn unsafe_faults(package: &Package, room: &Room, root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if room.unsafe_code {
        return Ok(faults);
    }
    for target in package.targets.iter().filter(|target| target.is_lib() || target.is_bin()) {
        let path = target.src_path.as_std_path();
        if !read(path)?.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{}: `#![forbid(unsafe_code)]` is missing", relative(path, root)));
        }
    }
    let folder =
        package.manifest_path.parent().map(|folder| folder.as_std_path()).context("a manifest without folder")?;
    let mut files = Vec::new();
    rust_files(folder, &mut files)?;
    for file in files {
        for (number, line) in (1..).zip(code_only(&read(&file)?).lines()) {
            if words(line).any(|word| word == "unsafe") {
                faults.push(format!(
                    "{}:{number}: unsafe code is not allowed in {}",
                    relative(&file, root),
                    package.name
                ));
            }
        }
    }
    Ok(faults)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The sources of a package; a package within it has a room of its own.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.join("Cargo.toml").exists() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// The source with comments and the contents of strings left out, line for line.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('/', Some('/')) => while rest.next_if(|next| *next != '\n').is_some() {},
            ('/', Some('*')) => {
                let mut before = ' ';
                for inside in rest.by_ref() {
                    if inside == '\n' {
                        code.push('\n');
                    }
                    if before == '*' && inside == '/' {
                        break;
                    }
                    before = inside;
                }
            }
            // A quote as a character literal does not open a string.
            ('\'', Some('"')) => {
                rest.next();
                rest.next();
            }
            ('"', _) => {
                while let Some(inside) = rest.next() {
                    match inside {
                        '\\' => _ = rest.next_if(|next| *next != '\n'),
                        '\n' => code.push('\n'),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => code.push(character),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let source = "let a = \"unsafe \\\" unsafe\"; // unsafe\nlet q = '\"'; /* unsafe\n */ unsafe_code";
        let code = code_only(source);
        assert!(!words(&code).any(|word| word == "unsafe"), "{code}");
        assert_eq!(code.lines().count(), 3);
        assert!(words(&code_only("unsafe { x }")).any(|word| word == "unsafe"));
    }

    #[test]
    fn arrows_lead_to_rooms_that_exist() {
        for room in ROOMS {
            for used in room.uses {
                assert!(ROOMS.iter().any(|other| other.package == *used), "{} uses {used}", room.package);
            }
        }
    }
}
