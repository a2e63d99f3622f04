//! Whether sources and sinks do their work: what fails, since when and why.
//!
//! A component says it where it also says it in the log. Its parts, such as its files or peers, fail and get well each by
//! itself; it fails while any of them does.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of one component that are remembered to fail at most.
const MOST: usize = 100;
/// Characters of a reason that are kept.
const LONGEST: usize = 500;

/// What fails of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which part of it, such as a path or the address of a peer; no secret.
    pub part: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Why, as it was said last.
    pub reason: String,
}

/// Failing parts with their begin and reason.
type Parts = BTreeMap<String, (i64, String)>;

/// What fails of all components. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<Mutex<BTreeMap<Arc<str>, Parts>>>);

impl Failures {
    /// Adds a component, of which nothing fails yet.
    #[must_use]
    pub fn component(&self, name: &str) -> Health {
        let name: Arc<str> = name.into();
        self.held().insert(Arc::clone(&name), Parts::new());
        Health { all: self.clone(), name }
    }

    /// Takes a component away.
    pub fn forget(&self, name: &str) {
        self.held().remove(name);
    }

    /// All components in order of names, with what fails of each: nothing of those that are well.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Vec<Failure>)> {
        let failure = |(part, (since_ms, reason)): (&String, &(i64, String))| Failure {
            part: part.clone(),
            since_ms: *since_ms,
            reason: reason.clone(),
        };
        self.held().iter().map(|(name, parts)| (Arc::clone(name), parts.iter().map(failure).collect())).collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Parts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one component says how it is. The default says it to nobody.
#[derive(Debug, Clone, Default)]
pub struct Health {
    all: Failures,
    name: Arc<str>,
}

impl Health {
    /// `part` fails as of `now_ms`; where it failed before, only the reason is new.
    pub fn failing(&self, part: &str, reason: impl Display, now_ms: i64) {
        let mut all = self.all.held();
        let Some(parts) = all.get_mut(&self.name) else { return };
        let reason: String = reason.to_string().chars().take(LONGEST).collect();
        if let Some(known) = parts.get_mut(part) {
            known.1 = reason;
        } else if parts.len() < MOST {
            parts.insert(part.to_owned(), (now_ms, reason));
        }
    }

    /// `part` works, or is gone.
    pub fn well(&self, part: &str) {
        if let Some(parts) = self.all.held().get_mut(&self.name) {
            parts.remove(part);
        }
    }

    /// Nothing fails, as at a start.
    pub fn clear(&self) {
        if let Some(parts) = self.all.held().get_mut(&self.name) {
            parts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_fails_while_a_part_of_it_does() {
        let failures = Failures::default();
        let (zabbix, _nagios) = (failures.component("zabbix"), failures.component("nagios"));
        zabbix.failing("a", "down", 1);
        zabbix.failing("b", "denied", 2);
        zabbix.failing("a", "still down", 3);
        zabbix.well("b");
        let failure = Failure { part: "a".into(), since_ms: 1, reason: "still down".into() };
        assert_eq!(failures.all(), [("nagios".into(), vec![]), ("zabbix".into(), vec![failure])]);
        zabbix.well("a");
        assert!(failures.all().iter().all(|(_, failures)| failures.is_empty()));
        for part in 0..2 * MOST {
            zabbix.failing(&part.to_string(), "x".repeat(2 * LONGEST), 4);
        }
        let all = failures.all();
        assert_eq!((all[1].1.len(), all[1].1[0].reason.len()), (MOST, LONGEST));
        failures.forget("zabbix");
        zabbix.failing("a", "late", 5);
        assert_eq!(failures.all().len(), 1, "what was taken away says nothing");
    }
}
