//! Runs one test, and says what came out otherwise than expected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use watchbell_adapter_api::Span;
use watchbell_series::{Direction, Labels, Pattern, RawBatch, RawSample, Selector, SeriesSpec};

use super::file::{Alert, Case, File, Mapping, Score};
use crate::alerting::Episode;
use crate::pipeline::insight::Found;
use crate::pipeline::rehearsal::Rehearsal;

/// When a test begins: Monday 2026-01-05, 00:00 UTC.
const BEGIN_MS: i64 = 1_767_571_200_000;
/// Faults of one expectation that are told one by one.
const TOLD: usize = 3;

/// What is wrong, a text each with its place.
pub(super) fn run(file: &File, case: &Case) -> Vec<String> {
    let mut test = Test { file, case, rehearsal: Rehearsal::new(file.setup.clone()), faults: BTreeMap::new() };
    let last = test.steps();
    for step in 0..last {
        test.step(step);
    }
    for mapping in &case.mapping {
        test.mapping(mapping, last);
    }
    test.faults.into_values().flatten().collect()
}

struct Test<'a> {
    file: &'a File,
    case: &'a Case,
    rehearsal: Rehearsal,
    /// By line of the expectation.
    faults: BTreeMap<usize, Vec<String>>,
}

impl Test<'_> {
    /// Steps until the last value and the last expectation.
    fn steps(&self) -> usize {
        let values = self.case.inputs.iter().map(|input| input.values.len());
        let scores = self.case.scores.iter().map(|score| score.to + 1);
        let alerts = self.case.alerts.iter().map(|alert| alert.at + 1);
        values.chain(scores).chain(alerts).max().unwrap_or(0)
    }

    fn now_ms(&self, step: usize) -> i64 {
        BEGIN_MS + step as i64 * self.case.interval_ms
    }

    fn step(&mut self, step: usize) {
        let now_ms = self.now_ms(step);
        let mut batch = RawBatch { received_ms: now_ms, ..RawBatch::default() };
        for input in &self.case.inputs {
            if let Some(Some(value)) = input.values.get(step) {
                batch.push(&input.labels, input.kind, &[RawSample { ts_ms: now_ms, value: *value }]);
            }
        }
        if batch.series.is_empty() {
            self.rehearsal.tick(now_ms, &mut crate::alerting::Changes::default());
        } else {
            self.rehearsal.step(&batch);
        }
        let case = self.case;
        for score in case.scores.iter().filter(|score| (score.from..=score.to).contains(&step)) {
            self.score(score, step);
        }
        for alert in case.alerts.iter().filter(|alert| alert.at == step) {
            self.alerts(alert, step);
        }
    }

    fn find(&self, select: &Selector, step: usize) -> Result<Found, String> {
        let mut found = self.rehearsal.find(std::slice::from_ref(select), self.now_ms(step), 2);
        match (found.pop(), found.len()) {
            (Some((one, _)), 0) => Ok(one),
            (Some(_), _) => Err(format!("`{select}` selects several series")),
            (None, _) => Err(format!("`{select}` selects no judged series")),
        }
    }

    fn score(&mut self, want: &Score, step: usize) {
        let found = match self.find(&want.select, step) {
            Ok(found) => found,
            Err(message) => return self.fault(want.line, step, message),
        };
        let reading = found.insight.reading;
        // A missing series has no sample of its own to score.
        let score = if reading.pattern == Pattern::Missing { reading.score } else { found.insight.score };
        let score = f64::from(score);
        let shown = || match reading.not_ready {
            Some(reason) => format!("no score ({})", reason.as_str()),
            None => format!(
                "score {score:.2}, pattern {} (value {}, expected {:.6} in {:.6} to {:.6})",
                reading.pattern, reading.value, reading.expected, reading.lower, reading.upper
            ),
        };
        let mut wants = Vec::new();
        // NaN is neither over nor under.
        if let Some(over) =
            want.over.filter(|over| !matches!(score.partial_cmp(over), Some(std::cmp::Ordering::Greater)))
        {
            wants.push(format!("score over {over}"));
        }
        if let Some(under) =
            want.under.filter(|under| !matches!(score.partial_cmp(under), Some(std::cmp::Ordering::Less)))
        {
            wants.push(format!("score under {under}"));
        }
        if let Some(pattern) = want.pattern.filter(|pattern| *pattern != reading.pattern) {
            wants.push(format!("pattern {pattern}"));
        }
        if !wants.is_empty() {
            self.fault(
                want.line,
                step,
                format!("{}\n      - want: {}\n      + got:  {}", want.select, wants.join(", "), shown()),
            );
        }
    }

    /// Each expected alert needs one of its own that carries its labels, and no other may fire.
    fn alerts(&mut self, want: &Alert, step: usize) {
        let firing: Vec<&Episode> = self
            .rehearsal
            .book()
            .open()
            .filter(|episode| want.alert.as_ref().is_none_or(|name| *name == episode.rule))
            .collect();
        let carries = |labels: &Labels, some: &BTreeMap<String, String>| {
            some.iter().all(|(name, value)| labels.get(name).unwrap_or("") == value)
        };
        let mut left: BTreeSet<usize> = (0..firing.len()).collect();
        let mut lines = Vec::new();
        for labels in &want.firing {
            match left.iter().copied().find(|i| carries(&firing[*i].labels, labels)) {
                Some(i) => drop(left.remove(&i)),
                None => lines.push(format!("      - want: {}", shown(labels))),
            }
        }
        lines.extend(left.iter().map(|i| format!("      + got:  {}", firing[*i].labels)));
        if !lines.is_empty() {
            if left.is_empty() && firing.is_empty() {
                lines.push("      + got:  nothing fires".to_owned());
            }
            let name = want.alert.as_deref().unwrap_or("all alerts");
            self.fault(want.line, step, format!("{name}\n{}", lines.join("\n")));
        }
    }

    fn mapping(&mut self, want: &Mapping, steps: usize) {
        let step = steps.saturating_sub(1);
        let found = match (self.find(&want.select, step), want.watched) {
            (Ok(found), true) => found,
            (Ok(found), false) => {
                let text =
                    format!("{}\n      - want: not watched\n      + got:  judged as {}", want.select, found.metric);
                return self.fault(want.line, step, text);
            }
            (Err(_), false) => return,
            (Err(message), true) => {
                let rules = self.rehearsal.normalizer().rules();
                let aside = self.case.inputs.iter().filter(|input| want.select.matches(&input.labels));
                let why = aside.filter_map(|input| rules.set_aside(&input.labels)).next();
                let why = why.map_or_else(String::new, |why| {
                    format!(": {} ({})", why.text, why.rule.as_deref().unwrap_or("no rule"))
                });
                return self.fault(want.line, step, message + &why);
            }
        };
        let spec: &SeriesSpec = &found.spec;
        let mut wrong = Vec::new();
        let mut compare = |what: &str, want: Option<String>, got: String| {
            if let Some(want) = want.filter(|want| *want != got) {
                wrong.push(format!("      - want: {what}: {want}\n      + got:  {what}: {got}"));
            }
        };
        let bad = |direction: Direction| match direction {
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::Both => "both",
        };
        compare("name", want.name.clone(), found.metric.clone());
        compare("unit", want.unit.map(|unit| unit.as_str().to_owned()), found.common_unit.as_str().to_owned());
        compare("kind", want.kind.map(|kind| kind.to_string()), found.kind.to_string());
        compare("host", want.host.clone(), found.about.entity.clone());
        compare("bad", want.bad.map(|way| bad(way).to_owned()), bad(spec.direction).to_owned());
        compare("flatline", want.flatline.map(|flag| flag.to_string()), spec.flatline.to_string());
        compare("missing", want.missing.map(|flag| flag.to_string()), spec.missing.to_string());
        // Rules and tests of them speak in common units; half a millionth is a matter of rounding.
        let rounded = |value: f64| format!("{value:.6e}");
        let last = found.insight.reading.value * found.factor;
        compare("value", want.value.map(rounded), rounded(last));
        for (name, number) in &want.numbers {
            let got = match *name {
                "min_deviation" => spec.min_deviation * found.factor,
                "min_relative_deviation" => spec.min_relative_deviation,
                "legal_min" => spec.legal_min * found.factor,
                "legal_max" => spec.legal_max * found.factor,
                _ => spec.sensitivity,
            };
            compare(name, Some(rounded(*number)), rounded(got));
        }
        if !wrong.is_empty() {
            self.fault(want.line, step, format!("{}\n{}", want.select, wrong.join("\n")));
        }
    }

    fn fault(&mut self, line: usize, step: usize, text: String) {
        let at = Span(Duration::from_millis(step as u64 * self.case.interval_ms.unsigned_abs()));
        let told = self.faults.entry(line).or_default();
        if told.len() < TOLD {
            told.push(format!("    {}:{line}: after {at}: {text}", self.file.path.display()));
        } else if told.len() == TOLD {
            told.push(format!("    {}:{line}: and further times", self.file.path.display()));
        }
    }
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
