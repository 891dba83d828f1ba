//! Who reaches the control socket at all: the accounts of `[access]`, each by an entry in the access control list of the
//! socket and of its directory, and nobody else. So what reads requests is not even shown to the other users of the
//! machine. An owner may set such a list without a capability, which the control role no longer has.

use super::Access;
use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The attribute that holds the list, and the version of its form (`linux/posix_acl_xattr.h`).
const ATTRIBUTE: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
/// Tags of entries, in the order in which the kernel wants them.
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The number in an entry that is for no account of its own.
const NOBODY: u32 = u32::MAX;

const SEARCH: u16 = 1;
const READ_WRITE: u16 = 6;

/// Opens the socket and the way to it to those who have a role.
///
/// # Errors
/// When the file system keeps no access control lists, or the directory is not the probe's own.
pub(in crate::roles::control) fn open(access: &Access, directory: &Path, socket: &Path) -> io::Result<()> {
    let Access::Named(entries) = access else {
        set_permissions(socket, Permissions::from_mode(0o600))?;
        // A list that a former configuration left; without it the mode's group bits are what was its mask.
        return match removexattr(directory, ATTRIBUTE) {
            Ok(()) => set_permissions(directory, Permissions::from_mode(0o700)),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(error.into()),
        };
    };
    let users = entries.iter().flat_map(|entry| entry.users.iter().copied()).collect();
    let groups = entries.iter().flat_map(|entry| entry.groups.iter().copied()).collect();
    let set = |path: &Path, owner, named| {
        setxattr(path, ATTRIBUTE, &list(owner, named, &users, &groups), XattrFlags::empty()).map_err(|error| {
            let why = match error {
                Errno::NOTSUP => "its file system keeps no access control lists; set probe.runtime to one that does",
                _ => "the access control list is refused",
            };
            io::Error::new(io::Error::from(error).kind(), format!("{}: {why} ({error})", path.display()))
        })
    };
    set(socket, READ_WRITE, READ_WRITE)?;
    set(directory, READ_WRITE | SEARCH, SEARCH)
}

/// A list by which the owner has some permissions, those named have others, and nobody else has any.
fn list(owner: u16, named: u16, users: &BTreeSet<u32>, groups: &BTreeSet<u32>) -> Vec<u8> {
    let mut list = VERSION.to_le_bytes().to_vec();
    let mut entry = |tag: u16, permissions: u16, account: u32| {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(account.to_le_bytes());
    };
    entry(OWNER, owner, NOBODY);
    users.iter().for_each(|user| entry(USER, named, *user));
    entry(OWNING_GROUP, 0, NOBODY);
    groups.iter().for_each(|group| entry(GROUP, named, *group));
    entry(MASK, named, NOBODY);
    entry(OTHER, 0, NOBODY);
    list
}
