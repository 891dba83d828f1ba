//! A tap port and what comes in on it: a veth pair in namespaces of its own.

use crate::support::{BOTH, SMALL, TARGET, intercept};
use std::time::{Duration, Instant};
use writ_abi::SlotRef;
use writ_capture::{Frame, FrameTime, Kernel, Port, PortSettings, RingSettings, RingSource, Source, port};
use writ_lab::{FrameSender, LinkOptions, Namespace, veth};

pub(crate) const SLOT: SlotRef = SlotRef { slot: 1, generation: 1 };
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A tap and the device at its far end, each in a namespace of its own. The tap's link is down.
pub(crate) struct Wire {
    pub(crate) probe: Namespace,
    pub(crate) far: Namespace,
}

impl Wire {
    pub(crate) fn new(queues: u16) -> Self {
        let wire = Self { probe: Namespace::new("probe").unwrap(), far: Namespace::new("far").unwrap() };
        let options = LinkOptions { queues, ..LinkOptions::default() };
        veth((&wire.probe, "tap"), (&wire.far, "far"), options).unwrap();
        wire.probe.ip(&["link", "set", "tap", "down"]).unwrap();
        // What the far end says by itself would be counted at the tap.
        writ_lab::quiet(&wire.far, "far").unwrap();
        wire
    }

    pub(crate) fn link(&self) -> String {
        self.probe.ip(&["-d", "link", "show", "tap"]).unwrap()
    }

    /// Makes the tap quiet and captures on it, with one warrant for [`TARGET`].
    pub(crate) fn capture(&self, settings: &PortSettings) -> (Port, Kernel, Vec<RingSource>) {
        self.probe
            .enter(|| {
                port::quiet(settings).unwrap();
                let port = Port::open(settings).unwrap();
                let mut kernel = Kernel::load(&SMALL).unwrap();
                let sources = kernel.capture(&port, settings).unwrap();
                intercept(&mut kernel, SLOT, TARGET, BOTH);
                (port, kernel, sources)
            })
            .unwrap()
    }

    pub(crate) fn sender(&self) -> FrameSender {
        FrameSender::open(&self.far, "far").unwrap()
    }
}

pub(crate) fn tap() -> PortSettings {
    let ring = RingSettings { receive: 256, frames: 512, batch: 32, ..RingSettings::default() };
    PortSettings { ring, ..PortSettings::named("tap") }
}

/// Takes frames from the sources until there are as many as wanted, or patience ends.
pub(crate) fn drain(sources: &mut [RingSource], wanted: usize) -> Vec<(u32, Vec<u8>, FrameTime)> {
    let mut frames = Vec::new();
    let started = Instant::now();
    while frames.len() < wanted && started.elapsed() < PATIENCE {
        for source in &mut *sources {
            let batch = source.receive(Duration::from_millis(5)).unwrap();
            frames.extend(batch.frames().map(|frame| (frame.header.queue, whole(&frame), frame.time)));
        }
    }
    frames
}

/// All bytes of a frame, put together.
pub(crate) fn whole(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; frame.length()];
    frame.part(0..frame.length()).unwrap().copy_to(&mut bytes);
    bytes
}
