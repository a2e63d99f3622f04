//! Interned label pairs: each (name, value) is held once, however many series carry it.
//!
//! A series keeps a 4-byte id for each of its labels. Pairs are counted and freed with their last series.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::keymap::KeyMap;
use crate::pages::Pages;

/// The interned pairs of a shard.
#[derive(Debug)]
pub(crate) struct Pairs {
    entries: Pages<Pair, 1024>,
    free: Vec<u32>,
    map: KeyMap,
    text_bytes: usize,
}

#[derive(Debug, Clone, Default)]
struct Pair {
    /// Name and value, one after the other.
    text: Box<str>,
    name_len: u32,
    refs: u32,
}

impl Pairs {
    pub(crate) fn new() -> Self {
        Self { entries: Pages::new(Pair::default()), free: Vec::new(), map: KeyMap::new(), text_bytes: 0 }
    }

    /// The id of this pair; counts one more user of it.
    pub(crate) fn intern(&mut self, name: &str, value: &str) -> u32 {
        let hash = hash(name, value);
        let entries = &self.entries;
        let is = |id: u32| {
            let pair = &entries[id];
            pair.name_len as usize == name.len()
                && pair.text.len() == name.len() + value.len()
                && pair.text.as_bytes().starts_with(name.as_bytes())
                && pair.text.as_bytes().ends_with(value.as_bytes())
        };
        if let Some(id) = self.map.find(hash, is) {
            self.entries[id].refs += 1;
            return id;
        }
        let mut text = String::with_capacity(name.len() + value.len());
        text.push_str(name);
        text.push_str(value);
        self.text_bytes += text.len();
        let pair = Pair { text: text.into_boxed_str(), name_len: name.len() as u32, refs: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id] = pair;
                id
            }
            None => self.entries.push(pair),
        };
        let entries = &self.entries;
        self.map.insert(hash, id, |held| hash_of(&entries[held]));
        id
    }

    /// One user less of pair `id`; the last one frees it.
    pub(crate) fn release(&mut self, id: u32) {
        let pair = &mut self.entries[id];
        pair.refs -= 1;
        if pair.refs > 0 {
            return;
        }
        let hash = hash_of(pair);
        let entries = &self.entries;
        self.map.remove(hash, id, |held| hash_of(&entries[held]));
        self.text_bytes -= self.entries[id].text.len();
        self.entries[id] = Pair::default();
        self.free.push(id);
    }

    /// Name and value of pair `id`.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> (&str, &str) {
        let pair = &self.entries[id];
        pair.text.split_at(pair.name_len as usize)
    }

    /// Bytes of all names and values.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Pairs in use.
    pub(crate) fn live(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.free.capacity() * 4 + self.map.bytes() + self.text_bytes
    }
}

fn hash(name: &str, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), xxh3_64(name.as_bytes()))
}

fn hash_of(pair: &Pair) -> u64 {
    let (name, value) = pair.text.split_at(pair.name_len as usize);
    hash(name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_users_and_reuses() {
        let mut pairs = Pairs::new();
        let a = pairs.intern("job", "node");
        assert_eq!(pairs.intern("job", "node"), a);
        let b = pairs.intern("jo", "bnode");
        assert_ne!(a, b, "the same bytes, cut elsewhere");
        assert_eq!((pairs.get(a), pairs.get(b)), (("job", "node"), ("jo", "bnode")));
        pairs.release(a);
        assert_eq!(pairs.get(a), ("job", "node"));
        pairs.release(a);
        assert_eq!((pairs.live(), pairs.text_bytes()), (1, 7));
        assert_eq!(pairs.intern("x", "y"), a, "a freed id is used again");
    }
}
