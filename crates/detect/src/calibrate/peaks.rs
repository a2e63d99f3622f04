//! The peaks of anomalies as decayed counts over a ladder of edges, and how close ones are put together.

use super::WEEK_MS;

/// Steps of the ladder.
pub(super) const BINS: usize = 34;
/// From one step to the next.
const RATIO: f32 = 1.05;
/// The ladder of edges, from 1.0 up.
pub(super) const EDGES: [f32; BINS] = {
    let mut edges = [1.0; BINS];
    let mut i = 1;
    while i < BINS {
        edges[i] = edges[i - 1] * RATIO;
        i += 1;
    }
    edges
};

/// Anomalies of one unit closer than this are one.
const CLUSTER_GAP_MS: i64 = 15 * 60_000;
/// But none is longer than this: what rings without end is more than one alert.
const CLUSTER_MS: i64 = 3_600_000;

/// The step of the ladder that a peak stands on; what has no number or is under 1.0 stands on the first.
pub(super) fn bin_of(peak: f32) -> usize {
    EDGES.partition_point(|edge| *edge <= peak).saturating_sub(1)
}

/// Counts of peaks with a memory, and over how much they were gathered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Peaks {
    /// Memory, weeks.
    pub(super) memory: f64,
    /// Up to when.
    pub(super) at_ms: i64,
    /// What was watched: sizes times weeks, decayed like the counts.
    pub(super) exposure: f64,
    pub(super) counts: [f32; BINS],
}

impl Peaks {
    pub(super) fn new(memory: f64, at_ms: i64) -> Self {
        Self { memory, at_ms, exposure: 0.0, counts: [0.0; BINS] }
    }

    /// Lets time pass in which `size` was watched.
    pub(super) fn advance(&mut self, now_ms: i64, size: f64) {
        let weeks = now_ms.saturating_sub(self.at_ms) as f64 / WEEK_MS;
        if weeks <= 0.0 {
            return;
        }
        self.at_ms = now_ms;
        let lost = lost_share(weeks / self.memory);
        self.exposure += lost * (size * self.memory - self.exposure);
        let kept = (1.0 - lost) as f32;
        self.counts.iter_mut().for_each(|count| *count *= kept);
    }

    pub(super) fn add(&mut self, bin: usize, weight: f32) {
        let count = &mut self.counts[bin.min(BINS - 1)];
        *count = (*count + weight).max(0.0);
    }

    /// What one peak of `at_ms` still weighs.
    pub(super) fn weight(&self, at_ms: i64) -> f32 {
        let weeks = self.at_ms.saturating_sub(at_ms).max(0) as f64 / WEEK_MS;
        (1.0 - lost_share(weeks / self.memory)) as f32
    }

    /// Counts at each edge or above it.
    pub(super) fn above(&self) -> [f64; BINS] {
        let mut sums = [0.0; BINS];
        let mut sum = 0.0;
        for bin in (0..BINS).rev() {
            sum += f64::from(self.counts[bin]);
            sums[bin] = sum;
        }
        sums
    }
}

/// `1 - exp(-x)` for x >= 0, in plain arithmetic so that it is the same on every system.
fn lost_share(x: f64) -> f64 {
    if x >= 40.0 {
        return 1.0;
    }
    let (mut y, mut doublings) = (x, 0);
    while y > 0.125 {
        (y, doublings) = (y / 2.0, doublings + 1);
    }
    let mut lost = y * (1.0 - y / 2.0 * (1.0 - y / 3.0 * (1.0 - y / 4.0 * (1.0 - y / 5.0 * (1.0 - y / 6.0)))));
    for _ in 0..doublings {
        lost *= 2.0 - lost;
    }
    lost
}

/// Anomalies of one unit that are one: the alerts of one incident.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cluster {
    pub(super) began_ms: i64,
    pub(super) last_ms: i64,
    /// Where its highest peak stands.
    pub(super) bin: u8,
    /// The edge that held when it began holds for all of it: it does not count against itself.
    pub(super) edge: f32,
    /// Whether an alert of it fired.
    pub(super) fired: bool,
}

impl Cluster {
    pub(super) fn new(now_ms: i64, bin: usize, edge: f32) -> Self {
        Self { began_ms: now_ms, last_ms: now_ms, bin: bin as u8, edge, fired: false }
    }

    /// Whether an anomaly at `now_ms` belongs to it.
    pub(super) fn takes(&self, now_ms: i64) -> bool {
        now_ms >= self.began_ms && now_ms - self.last_ms <= CLUSTER_GAP_MS && now_ms - self.began_ms <= CLUSTER_MS
    }

    /// Raises its peak; the step it stood on before, if it moved.
    pub(super) fn raise(&mut self, bin: usize) -> Option<usize> {
        let before = usize::from(self.bin);
        (bin > before).then(|| {
            self.bin = bin as u8;
            before
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stands_on_the_highest_edge_it_reaches() {
        assert_eq!((bin_of(f32::NAN), bin_of(0.3), bin_of(1.0), bin_of(1.049)), (0, 0, 0, 0));
        for (bin, edge) in EDGES.iter().enumerate() {
            assert_eq!(bin_of(*edge), bin);
        }
        assert_eq!(bin_of(f32::INFINITY), BINS - 1);
        assert!((4.9..5.1).contains(&EDGES[BINS - 1]));
    }

    #[test]
    fn time_passes_alike_in_small_and_large_steps() {
        let week = WEEK_MS as i64;
        let (mut once, mut often) = (Peaks::new(4.0, 0), Peaks::new(4.0, 0));
        once.add(3, 1.0);
        often.add(3, 1.0);
        once.advance(week, 10.0);
        (1..=10_080).for_each(|minute| often.advance(minute * 60_000, 10.0));
        let wanted = (-0.25f64).exp();
        assert!((f64::from(once.counts[3]) - wanted).abs() < 1e-6, "{}", once.counts[3]);
        assert!((f64::from(often.counts[3]) - wanted).abs() < 1e-3, "{}", often.counts[3]);
        assert!((once.exposure - 40.0 * (1.0 - wanted)).abs() < 1e-6);
        assert!((often.exposure - once.exposure).abs() < 1e-6);
        assert!((once.weight(0) - once.counts[3]).abs() < 1e-6);
        assert!((lost_share(3.0) - (1.0 - (-3.0f64).exp())).abs() < 1e-9 && lost_share(1e9) == 1.0);
    }

    #[test]
    fn what_rings_without_end_is_more_than_one() {
        let mut cluster = Cluster::new(0, 0, 1.0);
        let mut taken = 0;
        for minute in (10..600).step_by(10) {
            if !cluster.takes(minute * 60_000) {
                break;
            }
            (cluster.last_ms, taken) = (minute * 60_000, taken + 1);
        }
        assert_eq!(taken, 6);
        assert!(!Cluster::new(0, 0, 1.0).takes(CLUSTER_GAP_MS + 1));
    }
}
