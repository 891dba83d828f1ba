//! What a headers-only intercept may see of a frame. The bytes behind the headers are not in this value, so no encoder
//! that takes it can leak them, not even where another intercept is entitled to the whole packet.

use std::net::IpAddr;
use writ_abi::{FrameFlags, FrameHeader};
use writ_capture::Frame;
use writ_capture::addresses;
use writ_encoder::t1_ias::{Flow, FlowLabel};

/// IP protocol numbers whose header begins with two ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// Most octets that are told of headers. Of a packet with more extension headers than fit, the first ones.
pub(super) const LONGEST_HEADERS: usize = 512;

/// The headers of one frame: link layer to the end of the transport header, and not a byte more.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    header: &'a FrameHeader,
    /// What of them is in the frame's first piece: all, but for a jumbo frame with very many options.
    bytes: &'a [u8],
    ports: Option<(u16, u16)>,
}

impl<'a> Headers<'a> {
    /// Cuts a frame where the kernel says that its headers end. The kernel has done so itself where every intercept
    /// that hit is headers-only.
    pub fn of(frame: &Frame<'a>) -> Option<Self> {
        let end = usize::from(frame.header.header_end);
        if end > frame.length() {
            return None;
        }
        let bytes = frame.bytes.get(..end).unwrap_or(frame.bytes);
        Some(Self { header: frame.header, bytes, ports: ports(frame, end) })
    }

    /// From the IP header to the end of the transport header, with the options zeroed that may carry content. Where every
    /// intercept that hit is headers-only the kernel has done so itself.
    pub fn octets<'r>(&self, room: &'r mut [u8; LONGEST_HEADERS]) -> &'r [u8] {
        let begin = usize::from(self.header.ip_offset);
        let octets = self.bytes.get(begin..).unwrap_or_default();
        let length = octets.len().min(room.len());
        let (told, _) = room.split_at_mut(length);
        told.copy_from_slice(&octets[..length]);
        for span in self.header.options.iter().filter(|span| span.length > 0) {
            let from = usize::from(span.offset).saturating_sub(begin).min(length);
            let to = (usize::from(span.offset) + usize::from(span.length)).saturating_sub(begin).min(length);
            told[from..to].fill(0);
        }
        told
    }

    /// Addresses, protocol, ports and flow label.
    pub fn flow(&self) -> Option<Flow> {
        let (source, destination) = addresses(self.header, self.bytes)?;
        let flow_label = match source {
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => {
                let first = self.bytes.get(usize::from(self.header.ip_offset)..)?.first_chunk()?;
                FlowLabel::from_word(u32::from_be_bytes(*first))
            }
        };
        Some(Flow { source, destination, protocol: self.header.protocol, ports: self.ports, flow_label })
    }
}

/// Both ports, if a transport header that begins with them lies whole before `end`.
fn ports(frame: &Frame<'_>, end: usize) -> Option<(u16, u16)> {
    if frame.header.flags & FrameFlags::TRANSPORT == 0 || !WITH_PORTS.contains(&frame.header.protocol) {
        return None;
    }
    let offset = usize::from(frame.header.transport_offset);
    let [a, b, c, d] = frame.read(offset).filter(|_| offset + 4 <= end)?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use writ_abi::{ABI_VERSION, OptionSpan};
    use writ_capture::{MemorySource, Source as _};
    use zerocopy::FromZeros as _;

    /// Of a packet without a link layer of its own: where its headers and the packet end.
    fn bare(header_end: u16, end: u16) -> FrameHeader {
        let mut header = FrameHeader::new_zeroed();
        header.abi = ABI_VERSION;
        header.link_offset = FrameHeader::NO_LINK;
        header.wire_length = end.into();
        (header.ip_offset, header.header_end, header.ip_end) = (14, header_end, end);
        header
    }

    /// What a report tells of a frame whose octets are 1 throughout.
    fn told(header: FrameHeader, length: usize) -> Vec<u8> {
        let mut source = MemorySource::new([(header, &vec![1; length])], 1);
        let batch = source.receive(Duration::ZERO).unwrap();
        let frame = batch.frame(0).unwrap();
        let mut room = [9; LONGEST_HEADERS];
        Headers::of(&frame).unwrap().octets(&mut room).to_vec()
    }

    /// Where a content order hits too, the kernel has cut nothing: what a headers-only recipient gets is cut here, and the
    /// options that can carry content are zeroed.
    #[test]
    fn a_frame_that_is_whole_is_cut_and_its_options_zeroed() {
        let mut header = bare(74, 200);
        header.options[0] = OptionSpan { offset: 56, length: 6 };
        header.options[2] = OptionSpan { offset: 64, length: 10 };
        let octets = told(header, 200);
        assert_eq!(octets.len(), 60);
        let zeroed: Vec<_> = (0..60).filter(|place| octets[*place] == 0).collect();
        assert_eq!(zeroed, (42..48).chain(50..60).collect::<Vec<_>>());
    }

    #[test]
    fn headers_beyond_the_longest_are_told_in_part() {
        let mut header = bare(800, 900);
        header.options[0] = OptionSpan { offset: 500, length: 300 };
        let octets = told(header, 900);
        assert_eq!((octets.len(), octets[485], octets[486..].iter().max()), (LONGEST_HEADERS, 1, Some(&0)));
    }
}
