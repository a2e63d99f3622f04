//! What sources say, until it is taken up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use watchbell_adapter_api::ContextSink;
use watchbell_series::{ForeignProblem, KnownLimit, QuietWindow};

use super::Known;

/// Problems of one source that are held for whoever follows them; of more the oldest are dropped.
const MAX_PROBLEMS: usize = 50_000;

/// What each source said since it was asked last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board {
    said: Arc<Mutex<Said>>,
    changed: Arc<Notify>,
    /// What was taken up so far.
    known: Known,
}

/// By source.
#[derive(Default)]
struct Said {
    /// What nobody took yet.
    waiting: BTreeMap<String, Told>,
    /// What was taken and is not known yet: a source that begins meanwhile must hear of it, too.
    taken: BTreeMap<String, Told>,
}

impl Said {
    /// What `source` said that is not known yet, the oldest first.
    fn news(&self, source: &str) -> impl Iterator<Item = Told> {
        [&self.taken, &self.waiting].into_iter().filter_map(|told| told.get(source).cloned())
    }
}

/// What one source said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Its limits, once it told any.
    pub limits: Option<Arc<[KnownLimit]>>,
    /// Its quiet windows, once it told any.
    pub windows: Option<Arc<[QuietWindow]>>,
    /// Its problems that nobody took yet.
    pub problems: Vec<ForeignProblem>,
    /// Whether it is gone; problems that it told then are over. It may be back since.
    pub gone: bool,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Board")
    }
}

impl Board {
    /// A board for what becomes `known`.
    #[must_use]
    pub fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Where the source `name` tells what it knows.
    #[must_use]
    pub fn sink(&self, name: &str) -> Arc<dyn ContextSink> {
        Arc::new(Named { board: self.clone(), source: name.to_owned() })
    }

    /// What was said since the last time. Whoever takes it says by [`Board::taken_up`] that it is known.
    pub fn take(&self) -> BTreeMap<String, Told> {
        let mut said = self.lock();
        said.taken = std::mem::take(&mut said.waiting);
        said.taken.clone()
    }

    /// What was taken is known by now.
    pub fn taken_up(&self) {
        self.lock().taken.clear();
    }

    /// The source `name` is gone, and with it what it knew.
    pub fn forget(&self, name: &str) {
        self.say(name, |told| {
            *told = Told { limits: Some([].into()), windows: Some([].into()), problems: Vec::new(), gone: true };
            true
        });
    }

    /// Waits until something was said since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `change` work on what `source` said; whoever waits is woken if it changed something.
    fn say(&self, source: &str, change: impl FnOnce(&mut Told) -> bool) {
        if change(self.lock().waiting.entry(source.to_owned()).or_default()) {
            self.changed.notify_one();
        }
    }
}

struct Named {
    board: Board,
    source: String,
}

impl ContextSink for Named {
    fn limits(&self, all: Vec<KnownLimit>) {
        self.board.say(&self.source, |told| {
            told.limits = Some(all.into());
            true
        });
    }

    fn windows(&self, all: Vec<QuietWindow>) {
        self.board.say(&self.source, |told| {
            told.windows = Some(all.into());
            true
        });
    }

    fn problems(&self, changed: Vec<ForeignProblem>) {
        self.board.say(&self.source, |told| {
            let new = !changed.is_empty();
            told.problems.extend(changed);
            let over = told.problems.len().saturating_sub(MAX_PROBLEMS);
            told.problems.drain(..over);
            new
        });
    }

    fn known_limits(&self) -> Vec<KnownLimit> {
        // What is not known yet is asked for first: it is known before it is no news any more.
        let news: Vec<Told> = self.board.lock().news(&self.source).collect();
        let told = news.into_iter().rev().find_map(|told| told.limits);
        let known = || self.board.known.told_limits.load().get(&self.source).cloned();
        told.or_else(known).map_or_else(Vec::new, |limits| limits.to_vec())
    }

