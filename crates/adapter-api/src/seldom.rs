//! Says the same thing once in a while only: a broken plugin runs every minute.

use std::collections::HashMap;

/// How long the same thing is not said again, in milliseconds.
const PAUSE_MS: i64 = 10 * 60_000;
/// Things remembered at most.
const MOST: usize = 1_000;

/// Remembers what was said when.
#[derive(Debug, Default)]
pub struct Seldom(HashMap<String, i64>);

impl Seldom {
    /// Whether `what` may be said at `now_ms`.
    pub fn may(&mut self, what: &str, now_ms: i64) -> bool {
        if let Some(last) = self.0.get_mut(what) {
            let may = now_ms.saturating_sub(*last) >= PAUSE_MS;
            if may {
                *last = now_ms;
            }
            return may;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, last| now_ms.saturating_sub(*last) < PAUSE_MS);
        }
        if self.0.len() < MOST {
            self.0.insert(what.to_owned(), now_ms);
            return true;
        }
        false
    }

    /// Forgets `what`, so that it is said at once when it happens again; `true` if it had been said.
    pub fn over(&mut self, what: &str) -> bool {
        self.0.remove(what).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_a_while() {
        let mut seldom = Seldom::default();
        assert!(seldom.may("a", 0) && seldom.may("b", 1));
        assert!(!seldom.may("a", PAUSE_MS - 1));
        assert!(seldom.may("a", PAUSE_MS));
        assert!(seldom.over("a") && !seldom.over("a"));
        assert!(seldom.may("a", PAUSE_MS + 1));
        for i in 0..2 * MOST {
            seldom.may(&i.to_string(), PAUSE_MS + 2);
        }
        assert!(seldom.0.len() <= MOST);
    }
}
