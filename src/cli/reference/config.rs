//! The page of settings.

use super::fields::{cell, tables};
use crate::config::{Config, built_in};
use crate::registry::Registry;

pub(super) fn page(registry: Registry) -> String {
    let mut out = "# `watchbell.yaml`\n\n\
        Every setting. Made by `watchbell reference`; do not edit. `watchbell check --config FILE` tells all that is \
        wrong with a file; the JSON schema for editors is `config.schema.json`.\n\n\
        - Unknown keys are refused.\n\
        - Durations are written as `15s`, `5m`, `1h30m`, `500ms` or `14d`.\n\
        - Every text may hold variables of the environment: `${NAME}`, or `${NAME:-default}`. `$$` is a dollar sign.\n\
        - Relative paths start from the working directory.\n\
        - A reload (`SIGHUP`, or `POST /-/reload`) applies what changed. `http`, `data_dir`, `shards`, `timezone`, \
        `log.format` and `history` take effect at the next start.\n\n\
        Without a file, and in place of `sources` or `sinks` where a file has none, this stands:\n\n```yaml\n"
        .to_owned();
    out.extend(built_in::TEXT.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")));
    out.push_str("```\n\n## Settings\n\n");
    let schema = schemars::schema_for!(Config).to_value();
    tables(&mut out, &schema, &schema, "", &["sources", "sinks", "history"]);

    out.push_str(
        "## Sources\n\nEach has a `type`, and may have a `name` for logs and metrics (the type if not given).\n\n",
    );
    registry.sources().for_each(|kind| section(&mut out, kind.name, kind.summary, kind.schema));
    out.push_str("## Sinks\n\nAs sources, a `type` and maybe a `name`.\n\n");
    registry.sinks().for_each(|kind| section(&mut out, kind.name, kind.summary, kind.schema));
    out.push_str("## History\n\nAt most one, with a `type`.\n\n");
    registry.histories().for_each(|kind| section(&mut out, kind.name, kind.summary, kind.schema));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn section(out: &mut String, name: &str, summary: &str, schema: fn() -> schemars::Schema) {
    out.push_str(&format!("### `type: {name}`\n\n{}\n\n", cell(summary)));
    let schema = schema().to_value();
    tables(out, &schema, &schema, "", &[]);
}
