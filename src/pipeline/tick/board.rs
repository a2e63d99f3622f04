//! What the tick stage found, for whoever reads scores: replaced as a whole after each tick.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use watchbell_adapter_api::{Contributor, HostParts};

/// What is known of a host since its last tick.
#[derive(Debug, Clone, PartialEq)]
pub struct HostState {
    /// When it was looked at, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// How long that holds, milliseconds: three of the host's own ticks.
    pub holds_ms: i64,
    /// Joint score; NaN while there is none.
    pub joint: f32,
    /// Whether an alarm of it is open.
    pub alarm: bool,
    /// Parts of the host's score; the roll-up of this moment is put in by the reader.
    pub parts: HostParts,
    /// Share of channels that were seen; NaN where none is known.
    pub confidence: f32,
    /// Series that make the joint score, greatest share first.
    pub contributors: Arc<[Contributor]>,
}

impl Default for HostState {
    fn default() -> Self {
        let (joint, confidence) = (f32::NAN, f32::NAN);
        let parts = HostParts::default();
        Self { ts_ms: 0, holds_ms: 0, joint, alarm: false, parts, confidence, contributors: Arc::default() }
    }
}

/// All hosts after one tick, by name.
pub type Hosts = BTreeMap<Arc<str>, HostState>;

/// Where readers find them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<RwLock<Arc<Hosts>>>);

impl Board {
    /// Shows `hosts` from now on.
    pub fn publish(&self, hosts: Hosts) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    /// What is shown now.
    #[must_use]
    pub fn hosts(&self) -> Arc<Hosts> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
