//! The page of names in common words.

use std::fmt::Write;

use watchbell_normalize::Rules;

use super::fields::cell;

/// Metrics of one tool that a row of the page names.
const SHOWN: usize = 6;

pub(super) fn page() -> String {
    let mut out = "# Vocabulary\n\n\
        The names in common words that the built-in mappings give, so that one quantity of one machine has one name and \
        one unit in every tool, and rules of `rules/detect` are written once. Made by `watchbell reference`; do not edit. \
        How to add to it: [Rules](../rules.md) and [Hosts](../hosts.md).\n\n"
        .to_owned();
    let Ok(rules) = Rules::built_in() else { return out };
    let tools = [("Prometheus", "prometheus"), ("Zabbix", "zabbix"), ("Nagios", "nagios")];
    out.push_str("| name | unit | Prometheus | Zabbix | Nagios |\n| --- | --- | --- | --- | --- |\n");
    for word in rules.vocabulary() {
        let units: Vec<&str> = word.units.iter().map(|unit| unit.as_str()).collect();
        // Writing to a string does not fail.
        let _ = write!(out, "| `{}` | {} |", word.name, units.join(", "));
        for (_, file) in tools {
            let of_file = |(name, _): &(&String, &Vec<String>)| name.contains(&format!("/{file}.yaml"));
            let all: Vec<&String> = word.metrics.iter().filter(of_file).flat_map(|(_, metrics)| metrics).collect();
            let mut shown: Vec<String> = all.iter().take(SHOWN).map(|metric| format!("`{}`", cell(metric))).collect();
            if all.len() > SHOWN {
                shown.push(format!("{} more", all.len() - SHOWN));
            }
            let _ = write!(out, " {} |", shown.join("<br>"));
        }
        out.push('\n');
    }
    out
}
