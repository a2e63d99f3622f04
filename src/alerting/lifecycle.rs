//! The life of one alert: pending, firing, resolved.
//!
//! A state machine without clock or labels. It is told of each sample in sample time, so that a replay of
//! stored data makes the same decisions, and of the clock at each tick, for what ends by silence.
//!
//! * Pending: begins with a hit. Fires when enough of the last samples are hits and the first one is long
//!   enough ago; ends when no hit is left among the last samples.
//! * Firing: a score between `clear` and `score` holds it. It resolves when it was calm, or its series was
//!   gone, for `keep_firing_for`.

/// Without a sample for this long, or for [`SILENT_CADENCES`] of its gaps if that is longer, a life ends.
const SILENT_MS: i64 = 3_600_000;
const SILENT_CADENCES: i64 = 5;
/// An alert about a missing series is no news after a day.
const MISSING_MS: i64 = 86_400_000;

/// What a rule says about time and scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// A hit from this score on, times the series' own edge.
    pub score: f32,
    /// Calm under this score.
    pub clear: f32,
    /// How long ago the first hit must be.
    pub for_ms: i64,
    /// Hits that are needed ...
    pub at_least: u32,
    /// ... among so many last samples, at most 32.
    pub of: u32,
    /// How long it must be calm.
    pub keep_firing_ms: i64,
}

impl Terms {
    /// Where a sample with this score stands. Without a score (NaN) it is calm.
    #[must_use]
    pub fn level(&self, score: f32, edge: f32, alarm: bool) -> Level {
        if score >= self.score && (alarm || score >= self.score * edge) {
            Level::Hit
        } else if score >= self.clear {
            Level::Hold
        } else {
            Level::Calm
        }
    }
}

/// Where one sample stands against the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Counts towards firing.
    Hit,
    /// Not enough to fire, enough to go on.
    Hold,
    /// As it should be.
    Calm,
}

/// What follows for whoever keeps the life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Pending became firing.
    Fire,
    /// Firing ended.
    Resolve,
    /// Pending ended without firing.
    Drop,
}

/// The life of one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    firing: bool,
    // The series is missing, and that is what this alert is about.
    missing: bool,
    // Time of the first hit, in sample time.
    since_ms: i64,
    // One bit a sample, the newest lowest.
    hits: u32,
    // Last sample, in sample time, and the gap before it.
    last_ms: i64,
    gap_ms: i64,
    // Last sample, by the clock.
    seen_ms: i64,
    // Since when it is calm: in sample time and by the clock.
    calm: Option<(i64, i64)>,
}

impl Life {
    /// A life that begins with a hit at `ts_ms`, seen at `now_ms`. Whether it fires at once is what
    /// [`Life::sample`] of that very hit says; so begin, then hand it the sample.
    #[must_use]
    pub fn begin(ts_ms: i64, now_ms: i64) -> Self {
        Self {
            firing: false,
            missing: false,
            since_ms: ts_ms,
            hits: 0,
            last_ms: i64::MIN,
            gap_ms: 0,
            seen_ms: now_ms,
            calm: None,
        }
    }

    /// A life that fires since before a restart.
    #[must_use]
    pub fn restored(starts_ms: i64, missing: bool, now_ms: i64) -> Self {
        Self { firing: true, missing, ..Self::begin(starts_ms, now_ms) }
    }

    /// Whether it fires.
    #[must_use]
    pub fn firing(&self) -> bool {
        self.firing
    }

