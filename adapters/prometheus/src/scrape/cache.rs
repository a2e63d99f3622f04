//! What is remembered of a target's series between two scrapes: the hash of the raw text it was written
//! as, and its id. No labels: a known series is sent by its id alone.
//!
//! Targets list their series in the same order again and again, so the entry behind the last one is tried
//! first and the hash table asked only where the order changed. One series may be written in several ways
//! (`{a="1",b="2"}` and `{b="2",a="1"}`): each spelling has an entry, and all point to one owner.
//! Two texts with one 64-bit hash would be taken for one series; among a million series of a target the
//! odds are 1 in 30 million, and the mistake stays within that target.

use hashbrown::HashTable;

/// Marks an entry that relabelling dropped.
const DROPPED: u32 = u32::MAX;
/// Pages after which a spelling that did not come back is forgotten.
const KEPT_PAGES: u32 = 2;

/// The memory of one target.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    entries: Vec<Entry>,
    /// Entries by the hash of their text.
    by_text: HashTable<u32>,
    /// Owners by the id of their series.
    by_id: HashTable<u32>,
    /// Number of the page that is being read, or was read last.
    page: u32,
    /// Where the next known series is expected.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    text: u64,
    id: u64,
    /// Page on which it was last seen.
    seen: u32,
    /// Entry that stands for the series: itself, another spelling's, or [`DROPPED`].
    owner: u32,
    /// On this page it is a series that ends when it is no longer listed (an owner without timestamps).
    tracked: bool,
    /// A sample was delivered that no stale marker followed yet.
    live: bool,
}

/// What a look at a spelling gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A series not seen on this page yet.
    Known(u64),
    /// A series that stood on this page already.
    Duplicate(u64),
    /// Relabelling dropped it.
    Dropped,
    /// Not known: decode it and [`SeriesCache::insert`] it.
    New,
}

impl SeriesCache {
    /// Begins a page.
    pub(crate) fn begin(&mut self) {
        self.page += 1;
        self.next = 0;
    }

    /// Looks for the spelling with this hash. `tracked`: whether the sample has no timestamp of its own.
    pub(crate) fn look(&mut self, text: u64, tracked: bool) -> Look {
        let at = match self.entries.get(self.next) {
            Some(entry) if entry.text == text => self.next,
            _ => match self.by_text.find(text, |at| self.entries[*at as usize].text == text) {
                Some(at) => *at as usize,
                None => return Look::New,
            },
        };
        self.next = at + 1;
        let owner = self.entries[at].owner;
        self.entries[at].seen = if owner as usize == at { self.entries[at].seen } else { self.page };
        if owner == DROPPED { Look::Dropped } else { self.sight(owner, tracked) }
    }

    /// Notes that the series of entry `owner` stands on the page.
    fn sight(&mut self, owner: u32, tracked: bool) -> Look {
        let entry = &mut self.entries[owner as usize];
        if entry.seen == self.page {
            return Look::Duplicate(entry.id);
        }
        entry.seen = self.page;
        entry.tracked = tracked;
        Look::Known(entry.id)
    }

    /// Remembers a spelling that [`SeriesCache::look`] did not know: of series `id`, or of a dropped one.
    pub(crate) fn insert(&mut self, text: u64, id: Option<u64>, tracked: bool) -> Look {
        let at = self.entries.len() as u32;
        let same = id.and_then(|id| self.by_id.find(id, |at| self.entries[*at as usize].id == id).copied());
        let owner = match id {
            None => DROPPED,
            Some(_) => same.unwrap_or(at),
        };
        self.entries.push(Entry {
            text,
            id: id.unwrap_or(0),
            seen: self.page,
            owner,
            tracked: tracked && owner == at,
            live: false,
        });
        self.by_text.insert_unique(text, at, |at| self.entries[*at as usize].text);
        self.next = at as usize + 1;
        match (id, same) {
            (None, _) => Look::Dropped,
            (Some(_), Some(owner)) => self.sight(owner, tracked),
            (Some(id), None) => {
                self.by_id.insert_unique(id, at, |at| self.entries[*at as usize].id);
                Look::New
            }
        }
    }

