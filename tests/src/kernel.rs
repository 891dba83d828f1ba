//! The XDP program, loaded with the targets of a [`World`] and run over single frames.
//!
//! `WRIT_OBJECT` names another object file to try in place of the one that is built in: of another toolchain, say, or
//! one with a fault in it, to see that a test finds the fault.

use crate::reference::{Entry, World};
use aya::programs::{TestRun, TestRunOptions, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use std::collections::BTreeMap;
use std::{env, fs};
use writ_abi::{FrameHeader, ProbeCounter, SlotCounters};
use writ_capture::{Action, CounterView, Kernel, KernelError, KernelSettings, OnMiss, Tunnel, Verdict};
use zerocopy::FromBytes;

/// The loaded program.
pub struct Trial {
    kernel: Kernel,
    counters: CounterView,
    slots: u16,
    tunnel: Tunnel,
    buffers: Buffers,
}

/// In how many buffers frames come to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// In one: the programs of most ports.
    One,
    /// In as many as they need, a page each: the programs of ports with jumbo frames.
    Pages,
    /// The first holds so many bytes only, which not every kernel tries.
    ShortFirst(u32),
}

/// What the program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Dropped.
    Dropped,
    /// Left to the host's network stack, and as it was.
    Passed,
    /// Handed over: the header and the frame behind it.
    HandedOver(Box<FrameHeader>, Vec<u8>),
}

/// The counters at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Of the program, without those that are 0.
    pub probe: BTreeMap<&'static str, u64>,
    /// Of the slots, without those that are 0.
    pub slots: BTreeMap<u16, SlotCounters>,
}

impl Trial {
    /// Loads the program and its tables. Needs root.
    pub fn load(world: &World) -> Self {
        // So many fragmented packets that none is forgotten.
        Self::following(world, 1 << 17)
    }

    /// The same, with memory for so many fragmented packets.
    pub fn following(world: &World, fragments: u32) -> Self {
        let slots = world.slots.len() as u16;
        let look_inside = world.look_inside;
        let settings = KernelSettings {
            slots,
            addresses_v4: 64,
            addresses_v6: 64,
            macs: 16,
            vlans: 16,
            conditions: 64,
            fragments,
            filter_bytes: 4096,
            sockets: 4,
            look_inside,
        };
        let mut kernel = match env::var_os("WRIT_OBJECT") {
            None => Kernel::load(&settings),
            Some(file) => Kernel::load_object(&fs::read(file).expect("a readable file"), &settings),
        }
        .expect("the XDP program loads (as root)");
        for (slot, policy) in world.slots.iter().enumerate() {
            kernel.tables().arm(slot as u16, policy).expect("a slot of the table");
        }
        for (selector, claims) in world.entries() {
            kernel.tables().bind(selector, &claims).expect("room in the table");
        }
        let counters = kernel.counters().expect("the counters can be mapped");
        Self { kernel, counters, slots, tunnel: world.tunnel, buffers: Buffers::One }
    }

    /// From here on frames come in so many buffers. False, and nothing has changed: this kernel cannot try that.
    pub fn set_buffers(&mut self, buffers: Buffers) -> bool {
        let before = std::mem::replace(&mut self.buffers, buffers);
        let can = self.verdict(OnMiss::Drop, &[0; 60]).is_ok();
        if !can {
            self.buffers = before;
        }
        can
    }

    fn verdict(&mut self, on_miss: OnMiss, frame: &[u8]) -> Result<Verdict<'_>, KernelError> {
        let tunnel = self.tunnel;
        match self.buffers {
            Buffers::One => self.kernel.try_mirrored(on_miss, tunnel, frame),
            Buffers::Pages => self.kernel.try_jumbo(on_miss, tunnel, frame, None),
            Buffers::ShortFirst(bytes) => {
                let first = bytes.min(u32::try_from(frame.len()).unwrap_or(u32::MAX));
                self.kernel.try_jumbo(on_miss, tunnel, frame, Some(first))
            }
        }
    }

    /// Runs the program over a frame.
    pub fn run(&mut self, on_miss: OnMiss, frame: &[u8]) -> Outcome {
        let verdict = self.verdict(on_miss, frame).expect("the kernel runs the program");
        match verdict.action {
            Action::Drop => Outcome::Dropped,
            Action::Pass => {
                assert_eq!(verdict.data, frame, "a frame that is passed on is not to be touched");
                Outcome::Passed
            }
            Action::Redirect => {
                let (header, frame) = FrameHeader::read_from_prefix(verdict.data).expect("a FrameHeader in front");
                Outcome::HandedOver(Box::new(header), frame.to_vec())
            }
            other => panic!("the program never says {other:?}"),
        }
    }

    /// The counters as they are now.
    pub fn counts(&self) -> Counts {
        let probe = ProbeCounter::ALL.iter().map(|counter| (counter.label(), self.counters.probe(*counter)));
        let slots = (0..self.slots).map(|slot| (slot, self.counters.slot(slot)));
        Counts {
            probe: probe.filter(|(_, count)| *count != 0).collect(),
            slots: slots.filter(|(_, counters)| *counters != SlotCounters::default()).collect(),
        }
    }
}

impl Counts {
    /// None yet.
    pub fn zero() -> Self {
        Self { probe: BTreeMap::new(), slots: BTreeMap::new() }
    }

    /// Adds what a frame of this length does to the program's counters.
    pub fn add_frame(&mut self, counted: &[ProbeCounter], length: usize) {
        for counter in counted.iter().chain(&[ProbeCounter::Frames]) {
            *self.probe.entry(counter.label()).or_default() += 1;
        }
        *self.probe.entry(ProbeCounter::Bytes.label()).or_default() += length as u64;
    }

    /// Adds what a frame of this length does to a slot's counters.
    pub fn add_entry(&mut self, slot: u16, entry: Entry, length: usize) {
        let counters = self.slots.entry(slot).or_default();
        match entry {
            Entry::Matched => {
                counters.matched += 1;
                counters.matched_bytes += length as u64;
            }
            Entry::Early => counters.early += 1,
            Entry::Expired => counters.expired += 1,
            Entry::Stale => counters.stale += 1,
            Entry::OtherDirection => counters.other_direction += 1,
            Entry::OtherTraffic => counters.other_traffic += 1,
            Entry::UnknownTraffic => counters.unknown_traffic += 1,
        }
    }
}

/// The program as any thread can run it, beside whoever writes its tables.
///
/// # Panics
/// If the kernel does not show it.
pub fn beside(kernel: &Kernel) -> Xdp {
    let id = kernel.program_id().expect("the program has a number");
    let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id).expect("it is loaded");
    Xdp::from_program_info(info, "beside".into(), XdpAttachType::Interface).expect("it is XDP")
}

/// Runs the program over a frame so many times in one system call. What it said of the last, and what it left of the frame.
///
/// # Panics
/// If the kernel does not run it.
pub fn burst(program: &Xdp, frame: &[u8], repeat: u32) -> (u32, Vec<u8>) {
    let mut out = vec![0; frame.len() + FrameHeader::SIZE];
    let options =
        TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), repeat, ..TestRunOptions::default() };
    let result = program.test_run(options).expect("the kernel runs the program");
    out.truncate(frame.len());
    (result.return_value, out)
}
