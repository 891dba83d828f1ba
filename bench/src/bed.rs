//! What the whole way is measured on: two namespaces joined by links, on one of which a probe carries out orders, on one
//! a program drops everything, and on one the host's network stack gets everything; and counting agencies.
//!
//! The sender and the receiver's NAPI run on CPU 0, so a link keeps its own pace and loses nothing; all of user space
//! runs on CPU 1. What is compared is the sender's count, because under overload a receiver's own count is false.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use aya::Ebpf;
use aya::programs::XdpMode;
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::Value;
use writ_lab::documents::{self, Order};
use writ_lab::{Certificates, LinkOptions, Namespace, Officer, Probe, install_roster, quiet, until, veth};

use crate::generator::{Generator, Kind, Sent, Traffic};
use crate::programs::{self, Globals};
use crate::sink::Sink;

/// What is tried, and with what.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The probe's binary.
    pub writ: PathBuf,
    /// Frames that can wait for its worker; none: as it comes.
    pub ring: Option<u32>,
    /// Frames that its worker takes at once; none: as it comes.
    pub batch: Option<u32>,
    /// What sends.
    pub generator: Kind,
}

/// How the bed is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Receive queues of each link. Frames come to the queue of the processor that sends them.
    pub(crate) queues: u16,
    /// Agencies.
    pub(crate) agencies: usize,
    /// IPv4 addresses that the probe's tables have room for; none: as it comes.
    pub(crate) addresses: Option<u32>,
    /// Whether delivery is as a probe does it unless it is told otherwise: over TLS, with digests of what was delivered. Else
    /// over plain TCP alone.
    pub(crate) secured: bool,
}

impl Layout {
    pub(crate) const PLAIN: Self = Self { queues: 1, agencies: 1, addresses: None, secured: false };
}

/// Everything that is sent there is dropped, in the driver.
pub(crate) const DROP: Link = Link { from: "to-drop", to: "drop0" };
/// The network stack gets everything, and packet sockets see it.
pub(crate) const PASS: Link = Link { from: "to-pass", to: "pass0" };
/// The probe's tap.
const TAP: Link = Link { from: "to-tap", to: "tap0" };

/// The two ends of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    from: &'static str,
    pub(crate) to: &'static str,
}

/// What became of the frames of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passage {
    /// Frames a second at the sender.
    pub(crate) sent: f64,
    /// Hits a second that arrived where they should while the sender sent.
    pub(crate) arrived: f64,
    /// Hits at the sender.
    pub(crate) hits: u64,
    /// Of them, lost before anything looked at them.
    pub(crate) lost_on_link: u64,
    /// Lost between the kernel and user space.
    pub(crate) lost_in_ring: u64,
    /// Lost in user space.
    pub(crate) lost_behind: u64,
}

impl Passage {
    /// Nothing but its rate.
    pub(crate) fn of(sent: Sent) -> Self {
        Self { sent: sent.frames as f64 / sent.seconds, ..Self::default() }
    }

    /// A part of the hits, in percent.
    pub(crate) fn percent(&self, part: u64) -> f64 {
        if self.hits == 0 { 0.0 } else { part as f64 * 100.0 / self.hits as f64 }
    }
}

/// The ledgers of all orders, summed over orders and their deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Books {
    matched: u64,
    lost_in_ring: u64,
    /// From here on, for each delivery.
    due: u64,
    delivered: u64,
    waiting: u64,
    lost_behind: u64,
}

/// Fields are dropped in this order: programs first.
pub(crate) struct Bed {
    probe: Probe,
    orders: usize,
    officers: [Officer; 2],
    sinks: Vec<Sink>,
    _receivers: Ebpf,
    pub(crate) sender: Namespace,
    pub(crate) receiver: Namespace,
    subject: Subject,
    layout: Layout,
    configuration: PathBuf,
    directory: PathBuf,
}

