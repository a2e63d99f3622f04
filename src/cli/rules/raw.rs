//! The shape of a file of tests, as it is written; docs/rules.md says what each field does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) config: Option<PathBuf>,
    pub(super) rules_dir: Option<PathBuf>,
    pub(super) interval: Option<Spanned<String>>,
    pub(super) tests: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) name: String,
    pub(super) interval: Option<Spanned<String>>,
    pub(super) series: Vec<Spanned<RawSeries>>,
    #[serde(default)]
    pub(super) mapping: Vec<Spanned<RawMapping>>,
    #[serde(default)]
    pub(super) scores: Vec<Spanned<RawScore>>,
    #[serde(default)]
    pub(super) alerts: Vec<Spanned<RawAlert>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSeries {
    pub(super) series: Spanned<String>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) values: Option<Spanned<String>>,
    pub(super) per_second: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) noise: f64,
    #[serde(default)]
    pub(super) season: Vec<RawWave>,
    pub(super) seed: Option<u64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    #[serde(default)]
    pub(super) whole: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWave {
    pub(super) period: Spanned<String>,
    pub(super) amplitude: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMapping {
    pub(super) series: Option<Spanned<String>>,
    pub(super) watched: Option<bool>,
    pub(super) name: Option<String>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) host: Option<String>,
    /// Last value, in the unit of common words.
    pub(super) value: Option<f64>,
    pub(super) bad: Option<Spanned<String>>,
    pub(super) min_deviation: Option<f64>,
    pub(super) min_relative_deviation: Option<f64>,
    pub(super) legal_min: Option<f64>,
    pub(super) legal_max: Option<f64>,
    pub(super) sensitivity: Option<f64>,
    pub(super) flatline: Option<bool>,
    pub(super) missing: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScore {
    pub(super) series: Option<Spanned<String>>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) over: Option<f64>,
    pub(super) under: Option<f64>,
    pub(super) pattern: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlert {
    pub(super) at: Spanned<String>,
    pub(super) alert: Option<String>,
    pub(super) firing: Vec<BTreeMap<String, String>>,
}
