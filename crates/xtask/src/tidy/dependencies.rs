//! The direction of dependencies between the crates of the workspace, and what their manifests share.

use super::Finding;
use crate::workspace::{Package, Workspace};

const SERIES: &str = "watchbell-series";
const CONTRACT: &str = "watchbell-adapter-api";
const CHECKS: &str = "watchbell-checks";
const ROOT: &str = "watchbell";

/// What a package may depend on of ours; `None` means all but the root.
fn allowed(package: &Package) -> Option<&'static [&'static str]> {
    if package.folder.starts_with("adapters/") {
        return Some(&[CONTRACT, CHECKS, SERIES]);
    }
    match package.name.as_str() {
        CHECKS => Some(&[CONTRACT, SERIES]),
        SERIES | "xtask" => Some(&[]),
        "watchbell-normalize" | "watchbell-detect" | CONTRACT => Some(&[SERIES]),
        ROOT => None,
        _ => Some(&[SERIES]),
    }
}

/// `series` knows nothing of ours, the stages know `series`, adapters know the contract and what a family of systems
/// shares, nothing knows the root.
pub(super) fn direction(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let manifest = package.path("Cargo.toml");
        let text = workspace.text(&manifest).unwrap_or("");
        let ours = package.direct.iter().filter(|name| workspace.packages.iter().any(|p| p.name == **name));
        for name in ours {
            let refused = name == ROOT || allowed(package).is_some_and(|list| !list.contains(&name.as_str()));
            if refused {
                let line = text.lines().position(|line| line.starts_with(name.as_str())).map_or(0, |at| at + 1);
                let message = format!("`{}` must not depend on `{name}`", package.name);
                let hint =
                    "data flows adapters -> normalize -> detect -> alerting; share nouns through watchbell-series";
                findings.push(Finding::new(&manifest, line, message, hint));
            }
        }
    }
    findings
}

/// Package = `watchbell-` + folder, and every package takes the lints of the workspace.
pub(super) fn names(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let manifest = package.path("Cargo.toml");
        let folder = package.folder.rsplit('/').next().unwrap_or("");
        let expected = if folder.is_empty() { ROOT.to_owned() } else { format!("{ROOT}-{folder}") };
        if package.name != expected && package.name != "xtask" {
            let message = format!("package `{}` lives in `{}`", package.name, package.folder);
            findings.push(Finding::new(&manifest, 0, message, "name it `watchbell-` and its folder"));
        }
        let text = workspace.text(&manifest).unwrap_or("");
        if !text.contains("[lints]\nworkspace = true") {
            let hint = "add `[lints]` with `workspace = true`";
            findings.push(Finding::new(&manifest, 0, "does not take the lints of the workspace", hint));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_directions_are_found_with_their_line() {
        let manifest = "[package]\n[dependencies]\nwatchbell-detect.workspace = true\n";
        let workspace = Workspace::of(&[("adapters/zabbix/Cargo.toml", manifest)])
            .with("watchbell", "", &["watchbell-detect", "watchbell-zabbix"])
            .with("watchbell-series", "crates/series", &["serde"])
            .with("watchbell-detect", "crates/detect", &["watchbell-series", "watchbell"])
            .with("watchbell-adapter-api", "crates/adapter-api", &["watchbell-series"])
            .with("watchbell-checks", "crates/checks", &["watchbell-adapter-api", "watchbell-series"])
            .with("watchbell-icinga", "adapters/icinga", &["watchbell-checks", "watchbell-zabbix"])
            .with("watchbell-zabbix", "adapters/zabbix", &["watchbell-adapter-api", "watchbell-detect"]);
        let found: Vec<String> =
            direction(&workspace).iter().map(|f| format!("{}:{}: {}", f.file, f.line, f.message)).collect();
        let expected = [
            "crates/detect/Cargo.toml:0: `watchbell-detect` must not depend on `watchbell`",
            "adapters/icinga/Cargo.toml:0: `watchbell-icinga` must not depend on `watchbell-zabbix`",
            "adapters/zabbix/Cargo.toml:3: `watchbell-zabbix` must not depend on `watchbell-detect`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_and_lints() {
        let lints = "[lints]\nworkspace = true\n";
        let workspace = Workspace::of(&[("Cargo.toml", lints), ("crates/a/Cargo.toml", lints)])
            .with("watchbell", "", &[])
            .with("watchbell-b", "crates/a", &[])
            .with("watchbell-c", "crates/c", &[]);
        let found: Vec<String> = names(&workspace).into_iter().map(|f| format!("{}: {}", f.file, f.message)).collect();
        let expected = [
            "crates/a/Cargo.toml: package `watchbell-b` lives in `crates/a`",
            "crates/c/Cargo.toml: does not take the lints of the workspace",
        ];
        assert_eq!(found, expected);
    }
}
