//! The probe's hand in the kernel: loads the XDP program and keeps its tables, opens the queues of a tap port as
//! sources of frames, and gives up every privilege that is no longer needed. Frames go up from here to the workers;
//! addresses, slots and deadlines come down to here from reconciliation. All unsafe code of capturing is in this crate.

mod busy_poll;
mod clock;
mod counters;
mod frames;
mod interface;
mod kernel;
mod link;
mod memory;
mod nic;
mod object;
mod packet;
mod peer;
mod pieces;
mod prefetch;
mod replay;
mod ring;
mod settings;
mod shared;
mod source;
mod survey;
mod synchronisation;
mod tables;
mod target;
mod verify;

pub mod doctor;
pub mod jumbo;
pub mod port;
pub mod privileges;

pub use busy_poll::{Deferral, Polling};
pub use clock::{ClockOffset, boot_now_ns, start_boot_ns, stop_boot_ns, utc_now_ns};
pub use counters::{CounterError, CounterFds, CounterView};
pub use kernel::{Action, Kernel, KernelError, Verdict};
pub use memory::MemorySource;
pub use object::{AbiMismatch, abi_version, check_abi, object};
pub use packet::addresses;
pub use peer::peer_groups;
pub use pieces::{Part, Pieces};
pub use port::{Port, PortError, PortState};
pub use replay::PcapSource;
pub use ring::RingSource;
pub use settings::{
    AttachMode, BindMode, DuplicateAction, Isolation, KernelSettings, OnMiss, PortSettings, RingSettings,
    SettingsError, Tunnel,
};
pub use source::{Batch, Frame, FrameTime, Source, SourceError, SourceStatistics};
pub use survey::{Finding, Survey, SurveyCounts, SurveyedPort, findings};
pub use synchronisation::{ClockSettings, ClockState};
pub use tables::{Foreign, TableError, Tables, Tampering, Watch, Written};
pub use target::{Target, TargetView};
pub use verify::{Direction, Hit, Verified, verify};
