//! From lines to judged samples: what all ways of reading performance data share.

use prometheus::Counter;
use watchbell_adapter_api::{MetricDef, MetricKindDef};
use watchbell_checks::feed::{MAX_SERIES, text};
use watchbell_checks::intake::{Intake, Stopped};
use watchbell_series::RawBatch;

use super::line::{BadLine, Line};

pub(super) const LINES: MetricDef = MetricDef {
    name: "watchbell_nagios_lines_total",
    kind: MetricKindDef::Counter,
    help: "Lines of performance data read, good and bad.",
    labels: &["source"],
};
pub(super) const BAD_LINES: MetricDef = MetricDef {
    name: "watchbell_nagios_bad_lines_total",
    kind: MetricKindDef::Counter,
    help: "Lines of performance data that could not be used: no known form, no time, no name, too long, or cut off.",
    labels: &["source", "reason"],
};

/// Takes lines in. Clones share their counts.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) intake: Intake,
    read: Counter,
}

impl Lines {
    pub(super) fn new(intake: Intake) -> Self {
        let (metrics, name) = (&intake.context.metrics, &*intake.context.name);
        for reason in BadLine::ALL {
            // Shown from the start, so that a rule over it finds it.
            metrics.counter(&BAD_LINES, &[name, reason.as_str()]).inc_by(0.0);
        }
        Self { read: metrics.counter(&LINES, &[name]), intake }
    }

    /// Judges whole `lines`, which begin at byte `from` of `place`.
    pub(super) async fn take(&self, place: &str, from: u64, lines: &[u8]) -> Result<(), Stopped> {
        let mut batch = RawBatch::default();
        let mut at = from;
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let begin = at;
            at += line.len() as u64;
            match Line::read(line.strip_suffix(b"\n").unwrap_or(line)) {
                None => continue,
                Some(Ok(line)) => self.intake.write_perfdata(line.origin(), line.perfdata, &mut batch),
                Some(Err(why)) => self.bad(place, begin, line, why.as_str()),
            }
            self.read.inc();
            if batch.series.len() >= MAX_SERIES {
                self.intake.submit(std::mem::take(&mut batch)).await?;
            }
        }
        if batch.series.is_empty() { Ok(()) } else { self.intake.submit(batch).await }
    }

    /// Counts a line that can not be used and names it.
    pub(super) fn bad(&self, place: &str, at: u64, line: &[u8], reason: &'static str) {
        let name = &self.intake.context.name;
        self.intake.context.metrics.counter(&BAD_LINES, &[name, reason]).inc();
        if self.intake.may_say(reason) {
            let line = text(&line[..line.len().min(120)]).trim_end().to_owned();
            tracing::warn!(
                source = %name, file = place, at_byte = at, line, reason,
                "a line of performance data can not be used; see the templates in docs/nagios.md"
            );
        }
    }
}