    /// Ends a page that was good: gives the ids of series that it does not list any more.
    pub(crate) fn end_good(&mut self) -> Vec<u64> {
        let mut ended = Vec::new();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.owner as usize != at {
                continue;
            }
            if entry.seen == self.page {
                entry.live = entry.tracked;
            } else if std::mem::take(&mut entry.live) {
                ended.push(entry.id);
            }
        }
        self.forget_old();
        ended
    }

    /// Ends a scrape that failed, or the target: gives the ids of all series that are live.
    pub(crate) fn end_all(&mut self) -> Vec<u64> {
        let mut ended = Vec::new();
        for entry in &mut self.entries {
            if std::mem::take(&mut entry.live) {
                ended.push(entry.id);
            }
        }
        self.forget_old();
        ended
    }

    /// Drops spellings that have not come for some pages, once they are a good part of all.
    fn forget_old(&mut self) {
        let page = self.page;
        let is_old = |entry: &Entry| !entry.live && page - entry.seen > KEPT_PAGES;
        let old = self.entries.iter().filter(|entry| is_old(entry)).count();
        if old < 64 || old < self.entries.len() / 4 {
            return;
        }
        let mut moved_to = vec![DROPPED; self.entries.len()];
        let mut kept = Vec::with_capacity(self.entries.len() - old);
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !is_old(entry)) {
            moved_to[at] = kept.len() as u32;
            kept.push(*entry);
        }
        for entry in kept.iter_mut().filter(|entry| entry.owner != DROPPED) {
            // An owner is seen whenever one of its spellings is, so it outlives them.
            entry.owner = moved_to[entry.owner as usize];
        }
        self.entries = kept;
        self.by_text.clear();
        self.by_id.clear();
        for (at, entry) in self.entries.iter().enumerate() {
            self.by_text.insert_unique(entry.text, at as u32, |at| self.entries[*at as usize].text);
            if entry.owner == at as u32 {
                self.by_id.insert_unique(entry.id, at as u32, |at| self.entries[*at as usize].id);
            }
        }
    }

    /// Number of spellings that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a page of spellings, given as (text, id); id 0 is dropped.
    fn page(cache: &mut SeriesCache, lines: &[(u64, u64)]) -> Vec<Look> {
        cache.begin();
        let mut looks = Vec::new();
        for (text, id) in lines {
            let mut look = cache.look(*text, true);
            if look == Look::New {
                look = cache.insert(*text, (*id != 0).then_some(*id), true);
            }
            looks.push(look);
        }
        looks
    }

    #[test]
    fn knows_series_again_in_any_order() {
        let mut cache = SeriesCache::default();
        assert_eq!(page(&mut cache, &[(1, 11), (2, 12), (3, 0)]), [Look::New, Look::New, Look::Dropped]);
        assert_eq!(cache.end_good(), Vec::<u64>::new());
        assert_eq!(page(&mut cache, &[(3, 0), (2, 12), (1, 11)]), [Look::Dropped, Look::Known(12), Look::Known(11)]);
    }

    #[test]
    fn spellings_of_one_series_are_duplicates() {
        let mut cache = SeriesCache::default();
        assert_eq!(
            page(&mut cache, &[(1, 11), (1, 11), (2, 11)]),
            [Look::New, Look::Duplicate(11), Look::Duplicate(11)]
        );
        cache.end_good();
        // The other spelling alone keeps the series alive.
        assert_eq!(page(&mut cache, &[(2, 11)]), [Look::Known(11)]);
        assert_eq!(cache.end_good(), Vec::<u64>::new());
        assert_eq!(page(&mut cache, &[(2, 11), (1, 11)]), [Look::Known(11), Look::Duplicate(11)]);
    }

    #[test]
    fn ends_series_once() {
        let mut cache = SeriesCache::default();
        page(&mut cache, &[(1, 11), (2, 12)]);
        cache.end_good();
        page(&mut cache, &[(1, 11)]);
        assert_eq!(cache.end_good(), [12]);
        page(&mut cache, &[(1, 11)]);
        assert_eq!(cache.end_good(), Vec::<u64>::new());
        // A page that failed half way ends what was live before, also what it did list.
        page(&mut cache, &[(1, 11)]);
        assert_eq!(cache.end_all(), [11]);
        assert_eq!(cache.end_all(), Vec::<u64>::new());
        assert_eq!(page(&mut cache, &[(1, 11), (2, 12)]), [Look::Known(11), Look::Known(12)]);
        cache.end_good();
        assert_eq!(cache.end_all(), [11, 12]);
    }

    #[test]
    fn series_with_own_timestamps_do_not_end() {
        let mut cache = SeriesCache::default();
        cache.begin();
        assert_eq!(cache.look(1, false), Look::New);
        cache.insert(1, Some(11), false);
        cache.end_good();
        page(&mut cache, &[]);
        assert_eq!(cache.end_good(), Vec::<u64>::new());
    }

    #[test]
    fn forgets_what_does_not_come_back() {
        let mut cache = SeriesCache::default();
        for round in 0..20u64 {
            let mut lines: Vec<(u64, u64)> = (0..200).map(|i| (1000 * round + i + 1, 1000 * round + i + 1)).collect();
            lines.push((7_000_000, 1));
            lines.push((7_000_001, 1));
            let looks = page(&mut cache, &lines);
            assert_eq!(looks[looks.len() - 1], Look::Duplicate(1));
            cache.end_good();
        }
        assert!(cache.len() < 1000, "{}", cache.len());
        assert_eq!(page(&mut cache, &[(7_000_001, 1)]), [Look::Known(1)]);
    }
}
