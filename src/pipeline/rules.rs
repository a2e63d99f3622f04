//! Gathers what mappings and `detect/` say of metrics: the config's words, the files of the user's folder, and
//! what is compiled in, in this order of weight.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use watchbell_normalize::{Limits, RuleProblem, Rules, SourceLimit, detect_schema, mapping_schema};

use super::ingest::source_tag;
use super::source_watch::SourceRow;
use crate::config::{Located, Settings, Shape};

/// The rules that `settings` ask for.
///
/// # Errors
/// All problems of all files, a text each.
pub fn load(settings: &Settings) -> Result<Arc<Rules>, Vec<String>> {
    let (mut mappings, mut detect) = (Vec::new(), Vec::new());
    let mut unreadable = Vec::new();
    if let Some(dir) = &settings.rules_dir {
        for (files, folder) in [(&mut mappings, "mappings"), (&mut detect, "detect")] {
            match read_yaml(&dir.join(folder)) {
                Ok(found) => *files = found,
                Err(problems) => unreadable.extend(problems),
            }
        }
    }
    let shapes = |files: &[(String, String)], schema: &schemars::Schema| -> Vec<Shape> {
        files.iter().map(|(name, text)| Shape::of(name, text, schema)).collect()
    };
    let of_mappings = shapes(&mappings, &mapping_schema());
    let mut misshapen: Vec<Located> =
        shapes(&detect, &detect_schema()).into_iter().flat_map(|shape| shape.problems).collect();
    // By file: what is right in those that are not right as a whole is checked, too.
    let mut in_part = HashMap::new();
    for ((name, text), shape) in mappings.iter_mut().zip(of_mappings) {
        misshapen.extend(shape.problems.iter().cloned());
        if let Some(rest) = shape.rest() {
            *text = rest;
            in_part.insert(name.clone(), shape);
        }
    }
    mappings.insert(0, ("config: `series`".to_owned(), overlay(settings)));
    match Rules::load(&mappings, &detect) {
        Ok(rules) if misshapen.is_empty() && unreadable.is_empty() => Ok(Arc::new(rules)),
        loaded => {
            let mut wrong = loaded.err().unwrap_or_default();
            for problem in &mut wrong {
                if let Some(shape) = in_part.get(&problem.file) {
                    problem.line = shape.line(&problem.field);
                }
            }
            unreadable.extend(all_problems(misshapen, wrong));
            Err(unreadable)
        }
    }
}

