//! A socket pair between two roles: whole messages (JSON in one packet each), with file descriptors beside them.
//!
//! Packets are never cut in half, so a role that dies in the middle of a conversation leaves its successor a channel
//! that is still in step: the supervisor keeps both ends and hands the dead role's end to the next one.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Largest message, in bytes: below the kernel's default limit for one packet on a Unix socket (212,992).
pub(super) const MESSAGE_LIMIT: usize = 160 * 1024;

/// Most descriptors beside one message: the kernel's own limit is 253.
pub const DESCRIPTOR_LIMIT: usize = 250;

/// What can go wrong on a channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end is gone for good: not even the supervisor holds it.
    #[error("the other end is closed")]
    Closed,
    /// The other end does not read and the socket's buffer is full.
    #[error("the other end does not read its messages")]
    Full,
    /// A message over [`MESSAGE_LIMIT`].
    #[error("a message of {0} bytes is over the limit of {MESSAGE_LIMIT}")]
    TooLarge(usize),
    /// What came is no message that this role knows: the two ends are of different versions.
    #[error("unreadable message: {0}; are all roles of one version?")]
    Unreadable(#[from] serde_json::Error),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] rustix::io::Errno),
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two ends joined to each other.
    ///
    /// # Errors
    /// When the kernel gives no sockets.
    pub fn pair() -> Result<(Self, Self), ChannelError> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// The end that this process was given as descriptor.
    pub fn from_descriptor(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// The descriptor, to be handed to another process.
    pub fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    /// A second handle to this end.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// Sends one message. Never waits: a role must not hang on another.
    ///
    /// # Errors
    /// [`ChannelError::Full`] when the other end does not read.
    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_LIMIT {
            return Err(ChannelError::TooLarge(bytes.len()));
        }
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::TooLarge(descriptors.len()));
        }
        loop {
            match sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut ancillary,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                // Short of memory is as good as full: the sender keeps the message and tries again.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS | rustix::io::Errno::NOMEM) => {
                    return Err(ChannelError::Full);
                }
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for one message, at most `wait`. `None`: nothing came.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when no message can come any more.
    pub fn receive<T: DeserializeOwned>(&self, wait: Duration) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        let limit = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = vec![0; MESSAGE_LIMIT];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = match recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        ) {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(None),
            Err(rustix::io::Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(error.into()),
        };
        if received == 0 {
            return Err(ChannelError::Closed);
        }
        let descriptors = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        Ok(Some((serde_json::from_slice(&bytes[..received])?, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (here, there) = Channel::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        here.send(&("slot", 3), &[file.as_fd()]).unwrap();
        let ((word, number), descriptors): ((String, u32), _) = there.receive(Duration::ZERO).unwrap().unwrap();
        assert_eq!((word.as_str(), number, descriptors.len()), ("slot", 3, 1));
        assert!(there.receive::<(String, u32)>(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn what_a_dead_role_left_unread_waits_for_its_successor() {
        let (control, capture) = Channel::pair().unwrap();
        let kept = capture.try_clone().unwrap();
        control.send(&1, &[]).unwrap();
        drop(capture);
        assert_eq!(kept.receive::<i32>(Duration::ZERO).unwrap().unwrap().0, 1);
        drop(kept);
        assert!(matches!(control.send(&2, &[]), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_reader_that_stands_still_does_not_hang_the_writer() {
        let (here, _there) = Channel::pair().unwrap();
        let message = "x".repeat(50_000);
        let full = (0..100).any(|_| matches!(here.send(&message, &[]), Err(ChannelError::Full)));
        assert!(full);
    }
}
