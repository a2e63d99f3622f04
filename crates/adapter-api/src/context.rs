//! Context: what a source knows beside samples. Limits people set, planned quiet, problems of other tools.

use std::sync::Mutex;

use watchbell_series::{ForeignProblem, KnownLimit, QuietWindow};

/// Takes what one source knows; bound to its name. Calls return at once; what is said is followed up elsewhere.
pub trait ContextSink: Send + Sync {
    /// The whole of the limits that this source knows now; replaces what it said before.
    fn limits(&self, all: Vec<KnownLimit>);

    /// The whole of the quiet windows that this source knows now; replaces what it said before. A window that is left
    /// out ends now, unless it had ended before.
    fn windows(&self, all: Vec<QuietWindow>);

    /// Problems that are new or changed; kept by id.
    fn problems(&self, changed: Vec<ForeignProblem>);

    /// The limits that this source told last, also before a restart: for one that learns them piece by piece, since
    /// what it tells replaces them all.
    fn known_limits(&self) -> Vec<KnownLimit>;

    /// The problems of this source that have no end yet, also from before a restart. Nobody else knows them: once the
    /// source has the whole picture it tells the end of those that last no more.
    fn open_problems(&self) -> Vec<ForeignProblem>;
}

/// A sink that holds what it was told, for tests of sources.
#[derive(Debug, Default)]
pub struct Told {
    /// What was said last.
    pub limits: Mutex<Vec<KnownLimit>>,
    /// What was said last.
    pub windows: Mutex<Vec<QuietWindow>>,
    /// All that was ever said, in order.
    pub problems: Mutex<Vec<ForeignProblem>>,
    /// Problems that lasted before the source began.
    pub open: Mutex<Vec<ForeignProblem>>,
}

impl ContextSink for Told {
    fn limits(&self, all: Vec<KnownLimit>) {
        *held(&self.limits) = all;
    }

    fn windows(&self, all: Vec<QuietWindow>) {
        *held(&self.windows) = all;
    }

    fn problems(&self, changed: Vec<ForeignProblem>) {
        held(&self.problems).extend(changed);
    }

    fn known_limits(&self) -> Vec<KnownLimit> {
        held(&self.limits).clone()
    }

    fn open_problems(&self) -> Vec<ForeignProblem> {
        held(&self.open).clone()
    }
}

fn held<T>(told: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    told.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
