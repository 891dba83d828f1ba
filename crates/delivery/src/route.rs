//! Where a stream goes, with everything that it takes to get there.

use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::files::Folder;
use crate::manner::Manner;
use std::fmt;
use writ_encoder::etsi::CaseKeys;

/// The way of one stream.
#[derive(Clone, Debug)]
pub enum Route {
    /// To an agency that listens: PDUs, and nothing beside them.
    Endpoint {
        /// Where to.
        endpoint: Endpoint,
        /// Protected how.
        transport: Transport,
    },
    /// To an agency that talks.
    Conversation {
        /// Where to.
        endpoint: Endpoint,
        /// Protected how.
        transport: Transport,
        /// What is said beside the PDUs.
        manner: Manner,
    },
    /// To an agency by UDP: each PDU a datagram.
    Datagrams(Endpoint),
    /// Into files of this machine.
    Files(Folder),
    /// The destination's format has no such stream: nothing is ever put into it.
    Nowhere,
}

impl Route {
    /// The keys of cases, where nothing goes in the clear.
    pub fn case_keys(&self) -> Option<&CaseKeys> {
        match self {
            Self::Conversation { manner: Manner::Etsi(manner), .. } => manner.keys.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { endpoint, .. } | Self::Conversation { endpoint, .. } => endpoint.fmt(f),
            Self::Datagrams(endpoint) => write!(f, "udp {endpoint}"),
            Self::Files(folder) => folder.fmt(f),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}
