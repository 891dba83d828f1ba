//! Where a stream goes, with everything that it takes to get there.

use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::files::Folder;
use std::fmt;

/// The way of one stream.
#[derive(Clone, Debug)]
pub enum Route {
    /// To an agency.
    Endpoint {
        /// Where to.
        endpoint: Endpoint,
        /// Protected how.
        transport: Transport,
    },
    /// Into files of this machine.
    Files(Folder),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { endpoint, .. } => endpoint.fmt(f),
            Self::Files(folder) => folder.fmt(f),
        }
    }
}
