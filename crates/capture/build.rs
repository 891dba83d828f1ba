//! Builds the XDP program from source, so that what is embedded is what can be read in `probe-ebpf`.

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
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    for source in ["probe-ebpf/src", "probe-ebpf/Cargo.toml", "probe-ebpf/Cargo.lock", "crates/abi"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=PATH");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let built = Toolchain::find()?.build(&root.join("probe-ebpf"), &out.join("probe-ebpf"), "writ-xdp", &[])?;
    fs::copy(built, out.join("writ-xdp.o"))?;
    Ok(())
}
