//! Thresholds that plugins print with their values, as known limits.
//!
//! They come with every result and hardly ever change. So for each series what is printed is compared by a hash, and
//! the whole is told anew only where it differs; a steady state costs one look-up a value. The whole is what was told
//! before the start, too: a check that runs once a day must not lose its limits by a restart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use watchbell_series::labels::iter_canonical;
use watchbell_series::{KnownLimit, Labels, LimitRange, LimitSeverity, MatchOp, Matcher, RawBatch, Subject};

use crate::grammar::{Base, Item, Range};

/// How long changes are gathered before they are told, in milliseconds: at a start every result is one.
const PAUSE_MS: i64 = 30_000;
/// A series not seen for so long has no limits any more, in milliseconds.
const FORGET_MS: i64 = 24 * 3_600_000;
/// How often such series are looked for, in milliseconds.
const SWEEP_MS: i64 = 3_600_000;
/// Series with limits at most; further ones are judged without.
const MAX_SERIES: usize = 1_000_000;

/// The ends of ids.
const WARN: &str = "warn";
const CRIT: &str = "crit";
const BOUNDS: &str = "bounds";

/// Limits of the series of one source.
#[derive(Debug, Default)]
pub struct Limits {
    known: HashMap<u64, Known, BuildHasherDefault<ByKey>>,
    changed: bool,
    told_ms: Option<i64>,
    swept_ms: Option<i64>,
}

#[derive(Debug)]
struct Known {
    /// Of what was printed; 0 for a series that was not seen since the start.
    hash: u64,
    /// When it was seen last; of one that was not since the start when waiting for it began, maybe starts ago.
    seen_ms: i64,
    /// Whether it was told as one that is waited for.
    awaited: bool,
    labels: Box<[u8]>,
    warn: Option<LimitRange>,
    crit: Option<LimitRange>,
    /// Least and greatest value possible.
    bounds: Option<LimitRange>,
}

impl Limits {
    /// What was `told` before: it holds until its series is seen again, or was not for a day, over all restarts.
    #[must_use]
    pub fn known(told: &[KnownLimit], now_ms: i64) -> Self {
        let mut limits = Self::default();
        for limit in told {
            let Some((key, word)) = limit.id.split_once('.') else { continue };
            let (Ok(key), Subject::Series(matchers)) = (u64::from_str_radix(key, 16), &limit.subject) else { continue };
            let known = match limits.known.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let labels = Labels::series(matchers.iter().map(|matcher| (matcher.name(), matcher.value())));
                    // A series that no plugin can print would stay for a day for nothing.
                    let Some(labels) = labels.ok().filter(|labels| labels.id().0 == key) else { continue };
                    let mut bytes = Vec::new();
                    labels.write_canonical(&mut bytes);
                    let labels = bytes.into_boxed_slice();
                    let awaited = limit.unseen_since_ms.is_some();
                    // A clock that was set back must not keep it for long.
                    let seen_ms = limit.unseen_since_ms.map_or(now_ms, |since_ms| since_ms.min(now_ms));
                    let (warn, crit, bounds) = (None, None, None);
                    entry.insert(Known { hash: 0, seen_ms, awaited, labels, warn, crit, bounds })
                }
            };
            match word {
                WARN => known.warn = Some(limit.range),
                CRIT => known.crit = Some(limit.range),
                BOUNDS => known.bounds = Some(limit.range),
                _ => {}
            }
        }
        limits
    }

    /// Notes the limits of `item`, which is the last series of `batch`; `base` is what its unit means.
    pub(crate) fn see(&mut self, batch: &RawBatch, item: &Item<'_>, base: &Base, ts_ms: i64) {
        let Some(series) = batch.series.last() else { return };
        let hash = fingerprint(item);
        let room = self.known.len() < MAX_SERIES;
        match self.known.entry(series.key) {
            Entry::Occupied(entry) if entry.get().hash == hash => entry.into_mut().seen_ms = ts_ms,
            Entry::Occupied(mut entry) => {
                let labels = std::mem::take(&mut entry.get_mut().labels);
                let new = Known::of(item, base, hash, ts_ms, labels);
                let known = entry.insert(new);
                // A limit that is written in another way is the same.
                self.changed |= known.awaited || !entry.get().same(&known);
            }
            Entry::Vacant(entry) if room => {
                let labels = Box::from(batch.label_bytes(series));
                let known = entry.insert(Known::of(item, base, hash, ts_ms, labels));
                self.changed |= known.any();
            }
            Entry::Vacant(_) => {}
        }
    }

    /// All limits, if they changed since they were last given and that was not just now.
    pub fn changed(&mut self, now_ms: i64) -> Option<Vec<KnownLimit>> {
        // A clock that was set back must not keep them for long.
        let within =
            |last: Option<i64>, span| last.is_some_and(|last| (0..span).contains(&now_ms.saturating_sub(last)));
        if !within(self.swept_ms, SWEEP_MS) {
            self.swept_ms = Some(now_ms);
            self.forget(now_ms);
        }
        if !self.changed || within(self.told_ms, PAUSE_MS) {
            return None;
        }
        (self.changed, self.told_ms) = (false, Some(now_ms));
        let mut all = Vec::with_capacity(self.known.len() * 2);
        for (key, known) in &mut self.known {
            known.awaited = known.waits(now_ms);
            known.write(*key, &mut all);
        }
        // The same limits are the same list, whatever order a table has.
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Some(all)
    }

    fn forget(&mut self, now_ms: i64) {
        let Self { known, changed, .. } = self;
        known.retain(|_, known| {
            let there = now_ms.saturating_sub(known.seen_ms) < FORGET_MS;
            *changed |= known.any() && (!there || known.waits(now_ms) != known.awaited);
            there
        });
    }
}

