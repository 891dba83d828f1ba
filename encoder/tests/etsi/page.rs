//! The annotated PDU of docs/handover-etsi.md is one that the encoder writes.

use crate::given::*;
use writ_encoder::etsi::*;

#[test]
fn the_pages_pdu_is_a_real_one() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/handover-etsi.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, dump) = page.split_once("```hexdump\n").unwrap();
    let (dump, _) = dump.split_once("```").unwrap();
    // Hexadecimal pairs, then two spaces or more and what they mean.
    let written: String = dump.lines().filter_map(|line| line.trim_start().split("  ").next()).collect();
    let written = octets(&written.replace(' ', ""));
    let expected = content(&intercept(), 7, &octets("4500001c0001000040118e99c0000201c6336402003500350008133d"));
    assert!(written == expected, "the page's PDU should be\n{}", Octets(expected));
    decode(&written).unwrap();
}
