//! `cargo xtask demo`.

use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn command(_: &Arguments) -> Result<bool> {
    Ok(false)
}