impl Known {
    fn of(item: &Item<'_>, base: &Base, hash: u64, seen_ms: i64, labels: Box<[u8]>) -> Self {
        let max = item.max().filter(|max| item.min().is_none_or(|min| min < *max));
        let bounds = max.map(|max| LimitRange {
            low: item.min().map(|min| base.value(min)),
            high: Some(base.value(max)),
            inside: false,
        });
        let range = |range: Option<Range>| range.and_then(|range| limit(&range, base));
        let (warn, crit) = (range(item.warn()), range(item.crit()));
        Self { hash, seen_ms, awaited: false, labels, warn, crit, bounds }
    }

    /// Whether the next start must know since when it is waited for. Most come back soon, which is not worth telling.
    fn waits(&self, now_ms: i64) -> bool {
        self.hash == 0 && now_ms.saturating_sub(self.seen_ms) >= SWEEP_MS
    }

    fn any(&self) -> bool {
        self.warn.is_some() || self.crit.is_some() || self.bounds.is_some()
    }

    fn same(&self, other: &Self) -> bool {
        self.warn == other.warn && self.crit == other.crit && self.bounds == other.bounds
    }

    fn write(&self, key: u64, all: &mut Vec<KnownLimit>) {
        let of = |wanted: &str| iter_canonical(&self.labels).find(|(name, _)| *name == wanted).map_or("", |l| l.1);
        for (word, range, severity) in [
            (WARN, self.warn, LimitSeverity::Warning),
            (CRIT, self.crit, LimitSeverity::Critical),
            (BOUNDS, self.bounds, LimitSeverity::Legal),
        ] {
            let Some(range) = range else { continue };
            let matchers = iter_canonical(&self.labels)
                .filter_map(|(name, value)| Matcher::new(name, MatchOp::Equal, value).ok())
                .collect();
            let mut name = String::new();
            for part in [of("service"), of("child"), of("label"), word].iter().filter(|part| !part.is_empty()) {
                name.push_str(if name.is_empty() { "" } else { " " });
                name.push_str(part);
            }
            all.push(KnownLimit {
                id: format!("{key:016x}.{word}"),
                subject: Subject::Series(matchers),
                severity,
                range,
                name,
                unseen_since_ms: self.awaited.then_some(self.seen_ms),
            });
        }
    }
}

