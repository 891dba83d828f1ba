//! Any frame through the loaded XDP program and through the reference model: both must say the same, to the last byte and
//! counter. The model is built with coverage counters, so it is the model that leads the fuzzer through the headers.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::{Corpus, fuzz_target};
use std::cell::RefCell;
use writ_tests::finding::{Input, Programs};

thread_local! {
    static PROGRAMS: RefCell<Programs> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::read(bytes) else { return Corpus::Reject };
    if let Err(difference) = PROGRAMS.with_borrow_mut(|programs| programs.try_input(&input)) {
        panic!("program and model do not agree. {difference}");
    }
    Corpus::Keep
});
