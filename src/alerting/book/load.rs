//! How many alerts of series there are, for what may fire at once.

use std::collections::HashMap;

/// Alerts of series that fire or are held, by host.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) firing: usize,
    pub(super) held: usize,
    pub(super) hosts: HashMap<String, HostLoad>,
}

/// How many there are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HostLoad {
    pub(super) firing: usize,
    pub(super) held: usize,
}

impl Load {
    /// Those of one host.
    pub(super) fn host(&self, host: &str) -> HostLoad {
        self.hosts.get(host).copied().unwrap_or_default()
    }

    /// Counts a change of a host's alerts: by firing and held ones.
    pub(super) fn change(&mut self, host: &str, by: impl Fn(&mut usize, &mut usize)) {
        by(&mut self.firing, &mut self.held);
        if !self.hosts.contains_key(host) {
            self.hosts.insert(host.to_owned(), HostLoad::default());
        }
        if let Some(load) = self.hosts.get_mut(host) {
            by(&mut load.firing, &mut load.held);
            if load.firing + load.held == 0 {
                self.hosts.remove(host);
            }
        }
    }
}