/// A range in the base unit; `None` for one that holds everything, which some plugins print for "no limit".
fn limit(range: &Range, base: &Base) -> Option<LimitRange> {
    let end = |value: f64| value.is_finite().then(|| base.value(value));
    let high = end(range.end);
    // A plain `10` means `0:10`. That what is counted can not be negative is no limit of anyone's.
    let low = end(range.start).filter(|low| *low != 0.0 || high.is_none() || range.inside);
    let found = LimitRange { low, high, inside: range.inside };
    // `0` for both is what plugins print that have no thresholds.
    let nothing = found.low.is_none() && found.high.is_none_or(|high| high == 0.0);
    (!nothing).then_some(found)
}

fn fingerprint(item: &Item<'_>) -> u64 {
    // FNV-1a: the texts are some ten bytes.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for text in item.printed_limits().into_iter().chain([item.unit]) {
        text.iter().copied().for_each(&mut add);
        add(b';');
    }
    hash
}

/// Keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct ByKey(u64);

impl Hasher for ByKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Origin, Writer};

    fn see(limits: &mut Limits, perfdata: &str, ts_ms: i64) {
        let origin = Origin { ts_ms, host: b"web-1", service: b"all", command: b"" };
        let mut batch = RawBatch::default();
        Writer::new(&Default::default()).write(origin, perfdata.as_bytes(), &mut batch, Some(limits), |_, _, _| {});
    }

    fn told(limits: &mut Limits, now_ms: i64) -> Vec<String> {
        let mut all: Vec<_> = limits
            .changed(now_ms)
            .unwrap_or_default()
            .iter()
            .map(|limit| {
                let LimitRange { low, high, inside } = limit.range;
                format!("{}: {:?} {low:?} {high:?} {inside}", limit.name, limit.severity)
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn thresholds_become_limits_in_base_units() {
        let mut limits = Limits::default();
        see(
            &mut limits,
            "time=12ms;500;1000;0;5000 load=1;10:;@5:7;; n=1;~:9;;0 odd=1;80%;x: none=1;0;0;0; c=5c;9;9;;9",
            0,
        );
        assert_eq!(
            told(&mut limits, 0),
            [
                "all load crit: Critical Some(5.0) Some(7.0) true",
                "all load warn: Warning Some(10.0) None false",
                "all n warn: Warning None Some(9.0) false",
                "all time bounds: Legal Some(0.0) Some(5.0) false",
                "all time crit: Critical None Some(1.0) false",
                "all time warn: Warning None Some(0.5) false",
            ]
        );
    }

    #[test]
    fn they_are_told_when_they_change_only() {
        let mut limits = Limits::default();
        see(&mut limits, "a=1;5;9 b=1;5;9", 0);
        assert_eq!(told(&mut limits, 1_000).len(), 4);
        see(&mut limits, "a=2;5;9 b=7;5.0;9", 60_000);
        assert!(limits.changed(61_000).is_none(), "values and ways of writing are no change");
        see(&mut limits, "a=2;6;9", 62_000);
        see(&mut limits, "b=2", 62_000);
        assert_eq!(told(&mut limits, 62_000).iter().filter(|line| line.contains("Some(6.0)")).count(), 1);
        see(&mut limits, "a=2;7;9", 63_000);
        assert!(limits.changed(64_000).is_none(), "changes are gathered");
        assert_eq!(told(&mut limits, 63_000 + PAUSE_MS).len(), 4);
        // What is not seen any more is forgotten.
        see(&mut limits, "a=2;7;9", FORGET_MS + 70_000);
        assert_eq!(told(&mut limits, FORGET_MS + 70_000).len(), 2);
        assert!(limits.changed(2 * FORGET_MS).is_none(), "it was seen");
    }

    #[test]
    fn a_restart_takes_no_limits_from_checks_that_did_not_run_yet() {
        let mut before = Limits::default();
        see(&mut before, "hourly=1s;5;9;0;60 daily=1;~:5;9 same=1;@3:4", 0);
        let kept = before.changed(0).expect("limits");
        assert_eq!(kept.len(), 6);
        let start = 3_600_000;
        let mut limits = Limits::known(&kept, start);
        see(&mut limits, "same=2;@3:4", start);
        assert!(limits.changed(start).is_none(), "what is known is told already");
        see(&mut limits, "hourly=1s;6;9;0;60", start + 1_000);
        let told = limits.changed(start + 1_000).expect("a change");
        let wanted = |limit: &KnownLimit| match limit.name.as_str() {
            "all hourly warn" => KnownLimit { range: LimitRange::above(6.0), ..limit.clone() },
            _ => limit.clone(),
        };
        assert_eq!(told, kept.iter().map(wanted).collect::<Vec<_>>());
        // What does not come back at all goes after a day, whether something else changes or not.
        see(&mut limits, "hourly=1s;6;9;0;60 same=2;@3:4", start + FORGET_MS);
        let told = limits.changed(start + FORGET_MS).expect("less");
        assert_eq!(told.len(), 4);
        assert!(told.iter().all(|limit| !limit.name.contains("daily")));
    }

    #[test]
    fn what_does_not_come_back_goes_a_day_after_the_first_start_however_often_there_is_one() {
        let mut before = Limits::default();
        see(&mut before, "gone=1;5;9 daily=1;6;9", 0);
        let (mut kept, hour) = (before.changed(0).expect("limits"), 3_600_000);
        for start in 0..12 {
            let start_ms = start * 2 * hour;
            let mut limits = Limits::known(&kept, start_ms);
            assert!(limits.changed(start_ms).is_none(), "most come back soon");
            if let Some(told) = limits.changed(start_ms + hour) {
                kept = told;
            }
            if start == 10 {
                see(&mut limits, "daily=1;6;9", start_ms + hour);
                kept = limits.changed(start_ms + hour + PAUSE_MS).expect("it is back");
            }
        }
        let since = |name: &str| kept.iter().find(|limit| limit.name == name).and_then(|limit| limit.unseen_since_ms);
        assert_eq!((since("all gone crit"), since("all daily crit")), (Some(0), Some(22 * hour)), "{kept:?}");
        let told = Limits::known(&kept, FORGET_MS).changed(FORGET_MS).expect("less");
        assert_eq!(
            told.iter().map(|limit| limit.name.as_str()).collect::<Vec<_>>(),
            ["all daily crit", "all daily warn"]
        );
    }

    #[test]
    fn limits_that_no_plugin_prints_are_not_taken_over() {
        let mut before = Limits::default();
        see(&mut before, "a=1;5;9", 0);
        let mut kept = before.changed(0).expect("limits");
        let other = if kept[0].id.starts_with('0') { "1" } else { "0" };
        kept[0].id.replace_range(..1, other);
        kept[1].id = "x".to_owned();
        assert!(Limits::known(&kept, 0).known.is_empty());
    }

    #[test]
    fn a_limit_names_its_series() {
        let mut limits = Limits::default();
        see(&mut limits, "'free %'=3%;20:;10:", 0);
        let all = limits.changed(0).expect("limits");
        let Subject::Series(matchers) = &all[0].subject else { panic!("{all:?}") };
        let get = |name: &str| matchers.iter().find(|m| m.name() == name).map(|m| m.value().to_owned());
        assert_eq!(get("__name__").as_deref(), Some("nagios_perfdata"));
        assert_eq!(get("label").as_deref(), Some("free %"));
        assert_eq!((get("host").as_deref(), get("unit").as_deref()), (Some("web-1"), Some("percent")));
    }
}
