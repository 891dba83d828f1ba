//! MPLS: a stack of labels, which says nothing of what it carries but where that begins.

use aya_ebpf::programs::XdpContext;
use writ_abi::ProbeCounter;

use crate::packet;

/// How many labels are walked.
const MAX_LABELS: usize = 4;

/// Length of a pseudowire's control word.
pub const CONTROL_WORD: u16 = 4;

/// Whether this EtherType announces labels: of either, unicast and what was multicast (RFC 5332).
#[inline(always)]
pub fn announced(kind: u16) -> bool {
    matches!(kind, 0x8847 | 0x8848)
}

/// Where the stack ends: behind the first label whose bottom bit is set (RFC 3032).
#[inline(always)]
pub fn bottom(ctx: &XdpContext, mut offset: u16, end: u16) -> Result<u16, ProbeCounter> {
    for _ in 0..MAX_LABELS {
        let Some([_, _, bottom, _]) = packet::within(ctx, offset, end) else { return Err(ProbeCounter::TooShort) };
        offset += 4;
        if bottom & 1 != 0 {
            return Ok(offset);
        }
    }
    Err(ProbeCounter::MplsDepth)
}
