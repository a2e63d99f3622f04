//! The names in common words, and which metrics of which tools have them: for the reference.

use std::collections::BTreeMap;

use watchbell_series::{MetricKind, Unit};

use super::Rules;

/// One name in common words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The name, such as `memory.available`.
    pub name: String,
    /// Units its values are judged in; several where tools tell different quantities.
    pub units: Vec<Unit>,
    /// What gives it, by file of mappings.
    pub metrics: BTreeMap<String, Vec<String>>,
}

impl Rules {
    /// All names that rules give, in order.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<Word> {
        let mut selects: Vec<String> = vec![String::new(); self.rows.len()];
        let exact = self.exact.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (*row, name.to_string())));
        let unanchored = |pattern: &str| pattern.trim_start_matches("^(?:").trim_end_matches(")$").to_owned();
        let patterns = self.pattern_rows.iter().copied().zip(self.patterns.patterns().iter().map(|p| unanchored(p)));
        for (row, text) in exact.chain(patterns) {
            selects[row as usize] = text;
        }
        let mut words: BTreeMap<&str, Word> = BTreeMap::new();
        for (row, metric) in self.rows.iter().zip(&selects) {
            let Some(name) = row.name.as_deref() else { continue };
            let labels = row.labels.as_ref().map_or_else(String::new, ToString::to_string);
            let word = words.entry(name).or_insert_with(|| Word {
                name: name.to_owned(),
                units: Vec::new(),
                metrics: BTreeMap::new(),
            });
            if let Some(unit) = self.told_unit(row, metric)
                && !word.units.contains(&unit)
            {
                word.units.push(unit);
            }
            let file = self.files.get(usize::from(row.place.file)).map_or("", |file| file);
            word.metrics.entry(file.to_owned()).or_default().push(format!("{metric}{labels}"));
        }
        words.into_values().collect()
    }

    /// The unit in common words as far as rows tell it without a series at hand.
    fn told_unit(&self, row: &super::Row, metric: &str) -> Option<Unit> {
        let of_metric = self.exact.get(metric).into_iter().flatten().map(|index| &self.rows[*index as usize]);
        let general = of_metric.clone().find(|other| other.labels.is_none() && other.unit.is_some());
        let told = row.common_unit.or(row.unit).or(general.and_then(|general| general.unit));
        let kind = row.kind.or(general.and_then(|general| general.kind));
        let unit = told.or((kind == Some(MetricKind::Counter)).then_some(Unit::None))?;
        let counted = kind == Some(MetricKind::Counter) && row.common_unit.is_none();
        Some(if counted { unit.rate() } else { unit })
    }
}
