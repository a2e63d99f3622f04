//! A file of mapping rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_normalize::Rules;

fuzz_target!(|text: &str| {
    if let Err(problems) = Rules::load(&[("fuzz.yaml", text)], &[("fuzz.yaml", text)]) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
});
