//! What is to be said of a network card, and what is to be changed about it: a pure function of what the card says of
//! itself ([`Nic`]) and of how the port is configured. Each finding carries the changes that would mend it; what is right
//! already gets none.

use super::change::{Change, Step, Way};
use super::{Check, State};
use crate::nic::hashing::{Function, Hashing, Transform, key_text, symmetric_key};
use crate::nic::interrupts::Interrupt;
use crate::nic::{Nic, list_cpus};
use crate::settings::{AttachMode, OnMiss, PortSettings};
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// What was found about one thing, and what `--fix` would do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) changes: Vec<Change>,
}

/// What the machine gives every port.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Version of the kernel.
    pub(crate) kernel: (u32, u32),
    /// CPUs that this process may run on.
    pub(crate) cpus: BTreeSet<u32>,
}

/// One finding for each thing, in an order in which changes can be made: other queues make the driver forget how it
/// spread frames and where its interrupts went.
pub(crate) const FINDINGS: [fn(&Subject<'_>) -> Finding; 9] =
    [queues, ring, offloads, pause, symmetry, table, fields, workers, interrupts];

/// What is judged.
pub(crate) struct Subject<'a> {
    pub(crate) nic: &'a Nic,
    pub(crate) settings: &'a PortSettings,
    pub(crate) machine: &'a Machine,
}

impl Subject<'_> {
    fn title(&self, what: &str) -> String {
        format!("{}: {what}", self.nic.name)
    }

    /// Queues that are captured from.
    fn queues(&self) -> u32 {
        self.settings.queues.unwrap_or(self.nic.queues)
    }

    fn ok(&self, what: &str, found: impl Into<String>) -> Finding {
        Finding { check: Check::ok(self.title(what), found), changes: Vec::new() }
    }

    fn warn(&self, what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check: Check::warn(self.title(what), found, remedy), changes: Vec::new() }
    }

    /// A finding that a change mends.
    fn mend(&self, what: &str, found: impl Into<String>, change: Change) -> Finding {
        let remedy = format!("`writ doctor --fix`, or `{}`", change.command());
        Finding { check: Check::warn(self.title(what), found, remedy), changes: vec![change] }
    }

    fn ethtool(&self, option: &str, step: &str, undo: &str) -> Way {
        let name = &self.nic.name;
        Way { step: Step::ethtool(option, name, step), undo: Step::ethtool(option, name, undo) }
    }

    fn change(&self, what: &str, from: impl Into<String>, to: impl Into<String>, ways: Vec<Way>) -> Change {
        Change { what: self.title(what), from: from.into(), to: to.into(), ways }
    }
}

fn queues(subject: &Subject<'_>) -> Finding {
    let found = subject.nic.queues;
    let Some(wanted) = subject.settings.queues.filter(|wanted| *wanted != found) else {
        return subject.ok("queues", format!("{found}"));
    };
    let table = subject.nic.hashing.as_ref().filter(|hashing| !hashing.table.is_empty());
    if wanted < found && table.is_some_and(|hashing| hashing.shares(wanted).1) {
        return subject.ok("queues", format!("{found}, of which the RSS table leads to the {wanted} captured from"));
    }
    // Receive queues of their own, where the driver has no others.
    let way = subject.nic.channels.and_then(|channels| {
        let (kind, now, most) = match channels.most_combined {
            0 => ("rx", channels.receive, channels.most_receive),
            most => ("combined", channels.combined, most),
        };
        let fits = wanted > 0 && wanted <= most && now == found;
        fits.then(|| subject.ethtool("-L", &format!("{kind} {wanted}"), &format!("{kind} {now}")))
    });
    let lost = if wanted < found { "; what comes in on the others is lost" } else { "" };
    let said = format!("{found} receive queues, `queues` asks for {wanted}{lost}");
    let mut finding = match way {
        Some(way) => {
            let change = subject.change("queues", found.to_string(), wanted.to_string(), vec![way]);
            subject.mend("queues", said, change)
        }
        None => subject.warn("queues", said, format!("write queues = {found}, or leave it out")),
    };
    // A probe that is short of queues does not start.
    if wanted > found {
        finding.check.state = State::Fail;
    }
    finding
}