    /// Hits among the last samples that count.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits.count_ones()
    }

    /// Time of the first hit, milliseconds since the Unix epoch.
    #[must_use]
    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// Whether it is about a series that is missing now.
    #[must_use]
    pub fn missing(&self) -> bool {
        self.missing
    }

    /// Whether a look at `now_ms` at what has a sample each `step_ms` counts as one. While it does not fire a second
    /// look at the same sample would be a second hit.
    #[must_use]
    pub fn is_due(&self, now_ms: i64, step_ms: i64) -> bool {
        self.firing || now_ms.saturating_sub(self.last_ms) >= step_ms
    }

    /// One sample. One that is not newer than the last is ignored.
    pub fn sample(&mut self, terms: &Terms, level: Level, ts_ms: i64, now_ms: i64) -> Step {
        if ts_ms <= self.last_ms {
            return Step::Stay;
        }
        if self.last_ms != i64::MIN {
            self.gap_ms = ts_ms - self.last_ms;
        }
        (self.last_ms, self.seen_ms, self.missing) = (ts_ms, now_ms, false);
        if self.firing {
            return self.firing_sample(terms, level, now_ms);
        }
        let window = u32::MAX >> (32 - terms.of.clamp(1, 32));
        self.hits = (self.hits << 1 | u32::from(level == Level::Hit)) & window;
        if self.hits == 0 {
            return Step::Drop;
        }
        if level != Level::Calm && self.hits.count_ones() >= terms.at_least {
            return self.mature(terms, ts_ms);
        }
        Step::Stay
    }

    /// Something so plain that no further hits are waited for; `for` still holds.
    pub fn surge(&mut self, terms: &Terms, ts_ms: i64, now_ms: i64) -> Step {
        self.hits = u32::MAX;
        self.sample(terms, Level::Hit, ts_ms, now_ms)
    }

    /// Its series is missing, and the rule is about that: no sample will come to count hits with.
    pub fn miss(&mut self, terms: &Terms, ts_ms: i64, now_ms: i64) -> Step {
        (self.missing, self.seen_ms, self.calm) = (true, now_ms, None);
        self.mature(terms, ts_ms)
    }

    /// Its series is gone: it ended, or is missing and the rule is not about that.
    pub fn gone(&mut self, terms: &Terms, ts_ms: i64, now_ms: i64) -> Step {
        if !self.firing {
            return Step::Drop;
        }
        self.missing = false;
        self.last_ms = self.last_ms.max(ts_ms);
        self.calm.get_or_insert((ts_ms, now_ms));
        self.tick(terms, now_ms)
    }

    /// The clock moved on.
    pub fn tick(&mut self, terms: &Terms, now_ms: i64) -> Step {
        if self.firing && self.calm.is_some_and(|(_, seen)| now_ms - seen >= terms.keep_firing_ms) {
            return self.resolve();
        }
        if !self.firing && self.missing {
            return self.mature(terms, now_ms);
        }
        let limit = if self.missing { MISSING_MS } else { SILENT_MS.max(self.gap_ms.saturating_mul(SILENT_CADENCES)) };
        if now_ms - self.seen_ms < limit.max(terms.keep_firing_ms) {
            return Step::Stay;
        }
        if self.firing { self.resolve() } else { Step::Drop }
    }

    fn firing_sample(&mut self, terms: &Terms, level: Level, now_ms: i64) -> Step {
        if level != Level::Calm {
            self.calm = None;
            return Step::Stay;
        }
        let (since, _) = *self.calm.get_or_insert((self.last_ms, now_ms));
        if self.last_ms - since >= terms.keep_firing_ms { self.resolve() } else { Step::Stay }
    }

    fn mature(&mut self, terms: &Terms, ts_ms: i64) -> Step {
        if self.firing || ts_ms - self.since_ms < terms.for_ms {
            return Step::Stay;
        }
        self.firing = true;
        Step::Fire
    }

    fn resolve(&mut self) -> Step {
        self.firing = false;
        Step::Resolve
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000;

    fn terms() -> Terms {
        Terms { score: 1.0, clear: 0.8, for_ms: 0, at_least: 1, of: 1, keep_firing_ms: 0 }
    }

    /// Steps of a life fed with one score each 10 s: `F`ire, `R`esolve, `D`rop, `.` for nothing.
    fn run(terms: &Terms, scores: &[f32]) -> String {
        let mut life: Option<Life> = None;
        let mut steps = String::new();
        for (i, &score) in scores.iter().enumerate() {
            let ts = i as i64 * 10 * S;
            let level = terms.level(score, 1.0, false);
            if life.is_none() && level == Level::Hit {
                life = Some(Life::begin(ts, ts));
            }
            let step = life.as_mut().map_or(Step::Stay, |life| life.sample(terms, level, ts, ts));
            if matches!(step, Step::Resolve | Step::Drop) {
                life = None;
            }
            steps.push(match step {
                Step::Stay => '.',
                Step::Fire => 'F',
                Step::Resolve => 'R',
                Step::Drop => 'D',
            });
        }
        steps
    }

    #[test]
    fn life_by_table() {
        let hits = Terms { at_least: 2, of: 3, ..terms() };
        let slow = Terms { for_ms: 20 * S, ..terms() };
        let kept = Terms { keep_firing_ms: 20 * S, ..terms() };
        let n = f32::NAN;
        for (what, terms, scores, want) in [
            ("a hit fires at once, a calm sample resolves", &terms(), &[0.5, 1.0, 0.79][..], ".FR"),
            ("hysteresis: between clear and score it goes on", &terms(), &[1.2, 0.9, 0.8, 0.7], "F..R"),
            ("between clear and score never fires", &terms(), &[0.9, 0.99, 0.9], "..."),
            ("no score is calm", &terms(), &[2.0, n], "FR"),
            ("two of three: one spike is nothing", &hits, &[2.0, 0.1, 0.1, 0.1], "...D"),
            ("two of three: with a gap", &hits, &[2.0, 0.1, 2.0], "..F"),
            ("two of three: too far apart", &hits, &[2.0, 0.1, 0.1, 2.0, 0.1], "....."),
            ("for: must last", &slow, &[2.0, 2.0, 2.0], "..F"),
            ("for: begins anew after a break", &slow, &[2.0, 2.0, 0.1, 2.0, 2.0, 2.0], "..D..F"),
            ("keep: calm must last", &kept, &[2.0, 0.1, 0.1, 0.1], "F..R"),
            ("keep: a hold begins it anew", &kept, &[2.0, 0.1, 0.9, 0.1, 0.1, 0.1], "F....R"),
            ("it can fire again", &terms(), &[2.0, 0.1, 2.0, 0.1], "FRFR"),
        ] {
            assert_eq!(run(terms, scores), want, "{what}");
        }
    }

    #[test]
    fn the_own_edge_of_a_series_raises_the_bar_until_its_alarm_is_open() {
        let terms = terms();
        assert_eq!(terms.level(1.1, 1.2, false), Level::Hold);
        assert_eq!(terms.level(1.1, 1.2, true), Level::Hit);
        assert_eq!(terms.level(1.2, 1.2, false), Level::Hit);
        assert_eq!(terms.level(0.9, 0.8, true), Level::Hold, "never under the rule's own score");
    }

    #[test]
    fn a_missing_series_fires_by_the_clock_and_resolves_with_its_next_sample() {
        let terms = Terms { for_ms: 120 * S, at_least: 2, of: 3, ..terms() };
        let mut life = Life::begin(0, 0);
        assert_eq!(life.miss(&terms, 0, 0), Step::Stay);
        assert_eq!(life.tick(&terms, 119 * S), Step::Stay);
        assert_eq!(life.tick(&terms, 120 * S), Step::Fire);
        assert_eq!(life.tick(&terms, 7_200 * S), Step::Stay, "it does not end by silence");
        assert_eq!(life.sample(&terms, Level::Calm, 7_300 * S, 7_300 * S), Step::Resolve);
        let mut life = Life::restored(0, true, 0);
        assert_eq!(life.tick(&terms, MISSING_MS), Step::Resolve, "unless for a day");
    }

    #[test]
    fn a_gone_series_resolves_after_it_was_kept() {
        let terms = Terms { keep_firing_ms: 60 * S, ..terms() };
        let mut life = Life::begin(0, 0);
        assert_eq!(life.sample(&terms, Level::Hit, 0, 0), Step::Fire);
        assert_eq!(life.gone(&terms, 10 * S, 12 * S), Step::Stay);
        assert_eq!(life.tick(&terms, 71 * S), Step::Stay);
        assert_eq!(life.tick(&terms, 72 * S), Step::Resolve);
        assert_eq!(Life::begin(0, 0).gone(&terms, 1, 1), Step::Drop, "pending ends at once");
    }

    #[test]
    fn silence_ends_a_life_by_the_series_own_cadence() {
        let terms = terms();
        for (gap_s, ends_s) in [(15, 3_600), (3_600, 18_000)] {
            let mut life = Life::begin(0, 0);
            life.sample(&terms, Level::Hit, 0, 0);
            // Samples may come with a delay: silence is counted by the clock.
            let seen = 1_000_000 * S;
            life.sample(&terms, Level::Hit, gap_s * S, seen);
            assert_eq!(life.tick(&terms, seen + (ends_s - 1) * S), Step::Stay);
            assert_eq!(life.tick(&terms, seen + ends_s * S), Step::Resolve);
        }
    }

    #[test]
    fn old_and_repeated_samples_change_nothing() {
        let terms = terms();
        let mut life = Life::begin(10, 10);
        assert_eq!(life.sample(&terms, Level::Hit, 10, 10), Step::Fire);
        let before = life.clone();
        for ts in [10, 9, -5, i64::MIN] {
            assert_eq!(life.sample(&terms, Level::Calm, ts, 20), Step::Stay);
        }
        assert_eq!(life, before);
    }

    proptest! {
        #[test]
        fn never_resolved_without_firing(
            events in prop::collection::vec((0..6u8, 0..400i64), 1..60),
            at_least in 1..4u32, of in 1..6u32, for_s in 0..60i64, keep_s in 0..60i64,
        ) {
            let terms = Terms { at_least, of, for_ms: for_s * S, keep_firing_ms: keep_s * S, ..terms() };
            let mut life = Life::begin(0, 0);
            let (mut now, mut fired) = (0, false);
            for (event, wait) in events {
                now += wait * S;
                let step = match event {
                    0 => life.sample(&terms, Level::Hit, now, now),
                    1 => life.sample(&terms, Level::Hold, now, now),
                    2 => life.sample(&terms, Level::Calm, now, now),
                    3 => life.miss(&terms, now, now),
                    4 => life.gone(&terms, now, now),
                    _ => life.tick(&terms, now),
                };
                match step {
                    Step::Fire => { prop_assert!(!fired); fired = true; }
                    Step::Resolve => { prop_assert!(fired); break; }
                    Step::Drop => { prop_assert!(!fired); break; }
                    Step::Stay => {}
                }
                prop_assert_eq!(life.firing(), fired);
            }
        }
    }
}
