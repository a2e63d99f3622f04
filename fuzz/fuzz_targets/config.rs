//! A config file: from bytes on disk to prepared sources and sinks, or to a list of problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell::config::{Config, Overrides};

fuzz_target!(|text: &[u8]| {
    let path = std::env::temp_dir().join(format!("watchbell-fuzz-{}.yaml", std::process::id()));
    std::fs::write(&path, text).expect("a writable folder for temporary files");
    if let Err(problems) = Config::load(&path, &Overrides::default()) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
});
