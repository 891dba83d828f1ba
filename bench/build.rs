//! Builds the XDP programs of the bench, as `crates/capture` builds that of the probe, and the probe's own once more
//! without its filter, to be measured beside the one with it.

use std::path::PathBuf;
use std::{env, fs};
use writ_ebpf_toolchain::Toolchain;

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn std::error::Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("ebpf");
    let probe = package.join("../../probe-ebpf");
    for source in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", package.join(source).display());
        println!("cargo::rerun-if-changed={}", probe.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", package.join("../../crates/abi").display());
    println!("cargo::rerun-if-env-changed=PATH");
    let (out, toolchain) = (PathBuf::from(env::var("OUT_DIR")?), Toolchain::find()?);
    let built = toolchain.build(&package, &out.join("bench-ebpf"), "bench-xdp", &[])?;
    fs::copy(built, out.join("bench-xdp.o"))?;
    let built = toolchain.build(&probe, &out.join("probe-ebpf"), "writ-xdp", &["no-filter"])?;
    fs::copy(built, out.join("writ-xdp-no-filter.o"))?;
    Ok(())
}
