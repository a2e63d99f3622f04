//! Counters of what came in, by data fault. A data fault is never an anomaly: it is counted here instead.

/// Totals since the start of the process; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples looked at, of every kind and fate.
    pub samples: u64,
    /// Native histogram samples looked at.
    pub histograms: u64,
    /// Samples handed on to judging.
    pub judged: u64,
    /// Older than the last sample of the series; dropped.
    pub out_of_order: u64,
    /// Same time and same value again; dropped without harm.
    pub duplicate: u64,
    /// Same time, another value; dropped.
    pub conflict: u64,
    /// History that overlaps what is already held; dropped without harm.
    pub overlap: u64,
    /// Parts of a histogram that came after a newer part of it; dropped.
    pub late_part: u64,
    /// Stale markers.
    pub stale: u64,
    /// NaN and infinities; not judged.
    pub nan: u64,
    /// Counters that fell.
    pub reset: u64,
    /// Gaps of more than 2.5 cadences before a sample.
    pub gap: u64,
    /// Too far ahead of the time of reception; dropped.
    pub future: u64,
    /// More than two minutes off the time of reception; taken.
    pub clock_skew: u64,
    /// Series whose cadence changed.
    pub cadence_change: u64,
    /// Series whose kind changed, and which therefore started anew.
    pub kind_change: u64,
    /// Samples of series refused because a limit was reached.
    pub limit_refused: u64,
    /// Samples of series whose labels can not be read or name no metric.
    pub invalid_labels: u64,
    /// Native histograms that contradict themselves, and `le` values that are no numbers.
    pub invalid_histogram: u64,
    /// Samples of series whose 64-bit id another series already has.
    pub collisions: u64,
    /// Samples that Watchbell itself had exported (loop guard).
    pub own_output: u64,
    /// Samples of series that rules do not watch.
    pub unwatched: u64,
    /// Samples of series that carry nothing to judge: `_info`, `_created`, ...
    pub set_aside: u64,
    /// Samples handed on to another shard.
    pub forwarded: u64,
    /// Samples of series of which only an unknown key was given.
    pub unknown: u64,
    /// Series seen for the first time.
    pub new_series: u64,
    /// Series forgotten.
    pub expired: u64,
}
