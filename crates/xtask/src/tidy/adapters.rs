//! What belongs to an adapter: a line in the registry and, under the same name, a mapping, an example that
//! uses it and a test against the real system.

use super::Finding;
use crate::workspace::Workspace;

/// What an adapter must come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Registry,
    Mapping,
    Example,
    PeerTest,
}

/// What an adapter goes without, and why.
const EXEMPT: &[(&str, Part, &str)] = &[
    ("host", Part::Mapping, "its series have node_exporter's names, which rules/mappings/prometheus.yaml maps"),
    ("icinga", Part::Mapping, "its series have the names of Nagios's, which rules/mappings/nagios.yaml maps"),
    ("host", Part::PeerTest, "its peer is the kernel: its own tests read it and compare with node_exporter's names"),
];

/// Every adapter has all its parts, or stands in [`EXEMPT`].
pub(super) fn complete(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|p| p.folder.starts_with("adapters/")) {
        let system = package.folder.trim_start_matches("adapters/");
        for part in [Part::Registry, Part::Mapping, Part::Example, Part::PeerTest] {
            let exempt = EXEMPT.iter().any(|(name, p, _)| *name == system && *p == part);
            if let (false, Some(finding)) = (exempt, missing(workspace, system, part)) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn missing(workspace: &Workspace, system: &str, part: Part) -> Option<Finding> {
    match part {
        Part::Registry => {
            let name = format!("watchbell_{}::", system.replace('-', "_"));
            let registered = workspace.text("src/registry.rs").is_some_and(|text| text.contains(&name));
            let message = format!("adapter `{system}` is not registered");
            let hint = "add its tables to src/registry.rs";
            (!registered).then(|| Finding::new("src/registry.rs", 0, message, hint))
        }
        Part::Mapping => {
            let path = format!("rules/mappings/{system}.yaml");
            let hint = "say there how its names, units and hosts become the common words";
            workspace.text(&path).is_none().then(|| Finding::new(&path, 0, "missing mapping", hint))
        }
        Part::Example => {
            let used = workspace.below("examples/", "watchbell.yaml").any(|(_, text)| uses(text, system));
            let message = format!("no example uses adapter `{system}`");
            let hint = "add examples/<case>/watchbell.yaml with a README.md";
            (!used).then(|| Finding::new("examples", 0, message, hint))
        }
        Part::PeerTest => {
            let path = format!("tests/it/peers/{system}.rs");
            let hint = "test it against the real system";
            workspace.text(&path).is_none().then(|| Finding::new(&path, 0, "missing peer test", hint))
        }
    }
}

/// Whether a config names a kind of `system`: `type: zabbix` or `type: zabbix_...`.
fn uses(config: &str, system: &str) -> bool {
    let system = system.replace('-', "_");
    let kinds = config.lines().filter_map(|line| line.split('#').next()?.split_once("type:").map(|(_, kind)| kind));
    kinds.map(|kind| kind.trim_matches([' ', '"', '\'', '}', ','])).any(|kind| {
        kind.strip_prefix(system.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ',', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_missing_are_named() {
        let files = [
            ("src/registry.rs", "watchbell_zabbix::SOURCES"),
            ("rules/mappings/nagios.yaml", ""),
            ("examples/zabbix/watchbell.yaml", "sources:\n  - type: zabbix_history # the usual\n"),
            ("tests/it/peers/zabbix.rs", ""),
        ];
        let workspace = Workspace::of(&files).with("watchbell-zabbix", "adapters/zabbix", &[]).with(
            "watchbell-nagios",
            "adapters/nagios",
            &[],
        );
        let found: Vec<String> = complete(&workspace).iter().map(|f| format!("{}: {}", f.file, f.message)).collect();
        let expected = [
            "rules/mappings/zabbix.yaml: missing mapping",
            "src/registry.rs: adapter `nagios` is not registered",
            "examples: no example uses adapter `nagios`",
            "tests/it/peers/nagios.rs: missing peer test",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn kinds_are_told_apart() {
        assert!(uses("sources: [{type: host, interval: 5s}]", "host"));
        assert!(uses("  - type: \"kafka_topic\"", "kafka"));
        assert!(!uses("  - type: hostess", "host"));
        assert!(!uses("  # type: host", "host"));
    }
}
