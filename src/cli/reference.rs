//! `watchbell reference`: documents made from the tables and schemas of this very binary.
//!
//! The pages in `docs/reference` are its output; a test keeps them fresh. Nothing is written by hand, so
//! a document can not tell of a setting that is not there. Equal binaries give equal bytes.

mod api;
mod config;
mod fields;
mod metrics;
pub mod schema;
mod shared;
mod vocabulary;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;

use crate::console;
use crate::registry::Registry;

/// Prints the reference of this version, made from the program itself.
#[derive(Debug, clap::Args)]
pub struct ReferenceArgs {
    /// One document; all of them if none is named.
    #[arg(value_enum)]
    pub topic: Option<Topic>,
    /// Write files to this folder in place of printing.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// A document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    /// Every setting of `watchbell.yaml`.
    Config,
    /// Every metric that Watchbell tells of itself.
    Metrics,
    /// Every HTTP route.
    Api,
    /// JSON schema of `watchbell.yaml`, for editors.
    Schema,
    /// Every name in common words.
    Vocabulary,
}

impl Topic {
    /// Name of its file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Config => "config.md",
            Self::Metrics => "metrics.md",
            Self::Api => "api.md",
            Self::Schema => "config.schema.json",
            Self::Vocabulary => "vocabulary.md",
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(self) -> String {
        let registry = Registry::default();
        match self {
            Self::Config => config::page(registry),
            Self::Metrics => metrics::page(registry),
            Self::Api => api::page(),
            Self::Schema => format!("{:#}\n", schema::of_config(registry)),
            Self::Vocabulary => vocabulary::page(),
        }
    }
}

/// Prints the documents or writes them to files.
///
/// # Errors
/// A file or standard output that can not be written.
pub fn run(args: &ReferenceArgs) -> anyhow::Result<()> {
    let topics = args.topic.map_or_else(|| Topic::value_variants().to_vec(), |topic| vec![topic]);
    for topic in topics {
        let Some(folder) = &args.out else {
            console::text(&topic.text())?;
            continue;
        };
        let path = folder.join(topic.file());
        std::fs::create_dir_all(folder).with_context(|| format!("can not make the folder `{}`", folder.display()))?;
        std::fs::write(&path, topic.text()).with_context(|| format!("can not write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_pages_in_docs_are_fresh() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        for topic in Topic::value_variants() {
            let written = std::fs::read_to_string(folder.join(topic.file())).unwrap_or_default();
            let fresh = written == topic.text();
            assert!(fresh, "{} is stale: run `cargo run -- reference --out docs/reference`", topic.file());
        }
    }
}
