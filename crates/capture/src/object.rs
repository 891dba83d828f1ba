//! The XDP program as it was built with this crate: an ELF object, carried inside the binary, and the check that it
//! speaks the version of the kernel border that this crate speaks.

use object::{Object, ObjectSection};
use writ_abi::{ABI_SECTION, ABI_VERSION};

/// The object that was built from `probe-ebpf` together with this crate. Aligned as an ELF reader needs it.
pub fn object() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/writ-xdp.o"))
}

/// Why an object is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbiMismatch {
    /// It is built for another version of the border.
    #[error(
        "the XDP program speaks version {found} of the kernel border and this program version {expected}: \
         the two were built apart; install both halves from one build of Writ"
    )]
    Version {
        /// Of the object.
        found: u16,
        /// Of this crate.
        expected: u16,
    },
    /// It does not say.
    #[error(
        "the XDP program does not say which version of the kernel border it speaks (section `{ABI_SECTION}`, \
             version {expected} expected): {reason}; install both halves from one build of Writ"
    )]
    Unmarked {
        /// Of this crate.
        expected: u16,
        /// What is wrong with the section or the file.
        reason: String,
    },
}

/// Version of the kernel border that an object was built for.
///
/// # Errors
/// [`AbiMismatch::Unmarked`]: not an ELF object, or without a readable version.
pub fn abi_version(bytes: &[u8]) -> Result<u16, AbiMismatch> {
    let unmarked = |reason: String| AbiMismatch::Unmarked { expected: ABI_VERSION, reason };
    let file = object::File::parse(bytes).map_err(|error| unmarked(format!("not an object file ({error})")))?;
    let section = file.section_by_name(ABI_SECTION).ok_or_else(|| unmarked("no such section".into()))?;
    let data = section.data().map_err(|error| unmarked(format!("unreadable ({error})")))?;
    let version = <[u8; 2]>::try_from(data).map_err(|_| unmarked(format!("{} bytes instead of 2", data.len())))?;
    Ok(u16::from_le_bytes(version))
}

/// Refuses an object of another version than this crate's.
///
/// # Errors
/// [`AbiMismatch`] names both versions.
pub fn check_abi(bytes: &[u8]) -> Result<(), AbiMismatch> {
    match abi_version(bytes)? {
        ABI_VERSION => Ok(()),
        found => Err(AbiMismatch::Version { found, expected: ABI_VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_object_is_accepted() {
        assert_eq!(check_abi(object()), Ok(()));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let refused = check_abi(b"#!/bin/sh").unwrap_err().to_string();
        assert!(refused.contains("writ_abi") && refused.contains("not an object file"), "{refused}");
    }
}
