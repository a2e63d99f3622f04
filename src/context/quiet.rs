//! The quiet windows in force, as shards and the alerting stage use them.
//!
//! Shards hold the spans of each series and learn nothing inside of them; the alerting stage mutes. Both go by the
//! time of the sample. Shards also write the set into their log, before the samples that are judged under it, so
//! that judging the log again after a crash decides alike, whatever was known when. For that the set has all that
//! decides beside what a series carries: the windows, and the hosts that names mean.

mod index;
pub mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_detect::QuietSpan;
use watchbell_series::Labels;

use self::index::Index;
use super::subject::{Facts, HOST, Target};

/// Source and id of a window.
pub type Key = (String, String);
/// Hosts by the names that some have for them; of a name that is the host's own nothing is said.
pub type Names = BTreeMap<Box<str>, Box<str>>;

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
    /// Its source and its id there.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (&self.source, &self.id)
    }

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
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    /// By source and id.
    windows: Vec<Arc<Window>>,
    names: Arc<Names>,
    index: Index,
}

impl PartialEq for Quiet {
    fn eq(&self, other: &Self) -> bool {
        self.differs(other).is_none()
    }
}

/// The set in force; replaced whole.
pub type Shared = Arc<arc_swap::ArcSwap<Quiet>>;

/// Windows that are gone or were other ones, and those that are new or other ones now.
pub type Difference = (Vec<Arc<Window>>, Vec<Arc<Window>>);

impl Quiet {
    /// These windows, each with its own source and id. Names of hosts that none can ask for are left out.
    #[must_use]
    pub fn new(mut windows: Vec<Arc<Window>>, names: Arc<Names>) -> Self {
        windows.sort_by(|a, b| a.key().cmp(&b.key()));
        let index = Index::of(&windows);
        let names = if windows.is_empty() { Arc::default() } else { names };
        Self { windows, names, index }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn windows(&self) -> &[Arc<Window>] {
        &self.windows
    }

    /// What is known of names of hosts.
    #[must_use]
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The window `id` of `source`.
    #[must_use]
    pub fn find(&self, source: &str, id: &str) -> Option<&Arc<Window>> {
        let at = self.windows.binary_search_by(|window| window.key().cmp(&(source, id)));
        at.ok().map(|at| &self.windows[at])
    }

    /// The host that a series means by the name it carries.
    #[must_use]
    pub fn host_of<'a>(&'a self, carried: &'a str) -> &'a str {
        self.names.get(carried).map_or(carried, |host| host)
    }

    /// How it differs from `before`; `None` where it does not.
    #[must_use]
    pub fn differs(&self, before: &Self) -> Option<Difference> {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let (mut old, mut now) = (before.windows.iter().peekable(), self.windows.iter().peekable());
        loop {
            let order = match (old.peek(), now.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some(now)) => old.key().cmp(&now.key()),
            };
            let old = if order.is_le() { old.next() } else { None };
            let now = if order.is_ge() { now.next() } else { None };
            if let (Some(old), Some(now)) = (old, now)
                && (Arc::ptr_eq(old, now) || old == now)
            {
                continue;
            }
            gone.extend(old.cloned());
            new.extend(now.cloned());
        }
        let same_names = Arc::ptr_eq(&self.names, &before.names) || self.names == before.names;
        (!(gone.is_empty() && new.is_empty() && same_names)).then_some((gone, new))
    }

    /// Whether a window is about everything, or about `host` as such.
    #[must_use]
    pub fn names_host(&self, host: &str) -> bool {
        self.index.of_host(host).next().is_some()
    }

    /// Whether a window asks for more than a host.
    #[must_use]
    pub fn asks_for_labels(&self) -> bool {
        self.index.asks_for_labels()
    }

    /// The windows about a series, by their place in [`Quiet::windows`]. Its host is what [`Quiet::host_of`] says of
    /// the name it carries.
    pub fn about(&self, series: &Facts<'_>) -> impl Iterator<Item = usize> {
        let near = self.index.near(series).into_iter().map(|at| at as usize);
        near.filter(|at| self.windows[*at].target.is_about(series))
    }

    /// The spans of the windows about a series that end at `since_ms` or after.
    #[must_use]
    pub fn spans(&self, series: &Facts<'_>, since_ms: i64) -> Vec<QuietSpan> {
        let near = self.index.near(series).into_iter().map(|at| &self.windows[at as usize]);
        let about = near.filter(|w| w.ends_ms >= since_ms && w.target.is_about(series));
        about.map(|window| (window.starts_ms, window.ends_ms)).collect()
    }

