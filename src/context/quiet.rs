//! The quiet windows in force, as shards and the alerting stage use them.
//!
//! Shards hold the spans of each series and learn nothing inside of them; the alerting stage mutes. Both go by the
//! time of the sample. Shards also write the set into their log, before the samples that are judged under it, so
//! that judging the log again after a crash decides alike, whatever was known when.

use std::collections::HashMap;
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

/// All windows in force, found by host.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    windows: Vec<Window>,
    /// Those about a host, by each of its names.
    by_host: HashMap<String, Vec<u32>>,
    /// All others.
    others: Vec<u32>,
}

impl PartialEq for Quiet {
    fn eq(&self, other: &Self) -> bool {
        self.windows == other.windows
    }
}

/// The set in force; replaced whole.
pub type Shared = Arc<arc_swap::ArcSwap<Quiet>>;

impl Quiet {
    /// These windows.
    #[must_use]
    pub fn new(windows: Vec<Window>) -> Self {
        let (mut by_host, mut others) = (HashMap::<String, Vec<u32>>::new(), Vec::new());
        for (at, window) in (0..).zip(&windows) {
            match &window.target {
                Target::Host(names) => {
                    for name in names {
                        by_host.entry(name.clone()).or_default().push(at);
                    }
                }
                Target::All | Target::Matching { .. } => others.push(at),
            }
        }
        Self { windows, by_host, others }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Windows that may be about `host` or something of it: all others are not.
    fn near(&self, host: &str) -> impl Iterator<Item = &Window> {
        let of_host = self.by_host.get(host).into_iter().flatten();
        self.others.iter().chain(of_host).map(|at| &self.windows[*at as usize])
    }

    /// The spans of the windows about a series that end at `since_ms` or after.
    #[must_use]
    pub fn spans(&self, series: &Facts<'_>, since_ms: i64) -> Vec<QuietSpan> {
        let about = self.near(series.host).filter(|w| w.ends_ms >= since_ms && w.target.is_about(series));
        about.map(|window| (window.starts_ms, window.ends_ms)).collect()
    }

    /// The window that mutes an alert with these labels at `ts_ms`: of this host, about the series with these labels
    /// and this common name if about one.
    #[must_use]
    pub fn mutes(&self, ts_ms: i64, alert: &Labels, host: &str, series: Option<(&Labels, &str)>) -> Option<&Window> {
        self.near(host).find(|window| window.covers(ts_ms) && window.target.is_about_alert(alert, host, series))
    }

    /// Whether a window at `ts_ms` is about the whole host.
    #[must_use]
    pub fn rests(&self, ts_ms: i64, host: &str) -> bool {
        let whole = |window: &&Window| match &window.target {
            Target::All => true,
            Target::Host(names) => names.iter().any(|name| name == host),
            Target::Matching { .. } => false,
        };
        self.near(host).any(|window| window.covers(ts_ms) && whole(&window))
    }

    /// As a record of a log.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let shown = |w: &Window| json!([w.source, w.id, w.target.json(), w.starts_ms, w.ends_ms, w.reason]);
        let mut out = vec![RECORD];
        out.extend(Value::Array(self.windows.iter().map(shown).collect()).to_string().as_bytes());
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
        all.iter().map(window).collect::<Option<Vec<_>>>().map(Self::new)
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

    #[test]
    fn windows_are_found_by_each_name_of_their_host_and_old_ones_are_left_out() {
        let window = |target: Target, ends_ms: i64| Window {
            source: "zabbix".to_owned(),
            id: ends_ms.to_string(),
            target,
            starts_ms: 0,
            ends_ms,
            reason: String::new(),
        };
        let host = |names: &[&str]| Target::Host(names.iter().map(ToString::to_string).collect());
        let quiet = Quiet::new(vec![
            window(host(&["web-1", "web-1.example.org"]), 10),
            window(host(&["web-2"]), 20),
            window(Target::All, 30),
            window(host(&["web-1"]), 40),
        ]);
        let ends = |host: &str, since_ms: i64| {
            let spans = quiet.spans(&Facts { label: &|_| "", mapped: &String::new, host }, since_ms);
            let mut ends: Vec<i64> = spans.into_iter().map(|(_, end)| end).collect();
            ends.sort_unstable();
            ends
        };
        assert_eq!(ends("web-1", i64::MIN), [10, 30, 40]);
        assert_eq!((ends("web-1", 11), ends("web-1.example.org", 0)), (vec![30, 40], vec![10, 30]));
        assert_eq!((ends("web-2", 0), ends("", 0)), (vec![20, 30], vec![30]));
        assert!(quiet.rests(5, "web-2") && quiet.rests(35, "web-1") && !quiet.rests(35, "web-2"));
        let mutes = |ts_ms, host| quiet.mutes(ts_ms, &Labels::default(), host, None).map(|window| window.id.as_str());
        assert_eq!((mutes(35, "web-1"), mutes(35, "web-2"), mutes(25, "web-2")), (Some("40"), None, Some("30")));
    }
}
