//! Builds the XDP programs of the bench, as `crates/capture` builds that of the probe.

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
    for source in ["src", "Cargo.toml", "Cargo.lock", "../../crates/abi"] {
        println!("cargo::rerun-if-changed={}", package.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=PATH");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let built = Toolchain::find()?.build(&package, &out.join("bench-ebpf"), "bench-xdp")?;
    fs::copy(built, out.join("bench-xdp.o"))?;
    Ok(())
}
