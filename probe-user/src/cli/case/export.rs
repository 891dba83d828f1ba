//! `writ case export`: the archive from the running probe into a file that is there whole or not at all.

use crate::cli::{CommandError, Outcome, SocketArgs, output, reply};
use crate::ipc::{CaseArchive, Reply, Request, ask};
use clap::Args;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::Digest;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// The warrant.
    uuid: Uuid,
    /// The archive: a tar file that is not there yet.
    #[arg(long, value_name = "FILE.tar")]
    out: PathBuf,
    /// Number of the last record of the audit log that it goes to; else all there is, with the figures of this moment.
    #[arg(long, value_name = "RECORD")]
    until: Option<u64>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: &ExportArgs) -> Result<Outcome, CommandError> {
    let out = &args.out;
    let refused = |error: &dyn std::fmt::Display| CommandError::Input(anyhow::anyhow!("{}: {error}", out.display()));
    if out.try_exists().map_err(|error| refused(&error))? {
        return Err(refused(&"is there already; name another file"));
    }
    // Asked for only if it can be kept: each export is a record.
    let unfinished = Unfinished::create(out).map_err(|error| refused(&error))?;
    let request = Request::CaseExport { uuid: args.uuid, until: args.until };
    let archive = match ask(&args.socket.path()?, &request).map_err(CommandError::failed)? {
        Reply::CaseArchive(archive) => archive,
        other => return reply::show(other, args.socket.json, |other| output::json(&other)),
    };
    let CaseArchive { until, sha256, bytes, .. } = archive;
    if Digest::of(&bytes).to_string() != sha256 {
        return Err(CommandError::Failed(anyhow::anyhow!("the archive did not arrive as it was sent; ask again")));
    }
    unfinished.finish(&bytes, out).map_err(|error| refused(&error))?;
    if args.socket.json {
        output::json(&json!({ "file": out, "sha256": sha256, "until": until, "bytes": bytes.len() }));
    } else {
        output::line(&format!("{}: {} bytes, up to record {until} of the audit log", out.display(), bytes.len()));
        output::line(&format!("sha256 {sha256}"));
    }
    Ok(Outcome::Done)
}

/// A file beside the one that is to be, which takes its place when it is whole, and is gone when it is not.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn create(out: &Path) -> io::Result<Self> {
        let path = out.with_added_extension(format!("{}.part", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    fn finish(mut self, bytes: &[u8], out: &Path) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        // A link does not take the place of a file that somebody made meanwhile.
        fs::hard_link(&self.path, out)?;
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // If that fails, an empty or unfinished file of that name is left, and says by its name what it is.
        drop(fs::remove_file(&self.path));
    }
}
