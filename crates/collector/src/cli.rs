//! The command line, and everything that the program prints.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::EnvFilter;
use writ_collector::{
    Collector, Stream,
    config::{Document, Origin, Plain, Problem, Reading, Settings, TlsFiles, format_named},
    countersign::countersign,
    decode::{DecodeFault, Telling, decode},
    digests::{DIGESTS, of_case},
    status::{DatagramStatus, Endpoints, Status},
    write_atomically,
};

/// Receives lawful-intercept handover, in any format that Writ sends, and files it by case.
#[derive(Debug, Parser)]
#[command(name = "writ-collect", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive from probes until SIGTERM or SIGINT.
    Listen(Box<Listen>),
    /// Print a stream that was kept, a JSON object a PDU.
    Decode(Decode),
    /// Make digests of what is filed for a case, as the probe makes them of what it delivered: CASE/digests.jsonl.
    Digests(Digests),
    /// The same, and sign them for the carrier: CASE/digests.jsonl.sig.
    Countersign(Countersign),
}

#[derive(Debug, Args)]
struct Listen {
    /// Read the settings from a TOML file, in place of the flags below.
    #[arg(long, value_name = "FILE", conflicts_with = "ReadingFlags")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Print counts on standard output as JSON lines: when listening, every interval, at the end.
    #[arg(long)]
    json: bool,
    /// Keep the latest counts in this file, as JSON.
    #[arg(long, value_name = "FILE")]
    status_file: Option<PathBuf>,
    /// Seconds between counts.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

#[derive(Debug, Args)]
#[group(multiple = true, conflicts_with = "config")]
struct Flags {
    /// Folder that gets one directory a case.
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Address and port for identifying information.
    #[arg(long, value_name = "ADDRESS:PORT")]
    cmii: Option<String>,
    /// Address and port for content.
    #[arg(long, value_name = "ADDRESS:PORT")]
    cmc: Option<String>,
    /// Our certificate, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "client_ca"])]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "client_ca"])]
    tls_key: Option<PathBuf>,
    /// Authorities whose certificates probes may present, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    client_ca: Option<PathBuf>,
    /// Plain TCP in place of TLS, and UDP.
    #[arg(long)]
    plain: bool,
    /// With --plain beyond loopback: what protects the path, in words.
    #[arg(long, value_name = "REASON", requires = "plain")]
    path_protected_otherwise: Option<String>,
    /// Connections held at once.
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<usize>,
    /// Cases written at once.
    #[arg(long, value_name = "NUMBER")]
    max_cases: Option<usize>,
    /// Also keep the bytes of each connection as they came.
    #[arg(long)]
    keep_streams: bool,
    #[command(flatten)]
    reading: ReadingFlags,
    /// The format of content, where it is another: T1.IAS may have its content as CCC.
    #[arg(long, value_name = "FORMAT")]
    cmc_format: Option<String>,
}

/// How octets are read.
#[derive(Debug, Args)]
struct ReadingFlags {
    /// The format: auto (what comes over TCP tells it), t1-ias, etsi, x3, ccc, opencalea, jmirror, tzsp.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Octets of the header of CCC datagrams: 4, 12 or 20 (the default).
    #[arg(long, value_name = "OCTETS")]
    ccc_header: Option<u8>,
    /// The object identifier of the optional module of T1.IAS, such as 1.2.840.113737.2.1.1.2.0.
    #[arg(long, value_name = "NUMBERS")]
    optional_module: Option<String>,
    /// Keys of cases, for what ETSI's containers hold: lines of LIID (or *) and key in hexadecimal; mode 0600.
    #[arg(long, value_name = "FILE")]
    case_keys: Option<PathBuf>,
    /// The carrier's public key, for ETSI's signatures: PEM or DER.
    #[arg(long, value_name = "FILE")]
    verify_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Decode {
    /// The stream, or a capture file (pcap, pcapng) of datagrams; - is standard input.
    file: PathBuf,
    /// Which of the two it is. Without this the first PDU tells.
    #[arg(long)]
    stream: Option<StreamName>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// Write the packets to this new file, as pcapng.
    #[arg(long, value_name = "FILE")]
    pcapng: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Digests {
    /// The case's directory: of a collector, or one that a probe wrote on its own machine.
    case: PathBuf,
}

#[derive(Debug, Args)]
struct Countersign {
    #[command(flatten)]
    digests: Digests,
    /// The agency's private key, of OpenSSH; or the public one of a key that an agent or a token has.
    #[arg(long)]
    key: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StreamName {
    Cmii,
    Cmc,
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .init();
        match self.command {
            Command::Listen(listen) => listen.run(),
            Command::Decode(decode) => decode.run(),
            Command::Digests(digests) => digests.run().map(Exit::code),
            Command::Countersign(countersign) => countersign.run().map(Exit::code),
        }
    }
}

impl Flags {
    fn settings(self) -> Result<Settings, writ_collector::config::Problem> {
        let tls = match (self.tls_cert, self.tls_key, self.client_ca) {
            (Some(cert), Some(key), Some(client_ca)) => Some(TlsFiles { cert, key, client_ca }),
            _ => None, // clap admits all three or none
        };
        let document = Document {
            directory: self.directory,
            cmii: self.cmii,
            cmc: self.cmc,
            tls,
            plain: self.plain.then_some(Plain { path_protected_otherwise: self.path_protected_otherwise }),
            max_connections: self.max_connections,
            max_cases: self.max_cases,
            keep_streams: self.keep_streams,
            format: self.reading.format,
            cmc_format: self.cmc_format,
            ccc_header: self.reading.ccc_header,
            optional_module: self.reading.optional_module,
            case_keys: self.reading.case_keys,
            verify_key: self.reading.verify_key,
        };
        Settings::check(document, Origin::CommandLine)
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Listening { endpoints: Endpoints },
    Status(&'a Status),
    Final(&'a Status),
}

impl Listen {
    fn run(self) -> anyhow::Result<ExitCode> {
        let settings = match self.config {
            Some(file) => Settings::load(&file),
            None => self.flags.settings(),
        };
        let started = settings.map_err(Into::into).and_then(|settings| Collector::start(&settings));
        let collector = match started {
            Ok(collector) => collector,
            Err(error) => {
                eprintln!("writ-collect: {error}");
                return Ok(ExitCode::from(2));
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // The second one ends it at once: registered first, so that it sees what the first one set.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .context("signals cannot be caught")?;
        }
        let mut output = Output { json: self.json, status_file: self.status_file, line: io::stderr().is_terminal() };
        let endpoints = collector.endpoints();
        let directory = collector.directory();
        let cmii = endpoints.cmii.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
        tracing::info!("CmII on {cmii}, CmC on {}, cases in {}", endpoints.cmc, directory.display());
        output.event(&Event::Listening { endpoints })?;

        let interval = Duration::from_secs(self.interval);
        let mut due = Instant::now();
        let told = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            if Instant::now() >= due {
                due = Instant::now() + interval;
                collector.write_digests();
                // Counts that cannot be told must not cost what is arriving: the files are closed well first.
                if let Err(error) = output.status(&collector.status()) {
                    break Err(error);
                }
            }
            thread::sleep(Duration::from_millis(50));
        };
        let (status, failures) = collector.stop();
        told?;
        output.end(&status)?;
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Where counts go.
struct Output {
    json: bool,
    status_file: Option<PathBuf>,
    line: bool,
}

impl Output {
    fn event(&self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.json {
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            let mut out = io::stdout().lock();
            out.write_all(&line).and_then(|()| out.flush()).context("standard output")?;
        }
        Ok(())
    }

    fn status(&mut self, status: &Status) -> anyhow::Result<()> {
        self.event(&Event::Status(status))?;
        self.file(status)?;
        if self.line {
            eprint!("\r\x1b[K{status}\r");
        }
        Ok(())
    }

    fn end(&mut self, status: &Status) -> anyhow::Result<()> {
        self.event(&Event::Final(status))?;
        self.file(status)?;
        if !self.json {
            let mut out = io::stdout().lock();
            for (case, counts) in &status.cases {
                // Of a test, the directory's name says that it is one.
                writeln!(out, "{case}: {counts}").context("standard output")?;
            }
            let Status { accepted, refused, faults, .. } = status;
            writeln!(out, "connections: accepted {accepted}, refused {refused}, ended by a fault {faults}")
                .context("standard output")?;
            for DatagramStatus { stream, datagrams, unread, dropped, .. } in &status.datagrams {
                let stream = stream.name();
                writeln!(out, "datagrams of {stream}: {datagrams}, left out {unread}, lost by the kernel {dropped}")
                    .context("standard output")?;
            }
        }
        Ok(())
    }

    fn file(&self, status: &Status) -> anyhow::Result<()> {
        let Some(path) = &self.status_file else { return Ok(()) };
        let text = serde_json::to_vec_pretty(status)?;
        write_atomically(path, &text).with_context(|| format!("--status-file {}", path.display()))
    }
}

impl Decode {
    fn telling(&self) -> Result<Telling, Problem> {
        let ReadingFlags { format, ccc_header, optional_module, case_keys, verify_key } = &self.reading;
        let origin = Origin::CommandLine;
        let format = format_named("format", format.as_deref(), &origin)?;
        let reading = Reading::load(
            *ccc_header,
            optional_module.as_deref(),
            case_keys.as_deref(),
            verify_key.as_deref(),
            &origin,
        )?;
        let stream = self.stream.map(|stream| match stream {
            StreamName::Cmii => Stream::Cmii,
            StreamName::Cmc => Stream::Cmc,
        });
        Ok(Telling { format, stream, reading })
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        let telling = match self.telling() {
            Ok(telling) => telling,
            Err(problem) => {
                eprintln!("writ-collect: {problem}");
                return Ok(ExitCode::from(2));
            }
        };
        let packets = self.pcapng.as_deref();
        let mut out = BufWriter::new(io::stdout().lock());
        let name =
            if self.file.as_os_str() == "-" { "standard input".to_owned() } else { self.file.display().to_string() };
        let decoded = if self.file.as_os_str() == "-" {
            decode(io::stdin().lock(), &telling, &mut out, packets)
        } else {
            match File::open(&self.file) {
                Ok(file) => decode(BufReader::with_capacity(1 << 18, file), &telling, &mut out, packets),
                Err(error) => Err(DecodeFault::Io(error)),
            }
        };
        let decoded = decoded.and(out.flush().map_err(DecodeFault::Io));
        match decoded {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // Whoever reads our output has seen enough.
            Err(DecodeFault::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(fault) => {
                eprintln!("writ-collect: {name}: {fault}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Whether all that is filed went into the digests.
enum Exit {
    Whole(PathBuf),
    Faulty,
    /// There is nothing that digests are made of.
    Nothing,
}

impl Exit {
    fn code(self) -> ExitCode {
        match self {
            Self::Whole(_) => ExitCode::SUCCESS,
            Self::Faulty | Self::Nothing => ExitCode::FAILURE,
        }
    }
}

impl Digests {
    fn run(&self) -> anyhow::Result<Exit> {
        let digests = of_case(&self.case).with_context(|| self.case.display().to_string())?;
        for fault in &digests.faults {
            eprintln!("writ-collect: {fault}");
        }
        if !digests.left_out.is_empty() {
            let formats: Vec<&str> = digests.left_out.iter().map(|format| format.name()).collect();
            eprintln!("writ-collect: digests are made of T1.IAS alone: what came as {} is in none", formats.join(", "));
            if digests.lines.is_empty() {
                return Ok(Exit::Nothing);
            }
        }
        let file = self.case.join(DIGESTS);
        write_atomically(&file, digests.text().as_bytes()).with_context(|| file.display().to_string())?;
        writeln!(io::stdout(), "{}: {} windows", file.display(), digests.lines.len()).context("standard output")?;
        Ok(if digests.faults.is_empty() { Exit::Whole(file) } else { Exit::Faulty })
    }
}

impl Countersign {
    fn run(self) -> anyhow::Result<Exit> {
        let exit = self.digests.run()?;
        match &exit {
            Exit::Whole(file) => {
                let signature = countersign(file, &self.key)?;
                writeln!(io::stdout(), "{}", signature.display()).context("standard output")?;
            }
            Exit::Nothing => {}
            Exit::Faulty => eprintln!("writ-collect: not signed: what is filed is not as it arrived"),
        }
        Ok(exit)
    }
}