fn ring(subject: &Subject<'_>) -> Finding {
    let Some(ring) = subject.nic.ring else {
        return subject.ok("NIC ring", "the driver shows none");
    };
    if ring.frames >= ring.most {
        return subject.ok("NIC ring", format!("{} frames, its maximum", ring.frames));
    }
    let way = subject.ethtool("-G", &format!("rx {}", ring.most), &format!("rx {}", ring.frames));
    let change = subject.change("NIC ring", ring.frames.to_string(), ring.most.to_string(), vec![way]);
    subject.mend("NIC ring", format!("{} frames of {}: a burst is lost sooner", ring.frames, ring.most), change)
}

fn offloads(subject: &Subject<'_>) -> Finding {
    let Some(offloads) = subject.nic.offloads else {
        return subject.ok("offloads", "the driver has none to show");
    };
    let off = |name: &str| {
        let way = subject.ethtool("-K", &format!("{name} off"), &format!("{name} on"));
        subject.change(name, "on", "off", vec![way])
    };
    let lro = offloads.lro.then(|| ("LRO is on: the NIC merges packets", off("lro")));
    let tags = offloads.rx_vlan.then(|| ("the NIC strips VLAN tags", off("rxvlan")));
    let (said, changes): (Vec<&str>, Vec<Change>) = lro.into_iter().chain(tags).unzip();
    if changes.is_empty() {
        let gro = match (offloads.gro, subject.settings.mode) {
            (true, AttachMode::Driver) => "GRO is on (no harm with native XDP)",
            (true, AttachMode::Generic) => "GRO is on (the kernel skips it where generic XDP is attached)",
            (false, _) => "none that changes frames",
        };
        return subject.ok("offloads", gro);
    }
    let commands: Vec<String> = changes.iter().map(|change| format!("`{}`", change.command())).collect();
    let mut finding = subject.warn(
        "offloads",
        said.join("; "),
        format!("`writ doctor --fix`, or {}, to hand frames over as they came", commands.join(" and ")),
    );
    if offloads.lro {
        finding.check.state = State::Fail;
    }
    finding.changes = changes;
    finding
}

fn pause(subject: &Subject<'_>) -> Finding {
    let Some(pause) = subject.nic.pause else {
        return subject.ok("pause frames", "the driver says nothing of them");
    };
    if !pause.sent || subject.settings.on_miss == OnMiss::Pass {
        return subject.ok("pause frames", if pause.sent { "sent; a shared port may" } else { "none are sent" });
    }
    let (step, undo) = if pause.negotiated { ("autoneg off tx off", "autoneg on tx on") } else { ("tx off", "tx on") };
    let change = subject.change("pause frames", "sent", "not sent", vec![subject.ethtool("-A", step, undo)]);
    subject.mend("pause frames", "the NIC sends them when its ring is full; a tap port has to be silent", change)
}

fn symmetry(subject: &Subject<'_>) -> Finding {
    const WHAT: &str = "RSS hash";
    if subject.queues() == 1 {
        return subject.ok(WHAT, "one queue, nothing to spread");
    }
    let one_queue = "if the order of a flow's two directions matters, write queues = 1, then `writ doctor --fix`";
    let Some(hashing) = &subject.nic.hashing else {
        return subject.warn(WHAT, "the driver does not say how it spreads frames over the queues", one_queue);
    };
    let lame = subject.nic.fields.iter().find(|(_, fields)| !fields.are_symmetric());
    if let Some((flow, fields)) = lame {
        let name = flow.name();
        let remedy = format!("`ethtool -N {} rx-flow-hash {name} sdfn`", subject.nic.name);
        return subject.warn(WHAT, format!("{name}: only {fields}: the directions of a flow part"), remedy);
    }
    if let Some(why) = hashing.symmetry() {
        return subject.ok(WHAT, format!("symmetric ({why}); {hashing}"));
    }
    let said = format!("not symmetric: the two directions of a flow come to different queues; {hashing}");
    let ways = ways_to_symmetry(subject, hashing);
    if ways.is_empty() {
        return subject.warn(WHAT, said, one_queue);
    }
    subject.mend(WHAT, said, subject.change(WHAT, hashing.to_string(), "symmetric", ways))
}

