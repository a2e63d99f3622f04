//! File discovery: lists of targets in JSON or YAML files that others write (`file_sd_configs`).
//!
//! Files are looked at every few seconds and read again when their time or size changed. A file that can
//! not be read keeps the targets it had; a file that is gone takes its targets with it. Writers should
//! write beside and rename, but a half-written file does no harm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use watchbell_adapter_api::{Problems, Span};

use super::{Surroundings, TargetGroup};

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;
const EXTENSIONS: [&str; 3] = ["json", "yml", "yaml"];

/// Files that list targets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSdConfig {
    /// Paths ending in `.json`, `.yml` or `.yaml`; the last element may hold one `*`.
    #[schemars(schema_with = "paths")]
    pub files: Vec<String>,
    /// How often the files are looked at.
    #[serde(default = "every")]
    pub refresh_interval: Span,
}

fn paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "format": "path"}})
}

fn every() -> Span {
    Span::seconds(5)
}

/// Checked file discovery.
#[derive(Debug)]
pub(crate) struct Files {
    patterns: Vec<Pattern>,
    every: Span,
    seen: BTreeMap<PathBuf, Seen>,
}

/// A path, whose last element may be a prefix and a suffix around what varies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    folder: PathBuf,
    prefix: String,
    /// What follows the `*`; `None` where there is no `*`.
    suffix: Option<String>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Seen {
    stamp: Option<(SystemTime, u64)>,
    groups: Vec<TargetGroup>,
}

impl FileSdConfig {
    /// Checks the patterns; the files need not be there yet.
    pub(crate) fn check(&self, problems: &mut Problems) -> Option<Files> {
        let before = problems.len();
        if self.files.is_empty() {
            problems.hint("files", "no file is named", "add a path such as `targets/*.yaml`");
        }
        if self.refresh_interval.0.is_zero() {
            problems.hint("refresh_interval", "is 0", "use `5s`");
        }
        let mut patterns = Vec::new();
        for (i, file) in self.files.iter().enumerate() {
            patterns.extend(problems.take(format!("files[{i}]"), Pattern::read(file)));
        }
        (problems.len() == before).then(|| Files { patterns, every: self.refresh_interval, seen: BTreeMap::new() })
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !EXTENSIONS.contains(&extension.as_str()) {
            return Err(format!("`{text}` does not end in `.json`, `.yml` or `.yaml`"));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let last = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if folder.to_string_lossy().contains('*') || last.matches('*').count() > 1 {
            return Err(format!("`{text}` has more than one `*`, or one that is not in the last element"));
        }
        Ok(match last.split_once('*') {
            Some((prefix, suffix)) => Self { folder, prefix: prefix.to_owned(), suffix: Some(suffix.to_owned()) },
            None => Self { folder, prefix: last.to_owned(), suffix: None },
        })
    }

    /// The files that are there now.
    fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let Some(suffix) = &self.suffix else {
            let path = self.folder.join(&self.prefix);
            return Ok(if path.exists() { vec![path] } else { Vec::new() });
        };
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let matches = name.to_str().is_some_and(|name| {
                name.len() >= self.prefix.len() + suffix.len()
                    && name.starts_with(&self.prefix)
                    && name.ends_with(suffix.as_str())
            });
            if matches {
                found.push(self.folder.join(name));
            }
        }
        Ok(found)
    }
}

