//! What an anomaly must reach to become an alert: the edge of the stated budget, that of the share of false
//! discoveries in the fleet, and that of what people said of earlier alerts. The highest of them holds.
//!
//! Scores are never touched, and nothing is hidden: an anomaly under the edge goes to the journal as suppressed,
//! and becomes an alert as soon as it grows over it. What is certain (a value outside its legal range, a series
//! that stopped) and what reaches [`MAX_EDGE`] always passes.

mod grammar;
mod marks;

use std::collections::BTreeMap;

use watchbell_adapter_api::HostReading;
use watchbell_detect::calibrate::{Discoveries, Ledger, LedgerError, MAX_EDGE};
use watchbell_series::{Pattern, SeriesId};

pub use grammar::{Budget, Scope};
pub use marks::{Judgement, Marks};

use super::About;
use super::rules::{Rule, Rules};

/// How often time passes for the ledgers.
const STEP_MS: i64 = 60_000;
/// Samples of a series in a week while nothing is known: one a minute.
const SAMPLES_PER_WEEK: f64 = 10_080.0;
/// The name of the budget of the config; those of rules go by the rule.
pub const DEFAULT: &str = "default";
/// Version of what [`Budgets::save`] writes.
const VERSION: u8 = 1;

/// Why an anomaly did not become an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The budget.
    Budget,
    /// In a fleet of this size chance gives as much.
    FalseDiscovery,
    /// People said that such anomalies of the series are nothing.
    Feedback,
    /// A quiet window is about it.
    Muted,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Budget, Self::FalseDiscovery, Self::Feedback, Self::Muted];

    /// The word in the journal, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::FalseDiscovery => "false_discovery",
            Self::Feedback => "feedback",
            Self::Muted => "muted",
        }
    }
}

/// Whether an anomaly of this kind is a fact and no matter of improbability.
#[must_use]
pub fn is_certain(pattern: Pattern) -> bool {
    matches!(pattern, Pattern::Missing | Pattern::Illegal | Pattern::Host)
}

/// An anomaly that asks to become an alert.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The series.
    pub id: SeriesId,
    /// The series in words, where they are known.
    pub about: Option<&'a About>,
    /// Its host; may be empty.
    pub host: &'a str,
    /// Its kind.
    pub pattern: Pattern,
    /// The highest score so far.
    pub score: f32,
}

/// What one budget shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Name of the rule, or [`DEFAULT`].
    pub budget: String,
    /// Its unit.
    pub scope: Scope,
    /// Alerts accepted of a unit in a week.
    pub per_week: f64,
    /// Alerts that fired of a unit in a week, over the last week: incidents. `None` while less than a day was seen.
    pub actual: Option<f64>,
    /// The middle and the highest edge.
    pub edges: (f32, f32),
}

#[derive(Debug)]
struct Account {
    budget: Budget,
    ledger: Ledger,
    /// Units watched at the last tick.
    units: f64,
}

/// All budgets, with what happened under them.
#[derive(Debug)]
pub struct Budgets {
    accounts: BTreeMap<String, Account>,
    found: Discoveries,
    marks: Marks,
    suppressed: [u64; Reason::ALL.len()],
    /// Judged series, and those of them that belong to no host.
    series: f64,
    hostless: f64,
    samples_per_week: f64,
    at_ms: i64,
    clock_ms: i64,
    /// Whether something happened that [`Budgets::save`] was not asked for since.
    news: bool,
}

