//! What other tools already know: limits people set, planned quiet, problems.
//!
//! It is one more input beside samples. Sources tell it to the [`Board`]; the [`keeper`] keeps it, resolves whom it is
//! about and puts it in force; shards, the alerting stage and the API read what is in force, and nothing flows back
//! to a source.
//!
//! | module | holds |
//! | --- | --- |
//! | [`board`] | what each source said last |
//! | [`keeper`] | the task that follows it |
//! | [`subject`] | whom something is about |
//! | [`quiet`] | windows in which alerts are muted and nothing is learned |
//! | [`limits`] | limits that people set, by series |
//! | [`problems`] | problems that other tools found, by host and time |

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_series::KnownLimit;

pub mod board;
pub mod keeper;
pub mod limits;
pub mod problems;
pub mod quiet;
pub mod subject;

pub use board::Board;
pub use keeper::Keeper;

/// What is in force. Cheap to clone; each part is replaced whole.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Quiet windows.
    pub quiet: quiet::Shared,
    /// Limits, to be found by series.
    pub limits: Arc<arc_swap::ArcSwap<limits::Limits>>,
    /// Limits as their sources told them.
    pub told_limits: Arc<arc_swap::ArcSwap<BTreeMap<String, Arc<[KnownLimit]>>>>,
    /// Problems of the last days.
    pub problems: problems::Shared,
}
