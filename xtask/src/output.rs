//! What a command shows: lines that stay, and a line of progress below them while something runs.
#![expect(clippy::print_stdout, reason = "the one place where xtask prints")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line that stays.
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Progress through a known number of steps. Shows nothing where standard error is no terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins with no step done.
    pub(crate) fn new(steps: u64) -> Result<Self> {
        let bar = ProgressBar::new(steps);
        bar.set_style(ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} {elapsed:>4}  {wide_msg}")?);
        bar.enable_steady_tick(Duration::from_millis(120));
        Ok(Progress(bar))
    }

    /// Says what is being done now.
    pub(crate) fn now(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// A step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// Prints a line that stays, above the progress.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        self.0.suspend(|| line(text));
    }

    /// Runs a program; its output goes to the log file and, line by line, to the progress. A failure shows its end.
    pub(crate) fn run(&self, command: &mut Command, log: &Path) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut file =
            File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
        writeln!(file, "\n$ {command:?}")?;
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        // The command holds the writing ends until it is told otherwise; reading would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut last = std::collections::VecDeque::new();
        for text in BufReader::new(reader).lines() {
            let text = text.unwrap_or_default();
            writeln!(file, "{text}")?;
            self.now(format!("{name}: {}", text.trim()));
            last.push_back(text);
            if last.len() > 15 {
                last.pop_front();
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!(
                "{name} ended with {status}; its last lines (all of them: {}):\n{}",
                log.display(),
                Vec::from(last).join("\n")
            );
        }
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
