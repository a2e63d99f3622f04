//! From pages of scores to requests: which lines each series gives now, and to which sender they go.
//!
//! All lines of an input series go to the sender that its identity names, so each arrives in order of time.
//! Pure but for the memory of what was sent: the time is a parameter, and nothing is sent from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_adapter_api::{HostReading, ScorePage, ScoreQuery};
use watchbell_series::{NotReady, STALE_NAN_BITS};

use super::request::{Batch, Request};
use super::track::{Step, Track};
use crate::naming::{Family, Naming, OutputLabels, host_selected, host_values};

/// What is sent, and under which names.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) naming: Naming,
    pub(super) families: Vec<(Family, &'static str)>,
    pub(super) external: Vec<(String, String)>,
    pub(super) query: Arc<ScoreQuery>,
}

/// Batches with the number of the sender they are for.
pub(super) type Batches = Vec<(usize, Batch)>;

pub(super) struct Pages {
    output: Output,
    track: Track,
    /// The lines of each host's roll-up that were sent in the last round.
    hosts: BTreeMap<String, [bool; 3]>,
    hosts_ms: i64,
    labels: OutputLabels,
    requests: Vec<Request>,
}

impl Pages {
    /// Samples up to `from_ms` are taken for sent.
    pub(super) fn new(output: Output, senders: usize, max_samples: usize, from_ms: i64) -> Self {
        Self {
            output,
            track: Track::new(from_ms),
            hosts: BTreeMap::new(),
            hosts_ms: i64::MIN,
            labels: OutputLabels::default(),
            requests: (0..senders).map(|_| Request::new(max_samples)).collect(),
        }
    }

    /// Takes one page; gives the batches that are full.
    pub(super) fn page(&mut self, page: &ScorePage, now_ms: i64) -> Batches {
        let mut full = Vec::new();
        for row in &page.rows {
            let Step::Sample { ts_ms, before, now } = self.track.next(row.id, &row.reading, now_ms) else { continue };
            self.labels.fill(self.output.naming, page.labels_of(row), &self.output.external);
            let sender = (row.id.0 % self.requests.len() as u64) as usize;
            let request = &mut self.requests[sender];
            for (family, name) in &self.output.families {
                let (had, has) = (family.line(before), family.line(now));
                if let Some(reason) = had.filter(|_| had != has) {
                    let reason = reason.map(NotReady::as_str);
                    let batch = request.push(name, &self.labels, reason, ts_ms, STALE_NAN_BITS);
                    full.extend(batch.map(|batch| (sender, batch)));
                }
                if let (Some(reason), Some(value)) = (has, family.value(&row.reading, now)) {
                    let reason = reason.map(NotReady::as_str);
                    let batch = request.push(name, &self.labels, reason, ts_ms, value.to_bits());
                    full.extend(batch.map(|batch| (sender, batch)));
                }
            }
        }
        full
    }

    /// Ends a round in which all pages were taken: the hosts, and the batches that are not full.
    pub(super) fn end_round(&mut self, hosts: &[HostReading], now_ms: i64) -> Batches {
        self.track.end_round();
        let mut batches = Vec::new();
        self.hosts_ms = now_ms.max(self.hosts_ms.saturating_add(1));
        let mut before = std::mem::take(&mut self.hosts);
        for host in hosts {
            let had = before.remove(&host.host).unwrap_or_default();
            let selected = |name| host_selected(&host.host, name, &self.output.query.selectors);
            let values = host_values(host).map(|(name, _, value)| (name, value.filter(|_| selected(name))));
            self.host(&host.host, had, values, &mut batches);
            self.hosts.insert(host.host.clone(), values.map(|(_, value)| value.is_some()));
        }
        let none = HostReading { host: String::new(), series: 0, ready: 0, anomalous: 0, score: f32::NAN };
        for (host, had) in before {
            self.host(&host, had, host_values(&none).map(|(name, ..)| (name, None)), &mut batches);
        }
        let rest = self.requests.iter_mut().enumerate();
        batches.extend(rest.filter_map(|(sender, request)| Some((sender, request.take()?))));
        batches
    }

    fn host(&mut self, host: &str, had: [bool; 3], values: [(&str, Option<f64>); 3], batches: &mut Batches) {
        self.labels.fill_host(host, &self.output.external);
        for ((name, value), had) in values.into_iter().zip(had) {
            let bits = value.map(f64::to_bits).or_else(|| had.then_some(STALE_NAN_BITS));
            if let Some(bits) = bits {
                let batch = self.requests[0].push(name, &self.labels, None, self.hosts_ms, bits);
                batches.extend(batch.map(|batch| (0, batch)));
            }
        }
    }
}
