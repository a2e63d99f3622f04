//! The shape of a file of tests, as it is written; docs/rules.md says what each field does. Keys that nobody knows are told
//! by its schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_normalize::At;

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) config: Option<PathBuf>,
    pub(super) rules_dir: Option<PathBuf>,
    pub(super) interval: Option<At<String>>,
    pub(super) tests: Vec<At<RawCase>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) name: String,
    pub(super) interval: Option<At<String>>,
    pub(super) series: Vec<At<RawSeries>>,
    #[serde(default)]
    pub(super) mapping: Vec<At<RawMapping>>,
    #[serde(default)]
    pub(super) scores: Vec<At<RawScore>>,
    #[serde(default)]
    pub(super) alerts: Vec<At<RawAlert>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawSeries {
    pub(super) series: At<String>,
    pub(super) kind: Option<At<String>>,
    pub(super) values: Option<At<String>>,
    pub(super) per_second: Option<At<String>>,
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

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawWave {
    pub(super) period: At<String>,
    pub(super) amplitude: f64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawMapping {
    pub(super) series: Option<At<String>>,
    pub(super) watched: Option<bool>,
    pub(super) name: Option<String>,
    pub(super) unit: Option<At<String>>,
    pub(super) kind: Option<At<String>>,
    pub(super) host: Option<String>,
    /// Last value, in the unit of common words.
    pub(super) value: Option<f64>,
    pub(super) bad: Option<At<String>>,
    pub(super) min_deviation: Option<f64>,
    pub(super) min_relative_deviation: Option<f64>,
    pub(super) legal_min: Option<f64>,
    pub(super) legal_max: Option<f64>,
    pub(super) sensitivity: Option<f64>,
    pub(super) flatline: Option<bool>,
    pub(super) missing: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawScore {
    pub(super) series: Option<At<String>>,
    pub(super) at: Option<At<String>>,
    pub(super) from: Option<At<String>>,
    pub(super) to: Option<At<String>>,
    pub(super) over: Option<f64>,
    pub(super) under: Option<f64>,
    pub(super) pattern: Option<At<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawAlert {
    pub(super) at: At<String>,
    pub(super) alert: Option<String>,
    pub(super) firing: Vec<BTreeMap<String, String>>,
}
