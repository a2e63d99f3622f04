//! A metrics page in the text format, and the labels of every series in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_prometheus::text::{BadLine, Format, LabelSet, Sample, Visitor, decode_series, parse};

#[derive(Default)]
struct Page<'a> {
    labels: LabelSet<'a>,
}

impl<'a> Visitor<'a> for Page<'a> {
    fn sample(&mut self, sample: Sample<'a>) -> Result<(), BadLine> {
        decode_series(sample.series, sample.float_label, &mut self.labels)?;
        let mut bytes = Vec::new();
        self.labels.write_canonical(&mut bytes);
        watchbell_series::labels::read_canonical(&bytes).map(drop).or(Err(BadLine::Labels))
    }

    fn bad_line(&mut self, line: usize, _reason: BadLine) {
        assert!(line > 0);
    }
}

fuzz_target!(|body: &[u8]| {
    // The only error is a page that was cut off, which is no fault here.
    let _ = parse(body, Format::Text, &mut Page::default());
});
