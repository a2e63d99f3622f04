//! A line of Icinga's event stream, and an answer with objects, into checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| watchbell_icinga::survive(bytes));