/// The card's own symmetry first: it keeps the key, and with it how well frames are spread.
fn ways_to_symmetry(subject: &Subject<'_>, hashing: &Hashing) -> Vec<Way> {
    let mut ways = Vec::new();
    // ethtool 6.9 knows the word. A driver that has no such thing refuses it.
    if subject.machine.kernel >= (6, 8) && hashing.transform == Transform::None {
        ways.push(subject.ethtool("-X", "xfrm symmetric-xor", "xfrm none"));
    }
    if !hashing.key.is_empty() {
        let symmetric = key_text(&symmetric_key(hashing.key.len()));
        let before = key_text(&hashing.key);
        // Under another function the key is of no use.
        let (function, function_before) = match hashing.function {
            Function::Crc32 => (" hfunc toeplitz", " hfunc crc32"),
            _ => ("", ""),
        };
        ways.push(subject.ethtool(
            "-X",
            &format!("hkey {symmetric}{function}"),
            &format!("hkey {before}{function_before}"),
        ));
    }
    ways
}

fn table(subject: &Subject<'_>) -> Finding {
    const WHAT: &str = "RSS table";
    let queues = subject.queues();
    let Some(hashing) = subject.nic.hashing.as_ref().filter(|hashing| !hashing.table.is_empty()) else {
        return subject.ok(WHAT, "the driver shows none");
    };
    let entries = hashing.table.len();
    let (shares, even) = hashing.shares(queues);
    if even {
        return subject.ok(WHAT, format!("{entries} entries, the same for each of {queues} queues"));
    }
    // As many shares as there are queues in use, so that the way back leads to those that are left out now.
    let (before, _) = hashing.shares(subject.nic.queues.max(queues));
    let weights: Vec<String> = before.iter().map(ToString::to_string).collect();
    let found: Vec<String> = shares.iter().map(ToString::to_string).collect();
    let way = subject.ethtool("-X", &format!("equal {queues}"), &format!("weight {}", weights.join(" ")));
    let change = subject.change(WHAT, weights.join(" "), format!("equal shares for {queues} queues"), vec![way]);
    subject.mend(WHAT, format!("{entries} entries, unevenly: {} for the queues in turn", found.join(", ")), change)
}

fn fields(subject: &Subject<'_>) -> Finding {
    const WHAT: &str = "RSS fields";
    if subject.nic.fields.is_empty() {
        return subject.ok(WHAT, "the driver does not say which fields it hashes");
    }
    let each: Vec<String> =
        subject.nic.fields.iter().map(|(flow, fields)| format!("{}: {fields}", flow.name())).collect();
    let parted = subject.nic.fields.iter().find(|(flow, fields)| flow.is_fragmented() && fields.have_ports());
    // A choice with a price, so nothing that --fix makes.
    let note = parted.map(|(flow, _)| {
        let name = flow.name();
        format!(
            "; {name} fragments can come to another queue than their first: `ethtool -N {} rx-flow-hash {name} sd` keeps \
             them together and spreads more coarsely",
            subject.nic.name
        )
    });
    subject.ok(WHAT, each.join("; ") + &note.unwrap_or_default())
}

