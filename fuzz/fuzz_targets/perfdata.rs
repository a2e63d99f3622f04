//! Lines of performance data in any of their forms, into a batch whose labels must be good.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_nagios::perfdata::LineReader;
use watchbell_series::RawBatch;
use watchbell_series::labels::read_canonical;

fuzz_target!(|lines: &[u8]| {
    let mut batch = RawBatch::default();
    let (values, _) = LineReader::default().read(lines, &mut batch);
    assert_eq!(values, batch.series.len());
    for series in &batch.series {
        let labels = read_canonical(batch.label_bytes(series)).expect("good labels");
        assert_eq!(labels.id().0, series.key);
        assert!(batch.samples_of(series).iter().all(|sample| sample.value.is_finite()));
    }
});
