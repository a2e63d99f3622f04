//! The page of settings.

use serde_json::Value;

use super::fields::{Page, cell};
use super::shared::Shared;
use crate::config::{Config, built_in};
use crate::registry::Registry;

pub(super) fn page(registry: Registry) -> String {
    let mut out = "# `watchbell.yaml`\n\n\
        Every setting. Made by `watchbell reference`; do not edit. `watchbell check --config FILE` tells all that is \
        wrong with a file; the JSON schema for editors is `config.schema.json`.\n\n\
        - Unknown keys are refused.\n\
        - Durations are written as `15s`, `5m`, `1h30m`, `500ms` or `14d`.\n\
        - Every text may hold variables of the environment: `${NAME}`, or `${NAME:-default}`. `$$` is a dollar sign.\n\
        - Relative paths start from the folder of the file.\n\
        - A reload (`SIGHUP`, or `POST /-/reload`) applies what changed. `http`, `data_dir`, `shards`, `timezone`, \
        `log.format` and `history` take effect at the next start.\n\n\
        Without a file, and in place of `sources` or `sinks` where a file has none, this stands:\n\n```yaml\n"
        .to_owned();
    out.extend(built_in::TEXT.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")));
    out.push_str("```\n\n## Settings\n\n");
    let settings = schemars::schema_for!(Config).to_value();
    let sources: Vec<Kind> = registry.sources().map(|kind| Kind::new(kind.name, kind.summary, kind.schema)).collect();
    let sinks: Vec<Kind> = registry.sinks().map(|kind| Kind::new(kind.name, kind.summary, kind.schema)).collect();
    let histories: Vec<Kind> =
        registry.histories().map(|kind| Kind::new(kind.name, kind.summary, kind.schema)).collect();
    let kinds = sources.iter().chain(&sinks).chain(&histories).map(|kind| kind.schema.clone());
    let shared = Shared::of(&kinds.chain([settings.clone()]).collect::<Vec<_>>());

    Page { out: &mut out, root: &settings, shared: &shared }.tables(&settings, "", &["sources", "sinks", "history"]);
    out.push_str(
        "## Sources\n\nEach has a `type`, and may have a `name` for logs and metrics (the type if not given) and `max_series`,\nthe most series that it may hold at once (`series.max_series` bounds all sources together).\n\n",
    );
    sources.iter().for_each(|kind| kind.section(&mut out, &shared));
    out.push_str("## Sinks\n\nAs sources, a `type` and maybe a `name`.\n\n");
    sinks.iter().for_each(|kind| kind.section(&mut out, &shared));
    out.push_str("## History\n\nAt most one, with a `type`.\n\n");
    histories.iter().for_each(|kind| kind.section(&mut out, &shared));
    if shared.iter().next().is_some() {
        out.push_str("## Shared\n\nMappings that several settings have in common.\n\n");
    }
    for (name, root) in shared.iter() {
        let schema = &root["$defs"][name];
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        out.push_str(&format!("### {name}\n\n{}\n\n", cell(about)));
        Page { out: &mut out, root, shared: &shared }.tables(schema, "", &[]);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// A kind of source, sink or history as the page shows it.
struct Kind {
    name: &'static str,
    summary: &'static str,
    schema: Value,
}

impl Kind {
    fn new(name: &'static str, summary: &'static str, schema: fn() -> schemars::Schema) -> Self {
        Self { name, summary, schema: schema().to_value() }
    }

    fn section(&self, out: &mut String, shared: &Shared) {
        out.push_str(&format!("### `type: {}`\n\n{}\n\n", self.name, cell(self.summary)));
        Page { out, root: &self.schema, shared }.tables(&self.schema, "", &[]);
    }
}
