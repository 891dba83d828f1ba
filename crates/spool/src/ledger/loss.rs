//! The reasons for which a packet of an intercept can be lost.

macro_rules! loss_reasons {
    ($($(#[$doc:meta])+ $name:ident = $label:literal),+ $(,)?) => {
        /// Why a packet of an intercept did not reach the agency.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LossReason { $($(#[$doc])+ $name),+ }

        impl LossReason {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that `status` and metrics use.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

loss_reasons! {
    /// The stream's memory was full: delivery is slower than capture, or away.
    SpoolFull = "spool_full",
    /// The PDU could not be encoded.
    EncodeFailed = "encode_failed",
    /// In the hands of a capture role that died.
    CaptureRestarted = "capture_restarted",
    /// The intercept was gone from its slot before the packet could be appended.
    Stale = "stale",
    /// Seen before, and dropped because the port is set up so: the agency has the packet once.
    Duplicate = "duplicate",
    /// It waited in memory when the whole probe ended. The agency may have it, and had not confirmed it.
    ProbeEnded = "probe_ended",
    /// Before receipt: the ring to user space was full, or held it when the capture role died.
    RingFull = "ring_full",
    /// Before receipt: no socket was bound to its queue.
    NoSocket = "no_socket",
    /// Before receipt: the cut to headers failed in the kernel.
    CutFailed = "cut_failed",
    /// Before receipt: destroyed because its addresses were not those of the intercept.
    IsolationViolation = "isolation_violation",
}

impl LossReason {
    /// Whether such a packet was counted as received by a worker first.
    pub const fn after_receipt(self) -> bool {
        !matches!(self, Self::RingFull | Self::NoSocket | Self::CutFailed | Self::IsolationViolation)
    }
}
