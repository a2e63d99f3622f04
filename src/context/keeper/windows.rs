//! Quiet windows: what sources and people said becomes what is in force.

use std::collections::HashSet;
use std::sync::Arc;

use watchbell_series::QuietWindow;

use super::{Keeper, MAX_WINDOWS, PEOPLE, Refused};
use crate::context::quiet::{Key, Names, Quiet, Window};
use crate::store::journal::{JournalError, KeptWindow};

impl Keeper {
    /// The whole of what `source` plans. What it leaves out ends now, or was never to be if it has not begun.
    pub(super) async fn take_windows(&mut self, source: &str, told: &[QuietWindow]) -> Result<(), JournalError> {
        let now_ms = self.clock.now_ms();
        let mut changed: Vec<KeptWindow> = Vec::new();
        let ids: HashSet<&str> = told.iter().map(|window| window.id.as_str()).collect();
        let (mut ended, mut removed) = (Vec::new(), Vec::new());
        for ((of, id), window) in &self.windows {
            if of == source && !ids.contains(id.as_str()) && window.ends_ms.is_none_or(|end| end > now_ms) {
                let window = QuietWindow { ends_ms: Some(now_ms), ..window.clone() };
                if window.starts_ms > now_ms { removed.push(id.clone()) } else { ended.push(window) }
            }
        }
        for id in &removed {
            let key = (source.to_owned(), id.clone());
            self.windows.remove(&key);
            self.resolve_window(&key);
        }
        for window in told.iter().chain(&ended) {
            let key = (source.to_owned(), window.id.clone());
            let before = self.windows.insert(key.clone(), window.clone());
            if before.as_ref() != Some(window) {
                let shown = (&window.id, &window.reason);
                tracing::info!(source, id = shown.0, reason = shown.1, ends_ms = window.ends_ms, "quiet window");
                changed.push(KeptWindow { source: source.to_owned(), window: window.clone() });
                self.resolve_window(&key);
            }
        }
        // In force whether it can be kept or not.
        self.put_windows();
        for id in removed {
            self.journal.remove_window(source, &id).await?;
        }
        if changed.is_empty() { Ok(()) } else { self.journal.keep_windows(&changed).await }
    }

    /// A window of people, in force with the next [`Keeper::put_windows`].
    pub(super) async fn add(&mut self, window: QuietWindow) -> Result<QuietWindow, Refused> {
        let now_ms = self.clock.now_ms();
        let of_people = self.windows.range((PEOPLE.to_owned(), String::new())..);
        let of_people = of_people.take_while(|((source, _), _)| source == PEOPLE);
        if of_people.filter(|(_, window)| window.ends_ms.is_none_or(|end| end > now_ms)).count() >= MAX_WINDOWS {
            return Err(Refused::Full);
        }
        let window = QuietWindow { id: self.next_id.to_string(), ..window };
        self.journal.keep_windows(&[KeptWindow { source: PEOPLE.to_owned(), window: window.clone() }]).await?;
        self.next_id += 1;
        let key = (PEOPLE.to_owned(), window.id.clone());
        self.windows.insert(key.clone(), window.clone());
        self.resolve_window(&key);
        Ok(window)
    }

    /// A window that has not begun is forgotten, one that goes on ends now; with the next [`Keeper::put_windows`].
    pub(super) async fn end(&mut self, id: String) -> Result<QuietWindow, Refused> {
        let key = (PEOPLE.to_owned(), id);
        let Some(mut window) = self.windows.get(&key).cloned() else { return Err(Refused::Unknown(key.1)) };
        let now_ms = self.clock.now_ms();
        if window.ends_ms.is_some_and(|end| end <= now_ms) {
            return Err(Refused::Over(key.1));
        }
        window.ends_ms = Some(now_ms.max(window.starts_ms));
        if window.starts_ms > now_ms {
            self.journal.remove_window(PEOPLE, &key.1).await?;
            self.windows.remove(&key);
        } else {
            self.journal.keep_windows(&[KeptWindow { source: PEOPLE.to_owned(), window: window.clone() }]).await?;
            self.windows.insert(key.clone(), window.clone());
        }
        self.resolve_window(&key);
        Ok(window)
    }

    /// Resolves all anew: rules, or names of hosts, are other ones.
    pub(super) fn resolve_windows(&mut self) {
        let keys: HashSet<Key> = self.windows.keys().chain(self.resolved.keys()).cloned().collect();
        keys.iter().for_each(|key| self.resolve_window(key));
        self.put_windows();
    }

    /// Resolves one that came, changed or went.
    fn resolve_window(&mut self, key: &Key) {
        let Some(window) = self.windows.get(key) else {
            self.resolved.remove(key);
            return;
        };
        let resolved = Window {
            source: key.0.clone(),
            id: key.1.clone(),
            target: self.target(&window.subject),
            starts_ms: window.starts_ms,
            ends_ms: window.ends_ms.unwrap_or(i64::MAX),
            reason: window.reason.clone(),
        };
        // What stays is shared with the set before, which makes the two quick to compare.
        if self.resolved.get(key).is_none_or(|known| **known != resolved) {
            self.resolved.insert(key.clone(), Arc::new(resolved));
        }
    }

    /// Puts what is resolved in force.
    pub(super) fn put_windows(&mut self) {
        let over = self.windows.len().saturating_sub(MAX_WINDOWS);
        if over > self.left_out {
            tracing::warn!(
                windows = self.windows.len(),
                "more than {MAX_WINDOWS} quiet windows; those that are over are left out first, then those that begin last"
            );
        }
        self.left_out = over;
        let mut all: Vec<&Arc<Window>> = self.resolved.values().collect();
        if over > 0 {
            let now_ms = self.clock.now_ms();
            all.sort_by_key(|window| urgency((window.starts_ms, Some(window.ends_ms)), now_ms));
            all.truncate(MAX_WINDOWS);
        }
        let all = all.into_iter().cloned().collect();
        let (_, table) = (self.naming)();
        if !Arc::ptr_eq(&self.joined.0, &table) {
            let names: Names = table.joined().map(|(name, host)| (name.into(), host.into())).collect();
            if names != *self.joined.1 {
                self.joined.1 = Arc::new(names);
            }
            self.joined.0 = table;
        }
        let quiet = Quiet::new(all, Arc::clone(&self.joined.1));
        if quiet.differs(&self.known.quiet.load()).is_some() {
            self.known.quiet.store(Arc::new(quiet));
        }
    }
}

/// Which windows from a start to an end matter most, least first: active ones by how long they last, planned ones by how
/// soon they begin, ones that are over by how late they ended.
#[must_use]
pub fn urgency((starts_ms, ends_ms): (i64, Option<i64>), now_ms: i64) -> (u8, i64) {
    match ends_ms {
        Some(end) if end <= now_ms => (2, end.saturating_neg()),
        _ if starts_ms > now_ms => (1, starts_ms),
        end => (0, end.unwrap_or(i64::MAX).saturating_neg()),
    }
}