    /// The window that mutes an alert with these labels at `ts_ms`: of this host, about the series with these labels
    /// and this common name if about one. An alert keeps the name that its host had when it began.
    #[must_use]
    pub fn mutes(&self, ts_ms: i64, alert: &Labels, host: &str, series: Option<(&Labels, &str)>) -> Option<&Window> {
        let host = self.host_of(host);
        let near = self.index.near_alert(alert, host, series).into_iter();
        let mut near = near.map(|at| &*self.windows[at as usize]);
        near.find(|window| window.covers(ts_ms) && window.target.is_about_alert(alert, host, series))
    }

    /// The window that mutes at `ts_ms` whatever is said of the host as a whole.
    #[must_use]
    pub fn over(&self, ts_ms: i64, host: &str) -> Option<&Window> {
        if self.is_empty() {
            return None;
        }
        // A silence of a single alert is about that alert.
        self.mutes(ts_ms, &Labels::new([(HOST, host)]).ok()?, host, None)
    }

    /// Whether a window at `ts_ms` is about the whole host.
    #[must_use]
    pub fn rests(&self, ts_ms: i64, host: &str) -> bool {
        self.index.of_host(host).any(|at| self.windows[at as usize].covers(ts_ms))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use watchbell_series::labels::NAME;
    use watchbell_series::{MatchOp, Matcher};

    use super::*;

    pub(crate) fn window(id: &str, target: Target, ends_ms: i64) -> Window {
        Window { source: "zabbix".to_owned(), id: id.to_owned(), target, starts_ms: 0, ends_ms, reason: String::new() }
    }

    pub(crate) fn names(all: &[(&str, &str)]) -> Arc<Names> {
        Arc::new(all.iter().map(|(name, host)| ((*name).into(), (*host).into())).collect())
    }

    fn host(names: &[&str]) -> Target {
        Target::Host(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn windows_are_found_by_each_name_of_their_host_and_old_ones_are_left_out() {
        let all = [
            window("a", host(&["web-1", "web-1.example.org"]), 10),
            window("b", host(&["web-2"]), 20),
            window("c", Target::All, 30),
            window("d", host(&["web-1"]), 40),
        ];
        let quiet = Quiet::new(all.into_iter().map(Arc::new).collect(), Arc::default());
        let ends = |host: &str, since_ms: i64| {
            let spans = quiet.spans(&Facts { label: &|_| "", mapped: &String::new, host }, since_ms);
            spans.into_iter().map(|(_, end)| end).collect::<Vec<_>>()
        };
        assert_eq!(ends("web-1", i64::MIN), [10, 30, 40]);
        assert_eq!((ends("web-1", 11), ends("web-1.example.org", 0)), (vec![30, 40], vec![10, 30]));
        assert_eq!((ends("web-2", 0), ends("", 0)), (vec![20, 30], vec![30]));
        assert!(quiet.rests(5, "web-2") && quiet.rests(35, "web-1") && !quiet.rests(35, "web-2"));
        let mutes = |ts_ms, host| quiet.mutes(ts_ms, &Labels::default(), host, None).map(|window| window.id.as_str());
        assert_eq!((mutes(35, "web-1"), mutes(35, "web-2"), mutes(25, "web-2")), (Some("d"), None, Some("c")));
        assert_eq!(quiet.find("zabbix", "b").map(|window| window.ends_ms), Some(20));
        assert!(quiet.find("zabbix", "e").is_none() && quiet.names_host("web-2"));
    }

    #[test]
    fn an_alert_that_began_under_another_name_of_its_host_is_muted() {
        let all = vec![Arc::new(window("a", host(&["web-1", "web-1.example.org"]), 10))];
        let quiet = Quiet::new(all, names(&[("web-1.example", "web-1"), ("web-2.example", "web-2")]));
        let mutes = |host: &str| {
            let alert = Labels::new([("alertname", "SeriesMissing"), ("host", host)]).expect("labels");
            quiet.mutes(5, &alert, host, None).is_some()
        };
        assert!(mutes("web-1") && mutes("web-1.example") && !mutes("web-2.example") && !mutes("web-3"));
    }

    #[test]
    fn a_window_is_over_a_host_by_any_name_or_by_its_label_alone() {
        let matching = |all: &[(&str, &str)]| Target::Matching {
            matchers: all.iter().map(|(n, v)| Matcher::new(n, MatchOp::Equal, v).expect("a matcher")).collect(),
            of_alerts: Vec::new(),
        };
        let all = [
            window("a", host(&["web-1"]), 10),
            window("b", matching(&[("host", "web-2")]), 20),
            window("c", matching(&[("host", "web-3"), ("job", "node")]), 20),
            window("d", matching(&[("host", "web-4"), ("alertname", "HostAnomalous")]), 20),
        ];
        let quiet = Quiet::new(all.into_iter().map(Arc::new).collect(), names(&[("web-1.example", "web-1")]));
        let over = |ts_ms, host| quiet.over(ts_ms, host).map(|window| window.id.as_str());
        assert_eq!((over(5, "web-1"), over(11, "web-1"), over(5, "web-1.example")), (Some("a"), None, Some("a")));
        assert_eq!((over(20, "web-2"), over(5, "web-3"), over(5, "web-4")), (Some("b"), None, None));
    }

    #[test]
    fn the_index_leaves_out_no_window_that_is_about_a_series() {
        use MatchOp::{Equal, NotEqual, Regex};
        let matching = |all: &[(&str, MatchOp, &str)]| {
            all.iter().map(|(name, op, value)| Matcher::new(name, *op, value).expect("a matcher")).collect::<Vec<_>>()
        };
        let of_series =
            |all: &[(&str, MatchOp, &str)]| Target::Matching { matchers: matching(all), of_alerts: Vec::new() };
        let of_alert = |all: &[(&str, MatchOp, &str)]| Target::Matching {
            matchers: matching(&[("alertname", Equal, "MetricAnomalous")]),
            of_alerts: vec![matching(all)],
        };
        let targets = [
            Target::All,
            host(&["web-1"]),
            of_series(&[(NAME, Equal, "load"), ("host", Regex, "web-.*")]),
            of_series(&[(NAME, Equal, "node_load1")]),
            of_series(&[("metric", Equal, "load")]),
            of_series(&[("host", Equal, "web-1"), ("job", Equal, "node")]),
            of_series(&[("host", Equal, "node-7"), ("job", Equal, "")]),
            of_series(&[("job", NotEqual, "node")]),
            of_series(&[("env", Regex, "prod|dev")]),
            of_alert(&[("host", Equal, "web-1")]),
            of_alert(&[("exported_host", Equal, "node-7")]),
            of_alert(&[("job", Equal, "node"), ("metric", Equal, "load")]),
            of_alert(&[]),
        ];
        let all: Vec<_> = (10..).zip(&targets).map(|(id, t)| Arc::new(window(&id.to_string(), t.clone(), 9))).collect();
        let quiet = Quiet::new(all, Arc::default());
        let (mut found, mut muted) = ([0_usize; 13], [0_usize; 13]);
        for labels in [
            &[(NAME, "node_load1"), ("job", "node"), ("env", "prod")][..],
            &[(NAME, "node_load1"), ("job", "node"), ("host", "node-7")],
            &[(NAME, "other"), ("host", "node-7")],
            &[(NAME, "load"), ("job", "db"), ("env", "test")],
        ] {
            for (host, mapped) in [("web-1", "load"), ("web-2", "load"), ("", "x")] {
                let label = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
                let facts = Facts { label: &label, mapped: &|| mapped.to_owned(), host };
                let wanted: Vec<_> = (0..13).filter(|at| targets[*at].is_about(&facts)).collect();
                assert_eq!(quiet.about(&facts).collect::<Vec<_>>(), wanted, "{labels:?} of {host}");
                wanted.iter().for_each(|at| found[*at] += 1);
                // The same for alerts about it, and for one about its host.
                let series = Labels::new(labels.iter().copied()).expect("labels");
                for alertname in ["MetricAnomalous", "HostAnomalous"] {
                    let own = [
                        ("alertname", alertname),
                        ("host", host),
                        ("metric", label(NAME)),
                        ("exported_host", label("host")),
                    ];
                    let alert = Labels::new(own.into_iter().filter(|(_, value)| !value.is_empty())).expect("labels");
                    let series = (alertname == "MetricAnomalous").then_some((&series, mapped));
                    let wanted: Vec<_> =
                        (0..13).filter(|at| targets[*at].is_about_alert(&alert, host, series)).collect();
                    let mut near = quiet.index.near_alert(&alert, host, series);
                    assert_eq!(near.contains(&1), host == "web-1", "others of hosts are not tried");
                    near.retain(|at| targets[*at as usize].is_about_alert(&alert, host, series));
                    near.sort_unstable();
                    assert_eq!(near, wanted.iter().map(|at| *at as u32).collect::<Vec<_>>(), "{alert:?} of {labels:?}");
                    wanted.iter().for_each(|at| muted[*at] += 1);
                }
            }
        }
        assert!(found.iter().all(|count| *count > 0), "each is about one of them: {found:?}");
        assert!(muted.iter().all(|count| *count > 0), "and about an alert: {muted:?}");
    }
}
