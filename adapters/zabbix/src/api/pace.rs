//! One request at a time to one frontend, and a rest after slow answers.
//!
//! All parts of the process that talk to one frontend share its gate: a frontend of PHP has few workers, and people
//! wait for them too.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::Instant;

/// An answer that takes longer is slow: as long as it took, nothing is asked.
const SLOW: Duration = Duration::from_secs(1);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Lets one request through at a time.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// When the next request may go out.
    next: tokio::sync::Mutex<Option<Instant>>,
}

impl Gate {
    /// The gate of the frontend at `url`.
    pub(super) fn of(url: &str) -> Arc<Self> {
        static GATES: LazyLock<Mutex<HashMap<String, Weak<Gate>>>> = LazyLock::new(Mutex::default);
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| gate.strong_count() > 0);
        if let Some(gate) = gates.get(url).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::new(Self::default());
        gates.insert(url.to_owned(), Arc::downgrade(&gate));
        gate
    }

    /// Waits for its turn.
    pub(super) async fn pass(&self) -> Passage<'_> {
        let next = self.next.lock().await;
        if let Some(at) = *next {
            tokio::time::sleep_until(at).await;
        }
        Passage { next, began: Instant::now() }
    }
}

/// The right to send one request.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    next: MutexGuard<'a, Option<Instant>>,
    began: Instant,
}

impl Passage<'_> {
    /// The answer is there: the next may go out `apart` after this one began, or later if it was slow. Gives how
    /// long it took.
    pub(super) fn done(mut self, apart: Duration) -> Duration {
        let now = Instant::now();
        let took = now - self.began;
        let rest = if took > SLOW { now + took.min(LONGEST_REST) } else { now };
        *self.next = Some(rest.max(self.began + apart));
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_keep_apart_and_slow_answers_earn_a_rest() {
        let gate = Gate::of("http://pace.test");
        assert!(Arc::ptr_eq(&gate, &Gate::of("http://pace.test")));
        let begin = Instant::now();
        gate.pass().await.done(Duration::from_millis(500));
        let passage = gate.pass().await;
        assert_eq!(begin.elapsed(), Duration::from_millis(500));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(passage.done(Duration::from_millis(500)), Duration::from_secs(3));
        gate.pass().await;
        assert_eq!(begin.elapsed(), Duration::from_millis(6_500));
    }
}
