//! Sending whole Ethernet frames out of an interface of a namespace, for traffic that no program would make.

use std::fmt;

use pnet_datalink::{Channel, Config, DataLinkSender, interfaces};

use crate::{LabError, Namespace};

/// An open packet socket (AF_PACKET) on one interface.
pub struct FrameSender {
    interface: String,
    sender: Box<dyn DataLinkSender>,
}

impl FrameSender {
    /// Opens it inside the namespace. Frames sent are what the peer of the interface receives.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self, LabError> {
        namespace.enter(|| {
            let found = interfaces().into_iter().find(|candidate| candidate.name == interface).ok_or_else(|| {
                LabError::Missing { what: format!("interface {interface}"), remedy: "make it before frames are sent" }
            })?;
            let config = Config { promiscuous: false, ..Config::default() };
            match pnet_datalink::channel(&found, config)
                .map_err(LabError::io(format!("packet socket on {interface}")))?
            {
                Channel::Ethernet(sender, _) => Ok(FrameSender { interface: interface.to_owned(), sender }),
                _ => Err(LabError::Missing { what: format!("Ethernet on {interface}"), remedy: "use a veth" }),
            }
        })?
    }

    /// Sends one frame as it is: destination, source, type, payload; at least 14 bytes.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), LabError> {
        let sent = self.sender.send_to(frame, None).unwrap_or(Ok(()));
        sent.map_err(LabError::io(format!("send {} bytes on {}", frame.len(), self.interface)))
    }
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FrameSender").field("interface", &self.interface).finish_non_exhaustive()
    }
}
