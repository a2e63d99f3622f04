//! Rows of Livestatus, and a status file, into checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    watchbell_nagios::livestatus::survive(bytes);
    watchbell_nagios::status::survive(bytes);
});
