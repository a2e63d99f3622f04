//! Gathers what mappings and `detect/` say of metrics: the config's words, the files of the user's folder, and
//! what is compiled in, in this order of weight.

use std::path::Path;
use std::sync::Arc;

use watchbell_normalize::{Limits, Rules, SourceLimit};

use super::ingest::source_tag;
use super::source_watch::SourceRow;
use crate::config::Settings;

/// The rules that `settings` ask for.
///
/// # Errors
/// All problems of all files, a line each.
pub fn load(settings: &Settings) -> Result<Arc<Rules>, Vec<String>> {
    let mut mappings = vec![("config: `series`".to_owned(), overlay(settings))];
    let mut detect = Vec::new();
    if let Some(dir) = &settings.rules_dir {
        mappings.extend(read_yaml(&dir.join("mappings"))?);
        detect = read_yaml(&dir.join("detect"))?;
    }
    Rules::load(&mappings, &detect).map(Arc::new).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The name and text of each YAML file of `dir`, in order of names; none if there is no such folder.
///
/// # Errors
/// A file that can not be read.
pub fn read_yaml(dir: &Path) -> Result<Vec<(String, String)>, Vec<String>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
    let is_yaml = |path: &Path| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut paths: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| is_yaml(p)).collect();
    paths.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(error) => problems.push(format!("{}: can not be read: {error}", path.display())),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// The `series` block of the config as a file of rules.
fn overlay(settings: &Settings) -> String {
    let series = &settings.series;
    let list = |selectors: &[watchbell_series::Selector]| -> Vec<String> {
        selectors.iter().map(ToString::to_string).collect()
    };
    let mut file = serde_json::Map::new();
    if !series.watch.is_empty() {
        file.insert("watch".to_owned(), list(&series.watch).into());
    }
    if !series.ignore.is_empty() {
        file.insert("ignore".to_owned(), list(&series.ignore).into());
    }
    if let Some(label) = &series.host_label {
        file.insert("entity".to_owned(), serde_json::json!([{"label": label}]));
    }
    // JSON is YAML, and quotes every text safely.
    if file.is_empty() { String::new() } else { serde_json::Value::Object(file).to_string() }
}

/// Bounds of one of `shards` shards.
#[must_use]
pub fn limits(settings: &Settings) -> Limits {
    let idle_ms = i64::try_from(settings.series.expire_after.as_millis()).unwrap_or(i64::MAX);
    Limits { max_series: per_shard(settings.series.max_series, settings.shards), idle_ms, ..Limits::default() }
}

/// The limits of the sources that have one, for one of `shards` shards.
#[must_use]
pub fn source_limits(sources: &[SourceRow], shards: usize) -> Vec<SourceLimit> {
    let limit = |(name, most): &SourceRow| {
        let max_series = per_shard((*most)? as usize, shards);
        Some(SourceLimit { tag: source_tag(name), name: Arc::clone(name), max_series })
    };
    sources.iter().filter_map(limit).collect()
}

/// Each shard's share of a limit; keys spread evenly but not exactly, so a twentieth more.
fn per_shard(max: usize, shards: usize) -> usize {
    if shards <= 1 { max } else { max.div_ceil(shards) + max / shards / 20 }
}
