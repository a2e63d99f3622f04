//! How much time one query asks for: as much as keeps its answer small.

use super::api::{MAX_POINTS, Read};

/// The samples that an answer should hold about.
const WANTED: usize = 500_000;
const HOUR: i64 = 3_600_000;

/// A span of time that grows while answers are small and shrinks when one is too large.
#[derive(Debug, Clone)]
pub(super) struct Window {
    ms: i64,
    least: i64,
    most: i64,
}

impl Window {
    /// The window to begin with.
    pub(super) fn new(read: Read) -> Self {
        match read {
            Read::Raw => Self { ms: HOUR, least: 1000, most: 31 * 24 * HOUR },
            Read::Step(step) => {
                let most = step.saturating_mul(MAX_POINTS);
                Self { ms: (100 * step).max(HOUR).min(most), least: step, most }
            }
        }
    }

    /// The window to begin with where `whole_ms` are expected to hold so many samples.
    pub(super) fn expecting(read: Read, whole_ms: i64, samples: f64) -> Self {
        let window = Self::new(read);
        let ms = (whole_ms as f64 * (WANTED as f64 / samples.max(1.0))) as i64;
        Self { ms: ms.clamp(window.least, window.most), ..window }
    }

    /// End of the window that begins after `left_ms`, not beyond `to_ms`.
    pub(super) fn end(&self, left_ms: i64, to_ms: i64) -> i64 {
        left_ms.saturating_add(self.ms).min(to_ms)
    }

    /// A window of `asked_ms` held too much; whether less can be asked for.
    pub(super) fn too_much(&mut self, asked_ms: i64) -> bool {
        let less = (asked_ms / 2).max(self.least);
        self.ms = less;
        less < asked_ms
    }

    /// The last window held so many samples.
    pub(super) fn held(&mut self, samples: usize) {
        if samples > WANTED {
            self.ms = (self.ms / 2).max(self.least);
        } else if samples < WANTED / 4 {
            self.ms = self.ms.saturating_mul(2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_shrinks_within_bounds() {
        let mut window = Window::new(Read::Raw);
        assert_eq!(window.end(0, 10 * HOUR), HOUR);
        assert_eq!(window.end(0, 7), 7);
        for _ in 0..10 {
            window.held(3);
        }
        assert_eq!(window.end(0, i64::MAX), 31 * 24 * HOUR);
        window.held(WANTED + 1);
        assert_eq!(window.end(0, i64::MAX), 31 * 12 * HOUR);
        assert!(window.too_much(10_000));
        assert_eq!(window.end(0, i64::MAX), 5_000);
        assert!(!window.too_much(1000), "a second of raw samples is the least");
        let mut steps = Window::new(Read::Step(15_000));
        for _ in 0..20 {
            steps.held(0);
        }
        assert_eq!(steps.end(0, i64::MAX), MAX_POINTS * 15_000, "never more points than are answered");
        let expecting = |samples| Window::expecting(Read::Raw, 100 * HOUR, samples).end(0, i64::MAX);
        assert_eq!(expecting(10.0 * WANTED as f64), 10 * HOUR);
        assert_eq!((expecting(0.0), expecting(1e30)), (31 * 24 * HOUR, 1000));
    }
}
