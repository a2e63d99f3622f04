//! Whether the server answers: said once for each change, and how long to wait while it does not.

use std::time::Duration;

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// State of one server.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failures: u32,
}

impl Outage {
    /// A query of `name` to `url` failed; gives the time to wait before the next.
    pub(super) fn failed(&mut self, name: &str, url: &str, error: &str) -> Duration {
        if self.failures == 0 {
            tracing::warn!(source = name, url, error, "no answer to queries; trying again until there is one");
        }
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(1 << (self.failures - 1).min(6)).min(LONGEST)
    }

    /// A query was answered.
    pub(super) fn answered(&mut self, name: &str, url: &str) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(source = name, url, "queries are answered again");
        }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_up_to_a_minute() {
        let mut outage = Outage::default();
        let waits: Vec<u64> = (0..8).map(|_| outage.failed("p", "http://p", "down").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        outage.answered("p", "http://p");
        assert_eq!((outage.failures(), outage.failed("p", "http://p", "down").as_secs()), (0, 1));
    }
}
