//! A first corpus for the fuzz targets of the decoders (`cargo xtask fuzz`).

use std::path::PathBuf;

use crate::{datagrams, events, files, hostile, x2x3};

/// Writes down a PDU of each kind, in the folder that `WRIT_SEEDS` names, a folder for each target.
#[test]
fn the_pdus_are_a_corpus() {
    let t1_ias = [hostile::pdus(), events::written()].concat();
    let seeds = [("t1_ias", t1_ias), ("x2x3", x2x3::pdus()), ("files", vec![files::file()])];
    for (target, pdus) in seeds.into_iter().chain(datagrams::by_target()) {
        assert!(!pdus.is_empty());
        let Some(folder) = std::env::var_os("WRIT_SEEDS").map(PathBuf::from) else { continue };
        for (number, pdu) in pdus.iter().enumerate() {
            std::fs::write(folder.join(target).join(number.to_string()), pdu).unwrap();
        }
    }
}
