//! The quiet windows in force, as shards and the alerting stage use them.
//!
//! Shards hold the spans of each series and learn nothing inside of them; the alerting stage mutes. Both go by the
//! time of the sample. Shards also write the set into their log, before the samples that are judged under it, so
//! that judging the log again after a crash decides alike, whatever was known when.

use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_detect::QuietSpan;
use watchbell_series::Labels;

use super::subject::{Facts, Target};

/// First byte of the set in the log of a shard; no batch begins so.
pub const RECORD: u8 = b'W';

/// One window, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The source that tells of it.
    pub source: String,
    /// Its id there.
    pub id: String,
    /// Whom it is about.
    pub target: Target,
    /// First millisecond.
    pub starts_ms: i64,
    /// Last one; `i64::MAX` while it is not known.
    pub ends_ms: i64,
    /// For people.
    pub reason: String,
}

impl Window {
    /// Whether `ts_ms` is in it.
    #[must_use]
    pub fn covers(&self, ts_ms: i64) -> bool {
        (self.starts_ms..=self.ends_ms).contains(&ts_ms)
    }

    /// Who planned what, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        if self.reason.is_empty() {
            format!("window `{}` of {}", self.id, self.source)
        } else {
            format!("{} ({})", self.reason, self.source)
        }
    }
}

/// All windows in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quiet(Vec<Window>);

/// The set in force; replaced whole.
pub type Shared = Arc<arc_swap::ArcSwap<Quiet>>;

impl Quiet {
    /// These windows.
    #[must_use]
    pub fn new(windows: Vec<Window>) -> Self {
        Self(windows)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The spans of the windows about a series.
    #[must_use]
    pub fn spans(&self, series: &Facts<'_>) -> Vec<QuietSpan> {
        let about = self.0.iter().filter(|window| window.target.is_about(series));
        about.map(|window| (window.starts_ms, window.ends_ms)).collect()
    }

    /// The window that mutes an alert with these labels at `ts_ms`: of this host, about the series with these labels
    /// and this common name if about one.
    #[must_use]
    pub fn mutes(&self, ts_ms: i64, alert: &Labels, host: &str, series: Option<(&Labels, &str)>) -> Option<&Window> {
        self.0.iter().find(|window| window.covers(ts_ms) && window.target.is_about_alert(alert, host, series))
    }

    /// Whether a window at `ts_ms` is about the whole host.
    #[must_use]
    pub fn rests(&self, ts_ms: i64, host: &str) -> bool {
        let whole = |window: &&Window| match &window.target {
            Target::All => true,
            Target::Host(names) => names.iter().any(|name| name == host),
            Target::Matching { .. } => false,
        };
        self.0.iter().any(|window| window.covers(ts_ms) && whole(&window))
    }

    /// As a record of a log.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let shown = |w: &Window| json!([w.source, w.id, w.target.json(), w.starts_ms, w.ends_ms, w.reason]);
        let mut out = vec![RECORD];
        out.extend(Value::Array(self.0.iter().map(shown).collect()).to_string().as_bytes());
        out
    }

    /// Takes back what [`Quiet::record`] gave.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        let all: Vec<Value> = serde_json::from_slice(record.strip_prefix(&[RECORD])?).ok()?;
        let window = |value: &Value| {
            let text = |at: usize| value.get(at)?.as_str().map(ToOwned::to_owned);
            Some(Window {
                source: text(0)?,
                id: text(1)?,
                target: Target::from_json(value.get(2)?)?,
                starts_ms: value.get(3)?.as_i64()?,
                ends_ms: value.get(4)?.as_i64()?,
                reason: text(5)?,
            })
        };
        all.iter().map(window).collect::<Option<Vec<_>>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_goes_into_a_log_and_back() {
        let window = |id: &str, ends_ms: i64| Window {
            source: "zabbix".to_owned(),
            id: id.to_owned(),
            target: Target::Host(vec!["web-1".to_owned()]),
            starts_ms: -5,
            ends_ms,
            reason: "kernel \"6.12\"\n".to_owned(),
        };
        let quiet = Quiet::new(vec![window("1", 10), window("2", i64::MAX)]);
        assert_eq!(Quiet::read(&quiet.record()), Some(quiet));
        assert_eq!(Quiet::read(b"W[[1]]"), None);
        assert_eq!(Quiet::read(b"\x03[]"), None);
    }
}