/// Problems of the shape of files and of what stands in them, file by file in the order of lines. What follows from a
/// shape that is wrong is not told.
fn all_problems(misshapen: Vec<Located>, wrong: Vec<RuleProblem>) -> Vec<String> {
    let follows = |problem: &RuleProblem, shape: &Located| {
        let RuleProblem { file, field, .. } = problem;
        let below = shape.path.strip_prefix(field.as_str());
        shape.file == *file
            && below.is_some_and(|rest| field.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let wrong = wrong.into_iter().filter(|problem| !misshapen.iter().any(|shape| follows(problem, shape)));
    let mut all: Vec<_> = wrong.map(|problem| (problem.file.clone(), problem.line, problem.to_string())).collect();
    all.extend(misshapen.iter().map(|shape| (shape.file.clone(), shape.line, shape.to_string())));
    all.sort();
    all.into_iter().map(|(.., text)| text).collect()
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

#[cfg(test)]
mod tests {
    use watchbell_normalize::{BUILT_IN, BUILT_IN_DETECT};

    use super::*;
    use crate::config::{Config, Overrides};

    /// The problems of a folder of rules with these files, without the folder's name.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let mut settings = Config::built_in(&Overrides::default()).expect("the built-in config").settings;
        settings.rules_dir = Some(folder.path().to_owned());
        let begin = format!("{}/", folder.path().display());
        load(&settings).err().unwrap_or_default().iter().map(|text| text.replace(&begin, "")).collect()
    }

    #[test]
    fn all_mistakes_of_all_files_are_told_with_place_and_hint() {
        let entities = "entity:\n  - {labl: host}\nhosts:\n  ignore_cas: true\n  join_domains: maybe\n  names:\n    \
                        - {host: a}\n    - {host: 'b-$3', pattern: '(x)-.*'}\n    - {host: c, names: n}\n";
        let mappings = "metrics:\n  - {metric: x, unit: secnds, kind: gage}\n  - {metrc: y, legal_min: low}\n  \
                        - {metric: z, labels: '{a='}\n";
        let detect = "metrics:\n  - {name: cpu.idle, bad: dwn, sensitivty: 2}\n  - {metric: x, bad: up}\n  - {name: a, name: b}\n";
        let found = problems(&[
            ("mappings/entities.yaml", entities),
            ("mappings/mine.yaml", mappings),
            ("detect/mine.yaml", detect),
        ]);
        let begins = [
            "detect/mine.yaml:2:22: metrics[0].bad: `dwn` is not known here\n  hint: did you mean `down`?",
            "detect/mine.yaml:2:32: metrics[0].sensitivty: unknown key `sensitivty`\n  hint: did you mean `sensitivity`?",
            "detect/mine.yaml:4:",
            "mappings/entities.yaml:2:5: entity[0]: `label` is missing\n  hint: add `label:`",
            "mappings/entities.yaml:2:6: entity[0].labl: unknown key `labl`\n  hint: did you mean `label`?",
            "mappings/entities.yaml:4:3: hosts.ignore_cas: unknown key `ignore_cas`\n  hint: did you mean `ignore_case`?",
            "mappings/entities.yaml:5:3: hosts.join_domains: expected `true` or `false`, found `maybe`",
            "mappings/entities.yaml:9:17: hosts.names[2].names: expected a list, found `n`\n  hint: write items",
            "mappings/mine.yaml:2:17: metrics[0].unit: `secnds` is not known here\n  hint: did you mean `seconds`?",
            "mappings/mine.yaml:2:31: metrics[0].kind: `gage` is not known here\n  hint: did you mean `gauge`?",
            "mappings/mine.yaml:3:6: metrics[1].metrc: unknown key `metrc`\n  hint: did you mean `metric`?",
            "mappings/mine.yaml:3:16: metrics[1].legal_min: expected a number, found `low`",
            "mappings/mine.yaml:4: metrics[2].labels: selector `{a=`",
        ];
        for begin in begins {
            assert!(found.iter().any(|problem| problem.starts_with(begin)), "{begin}\nin {found:#?}");
        }
        assert_eq!(found.len(), begins.len(), "{found:#?}");
    }

    #[test]
    fn values_are_checked_beside_unknown_keys() {
        let text = "entity: [{label: host, colour: red, address: maybe}]\nhosts:\n  names:\n    - {host: a}\n    \
                    - {host: 'b-$3', pattern: '(x)-.*'}\n    - {host: c, pattern: '('}\n";
        let found = problems(&[("mappings/entities.yaml", text)]);
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(
            found[0].starts_with("mappings/entities.yaml:1:24: entity[0].colour: unknown key `colour`"),
            "{found:#?}"
        );
        assert!(found[1].starts_with("mappings/entities.yaml:1:37: entity[0].address: expected `true`"), "{found:#?}");
        assert!(found[2].starts_with("mappings/entities.yaml:4: hosts.names[0]: a row needs `names`"), "{found:#?}");
        let group =
            "mappings/entities.yaml:5: hosts.names[1].host: `pattern` has no group `3`\n  hint: its groups are `$1`";
        assert!(found[3].starts_with(group), "{found:#?}");
        assert!(
            found[4].starts_with("mappings/entities.yaml:6: hosts.names[2].pattern: `(` is no regular expression"),
            "{found:#?}"
        );
    }

    #[test]
    fn what_is_compiled_in_has_its_shape() {
        for (files, schema) in [(BUILT_IN, mapping_schema()), (&BUILT_IN_DETECT[..], detect_schema())] {
            for (name, text) in files {
                assert_eq!(Shape::of(name, text, &schema).problems, []);
            }
        }
        assert_eq!(problems(&[("mappings/empty.yaml", "# nothing\n"), ("detect/empty.yaml", "")]), [""; 0]);
    }
}