impl Bed {
    /// `directory` is made, for the probe's files.
    pub(crate) fn build(subject: &Subject, directory: &Path, layout: Layout) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let (sender, receiver) = (Namespace::new("sender")?, Namespace::new("receiver")?);
        for (link, second_up) in [(DROP, true), (PASS, true), (TAP, false)] {
            // The probe itself brings its tap up, once it is silent.
            let options = LinkOptions { queues: layout.queues, second_up, ..LinkOptions::default() };
            veth((&sender, link.from), (&receiver, link.to), options)?;
            quiet(&sender, link.from)?;
            quiet(&receiver, link.to)?;
        }
        let mut receivers = programs::load(Globals::default(), &[programs::DROP, programs::PASS])?;
        for (link, program) in [(DROP, programs::DROP), (PASS, programs::PASS)] {
            let program = programs::program_mut(&mut receivers, program)?;
            receiver.enter(|| program.attach(link.to, XdpMode::Driver))??;
        }
        let certificates =
            layout.secured.then(|| Certificates::issue(&directory.join("tls"), &["127.0.0.1"])).transpose()?;
        let start = |_| Sink::start(&receiver, certificates.as_ref());
        let sinks = (0..layout.agencies).map(start).collect::<Result<Vec<_>>>()?;
        let configuration = directory.join("writ.toml");
        let text = configuration_text(subject, directory, layout, &sinks, certificates.as_ref());
        documents::write(&configuration, &text)?;
        let officers = directory.join("officers");
        let officers = [Officer::new(&officers, "ada")?, Officer::new(&officers, "ben")?];
        let roster = directory.join("roster.toml");
        documents::write(&roster, &documents::roster(&officers))?;
        let both = [&officers[0], &officers[1]];
        let installed = install_roster(&receiver.path(), &subject.writ, &configuration, &roster, &both)?;
        ensure!(installed.status.success(), "roster: {}", String::from_utf8_lossy(&installed.stderr).trim());
        let probe = Probe::start(&receiver, &subject.writ, &configuration, directory)?;
        Ok(Self {
            probe,
            orders: 0,
            officers,
            sinks,
            _receivers: receivers,
            sender,
            receiver,
            subject: subject.clone(),
            layout,
            configuration,
            directory: directory.to_owned(),
        })
    }

    /// Puts a content order in force, with so many of the agencies, from the first on.
    pub(crate) fn order(&mut self, targets: Vec<IpNet>, agencies: usize) -> Result<Order> {
        self.orders += 1;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        // The names live as long as the bench does: some hundred.
        let order = Order {
            uuid: format!("5a0b8c1e-6d1f-4c57-9a4e-{:012x}", self.orders).leak(),
            authority: "title-iii",
            scope: "content",
            targets,
            start: Timestamp::from_second(now)?,
            stop: Timestamp::from_second(now + 24 * 3600)?,
            agency: agency(0).leak(),
            case_id: format!("BENCH-{}", self.orders).leak(),
        };
        let mut text = order.warrant(&self.probe.head()?)?;
        for number in 1..agencies {
            text.push_str(&format!(
                "\n[[delivery]]\ndestination = \"{}\"\ncase_id = \"{}\"\nstreams = [\"cmii\", \"cmc\"]\n",
                agency(number),
                order.case_id
            ));
        }
        let file = self.directory.join(format!("{}.toml", order.case_id));
        documents::write(&file, &text)?;
        let (file_name, configuration) = (file.display().to_string(), self.configuration.display().to_string());
        let mut arguments = vec!["warrant".to_owned(), "submit".into(), file_name, "--config".into(), configuration];
        for officer in &self.officers {
            let signature = officer.sign(&file, "writ-approve")?;
            arguments.extend(["--signature".to_owned(), signature.display().to_string()]);
        }
        let answer = self.probe.writ(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let words = String::from_utf8_lossy(&answer.stderr);
        // Told that it takes longer than an answer can wait, one waits with `in_force`.
        ensure!(
            answer.status.success() || words.contains("is accepted and kept"),
            "the warrant is refused: {}",
            words.trim()
        );
        Ok(order)
    }

    /// The probe.
    pub(crate) fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Who signs: counsel first.
    pub(crate) fn officers(&self) -> &[Officer; 2] {
        &self.officers
    }

    /// A file of the probe's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits until every order is in force: its agencies have been told so.
    pub(crate) fn in_force(&self) -> Result<()> {
        until("orders in force", Duration::from_secs(120), || {
            let intercepts = self.probe.status()?["intercepts"].as_array().cloned().unwrap_or_default();
            let told = |delivery: &Value| delivery["events_delivered"].as_u64() > Some(0);
            let begun = |intercept: &Value| list(&intercept["counts"]["deliveries"]).iter().all(told);
            let all = intercepts.len() == self.orders && intercepts.iter().all(begun);
            if !all {
                sleep(Duration::from_millis(20));
            }
            Ok(all.then_some(()))
        })?;
        Ok(())
    }

    /// Memory of the probe's processes that is theirs alone, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut bytes = 0;
        for role in ["capture", "deliver", "control"] {
            let Some(pid) = self.probe.role(&self.receiver, role)? else { continue };
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default();
            bytes += kib * 1024;
        }
        Ok(bytes)
    }

    /// Memory of the kernel's tables that the probe has made, in bytes.
    pub(crate) fn kernel_memory(&self) -> Result<u64> {
        let Some(pid) = self.probe.role(&self.receiver, "capture")? else { return Ok(0) };
        // By the kernel's number of the table: a process can hold one several times.
        let mut tables = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let number = |label: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(label));
                line.and_then(|rest| rest.trim().parse::<u64>().ok())
            };
            tables.extend(number("map_id:").zip(number("memlock:")));
        }
        Ok(tables.values().sum())
    }

    /// Sends into a link, for a while.
    pub(crate) fn send(&self, link: Link, traffic: &Traffic, time: Duration) -> Result<Sent> {
        let processors = usize::from(self.layout.queues);
        Generator::run(self.subject.generator, &self.sender, link.from, traffic, processors, time)
    }

    /// Frames a second at which the link is purely dropped.
    pub(crate) fn dropped(&self, traffic: &Traffic, time: Duration) -> Result<f64> {
        Ok(Passage::of(self.send(DROP, traffic, time)?).sent)
    }

    /// The probe takes what it should.
    pub(crate) fn taken(&self, traffic: &Traffic, time: Duration) -> Result<Passage> {
        let before = self.books()?;
        let sum = |count: &dyn Fn(&Sink) -> u64| self.sinks.iter().map(count).sum::<u64>();
        let pdus = || sum(&|sink| sink.counts.pdus.load(Ordering::Relaxed));
        let at_start = pdus();
        let sent = self.send(TAP, traffic, time)?;
        // Only what was there while frames came counts as kept up with.
        let arrived = pdus() - at_start;
        let after = self.books()?;
        ensure!(
            after.waiting == 0 && after.due == after.delivered + after.lost_behind,
            "the probe's books do not close: {after:?}"
        );
        let matched = after.matched - before.matched;
        let hits = traffic.hits_of(sent.frames);
        // One in a thousand is which of a thousand, so the last round's part may be off by as many.
        ensure!(matched <= hits + 1000, "{matched} packets matched, and only {hits} of those that were sent should");
        let broken = sum(&|sink| sink.counts.broken.load(Ordering::Relaxed));
        ensure!(broken == 0, "a connection to an agency broke");
        // Every packet that the books call delivered came, in order, and no number is missing: the probe counts its
        // losses before it gives out numbers, or the agency sees the gap.
        let out_of_order = sum(&|sink| sink.counts.out_of_order.load(Ordering::Relaxed));
        let lost = after.lost_behind + after.lost_in_ring;
        ensure!(out_of_order == 0 || lost > 0, "{out_of_order} PDUs out of order and nothing counted lost");
        // To several agencies goes one packet several times; each of them is one of the hits.
        let copies =
            (after.due - before.due).checked_div(matched.saturating_sub(after.lost_in_ring - before.lost_in_ring));
        let copies = copies.unwrap_or(1).max(1);
        Ok(Passage {
            arrived: arrived as f64 / copies as f64 / sent.seconds,
            hits,
            lost_on_link: hits.saturating_sub(matched),
            lost_in_ring: after.lost_in_ring - before.lost_in_ring,
            lost_behind: (after.lost_behind - before.lost_behind) / copies,
            ..Passage::of(sent)
        })
    }

    /// What [`Bed::taken`] tells, and the latency of each packet, in nanoseconds. The traffic is stamped.
    pub(crate) fn timed(&self, traffic: &Traffic, time: Duration) -> Result<(Passage, Vec<u64>)> {
        self.stamped(true);
        let passage = self.taken(traffic, time);
        let latencies = self.stamped(false);
        Ok((passage?, latencies))
    }

    /// From now on packets carry the time of their sending, or no longer. The latencies so far.
    pub(crate) fn stamped(&self, stamped: bool) -> Vec<u64> {
        self.sinks.iter().flat_map(|sink| sink.counts.stamped(stamped)).collect()
    }

    /// The interface to send out of towards the tap.
    pub(crate) fn towards_tap() -> &'static str {
        TAP.from
    }

    /// The interface to send out of towards [`PASS`].
    pub(crate) fn towards_stack() -> &'static str {
        PASS.from
    }

    /// The books, once they are closed, or as they are after ten seconds.
    fn books(&self) -> Result<Books> {
        let mut last = Books::default();
        let closed = until("closed books", Duration::from_secs(10), || {
            let now = books(&self.probe.status()?);
            let is_quiet = now.waiting == 0 && now.due == now.delivered + now.lost_behind && now == last;
            last = now;
            if !is_quiet {
                sleep(Duration::from_millis(20));
            }
            Ok(is_quiet.then_some(()))
        });
        match closed {
            Ok(()) | Err(writ_lab::LabError::TimedOut { .. }) => Ok(last),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn take_down(mut self) -> Result<()> {
        ensure!(self.probe.stop()?, "writ did not end in order; see writ.log");
        Ok(())
    }
}

fn agency(number: usize) -> String {
    format!("agency-{number}")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn books(status: &Value) -> Books {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let sum = |value: &Value| value.as_object().map_or(0, |reasons| reasons.values().map(number).sum::<u64>());
    let mut books = Books::default();
    for intercept in list(&status["intercepts"]) {
        let counts = &intercept["counts"];
        let (matched, lost) = (number(&counts["matched"]), sum(&counts["lost"]));
        books.matched += matched;
        books.lost_in_ring += lost;
        for delivery in list(&counts["deliveries"]) {
            books.due += matched.saturating_sub(lost);
            books.delivered += number(&delivery["delivered"]);
            books.waiting += number(&delivery["waiting"]);
            books.lost_behind += sum(&delivery["lost"]);
        }
    }
    books
}

fn configuration_text(
    subject: &Subject,
    directory: &Path,
    layout: Layout,
    sinks: &[Sink],
    certificates: Option<&Certificates>,
) -> String {
    let (state, runtime) = (directory.join("state"), directory.join("run"));
    let mut text = format!(
        "[probe]\nid = \"{}\"\noperator = \"{}\"\nstate = {state:?}\nruntime = {runtime:?}\n\n[clock]\nrequire_sync = false\n",
        documents::PROBE,
        documents::OPERATOR,
    );
    if let Some(addresses) = layout.addresses {
        text.push_str(&format!("\n[tables]\naddresses_v4 = {addresses}\n"));
    }
    text.push_str(&format!(
        "\n[[capture]]\ninterface = \"{}\"\nmode = \"driver\"\nbind = \"copy\"\non_miss = \"drop\"\n",
        TAP.to
    ));
    // A frame for each place in the ring, and as many on their way.
    let places = subject.ring.map(|places| format!("receive = {places}, frames = {}", places * 2));
    let batch = subject.batch.map(|frames| format!("batch = {frames}"));
    let ring: Vec<String> = places.into_iter().chain(batch).collect();
    text.push_str(&format!("ring = {{ {} }}\n", ring.join(", ")));
    let protection = certificates.map_or("plain = {}\ndigests = false".to_owned(), |certificates| {
        let Certificates { authority, probe, .. } = certificates;
        format!("tls = {{ ca = {authority:?}, cert = {:?}, key = {:?} }}", probe.certificate, probe.key)
    });
    for (number, sink) in sinks.iter().enumerate() {
        text.push_str(&format!(
            "\n[[destination]]\nname = \"{}\"\nformat = \"t1-ias\"\ncmii = \"127.0.0.1:{}\"\ncmc = \"127.0.0.1:{}\"\n\
             {protection}\n",
            agency(number),
            sink.cmii,
            sink.cmc,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_summed_over_orders_and_deliveries() {
        let delivery = |delivered: u64, lost: u64| serde_json::json!({"delivered": delivered, "waiting": 0, "lost": {"spool_full": lost}});
        let status = serde_json::json!({"intercepts": [
            {"counts": {"matched": 10, "lost": {"ring_full": 2}, "deliveries": [delivery(8, 0), delivery(5, 3)]}},
            {"counts": {"matched": 1, "lost": {}, "deliveries": [delivery(1, 0)]}},
        ]});
        let books = books(&status);
        assert_eq!((books.matched, books.lost_in_ring, books.due), (11, 2, 17));
        assert_eq!((books.delivered, books.lost_behind, books.waiting), (14, 3, 0));
    }
}
