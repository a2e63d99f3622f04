//! An array that grows by whole pages.
//!
//! A growing `Vec` copies every series to a block of twice the size, which at a million series stalls a
//! shard and holds the state twice for a while. Here a new page is allocated and nothing moves.

const PAGE: usize = 4096;

/// An array of pages of 4096 items.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Box<[T]>>,
    blank: T,
}

impl<T: Copy> Paged<T> {
    /// An empty array; new items are `blank`.
    pub(crate) fn new(blank: T) -> Self {
        Self { pages: Vec::new(), blank }
    }

    /// Makes item `index` exist.
    pub(crate) fn reach(&mut self, index: u32) {
        while self.pages.len() <= index as usize / PAGE {
            self.pages.push(vec![self.blank; PAGE].into_boxed_slice());
        }
    }

    /// Item `index`, if it exists.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.pages.get(index as usize / PAGE)?.get(index as usize % PAGE)
    }

    /// Item `index`, if it exists.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut(index as usize / PAGE)?.get_mut(index as usize % PAGE)
    }

    /// The pages in order, for scans.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &[T]> {
        self.pages.iter().map(|page| &**page)
    }

    /// The pages in order, to be changed.
    pub(crate) fn pages_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        self.pages.iter_mut().map(|page| &mut **page)
    }
}

/// Items that only some series have, by numbers that are handed out and taken back.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    all: Paged<T>,
    free: Vec<u32>,
    used: u32,
}

/// The number of no item.
pub(crate) const NONE: u32 = u32::MAX;

impl<T: Copy> Pool<T> {
    /// An empty pool; unused items are `blank`.
    pub(crate) fn new(blank: T) -> Self {
        Self { all: Paged::new(blank), free: Vec::new(), used: 0 }
    }

    /// Takes an item in and gives its number.
    pub(crate) fn put(&mut self, item: T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.all.reach(self.used - 1);
            self.used - 1
        });
        if let Some(place) = self.all.get_mut(at) {
            *place = item;
        }
        at
    }

    /// Takes a number back.
    pub(crate) fn free(&mut self, at: u32) {
        if at != NONE {
            self.free.push(at);
        }
    }

    /// Item `at`; nothing for [`NONE`].
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        if at == NONE { None } else { self.all.get(at) }
    }

    /// Item `at`; nothing for [`NONE`].
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        if at == NONE { None } else { self.all.get_mut(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_pages() {
        let mut array = Paged::new(7u8);
        assert_eq!(array.get(0), None);
        array.reach(5000);
        assert_eq!(array.pages().map(<[u8]>::len).sum::<usize>(), 2 * PAGE);
        *array.get_mut(5000).expect("reached") = 9;
        assert_eq!((array.get(5000), array.get(4999)), (Some(&9), Some(&7)));
        assert_eq!(array.get(9000), None);
    }

    #[test]
    fn numbers_are_used_again() {
        let mut pool = Pool::new(0u8);
        assert_eq!((pool.put(1), pool.put(2)), (0, 1));
        pool.free(0);
        pool.free(NONE);
        assert_eq!((pool.put(3), pool.put(4)), (0, 2));
        assert_eq!((pool.get(0), pool.get(1), pool.get(NONE)), (Some(&3), Some(&2), None));
    }
}
