//! Reading the pages of one target without a target: for benchmarks, fuzzing and trying out a config.

use std::sync::Arc;

use watchbell_adapter_api::Problems;
use watchbell_series::RawBatch;

use super::cache::SeriesCache;
use super::job::Job;
use super::{ScrapeConfig, page};
use crate::text::{Format, LabelSet};

/// Reads pages as a running source does, one after the other.
#[derive(Debug)]
pub struct PageReader {
    job: Arc<Job>,
    labels: LabelSet<'static>,
    cache: SeriesCache,
}

impl PageReader {
    /// A reader for a target with these labels; `None` if a problem of the config was noted.
    pub fn new(config: ScrapeConfig, labels: LabelSet<'static>, problems: &mut Problems) -> Option<Self> {
        let (job, _) = config.check(problems)?;
        Some(Self { job: Arc::new(job), labels, cache: SeriesCache::default() })
    }

    /// A reader of the same config that has not read any page.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { job: Arc::clone(&self.job), labels: self.labels.clone(), cache: SeriesCache::default() }
    }

    /// The batch of a page that was scraped at `at_ms`: its samples, and the ends of what it no longer
    /// lists. Labels stand only with series that no page had before.
    ///
    /// # Errors
    /// Why the page can not be used, in words. All series have ended then.
    pub fn read(&mut self, body: &[u8], format: Format, at_ms: i64) -> Result<RawBatch, String> {
        let read = page::read(body, format, at_ms, &self.job, &self.labels, &mut self.cache);
        let mut page = read.map_err(|failure| {
            self.cache.end_all();
            failure.to_string()
        })?;
        let mut batch = page.batch(at_ms);
        page::push_ended(&mut batch, &page.ended, at_ms);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use watchbell_series::is_stale;
    use watchbell_series::labels::read_canonical;

    use super::*;

    fn reader() -> PageReader {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = serde_json::json!({"job_name": "j", "static_configs": [{"targets": ["a:1"]}]});
        let config = serde_json::from_value(config).expect("the shape is right");
        let labels = [("job", "j"), ("instance", "i")].into_iter().collect();
        PageReader::new(config, labels, &mut Problems::default()).expect("valid")
    }

    /// What must hold of every batch, whatever the pages hold.
    fn check(batch: &RawBatch, known: &mut HashSet<u64>) {
        let mut keys = HashSet::new();
        for series in &batch.series {
            assert!(keys.insert(series.key), "a series stands once in a batch");
            let samples = batch.samples_of(series);
            assert_eq!(samples.len(), 1);
            if series.labels_len > 0 {
                let labels = read_canonical(batch.label_bytes(series));
                assert!(labels.is_ok_and(|labels| labels.id().0 == series.key));
                known.insert(series.key);
            }
            assert!(known.contains(&series.key), "labels came before, also of a series that ends");
            assert!(!is_stale(samples[0].value) || samples[0].ts_ms == batch.received_ms);
        }
    }

    #[test]
    fn any_pages_are_survived() {
        let reader = reader();
        let line = "[ab]{1,2}(\\{(c=\"[de]\",)?\\})? 1\n|.{0,9}\n";
        let pages = proptest::collection::vec(line, 0..40);
        let outcome = proptest::test_runner::TestRunner::default().run(&pages, |pages| {
            let (mut reader, mut known) = (reader.fresh(), HashSet::new());
            for (at, page) in pages.chunks(8).enumerate() {
                if let Ok(batch) = reader.read(page.concat().as_bytes(), Format::Text, at as i64) {
                    check(&batch, &mut known);
                }
            }
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
    }
}
