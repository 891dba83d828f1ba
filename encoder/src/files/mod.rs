//! Files that an agency fetches: packets as pcapng, identifying information as JSON lines.
//!
//! Every record says itself whose it is ([`Names`]), so that the deliver role knows its file by looking at it, and so that a
//! packet which somebody copies out of a file still says it. The capture role writes each record as it will stand in the
//! file ([`Intercept`]): a packet is an Enhanced Packet Block of interface 0, anything else is a line. The deliver role
//! puts [`section`] in front of the packets and appends. Whatever reads such files has [`decode_block`]; lines are read by
//! any JSON library, [`Names`] from the front of each.
//!
//! pcapng is draft-ietf-opsawg-pcapng. All numbers are little endian, times are in microseconds, packets begin with
//! their IP header (LINKTYPE_RAW).

mod intercept;
mod read;
mod text;

pub use intercept::{Event, Intercept, Summary};
pub use read::{Block, Packet, decode_block};

use crate::t1_ias::Direction;
use serde::{Deserialize, Serialize};

/// Whose a record is, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Names {
    /// The agency's name for the case.
    pub case_id: String,
    /// What ties the records of one intercept together; they are numbered under it.
    pub content_id: String,
    /// The probe.
    pub probe: String,
}

/// Types of blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// IPv4 or IPv6, told apart by the version field.
const LINK_TYPE_RAW: u16 = 101;

/// Codes of options: of every block, of an interface, of a packet.
const END: u16 = 0;
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;

/// What the comments of a packet begin with that name its case, its content id and its probe.
const CASE: &str = "case ";
const CONTENT: &str = "content ";
const PROBE: &str = "probe ";

/// A direction as a comment and as the packet's flags have it: inbound is to the subject.
const DIRECTIONS: [(Direction, &str, u32); 2] =
    [(Direction::ToSubject, "toSubject", 1), (Direction::FromSubject, "fromSubject", 2)];

/// What a file of packets begins with: a section, and interface 0 with the probe as its name and the content id as its
/// description.
pub fn section(names: &Names) -> Vec<u8> {
    let mut body = BYTE_ORDER_MAGIC.to_le_bytes().to_vec();
    body.extend([1u16, 0].map(u16::to_le_bytes).as_flattened()); // version 1.0
    body.extend(u64::MAX.to_le_bytes()); // how long the section is was not known
    option(&mut body, USER_APPLICATION, concat!("writ ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut body, COMMENT, format!("{CASE}{}", names.case_id).as_bytes());
    option(&mut body, END, &[]);
    let mut out = block(SECTION, &body);

    let mut body = [LINK_TYPE_RAW, 0].map(u16::to_le_bytes).as_flattened().to_vec();
    body.extend(0u32.to_le_bytes()); // packets are not cut
    option(&mut body, INTERFACE_NAME, names.probe.as_bytes());
    option(&mut body, INTERFACE_DESCRIPTION, names.content_id.as_bytes());
    option(&mut body, TIME_RESOLUTION, &[6]); // 10^-6 s
    option(&mut body, END, &[]);
    out.extend(block(INTERFACE, &body));
    out
}

/// A block whole: type and length in front, the length once more behind. Of names, so never too long for its length.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = 12 + body.len() as u32;
    [&kind.to_le_bytes(), &length.to_le_bytes(), body, &length.to_le_bytes()].concat()
}

/// Appends an option. A value longer than one can be is cut; names have some 50 octets.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend([code, value.len() as u16].map(u16::to_le_bytes).as_flattened());
    out.extend(value);
    out.resize(out.len() + padding(value.len()), 0);
}

/// Zeros behind so many octets: everything begins on a word.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
