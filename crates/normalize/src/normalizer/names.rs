//! What rules say, asked once for many series: by metric name, and by the rows that apply.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_series::{MetricKind, Unit};

use crate::rules::{Facts, Meaning, Rules};

/// Names kept at most; beyond, the cache starts anew.
const MAX_NAMES: usize = 65_536;

/// Rules with what was asked of them before.
#[derive(Debug)]
pub(crate) struct Names {
    rules: Arc<Rules>,
    facts: HashMap<Box<str>, Arc<Facts>>,
    named: HashMap<Box<str>, Arc<[u32]>>,
    meanings: Vec<Meaning>,
    ids: HashMap<Box<[u32]>, u32>,
}

impl Names {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, facts: HashMap::new(), named: HashMap::new(), meanings: Vec::new(), ids: HashMap::new() }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What rules say of the metric `name`.
    pub(crate) fn facts(&mut self, name: &str) -> Arc<Facts> {
        if let Some(facts) = self.facts.get(name) {
            return Arc::clone(facts);
        }
        if self.facts.len() >= MAX_NAMES {
            self.facts.clear();
        }
        let facts = Arc::new(self.rules.facts(name));
        self.facts.insert(name.into(), Arc::clone(&facts));
        facts
    }

    /// Adds to `rows` what is said by the name in common words `name` of a series judged in `unit`.
    pub(crate) fn judging<'a>(
        &mut self,
        name: &str,
        unit: Unit,
        get: impl Fn(&str) -> &'a str + Copy,
        rows: &mut Vec<u32>,
    ) {
        if self.named.len() >= MAX_NAMES {
            self.named.clear();
        }
        let named = match self.named.get(name) {
            Some(named) => Arc::clone(named),
            None => {
                let named: Arc<[u32]> = self.rules.named(name).into();
                self.named.insert(name.into(), Arc::clone(&named));
                named
            }
        };
        self.rules.judging(&named, unit, get, rows);
    }

    /// The id of what `rows` say of a series of `kind`, judged in `unit`; `missing`: whether its silence is
    /// worth a verdict unless rows say otherwise.
    pub(crate) fn meaning_id(&mut self, rows: &[u32], kind: MetricKind, unit: Unit, missing: bool) -> u32 {
        let mut key = Vec::with_capacity(rows.len() + 3);
        key.extend_from_slice(rows);
        key.extend([kind as u32, unit as u32, u32::from(missing)]);
        if let Some(id) = self.ids.get(&key[..]) {
            return *id;
        }
        let id = self.meanings.len() as u32;
        self.meanings.push(self.rules.meaning(rows, kind, unit, missing));
        self.ids.insert(key.into(), id);
        id
    }

    pub(crate) fn meaning(&self, id: u32) -> &Meaning {
        &self.meanings[id as usize]
    }
}
