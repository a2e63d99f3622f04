//! A map from 64-bit hashes to dense indices that keeps the hashes outside.
//!
//! 4 bytes and a control byte an entry. It is split by the low bits of the hash into many small tables that
//! grow one at a time, so that no insertion ever rehashes everything: at a million entries a step moves
//! about a thousand.

use hashbrown::HashTable;

/// Number of tables; a power of two.
const TABLES: usize = 1024;

/// Hash to index. Hashes must be well mixed: they are used as they are.
#[derive(Debug)]
pub(crate) struct KeyMap {
    tables: Vec<HashTable<u32>>,
}

impl KeyMap {
    pub(crate) fn new() -> Self {
        Self { tables: (0..TABLES).map(|_| HashTable::new()).collect() }
    }

    /// The index under `hash` for which `is` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.tables[place(hash)].find(spread(hash), |index| is(*index)).copied()
    }

    /// Adds `index` under `hash`; `hash_of` gives the hash of an index that is already held.
    pub(crate) fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        self.tables[place(hash)].insert_unique(spread(hash), index, |held| spread(hash_of(*held)));
    }

    /// Removes `index`, which stands under `hash`.
    pub(crate) fn remove(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        let table = &mut self.tables[place(hash)];
        if let Ok(entry) = table.find_entry(spread(hash), |held| *held == index) {
            entry.remove();
        }
        // Give memory back once a table is nearly empty, but not at every removal.
        if table.capacity() > 16 && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, |held| spread(hash_of(*held)));
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.tables.iter().map(HashTable::allocation_size).sum::<usize>() + TABLES * size_of::<HashTable<u32>>()
    }
}

fn place(hash: u64) -> usize {
    hash as usize % TABLES
}

/// All entries of a table share their low bits, by which a table would place them.
fn spread(hash: u64) -> u64 {
    hash.rotate_right(TABLES.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_and_shrinks() {
        let hash = |i: u32| u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut map = KeyMap::new();
        let empty = map.bytes();
        for i in 0..200_000 {
            map.insert(hash(i), i, hash);
        }
        let full = map.bytes();
        assert!((0..200_000).all(|i| map.find(hash(i), |held| hash(held) == hash(i)) == Some(i)));
        assert_eq!(map.find(hash(200_001), |held| hash(held) == hash(200_001)), None);
        for i in 0..200_000 {
            map.remove(hash(i), i, hash);
        }
        assert_eq!(map.find(hash(7), |_| true), None);
        assert!(map.bytes() < empty + (full - empty) / 10, "{empty} {full} {}", map.bytes());
    }
}
