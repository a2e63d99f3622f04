//! A selector as users write it, asked about a series.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_series::{Labels, Selector};

fuzz_target!(|text: &str| {
    if let Ok(selector) = text.parse::<Selector>() {
        let labels = Labels::series([("__name__", "up"), ("job", "node")]).expect("valid");
        let _ = selector.matches(&labels);
    }
});
