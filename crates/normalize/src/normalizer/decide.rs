//! What a series is: judged as it is, as a rate, part of a histogram, or not at all.
//!
//! Rules have the first word, then the source, then metadata, then the name.

use watchbell_series::{MetricKind, Unit};

use super::names::Names;
use crate::family::Families;
use crate::group::PartKind;
use crate::meaning::{Suffix, kind_of_name, split, unit_of_name};
use crate::record::{NONE, Role};

/// What a series is found to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decision {
    pub(super) role: Role,
    pub(super) part: Option<PartKind>,
    /// Whether its histogram is one of current values.
    pub(super) gauge: bool,
    pub(super) meaning: u32,
    /// Kind as metadata or the source tells it.
    pub(super) told: MetricKind,
    pub(super) guessed: bool,
}

/// What a series of this name and these label values is; `told` is what the source said of it.
pub(super) fn decide<'a>(
    names: &mut Names,
    families: &Families,
    name: &str,
    get: impl Fn(&str) -> &'a str + Copy,
    told: MetricKind,
    native: bool,
) -> Decision {
    let facts = names.facts(name);
    let mut rows = Vec::new();
    names.rules().rows(&facts, get, &mut rows);
    let (family_kind, family_unit) = families.of(name);
    let ruled = names.rules().kind(&rows);
    let guessed = ruled.is_none() && told == MetricKind::Unknown;
    let told = if told == MetricKind::Unknown { family_kind } else { told };
    let bound = get("le").parse::<f64>().ok().filter(|le| !le.is_nan());
    let kind = ruled.unwrap_or(told);
    let kind = if kind == MetricKind::Unknown { kind_of_name(name, bound.is_some()) } else { kind };
    let (role, part) = if native { (Role::Native, None) } else { role(name, kind, bound) };
    let gauge = kind == MetricKind::GaugeHistogram;
    let aside = Decision { role, part, gauge, meaning: NONE, told, guessed };
    if role == Role::Aside {
        return aside;
    }
    if !names.rules().watched(&facts, &rows, get) {
        return Decision { role: Role::Unwatched, part: None, ..aside };
    }
    if role.grouped() {
        return aside;
    }
    let unit = names.rules().unit(&rows).unwrap_or(family_unit);
    let unit = if unit == Unit::None { unit_of_name(name) } else { unit };
    let unit = if role == Role::Counter { unit.rate() } else { unit };
    let common = names.rules().name(&rows);
    let judged_in = names.rules().common_unit(&rows).unwrap_or(unit);
    names.judging(common.as_deref().unwrap_or(name), judged_in, get, &mut rows);
    Decision { meaning: names.meaning_id(&rows, kind, unit, true), ..aside }
}

fn role(name: &str, kind: MetricKind, bound: Option<f64>) -> (Role, Option<PartKind>) {
    use MetricKind::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    match (kind, split(name).1) {
        (Gauge | StateSet, _) => (Role::Gauge, None),
        (Info, _) | (_, Suffix::Created) => (Role::Aside, None),
        (Counter, _) => (Role::Counter, None),
        (Histogram | GaugeHistogram, Suffix::Bucket) => match bound {
            Some(bound) => (Role::Part, Some(PartKind::Bucket(bound))),
            None => (Role::Aside, None),
        },
        (Histogram | GaugeHistogram | Summary, Suffix::Sum) => (Role::Part, Some(PartKind::Sum)),
        (Histogram | GaugeHistogram | Summary, Suffix::Count) => (Role::Part, Some(PartKind::Count)),
        (Histogram | GaugeHistogram | Summary | Unknown, _) => (Role::Gauge, None),
    }
}