    fn open_problems(&self) -> Vec<ForeignProblem> {
        let news: Vec<Told> = self.board.lock().news(&self.source).collect();
        let known = self.board.known.problems.load();
        let of_source = known.iter().filter(|problem| problem.source == self.source);
        let mut by_id: BTreeMap<&str, &ForeignProblem> =
            of_source.map(|problem| (problem.told.id.as_str(), &problem.told)).collect();
        for told in &news {
            if told.gone {
                by_id.clear();
            }
            by_id.extend(told.problems.iter().map(|told| (told.id.as_str(), told)));
        }
        by_id.into_values().filter(|problem| problem.ends_ms.is_none()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use watchbell_series::Subject;

    use super::super::problems::Problem;
    use super::super::subject::Target;
    use super::*;

    fn window(id: &str) -> QuietWindow {
        QuietWindow { id: id.to_owned(), subject: Subject::All, starts_ms: 0, ends_ms: None, reason: String::new() }
    }

    #[test]
    fn the_last_word_of_each_source_is_taken_once() {
        let board = Board::default();
        let (one, other) = (board.sink("one"), board.sink("other"));
        one.windows(vec![window("a")]);
        one.windows(vec![]);
        other.windows(vec![window("b")]);
        assert!(board.changed().now_or_never().is_some());
        let told = board.take();
        assert_eq!(told["one"].windows.as_deref(), Some(&[][..]), "it said that there are none");
        assert_eq!(told["other"].windows.as_deref(), Some(&[window("b")][..]));
        assert_eq!(told["other"].limits, None, "it never spoke of limits");
        one.problems(Vec::new());
        assert!(board.changed().now_or_never().is_none(), "it said nothing");
        assert_eq!(board.take()["one"], Told::default());
        board.forget("one");
        assert!(board.take()["one"].gone && board.take().is_empty(), "it is said once");
    }

    #[test]
    fn a_source_hears_what_it_said_before_whether_it_was_taken_up_or_not() {
        let known = Known::default();
        let board = Board::new(known.clone());
        let problem = |id: &str, ends_ms: Option<i64>| ForeignProblem {
            id: id.to_owned(),
            subject: Subject::All,
            starts_ms: 1,
            ends_ms,
            name: String::new(),
            severity: 1,
            acknowledged: false,
        };
        let limit = |id: &str| KnownLimit {
            id: id.to_owned(),
            subject: Subject::All,
            severity: watchbell_series::LimitSeverity::Warning,
            range: watchbell_series::LimitRange::above(1.0),
            name: String::new(),
            unseen_since_ms: None,
        };
        let taken = |source: &str, id: &str, ends_ms| Problem {
            source: source.to_owned(),
            told: problem(id, ends_ms),
            target: Target::All,
            hosts: Vec::new(),
        };
        let all =
            vec![taken("one", "a", None), taken("one", "b", None), taken("one", "c", Some(5)), taken("two", "d", None)];
        known.problems.store(Arc::new(all));
        known.told_limits.store(Arc::new([("one".to_owned(), [limit("x")].into())].into()));
        let sink = board.sink("one");
        let open = || sink.open_problems().into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!((open(), sink.known_limits()), (vec!["a".to_owned(), "b".to_owned()], vec![limit("x")]));
        sink.problems(vec![problem("a", Some(9)), problem("e", None)]);
        sink.limits(vec![limit("y")]);
        assert_eq!((open(), sink.known_limits()), (vec!["b".to_owned(), "e".to_owned()], vec![limit("y")]));
        // Whoever took it needs time to make it known.
        board.take();
        assert_eq!((open(), sink.known_limits()), (vec!["b".to_owned(), "e".to_owned()], vec![limit("y")]));
        sink.problems(vec![problem("e", Some(9)), problem("f", None)]);
        assert_eq!((open(), sink.known_limits()), (vec!["b".to_owned(), "f".to_owned()], vec![limit("y")]));
        board.forget("one");
        assert!(open().is_empty() && sink.known_limits().is_empty());
        board.taken_up();
        board.take();
        assert!(open().is_empty() && sink.known_limits().is_empty(), "what was taken says that it is gone");
        sink.problems(vec![problem("g", None)]);
        assert_eq!(open(), ["g"], "it is back");
    }
}
