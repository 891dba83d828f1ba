//! Names of roles, by which a policy says what kind of people must sign.

use crate::document::{self, Section};
use crate::error::Fault;
use std::collections::BTreeSet;
use std::fmt;

/// What somebody is at the operator, such as `legal` or `on-call`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(String);

impl Role {
    /// The role whose one signature narrows a warrant.
    pub const LEGAL: &'static str = "legal";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the list `roles`, in which nothing stands twice unless `repeats`.
    pub(crate) fn read_all(section: &mut Section, repeats: bool, faults: &mut Vec<Fault>) -> Option<Vec<Self>> {
        let names = section.texts("roles", "[\"legal\"]", faults)?;
        let path = section.path("roles");
        let before = faults.len();
        let mut seen = BTreeSet::new();
        let mut roles = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let field = || format!("{path}[{}]", i + 1);
            match document::name(name) {
                Ok(name) if repeats || seen.insert(name.clone()) => roles.push(Self(name)),
                Ok(_) => faults.push(Fault::new(field(), "named already", "name each role once")),
                Err(wrong) => faults.push(Fault::new(field(), wrong.problem, wrong.remedy)),
            }
        }
        (faults.len() == before).then_some(roles)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
