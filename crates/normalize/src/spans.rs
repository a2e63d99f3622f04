//! The label ids of all series, a run of ids each, in pages.
//!
//! Freed runs are used again for series with as many labels; a run never moves.

/// Ids of a page. A run does not cross pages.
const PAGE: usize = 1 << 16;

/// Runs of label ids.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    pages: Vec<Box<[u32]>>,
    /// First unused place of the last page.
    next: usize,
    /// Freed runs by their length.
    free: Vec<Vec<u32>>,
}

impl Spans {
    /// Stores a run and returns its place.
    pub(crate) fn put(&mut self, ids: &[u32]) -> u32 {
        let place = match self.free.get_mut(ids.len()).and_then(Vec::pop) {
            Some(place) => place as usize,
            None => self.grow(ids.len()),
        };
        self.pages[place / PAGE][place % PAGE..place % PAGE + ids.len()].copy_from_slice(ids);
        place as u32
    }

    /// The run of `len` ids at `place`.
    #[inline]
    pub(crate) fn get(&self, place: u32, len: u8) -> &[u32] {
        if len == 0 {
            return &[];
        }
        let at = place as usize % PAGE;
        &self.pages[place as usize / PAGE][at..at + usize::from(len)]
    }

    /// Frees a run.
    pub(crate) fn release(&mut self, place: u32, len: u8) {
        if len == 0 {
            return;
        }
        if self.free.len() <= usize::from(len) {
            self.free.resize_with(usize::from(len) + 1, Vec::new);
        }
        self.free[usize::from(len)].push(place);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * PAGE * 4 + self.free.iter().map(|runs| runs.capacity() * 4).sum::<usize>()
    }

    fn grow(&mut self, len: usize) -> usize {
        if self.pages.is_empty() || self.next % PAGE + len > PAGE || self.next == self.pages.len() * PAGE {
            self.next = self.pages.len() * PAGE;
            self.pages.push(vec![0; PAGE].into_boxed_slice());
        }
        self.next += len;
        self.next - len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_and_are_used_again() {
        let mut spans = Spans::default();
        let runs: Vec<(u32, Vec<u32>)> = (0..40_000u32)
            .map(|i| {
                let ids: Vec<u32> = (0..1 + i % 17).map(|k| i + k).collect();
                (spans.put(&ids), ids)
            })
            .collect();
        assert!(runs.iter().all(|(place, ids)| spans.get(*place, ids.len() as u8) == &ids[..]));
        let bytes = spans.bytes();
        spans.release(runs[20].0, runs[20].1.len() as u8);
        assert_eq!(spans.put(&vec![9; runs[20].1.len()]), runs[20].0);
        assert!(spans.bytes() <= bytes + 1024);
    }
}
