//! Storage in pages: growing never moves what is already held.
//!
//! A plain vector doubles by copying everything, which at a million series is a pause of many milliseconds
//! for the one sample that hits it. Here growth costs one page.

/// A growing array of pages of `N` entries; `N` is a power of two.
#[derive(Debug)]
pub(crate) struct Pages<T, const N: usize = 4096> {
    pages: Vec<Box<[T]>>,
    len: usize,
    empty: T,
}

impl<T: Clone, const N: usize> Pages<T, N> {
    /// An empty array; `empty` fills the unused rest of a page.
    pub(crate) fn new(empty: T) -> Self {
        Self { pages: Vec::new(), len: 0, empty }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry at `index`, or nothing beyond the end.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.pages.get(index as usize / N).map(|page| &page[index as usize % N])
    }

    /// The entry at `index`, or nothing beyond the end.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut(index as usize / N).map(|page| &mut page[index as usize % N])
    }

    /// Appends an entry and returns its index.
    pub(crate) fn push(&mut self, value: T) -> u32 {
        if self.len == self.pages.len() * N {
            self.pages.push(vec![self.empty.clone(); N].into_boxed_slice());
        }
        let index = self.len as u32;
        self[index] = value;
        self.len += 1;
        index
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * N * size_of::<T>() + self.pages.capacity() * size_of::<Box<[T]>>()
    }
}

impl<T, const N: usize> std::ops::Index<u32> for Pages<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.pages[index as usize / N][index as usize % N]
    }
}

impl<T, const N: usize> std::ops::IndexMut<u32> for Pages<T, N> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.pages[index as usize / N][index as usize % N]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_holds_over_page_ends() {
        let mut pages = Pages::<u64>::new(0);
        for i in 0..10_000u64 {
            assert_eq!(pages.push(i * 3), i as u32);
        }
        pages[4_096] = 7;
        assert_eq!((pages[4_095], pages[4_096], pages[9_999]), (4_095 * 3, 7, 9_999 * 3));
        assert_eq!(pages.get(20_000), None);
        assert_eq!(pages.bytes() / 8 / 4096, 3);
    }
}