impl Budgets {
    /// The budgets that `rules` state, with nothing known yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let mut budgets = Self {
            accounts: BTreeMap::new(),
            found: Discoveries::new(rules.false_discovery_rate, 0),
            marks: Marks::default(),
            suppressed: [0; Reason::ALL.len()],
            series: 0.0,
            hostless: 0.0,
            samples_per_week: SAMPLES_PER_WEEK,
            at_ms: i64::MIN,
            clock_ms: 0,
            news: false,
        };
        budgets.set_rules(rules);
        budgets
    }

    /// Goes on with what `rules` state; what happened stays known where the unit stays the same.
    pub fn set_rules(&mut self, rules: &Rules) {
        self.found.set_share(rules.false_discovery_rate);
        let own = rules.series.iter().filter_map(|rule| Some((rule.name.clone(), rule.budget?)));
        let wanted: BTreeMap<String, Budget> = std::iter::once((DEFAULT.to_owned(), rules.budget))
            .chain(own)
            .filter(|(_, budget)| *budget != Budget::None)
            .collect();
        self.accounts.retain(|name, account| wanted.get(name).is_some_and(|b| b.scope() == account.budget.scope()));
        for (name, budget) in wanted {
            let Some(per_week) = budget.per_week(self.samples_per_week) else { continue };
            let clock_ms = self.clock_ms;
            let account = self.accounts.entry(name).or_insert_with(|| Account {
                budget,
                ledger: Ledger::new(per_week, clock_ms),
                units: 0.0,
            });
            account.budget = budget;
            account.ledger.set_budget(per_week);
        }
    }

    /// The clock moved on: `hosts` are watched, `series` of them and of no host in all, and `samples_per_week` of
    /// each series come.
    pub fn tick(&mut self, now_ms: i64, hosts: &[HostReading], series: u64, samples_per_week: Option<f64>) {
        self.clock_ms = now_ms;
        if self.at_ms != i64::MIN && now_ms - self.at_ms < STEP_MS {
            return;
        }
        if self.at_ms == i64::MIN {
            // Time that was not watched, such as that before a restart, only makes what is known older.
            self.found.advance(now_ms, 0.0);
            self.accounts.values_mut().for_each(|account| account.ledger.advance(now_ms, 0.0, 0.0));
        }
        self.at_ms = now_ms;
        let of_hosts: f64 = hosts.iter().map(|host| f64::from(host.series)).sum();
        self.series = (series as f64).max(of_hosts);
        self.hostless = self.series - of_hosts;
        self.samples_per_week = samples_per_week.unwrap_or(self.samples_per_week);
        self.found.advance(now_ms, self.series);
        for Account { budget, ledger, units } in self.accounts.values_mut() {
            if let Some(per_week) = budget.per_week(self.samples_per_week) {
                ledger.set_budget(per_week);
            }
            *units = match budget.scope() {
                Some(Scope::Host) => {
                    hosts.iter().for_each(|host| ledger.watch(&host.host, now_ms, host.series as f32));
                    hosts.len() as f64 + self.hostless
                }
                Some(Scope::Series) => self.series,
                // Only those that had an anomaly are known by name.
                _ => ledger.units().max(1) as f64,
            };
            ledger.advance(now_ms, *units, self.series);
            ledger.forget(now_ms);
        }
        self.marks.forget(now_ms);
    }

    /// Notes an anomaly that would fire now. The reason why it must not, if there is one.
    pub fn admit(&mut self, candidate: Candidate<'_>, now_ms: i64) -> Option<Reason> {
        if is_certain(candidate.pattern) {
            return None;
        }
        self.news = true;
        let place = place(candidate.host, candidate.id);
        let of_fleet = self.found.onset(&place, now_ms, candidate.score);
        let series = self.series;
        let of_budget = self.account(candidate.rule).map_or(1.0, |account| {
            let unit = unit(account.budget, candidate);
            if account.budget.scope() == Some(Scope::Service) {
                let units = account.ledger.units().max(1) as f64;
                account.ledger.watch(&unit, now_ms, (series / units) as f32);
            }
            account.ledger.onset(&unit, now_ms, candidate.score)
        });
        let reason = self.reason(candidate, of_budget, of_fleet, now_ms);
        if let Some(reason) = reason {
            self.suppressed[reason as usize] += 1;
        }
        reason
    }

    /// An anomaly that began at `began_ms` grew. The reason why it must not fire now, if there is one.
    pub fn grow(&mut self, candidate: Candidate<'_>, began_ms: i64, now_ms: i64) -> Option<Reason> {
        if is_certain(candidate.pattern) {
            return None;
        }
        let of_fleet = self.found.grow(&place(candidate.host, candidate.id), began_ms, candidate.score);
        let of_budget = self.account(candidate.rule).map_or(1.0, |account| {
            let unit = unit(account.budget, candidate);
            account.ledger.grow(&unit, began_ms, candidate.score);
            account.ledger.edge(&unit, now_ms)
        });
        self.reason(candidate, of_budget, of_fleet, now_ms)
    }

    fn reason(&self, candidate: Candidate<'_>, of_budget: f32, of_fleet: f32, now_ms: i64) -> Option<Reason> {
        let of_people = self.marks.edge(candidate.id, candidate.pattern, now_ms);
        // An edge of 1.0 asks for nothing, and rules may begin under it.
        let under = |edge: f32| edge > 1.0 && candidate.score < edge.min(MAX_EDGE);
        let edges = [(of_people, Reason::Feedback), (of_budget, Reason::Budget), (of_fleet, Reason::FalseDiscovery)];
        let asked = edges.into_iter().filter(|(edge, _)| under(*edge));
        // Of equal ones the first.
        asked
            .fold(None, |best: Option<(f32, Reason)>, next| match best {
                Some(best) if best.0 >= next.0 => Some(best),
                _ => Some(next),
            })
            .map(|(_, reason)| reason)
    }

    /// A quiet window kept an alert back; no budget is asked for it.
    pub fn muted(&mut self) {
        self.suppressed[Reason::Muted as usize] += 1;
    }

    /// An anomaly became an alert.
    pub fn fired(&mut self, candidate: Candidate<'_>) {
        if is_certain(candidate.pattern) {
            return;
        }
        self.news = true;
        if let Some(account) = self.account(candidate.rule) {
            let unit = unit(account.budget, candidate);
            account.ledger.fired(&unit);
        }
    }

    /// An alert about a whole host fired: with its series' alerts it is one incident.
    pub fn host_fired(&mut self, host: &str) {
        let account = self.accounts.get_mut(DEFAULT).filter(|account| account.budget.scope() == Some(Scope::Host));
        if let Some(account) = account {
            self.news = true;
            account.ledger.fired(host);
        }
    }

    /// A person said at `said_ms` what an anomaly was, that began at `began_ms` and `fired` or was suppressed.
    /// Whether an edge is higher for it from now on.
    pub fn judged(
        &mut self,
        candidate: Candidate<'_>,
        began_ms: i64,
        fired: bool,
        judgement: Judgement,
        said_ms: i64,
    ) -> bool {
        self.news = true;
        if judgement == Judgement::FalseAlarm {
            return self.marks.add(candidate.id, candidate.pattern, candidate.score, said_ms);
        }
        if let Some(account) = self.account(candidate.rule).filter(|_| !is_certain(candidate.pattern)) {
            let unit = unit(account.budget, candidate);
            account.ledger.forgive(&unit, began_ms, candidate.score, fired);
        }
        false
    }

    /// A false alarm that was said before a restart.
    pub fn remember(&mut self, id: SeriesId, pattern: Pattern, peak: f32, said_ms: i64) {
        self.marks.add(id, pattern, peak, said_ms);
    }

    /// Anomalies that did not become alerts since the start, by [`Reason`].
    #[must_use]
    pub fn suppressed(&self) -> [u64; Reason::ALL.len()] {
        self.suppressed
    }

    /// The edge of the share of false discoveries, and that share as it is to be expected among what is over it.
    #[must_use]
    pub fn discovery(&self) -> (f32, f64) {
        let edge = self.found.edge();
        (edge, self.found.false_share(edge))
    }

    /// What each budget shows of itself.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let shown = |(name, Account { budget, ledger, units }): (&String, &Account)| {
            Some(Shown {
                budget: name.clone(),
                scope: budget.scope()?,
                per_week: ledger.budget(),
                actual: ledger.actual_per_week(*units),
                edges: ledger.edges(self.clock_ms),
            })
        };
        self.accounts.iter().filter_map(shown).collect()
    }

    /// Whether an anomaly came, an alert fired or a person spoke since [`Budgets::save`] was asked for.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// What happened, as bytes.
    #[must_use]
    pub fn save(&mut self) -> Vec<u8> {
        self.news = false;
        let mut out = vec![VERSION];
        self.found.save(&mut out);
        for (name, Account { budget, ledger, .. }) in &self.accounts {
            let head = format!("{name}\n{}", budget.scope().map_or("", Scope::as_str));
            out.extend((head.len() as u32).to_le_bytes());
            out.extend(head.as_bytes());
            ledger.save(&mut out);
        }
        out
    }

    /// Takes back what [`Budgets::save`] wrote, as far as it is still asked for.
    ///
    /// # Errors
    /// The bytes are damaged from somewhere on; what came before is taken.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(LedgerError::Version(u16::from(*other))),
            None => return Err(LedgerError::Short),
        }
        let mut at = 1 + self.found.load(&bytes[1..])?;
        while at < bytes.len() {
            let len = bytes.get(at..at + 4).and_then(<[u8]>::first_chunk::<4>).ok_or(LedgerError::Short)?;
            let (from, len) = (at + 4, u32::from_le_bytes(*len) as usize);
            let head = bytes.get(from..from.saturating_add(len)).ok_or(LedgerError::Short)?;
            let head = std::str::from_utf8(head).map_err(|_| LedgerError::Damaged("name of a budget"))?;
            let (name, scope) = head.rsplit_once('\n').ok_or(LedgerError::Damaged("name of a budget"))?;
            let mut ledger = Ledger::new(0.0, 0);
            at = from + len + ledger.load(&bytes[from + len..])?;
            let known = self.accounts.get_mut(name);
            if let Some(account) = known.filter(|a| a.budget.scope().is_some_and(|known| known.as_str() == scope)) {
                ledger.set_budget(account.ledger.budget());
                account.ledger = ledger;
            }
        }
        Ok(())
    }

    fn account(&mut self, rule: &Rule) -> Option<&mut Account> {
        self.accounts.get_mut(if rule.budget.is_some() { rule.name.as_str() } else { DEFAULT })
    }
}

/// Where an anomaly of the fleet is: its host, or the series alone.
fn place(host: &str, id: SeriesId) -> String {
    if host.is_empty() { id.to_string() } else { host.to_owned() }
}

/// The unit of `budget` that an anomaly counts for.
fn unit(budget: Budget, candidate: Candidate<'_>) -> String {
    let label = |name: &str| candidate.about.and_then(|about| about.labels.get(name)).filter(|v| !v.is_empty());
    match budget.scope() {
        Some(Scope::Series) => candidate.id.to_string(),
        Some(Scope::Service) => match ["service", "app", "job"].into_iter().find_map(label) {
            Some(service) => service.to_owned(),
            None => place(candidate.host, candidate.id),
        },
        _ => place(candidate.host, candidate.id),
    }
}

#[cfg(test)]
mod tests;
