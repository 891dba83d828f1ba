//! What the fuzzer once found (`fuzz/findings/program`), tried again: each file is a row that stays. Needs root.

use std::fs;
use std::path::Path;
use writ_tests::finding::{Input, Programs};

#[test]
fn what_was_found_once_is_found_no_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/findings/program");
    let mut programs = Programs::default();
    let mut faults = Vec::new();
    // Git keeps no empty folder: where there is none, nothing was found yet.
    for file in fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
        let bytes = fs::read(&file).expect("a finding");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        match Input::read(&bytes).map(|input| programs.try_input(&input)) {
            None => faults.push(format!("{name}: no input of the fuzz target `program`")),
            Some(Err(difference)) => faults.push(format!("{name}: {difference}")),
            Some(Ok(())) => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
