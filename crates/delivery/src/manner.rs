//! What is agreed with an agency that talks, ready for use: keep-alives, acknowledgements, integrity checks, encryption. Made of
//! the `[[destination]]` section and the keys that it names, before anything starts.

use std::sync::Arc;
use std::time::Duration;
use writ_encoder::etsi::{self, Cadence, CaseKeys, Messenger, SigningKey};
use writ_encoder::handover::EtsiTerms;

/// How the two sides of a connection talk to each other beside the PDUs.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As TS 102 232-1 says.
    Etsi(Arc<EtsiManner>),
    /// As TS 103 221-2 says.
    X3(KeepAlive),
}

/// Questions on an idle connection.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// How long the connection is idle before one; none: never.
    pub idle: Option<Duration>,
    /// How long an answer may take, to this and to every other question.
    pub answer: Duration,
}

/// What is agreed on with an agency of `etsi`.
#[derive(Clone, Debug)]
pub struct EtsiManner {
    /// In whose name the probe speaks where no intercept is meant.
    pub name: Messenger,
    /// Questions on an idle connection.
    pub keep_alive: KeepAlive,
    /// Whether the probe asks the agency to confirm PDUs.
    pub acknowledge: bool,
    /// Hashes and signatures, if there are to be any.
    pub integrity: Option<Checks>,
    /// The keys of the cases; with them nothing goes in the clear.
    pub keys: Option<Arc<CaseKeys>>,
    /// How often at most it is told what was lost of a delivery; none: never.
    pub loss_notices: Option<Duration>,
}

/// How PDUs are vouched for.
#[derive(Clone, Debug)]
pub struct Checks {
    /// When hashes and signatures are due.
    pub cadence: Cadence,
    /// The key that signs; without one there are hashes alone.
    pub key: Option<Arc<SigningKey>>,
}

/// The name that stands in keep-alives and in what is said about a connection: no intercept is meant, but a header has to
/// name one.
const NOBODY: &str = "writ";

/// Says in whose name the probe speaks on a connection, or which of the terms does not fit.
pub(crate) fn name_of(terms: &EtsiTerms) -> Result<Messenger, etsi::NameError> {
    let identity = terms.identity(etsi::Liid::new(NOBODY)?)?;
    Ok(etsi::Intercept::new(&identity, 0).into())
}
