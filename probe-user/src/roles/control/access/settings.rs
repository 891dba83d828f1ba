//! `[access]` of the configuration: which accounts of this machine have which role. Comes from the configuration as
//! names and numbers, is looked up once where the machine's accounts are kept, and goes to [`Access`] as numbers.

use super::{Access, Compartments, Entry, Rights};
use nix::unistd::{Group, User};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use writ_authority::Compartment;

/// `[access]`. Left out as a whole: root, and the user whom the probe runs as, have every role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// Who sees whether the machine does its work. Left out: nobody beside `admin`.
    viewer: Option<Accounts>,
    /// Who looks after the machine. Left out: root.
    admin: Option<Accounts>,
    /// Who deals with cases. Left out: nobody.
    li: Vec<LiAccounts>,
}

/// Accounts of this machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    users: Vec<Account>,
    groups: Vec<Account>,
}

/// `[[access.li]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiAccounts {
    #[serde(default)]
    users: Vec<Account>,
    #[serde(default)]
    groups: Vec<Account>,
    /// Whose cases. A warrant that names no compartment is in `general`.
    #[serde(default = "general")]
    compartments: BTreeSet<String>,
}

fn general() -> BTreeSet<String> {
    BTreeSet::from([Compartment::default().to_string()])
}

/// A user or a group: by its name, or by its number where the machine has no name for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Account {
    Number(u32),
    Name(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What is wrong with the section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct AccessFault {
    /// The field, as a path into the document (`access.li[0].users[1]`).
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

impl AccessSettings {
    /// What can be said of the section alone, whatever accounts the machine has.
    pub fn faults(&self) -> Vec<AccessFault> {
        let mut faults = Vec::new();
        for (field, users, groups) in self.named() {
            if users.is_empty() && groups.is_empty() {
                let remedy = "name somebody, or leave it out";
                faults.push(AccessFault { field, problem: "names no user and no group".to_owned(), remedy });
            }
        }
        for (index, li) in self.li.iter().enumerate() {
            let field = format!("access.li[{index}].compartments");
            if li.compartments.is_empty() {
                let remedy = "name the compartments of the cases, or leave it out: then it is \"general\"";
                faults.push(AccessFault { field, problem: "names none".to_owned(), remedy });
            } else if let Some(name) = li.compartments.iter().find(|name| !is_compartment(name)) {
                let remedy = "write the names that the warrants carry: lower-case letters, digits and hyphens";
                faults.push(AccessFault { field, problem: format!("{name:?} is no compartment"), remedy });
            }
        }
        faults
    }

    /// Whether this machine knows all the accounts.
    ///
    /// # Errors
    /// Names every one that it does not.
    pub fn check_accounts(&self) -> Result<(), Vec<AccessFault>> {
        self.look_up().map(drop)
    }

    /// Looks up the accounts.
    ///
    /// # Errors
    /// Names every account that this machine does not know.
    pub(super) fn look_up(&self) -> Result<Access, Vec<AccessFault>> {
        let mut faults = Vec::new();
        let mut entry = |field: &str, users: &[Account], groups: &[Account], rights| Entry {
            users: numbers(&format!("{field}.users"), users, &mut faults, user),
            groups: numbers(&format!("{field}.groups"), groups, &mut faults, group),
            rights,
        };
        let mut entries = Vec::new();
        if let Some(Accounts { users, groups }) = &self.viewer {
            entries.push(entry("access.viewer", users, groups, Rights { viewer: true, ..Rights::default() }));
        }
        let admin = Rights { admin: true, ..Rights::default() };
        entries.push(match &self.admin {
            Some(Accounts { users, groups }) => entry("access.admin", users, groups, admin),
            None => Entry { users: BTreeSet::from([0]), groups: BTreeSet::new(), rights: admin },
        });
        for (index, LiAccounts { users, groups, compartments }) in self.li.iter().enumerate() {
            let rights = Rights { li: Compartments::These(compartments.clone()), ..Rights::default() };
            entries.push(entry(&format!("access.li[{index}]"), users, groups, rights));
        }
        if faults.is_empty() { Ok(Access::Named(entries)) } else { Err(faults) }
    }

    /// Every entry by its field.
    fn named(&self) -> impl Iterator<Item = (String, &[Account], &[Account])> {
        let roles = [("viewer", &self.viewer), ("admin", &self.admin)];
        let roles = roles.into_iter().filter_map(|(role, accounts)| {
            accounts.as_ref().map(|it| (format!("access.{role}"), it.users.as_slice(), it.groups.as_slice()))
        });
        let li = self.li.iter().enumerate();
        roles.chain(li.map(|(index, it)| (format!("access.li[{index}]"), it.users.as_slice(), it.groups.as_slice())))
    }
}

/// Whether a warrant can carry this name.
fn is_compartment(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The numbers of accounts; a fault for each that is not known.
fn numbers(
    field: &str,
    accounts: &[Account],
    faults: &mut Vec<AccessFault>,
    look_up: fn(&str) -> nix::Result<Option<u32>>,
) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for (index, account) in accounts.iter().enumerate() {
        let found = match account {
            Account::Number(number) => Ok(Some(*number)),
            Account::Name(name) => look_up(name),
        };
        let problem = match found {
            Ok(Some(number)) => {
                numbers.insert(number);
                continue;
            }
            Ok(None) => format!("{account} is not known on this machine"),
            Err(error) => format!("{account} cannot be looked up: {error}"),
        };
        let remedy = "create the account, correct its name, or give its number";
        faults.push(AccessFault { field: format!("{field}[{index}]"), problem, remedy });
    }
    numbers
}

fn user(name: &str) -> nix::Result<Option<u32>> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

fn group(name: &str) -> nix::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> AccessSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn each_fault_names_its_field() {
        for (text, field) in [
            ("viewer = {}", "access.viewer"),
            ("[[li]]\ncompartments = [\"a\"]", "access.li[0]"),
            ("[[li]]\nusers = [7]\ncompartments = []", "access.li[0].compartments"),
            ("[[li]]\nusers = [7]\n[[li]]\nusers = [8]\ncompartments = [\" \"]", "access.li[1].compartments"),
        ] {
            let faults = settings(text).faults();
            assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field], "{text}");
        }
    }

    #[test]
    fn an_account_that_is_not_there_is_named() {
        let text = "admin = { users = [\"root\", \"no-such-user\"] }\n[[li]]\ngroups = [4, \"no-such-group\"]";
        let faults = settings(text).look_up().expect_err("two faults");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["access.admin.users[1]", "access.li[0].groups[1]"]);
    }
}
