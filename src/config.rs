//! The config: from `watchbell.yaml` to checked settings and sources and sinks ready to run.
//!
//! Text becomes a tree that knows its lines (`yaml`), variables are put in (`env`), shapes are read by
//! schema (`schema`, `union`), values are checked (`check`) and items prepared by their adapters
//! (`items`). All problems come back at once, each with its line. Files are read, nothing else is
//! touched, so a running service can check a new config before it lets go of the old one.

pub mod built_in;
mod check;
pub mod diff;
mod env;
mod items;
mod located;
pub(crate) mod nearest;
pub mod raw;
pub(crate) mod schema;
pub mod settings;
mod shape;
mod syntax;
#[cfg(test)]
mod tests;
mod union;
mod warnings;
mod yaml;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use watchbell_adapter_api::{History, Prepared, Problems, Source};

pub use self::diff::{Difference, Outline};
use self::env::Lookup;
pub(crate) use self::items::MAX_SERIES;
pub use self::located::Located;
use self::located::Report;
pub use self::raw::Config;
pub use self::settings::Settings;
pub(crate) use self::shape::Shape;
use self::yaml::{Content, Node};
use crate::registry::Registry;

/// Largest config file that is read. A config of ten thousand targets has half of this.
const MAX_BYTES: u64 = 4 << 20;

/// What the command line says goes before what the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Address to listen on.
    pub listen: Option<SocketAddr>,
    /// Folder of the database and of what was learned.
    pub data_dir: Option<PathBuf>,
}

/// A config in which nothing is wrong.
pub struct Checked {
    /// All that is not an adapter's.
    pub settings: Settings,
    /// Sources ready to run.
    pub sources: Vec<Named<Box<dyn Source>>>,
    /// Sinks ready to run.
    pub sinks: Vec<Named<Prepared>>,
    /// Where history is read back from.
    pub history: Option<Named<Arc<dyn History>>>,
}

impl Checked {
    /// The most series that each source may hold, by name.
    #[must_use]
    pub fn source_limits(&self) -> Vec<(Arc<str>, Option<u32>)> {
        self.sources.iter().map(|source| (Arc::clone(&source.name), source.max_series)).collect()
    }

    /// What is legal and yet seldom meant, a text each. Looks whether the folder of data may be written in.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    /// What on this machine is not as sources and sinks need it now, a text each: files that are not there.
    #[must_use]
    pub fn absences(&self) -> Vec<String> {
        warnings::absences(self)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Outline::of(self).fmt(f)
    }
}

/// A prepared item.
pub struct Named<T> {
    /// Its name, unique among its like.
    pub name: Arc<str>,
    /// Its type.
    pub kind: &'static str,
    /// Where it stands, such as `sources[0]`.
    pub path: String,
    /// The item.
    pub item: T,
    /// What was written, with variables put in: equal for two items that do the same. Holds secrets.
    pub fingerprint: Value,
    /// Most series that a source may hold at once; no limit of its own where it is not set.
    pub max_series: Option<u32>,
}

impl<T> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// All problems, in the order of their lines.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Checked, Vec<Located>> {
        let file = path.display().to_string();
        let text = read(path).map_err(|problem| vec![Located { file: file.clone(), ..problem }])?;
        let folder = path.parent().unwrap_or(Path::new(""));
        parse(&file, folder, &text, overrides, Registry::default(), &environment)
    }

    /// Reads and checks `text`, which is called `name` in problems.
    ///
    /// # Errors
    /// All problems, in the order of their lines.
    pub fn from_text(name: &str, text: &str, overrides: &Overrides) -> Result<Checked, Vec<Located>> {
        parse(name, Path::new(""), text, overrides, Registry::default(), &environment)
    }

    /// What runs without a file.
    ///
    /// # Errors
    /// Problems of the overrides; the rest is right by a test.
    pub fn built_in(overrides: &Overrides) -> Result<Checked, Vec<Located>> {
        parse("built-in config", Path::new(""), built_in::TEXT, overrides, Registry::default(), &environment)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The text of the file; bounded, whatever the file is.
fn read(path: &Path) -> Result<String, Located> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(|error| {
        Located::file(format!("can not be read: {error}"), Some("name the file with `--config FILE`"))
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("larger than {} MiB", MAX_BYTES >> 20);
        return Err(Located::file(message, Some("list targets in files of their own (`file_sd_configs`)")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut problem = Located::file("not a text file".to_owned(), Some("save it as UTF-8"));
        problem.line = line;
        problem.column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        problem
    })
}

/// Checks a whole config. Relative paths in it begin in `folder`, so that it means the same wherever the
/// service is started.
fn parse(
    file: &str,
    folder: &Path,
    text: &str,
    overrides: &Overrides,
    registry: Registry,
    lookup: Lookup<'_>,
) -> Result<Checked, Vec<Located>> {
    let mut report = Report::new(file);
    let mut root = match yaml::parse(text, &mut report.marked) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let hint = "write what to watch under `sources:`, or run without `--config`";
            return Err(vec![Located {
                file: file.to_owned(),
                ..Located::file("nothing is written in it".into(), Some(hint))
            }]);
        }
        Err(stop) => {
            report.marked.push(stop);
            return Err(report.finish(None));
        }
    };
    if !matches!(root.content, Content::Map(_)) {
        report.problems.hint("", "expected a mapping", "write `key: value` lines, such as `sources:`");
        return Err(report.finish(Some(&root)));
    }
    report.expand(&mut root, lookup);
    let checked = check_all(&root, folder, overrides, registry, lookup, &mut report.problems);
    match checked {
        Some(checked) if report.is_empty() => Ok(checked),
        _ => Err(report.finish(Some(&root))),
    }
}

fn check_all(
    root: &Node,
    folder: &Path,
    overrides: &Overrides,
    registry: Registry,
    lookup: Lookup<'_>,
    problems: &mut Problems,
) -> Option<Checked> {
    let schema = schemars::schema_for!(Config).to_value();
    let value = schema::Reader { root: &schema, base: folder, problems }.read(root, &schema, "");
    let raw: Config = problems.take("", serde_json::from_value(value?))?;
    let settings = check::settings(&raw, overrides, lookup, problems);

    let fallback = built_in::tree();
    let part = |key: &str| root.get(key).or_else(|| fallback.get(key));
    let sources = part("sources").map(|node| items::sources(node, registry, folder, problems)).unwrap_or_default();
    let sinks = part("sinks").map(|node| items::sinks(node, registry, folder, problems)).unwrap_or_default();
    let history = root.get("history").and_then(|node| items::history(node, registry, folder, problems));
    if raw.sources.is_some_and(|sources| sources.is_empty()) {
        problems.hint("sources", "nothing to watch", "add a source, or remove the key to watch this machine");
    }
    items::conflicts(&sources, &sinks, problems);
    let most = settings.series.max_series as u64;
    for source in sources.iter().filter(|source| source.max_series.is_some_and(|own| u64::from(own) > most)) {
        let message = format!("more than all sources may hold together, which is {most}");
        problems.hint(format!("{}.max_series", source.path), message, "lower it, or raise `series.max_series`");
    }
    Some(Checked { settings, sources, sinks, history })
}
