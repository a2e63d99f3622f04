//! The bounded queue between the reader of scores and one sender.
//!
//! When it is full the reader waits a while, which lets a healthy receiver take any number of series with
//! little memory. When its patience ends, the oldest batches make room: new scores are worth more.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::request::Batch;

pub(super) struct Queue {
    inner: Mutex<Inner>,
    max_samples: usize,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Inner {
    batches: VecDeque<Batch>,
    samples: usize,
    closed: bool,
}

impl Queue {
    /// A queue of up to `max_samples`, and always of one batch.
    pub(super) fn new(max_samples: usize) -> Self {
        Self { inner: Mutex::default(), max_samples, filled: Notify::new(), emptied: Notify::new() }
    }

    /// Appends `batch`, waiting for room until `patience` ends. Gives the number of samples that were
    /// dropped to make room.
    pub(super) async fn push(&self, batch: Batch, patience: impl Future<Output = ()>) -> usize {
        tokio::select! {
            () = self.room(batch.samples) => {}
            () = patience => {}
        }
        let mut dropped = 0;
        let mut inner = self.lock();
        while !self.fits(&inner, batch.samples)
            && let Some(oldest) = inner.batches.pop_front()
        {
            inner.samples -= oldest.samples;
            dropped += oldest.samples;
        }
        inner.samples += batch.samples;
        inner.batches.push_back(batch);
        drop(inner);
        self.filled.notify_one();
        dropped
    }

    /// The oldest batch; waits for one. `None` when the queue is closed and empty.
    pub(super) async fn pop(&self) -> Option<Batch> {
        loop {
            {
                let mut inner = self.lock();
                if let Some(batch) = inner.batches.pop_front() {
                    inner.samples -= batch.samples;
                    self.emptied.notify_one();
                    return Some(batch);
                }
                if inner.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// No more batches will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    async fn room(&self, samples: usize) {
        while !self.fits(&self.lock(), samples) {
            self.emptied.notified().await;
        }
    }

    fn fits(&self, inner: &Inner, samples: usize) -> bool {
        inner.batches.is_empty() || inner.samples + samples <= self.max_samples
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::{pending, ready};

    fn batch(samples: usize) -> Batch {
        Batch { body: Default::default(), samples }
    }

    #[tokio::test]
    async fn drops_the_oldest_when_patience_ends() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(batch(4), pending()).await, 0);
        assert_eq!(queue.push(batch(5), pending()).await, 0);
        assert_eq!(queue.push(batch(6), ready(())).await, 9);
        assert_eq!(queue.push(batch(99), ready(())).await, 6);
        assert_eq!(queue.pop().await, Some(batch(99)));
    }

    #[tokio::test]
    async fn waits_for_room_and_for_work() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(batch(9), pending()).await, 0);
        {
            let mut push = std::pin::pin!(queue.push(batch(8), pending()));
            assert!(push.as_mut().now_or_never().is_none());
            assert_eq!(queue.pop().await, Some(batch(9)));
            assert_eq!(push.await, 0);
        }
        assert_eq!(queue.pop().await, Some(batch(8)));
        let mut pop = std::pin::pin!(queue.pop());
        assert!(pop.as_mut().now_or_never().is_none());
        queue.close();
        assert_eq!(pop.await, None);
    }
}
