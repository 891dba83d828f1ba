//! Who must still sign, said so that the person who reads it knows what to do.

use crate::signature::Namespace;
use std::fmt;
use std::path::PathBuf;

/// A document that not enough of the right people have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The document's file.
    pub file: PathBuf,
    /// What its signatures are for.
    pub namespace: Namespace,
    /// Names of the different people who signed.
    pub signed_by: Vec<String>,
    /// Who must sign, in words.
    pub wanted: String,
    /// Who of them is missing, in words; at least one.
    pub lacks: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: signatures: ", self.file.display())?;
        match &self.signed_by[..] {
            [] => f.write_str("nobody signed")?,
            names => write!(f, "only {} signed", names.join(", "))?,
        }
        write!(
            f,
            ", and the policy asks for {}; still missing: {}; they run `ssh-keygen -Y sign -n {} -f KEY FILE` or \
             `writ-officer sign FILE --key KEY`",
            self.wanted,
            self.lacks.join(", "),
            self.namespace.as_str()
        )
    }
}
