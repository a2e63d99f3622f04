//! From pages of scores to requests: which lines each series gives now, and to which sender they go.
//!
//! All lines of an input series go to the sender that its identity names, so each arrives in order of time.
//! Pure but for the memory of what was sent: the time is a parameter, and nothing is sent from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_adapter_api::{HostReading, ScorePage, ScoreQuery};
use watchbell_series::STALE_NAN_BITS;

use super::request::{Batch, Request};
use super::track::{Step, Track};
use crate::naming::{Family, HostLine, Naming, OutputLabels, host_lines, host_selected};

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
    /// The lines about each host that were sent in the last round.
    hosts: BTreeMap<String, Vec<HostLine>>,
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
                    let batch = request.push(name, &self.labels, reason, ts_ms, STALE_NAN_BITS);
                    full.extend(batch.map(|batch| (sender, batch)));
                }
                if let (Some(reason), Some(value)) = (has, family.value(&row.reading, now)) {
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
            let selected = |line: &HostLine| host_selected(&host.host, line.name, &self.output.query.selectors);
            let lines: Vec<HostLine> = host_lines(host).into_iter().filter(selected).collect();
            self.host(&host.host, &had, &lines, &mut batches);
            self.hosts.insert(host.host.clone(), lines);
        }
        for (host, had) in before {
            self.host(&host, &had, &[], &mut batches);
        }
        let rest = self.requests.iter_mut().enumerate();
        batches.extend(rest.filter_map(|(sender, request)| Some((sender, request.take()?))));
        batches
    }

    /// The lines about a host, and ends of those that it had and has no more.
    fn host(&mut self, host: &str, had: &[HostLine], lines: &[HostLine], batches: &mut Batches) {
        let known = |old: &HostLine| lines.iter().any(|line| line.name == old.name && line.label == old.label);
        let ended = had.iter().filter(|old| !known(old)).map(|line| (line, STALE_NAN_BITS));
        for (line, bits) in lines.iter().map(|line| (line, line.value.to_bits())).chain(ended) {
            self.labels.fill_host(host, line.label.as_ref(), &self.output.external);
            let batch = self.requests[0].push(line.name, &self.labels, None, self.hosts_ms, bits);
            batches.extend(batch.map(|batch| (0, batch)));
        }
    }
}