impl Files {
    pub(super) async fn run(mut self, index: usize, mut surroundings: Surroundings) {
        let mut first = true;
        loop {
            // Files may lie on a share that hangs; that must not hold up other work.
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look();
                (self, looked)
            })
            .await;
            let looked = match looked {
                Ok((files, looked)) => {
                    self = files;
                    looked
                }
                Err(error) => return tracing::error!(%error, "looking for target files was broken off"),
            };
            for (place, error) in &looked.errors {
                surroundings.failed("file", place, error);
            }
            if (looked.changed || first) && !surroundings.hand_over(index, self.groups()).await {
                return;
            }
            first = false;
            if !surroundings.shutdown.sleep(self.every.0).await {
                return;
            }
        }
    }

    fn groups(&self) -> Vec<TargetGroup> {
        self.seen.values().flat_map(|seen| seen.groups.iter().cloned()).collect()
    }

    /// Looks at all files once.
    fn look(&mut self) -> Looked {
        let mut looked = Looked::default();
        let mut there = std::collections::BTreeSet::new();
        for pattern in &self.patterns {
            match pattern.paths() {
                Ok(paths) => there.extend(paths),
                Err(error) => {
                    // A folder that can not be listed just now says nothing about its files.
                    there.extend(self.seen.keys().filter(|path| path.parent() == Some(&pattern.folder)).cloned());
                    looked.errors.push((pattern.folder.display().to_string(), error.to_string()));
                }
            }
        }
        let before = self.seen.len();
        self.seen.retain(|path, _| there.contains(path));
        looked.changed = self.seen.len() != before;
        for path in there {
            let stamp = stamp(&path);
            let seen = self.seen.entry(path.clone()).or_default();
            if stamp.is_some() && seen.stamp == stamp {
                continue;
            }
            seen.stamp = stamp;
            match read(&path) {
                Ok(groups) => {
                    looked.changed |= seen.groups != groups;
                    seen.groups = groups;
                }
                Err(error) => looked.errors.push((path.display().to_string(), error)),
            }
        }
        looked
    }
}

#[derive(Debug, Default)]
struct Looked {
    changed: bool,
    errors: Vec<(String, String)>,
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let bytes = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if bytes > MAX_BYTES {
        return Err(format!("{bytes} bytes are more than {MAX_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let groups: Vec<TargetGroup> = if is_json {
        serde_json::from_str(&text).map_err(|e| e.to_string())?
    } else if text.trim().is_empty() {
        Vec::new()
    } else {
        serde_saphyr::from_str(&text).map_err(|e| e.to_string())?
    };
    let place = path.to_string_lossy();
    Ok(groups.into_iter().map(|group| group.found_at("__meta_filepath", &place)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pattern: &str) -> Files {
        let config = FileSdConfig { files: vec![pattern.to_owned()], refresh_interval: every() };
        config.check(&mut Problems::default()).expect("valid")
    }

    fn addresses(files: &Files) -> Vec<String> {
        files.groups().into_iter().flat_map(|g| g.targets).collect()
    }

    #[test]
    fn checks_patterns() {
        for good in ["a.json", "/x/y/*.yaml", "t/web-*.yml", "a.JSON"] {
            assert!(Pattern::read(good).is_ok(), "{good}");
        }
        for bad in ["a.txt", "*/a.json", "a*b*.json", "", "*"] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_what_changes_and_keeps_what_breaks() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut files = files(folder.path().join("*.json").to_str().expect("UTF-8"));
        assert!(!files.look().changed);

        std::fs::write(path("a.json"), r#"[{"targets": ["a:1"], "labels": {"env": "x"}}]"#).expect("written");
        std::fs::write(path("b.yaml"), "- targets: [b:1]").expect("written");
        assert!(files.look().changed);
        assert_eq!(addresses(&files), ["a:1"]);
        let labels = &files.groups()[0].labels;
        assert_eq!(labels["env"], "x");
        assert!(labels["__meta_filepath"].ends_with("a.json"));
        assert!(!files.look().changed);

        std::fs::write(path("a.json"), r#"[{"targets": ["a:1", "a:2"#).expect("written");
        let looked = files.look();
        assert_eq!((looked.changed, looked.errors.len()), (false, 1));
        assert_eq!(addresses(&files), ["a:1"]);
        assert_eq!(files.look().errors.len(), 0, "one message for one broken file");

        std::fs::write(path("a.json"), "[]").expect("written");
        assert!(files.look().changed);
        assert_eq!(addresses(&files), Vec::<String>::new());
        std::fs::write(path("c.json"), r#"[{"targets": ["c:1"]}]"#).expect("written");
        assert!(files.look().changed);
        std::fs::remove_file(path("c.json")).expect("removed");
        assert!(files.look().changed);
        assert_eq!(addresses(&files), Vec::<String>::new());
    }

    #[test]
    fn reads_yaml() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.yml");
        std::fs::write(&path, "- targets:\n    - a:1\n    - b:1\n  labels:\n    env: prod\n    rack: 7\n")
            .expect("written");
        let mut files = files(path.to_str().expect("UTF-8"));
        assert!(files.look().changed);
        assert_eq!(addresses(&files), ["a:1", "b:1"]);
        assert_eq!(files.groups()[0].labels["rack"], "7");
    }
}
