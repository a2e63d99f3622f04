//! Why a series does or does not alert: for now from live state, for a past minute by judging its history again.

pub mod answer;
mod past;
mod reason;

use std::collections::BTreeSet;
use std::sync::Arc;

use watchbell_adapter_api::{Clock, History, Metrics};
use watchbell_detect::CivilTime;
use watchbell_normalize::Limits;
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MatchOp, Selector};

use super::alerts::Asker;
use super::handle::ShardHandle;
use super::insight::Found;
use super::rehearsal::Setup;
use super::service::Current;
use crate::alerting::annotate::selector;
use crate::context::Known;
use crate::context::problems::{Problem, related};
use crate::telemetry::metrics;
use crate::words;
use answer::{Answer, Basis, Series};

/// Series that one answer explains.
pub const MOST: usize = 10;
/// An answer for a moment this close is one for now, milliseconds.
const PRESENT_MS: i64 = 60_000;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The question is wrong.
    #[error("{0}")]
    Bad(String),
    /// Nothing is known of such a series.
    #[error("{0}")]
    NotFound(String),
    /// The service can not answer it now, or not with its config.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    /// The word for it in answers and own metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bad(_) => "bad_data",
            Self::NotFound(_) => "not_found",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Answers why.
pub struct Explainer {
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) alerts: Asker,
    pub(super) known: Known,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) current: Arc<std::sync::Mutex<Current>>,
    pub(super) time: CivilTime,
    pub(super) limits: Limits,
    pub(super) history: Option<Arc<dyn History>>,
    /// One past is judged again at a time.
    pub(super) busy: Arc<tokio::sync::Semaphore>,
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Explainer")
    }
}

impl Explainer {
    /// Why the series that one of `selectors` selects do or do not alert, now or at `at_ms`.
    ///
    /// # Errors
    /// No such series, or a moment that can not be answered.
    pub async fn explain(&self, selectors: &[Selector], at_ms: Option<i64>) -> Result<Answer, Refusal> {
        let answer = self.answer(selectors, at_ms).await;
        let word = match &answer {
            Ok(answer) => answer.basis.word(),
            Err(refusal) => refusal.word(),
        };
        self.metrics.counter(&metrics::EXPLANATIONS, &[word]).inc();
        answer
    }

    async fn answer(&self, selectors: &[Selector], at_ms: Option<i64>) -> Result<Answer, Refusal> {
        if selectors.is_empty() {
            return Err(Refusal::Bad(
                "`match[]` is missing: which series? For instance `match[]=node_load1`".to_owned(),
            ));
        }
        let now_ms = self.clock.now_ms();
        let at_ms = at_ms.unwrap_or(now_ms);
        if at_ms > now_ms.saturating_add(PRESENT_MS) {
            let (asked, now) = (words::time(at_ms), words::time(now_ms));
            return Err(Refusal::Bad(format!("`time` {asked} is in the future: it is {now}")));
        }
        let (found, matched) = self.find(selectors, now_ms).await;
        if now_ms - at_ms > PRESENT_MS {
            return self.past(selectors, &found, at_ms).await;
        }
        if found.is_empty() {
            return self.unjudged(selectors, now_ms).await;
        }
        let questions = found.iter().map(Found::question).collect();
        let stopping = || Refusal::Unavailable("the service is stopping".to_owned());
        let standings = self.alerts.ask(questions).await.ok_or_else(stopping)?;
        let problems = self.known.problems.load_full();
        let judged = |(found, rules): (&Found, &Vec<_>)| {
            let (host, labels) = (&found.about.entity, &found.about.labels);
            let from_ms = found.insight.why.since_ms.filter(|_| found.insight.reading.alarm).unwrap_or(now_ms);
            let problems = related(&problems, host, Some(labels), from_ms, now_ms).map(Problem::words).collect();
            Series::judged(found, rules, now_ms).with_problems(problems)
        };
        let series = found.iter().zip(&standings).map(judged).collect();
        Ok(Answer { at_ms: now_ms, basis: Basis::Live, matched, series })
    }

    /// The first series that `selectors` select, and how many there are.
    async fn find(&self, selectors: &[Selector], now_ms: i64) -> (Vec<Found>, usize) {
        let selectors: Arc<[Selector]> = selectors.into();
        let (mut all, mut matched) = (Vec::new(), 0);
        for shard in self.shards.iter() {
            let mut next = Some(0);
            while let Some(slot) = next {
                let (selectors, most) = (Arc::clone(&selectors), MOST - all.len());
                let call = shard.call(move |shard| {
                    let (mut found, mut matched) = (Vec::new(), 0);
                    let next = shard.find(&selectors, slot, now_ms, most, &mut found, &mut matched);
                    (found, matched, next)
                });
                // A shard that failed has started anew and knows nothing yet.
                let (found, count, further) = call.await.unwrap_or_default();
                all.extend(found);
                matched += count;
                next = further;
            }
        }
        (all, matched)
    }

    /// The answer where no judged series is selected: what sets it aside, as far as the selector names it.
    async fn unjudged(&self, selectors: &[Selector], now_ms: i64) -> Result<Answer, Refusal> {
        let rules = self.setup_rules();
        let mut series = Vec::new();
        let mut parts = false;
        for labels in selectors.iter().filter_map(named) {
            let seen = self.sets_aside(&labels).await;
            match rules.set_aside(&labels) {
                Some(aside) => series.push(Series::set_aside(&labels, &aside, seen)),
                None => parts |= seen,
            }
        }
        if !series.is_empty() {
            return Ok(Answer { at_ms: now_ms, basis: Basis::Live, matched: series.len(), series });
        }
        let shown: Vec<String> = selectors.iter().map(|selector| format!("`{selector}`")).collect();
        let hint = if parts {
            "it is a part of a histogram or summary, of which `x:rate`, `x:mean`, `x:p50`, `x:p90` and `x:p99` are judged; \
             or its metadata says that there is nothing to judge in it"
        } else {
            "labels are those of the input, and `host`; a series is known from its first sample on, and forgotten a day \
             after its last one; what is not watched is told only where the selector names the metric by `=`"
        };
        Err(Refusal::NotFound(format!("no judged series is selected by {}: {hint}", shown.join(", "))))
    }

    async fn sets_aside(&self, labels: &Labels) -> bool {
        let id = labels.id();
        for shard in self.shards.iter() {
            if shard.call(move |shard| shard.parts().0.sets_aside(id)).await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    fn setup_rules(&self) -> Arc<watchbell_normalize::Rules> {
        let current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&current.rules)
    }

    /// What a rehearsal needs to judge as the service does now.
    async fn setup(&self) -> Option<Setup> {
        let alerts = self.alerts.rules().await?;
        let current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (time, limits) = (self.time.clone(), self.limits);
        let external_url = String::new();
        Some(Setup { rules: current.rules, judging: current.judging, time, alerts, limits, external_url })
    }
}

/// The labels that a selector gives by `=`, if the metric is among them.
fn named(selector: &Selector) -> Option<Labels> {
    let equal = selector.matchers().iter().filter(|m| m.op() == MatchOp::Equal && !m.value().is_empty());
    let labels = Labels::new(equal.map(|m| (m.name(), m.value()))).ok()?;
    labels.get(NAME).is_some().then_some(labels)
}

/// Selectors of series, without those that come twice.
fn distinct(found: &[Found]) -> BTreeSet<String> {
    found.iter().map(|found| selector(&found.about.labels)).collect()
}

#[cfg(test)]
mod tests;