fn workers(subject: &Subject<'_>) -> Finding {
    const WHAT: &str = "workers";
    let cpus = &subject.settings.cpus;
    let on = subject.nic.node.as_ref().map(|node| format!("; the NIC is on NUMA node {}", node.number));
    let on = on.unwrap_or_default();
    if cpus.is_empty() {
        return subject.ok(WHAT, format!("the scheduler decides on which CPU (`cpus` names them){on}"));
    }
    let queues = subject.queues();
    if cpus.len() != queues as usize {
        let found = format!("`cpus` names {} CPUs for {queues} queues", cpus.len());
        return failed(subject.warn(WHAT, found, "name one for each queue, or leave it out"));
    }
    let listed: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    let placed = format!("queues in turn on CPU {}{on}", listed.join(", "));
    let set: BTreeSet<u32> = cpus.iter().copied().collect();
    if let Some(missing) = set.difference(&subject.machine.cpus).next() {
        let usable = list_cpus(&subject.machine.cpus);
        return failed(subject.warn(
            WHAT,
            format!("there is no CPU {missing} for it"),
            format!("choose from {usable}"),
        ));
    }
    if set.len() < cpus.len() {
        return subject.warn(WHAT, format!("{placed}: workers share a CPU"), "name each CPU once in `cpus`");
    }
    match &subject.nic.node {
        Some(node) if !set.is_subset(&node.cpus) => subject.warn(
            WHAT,
            format!("{placed}: not all of them are there"),
            format!("choose from its CPUs: {}", list_cpus(&node.cpus)),
        ),
        _ => subject.ok(WHAT, placed),
    }
}

/// The same finding, as one with which the probe does not start.
fn failed(mut finding: Finding) -> Finding {
    finding.check.state = State::Fail;
    finding
}

fn interrupts(subject: &Subject<'_>) -> Finding {
    const WHAT: &str = "interrupts";
    let interrupts = &subject.nic.interrupts;
    let deferred = match subject.nic.deferral {
        _ if subject.settings.ring.busy_poll_us == 0 => String::new(),
        Some(now) => {
            format!("; busy poll: held back while the probe runs ({} polls, {} ns now)", now.polls, now.timeout_ns)
        }
        None => {
            let said = "`ring.busy_poll_us` is set, and the kernel shows no napi_defer_hard_irqs for this interface";
            return failed(subject.warn(WHAT, said, "write ring.busy_poll_us = 0"));
        }
    };
    if interrupts.is_empty() {
        return subject
            .ok(WHAT, format!("none of its receive queues to be seen (there are none while it is down){deferred}"));
    }
    let of = |interrupt: &Interrupt| {
        format!("queue {}: {} on CPU {}", interrupt.queue, interrupt.number, list_cpus(&interrupt.served))
    };
    let found = interrupts.iter().map(of).collect::<Vec<_>>().join(", ") + &deferred;
    let move_to_worker = |interrupt: &Interrupt| {
        let cpu = *subject.settings.cpus.get(interrupt.queue as usize)?;
        let there = BTreeSet::from([cpu]);
        if interrupt.allowed == there && interrupt.served == there {
            return None;
        }
        let path = format!("/proc/irq/{}/smp_affinity_list", interrupt.number);
        let before = list_cpus(&interrupt.allowed);
        let way = Way {
            step: Step::Write { path: path.clone(), value: cpu.to_string() },
            undo: Step::Write { path, value: before.clone() },
        };
        let what = format!("interrupt of queue {}", interrupt.queue);
        Some(subject.change(&what, format!("CPU {before}"), format!("CPU {cpu}"), vec![way]))
    };
    let changes: Vec<Change> = interrupts.iter().filter_map(move_to_worker).collect();
    if changes.is_empty() {
        return subject.ok(WHAT, found);
    }
    let commands: Vec<String> = changes.iter().map(|change| format!("`{}`", change.command())).collect();
    let remedy = format!("`writ doctor --fix`, or {}", commands.join(" and "));
    let mut finding = subject.warn(WHAT, format!("{found}; not where their workers are"), remedy);
    finding.changes = changes;
    finding
}
