//! What the formats of fixed layout share: a header of known length in front of a packet, and what to say of octets that
//! have none.

use crate::NoRoom;

/// Octets that are no PDU of the format. Says where, and quotes nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {format}: octet {offset}: {fault}")]
pub struct Malformed {
    /// The format that was asked for.
    pub format: &'static str,
    /// Octets before the one that does not fit.
    pub offset: usize,
    /// What is wrong there.
    pub fault: &'static str,
}

/// What is said where the octets end too early.
pub(crate) const CUT_OFF: &str = "ends within its header";

/// The next `N` octets of `rest`, which is moved behind them.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Writes the parts of a header and, behind them, the `length` octets that `copy` writes. Gives the length of the whole.
#[inline(always)]
pub(crate) fn put(
    out: &mut [u8],
    header: &[&[u8]],
    length: usize,
    copy: impl FnOnce(&mut [u8]),
) -> Result<usize, NoRoom> {
    let mut rest = &mut *out;
    let mut written = 0;
    for part in header {
        let (place, behind) = rest.split_at_mut_checked(part.len()).ok_or(NoRoom)?;
        place.copy_from_slice(part);
        rest = behind;
        written += part.len();
    }
    copy(rest.get_mut(..length).ok_or(NoRoom)?);
    Ok(written + length)
}
