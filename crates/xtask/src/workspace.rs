//! What the rules look at: the files that git knows or would add, and the packages with their dependencies
//! as `cargo metadata` tells them. Read once; rules are functions of it, so that tests make their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// The repository as the rules see it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Text files by their path from the root, with `/` between folders.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Folder from the root; empty for the root package.
    pub(crate) folder: String,
    /// Names of what its manifest names, for whatever purpose (also for tests and builds).
    pub(crate) direct: BTreeSet<String>,
    /// Names of all packages that are linked into it on this platform, tests aside.
    pub(crate) linked: BTreeSet<String>,
}

impl Package {
    /// Path of a file of this package from the root.
    pub(crate) fn path(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }
}

impl Workspace {
    /// Reads the repository in which cargo runs this.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no folder above crates/xtask")?;
        let root = root.to_owned();
        Ok(Self { files: files(&root)?, packages: packages(&root)?, root })
    }

    /// Text of a file, if there is one.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Files below `folder` (which ends in `/`, or is empty) whose names end in `ending`.
    pub(crate) fn below<'a>(&'a self, folder: &'a str, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.files.range(folder.to_owned()..).take_while(move |(path, _)| path.starts_with(folder));
        all.filter(move |(path, _)| path.ends_with(ending)).map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let out = command.output().with_context(|| format!("can not run `{command:?}`"))?;
    if !out.status.success() {
        bail!("`{command:?}` failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(out.stdout)
}

fn files(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut git = Command::new("git");
    // A checkout may belong to another user than the one who checks it, as in containers.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let listed = String::from_utf8(run(&mut git)?).context("a file name is not UTF-8")?;
    let mut files = BTreeMap::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // Deleted and not yet committed, or not text: nothing to check.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

fn packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = host()?;
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--filter-platform", &host]).current_dir(root);
    let metadata: Value = serde_json::from_slice(&run(&mut command)?).context("cargo metadata")?;
    let graph = Graph::read(&metadata)?;
    let mut packages = Vec::new();
    for id in strings(&metadata["workspace_members"]) {
        let package = graph.packages.get(id).with_context(|| format!("no package `{id}`"))?;
        let manifest = Path::new(package["manifest_path"].as_str().context("manifest_path")?);
        let folder = manifest.parent().unwrap_or(root).strip_prefix(root).unwrap_or(Path::new(""));
        let direct = array(&package["dependencies"]).iter().filter_map(|d| d["name"].as_str());
        packages.push(Package {
            name: package["name"].as_str().context("name")?.to_owned(),
            folder: folder.to_string_lossy().replace('\\', "/"),
            direct: direct.map(str::to_owned).collect(),
            linked: graph.linked(id),
        });
    }
    Ok(packages)
}

fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = String::from_utf8(run(Command::new(rustc).arg("-vV"))?)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

struct Graph<'a> {
    packages: BTreeMap<&'a str, &'a Value>,
    /// What a package links, tests and build scripts aside.
    edges: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> anyhow::Result<Self> {
        let id = |value: &'a Value| value["id"].as_str().context("a package without id");
        let mut packages = BTreeMap::new();
        for package in array(&metadata["packages"]) {
            packages.insert(id(package)?, package);
        }
        let mut edges = BTreeMap::new();
        for node in array(&metadata["resolve"]["nodes"]) {
            let normal = |dep: &&Value| array(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let linked = array(&node["deps"]).iter().filter(normal).filter_map(|dep| dep["pkg"].as_str());
            edges.insert(id(node)?, linked.collect());
        }
        Ok(Self { packages, edges })
    }

    fn linked(&self, id: &'a str) -> BTreeSet<String> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            for next in self.edges.get(id).into_iter().flatten() {
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        let name = |id: &&str| self.packages.get(id).and_then(|package| package["name"].as_str());
        seen.iter().filter_map(name).map(str::to_owned).collect()
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
impl Workspace {
    /// A workspace of these files only.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { files, ..Self::default() }
    }

    /// With a package more.
    pub(crate) fn with(mut self, name: &str, folder: &str, dependencies: &[&str]) -> Self {
        let names: BTreeSet<String> = dependencies.iter().map(|name| (*name).to_owned()).collect();
        let (name, folder) = (name.to_owned(), folder.to_owned());
        self.packages.push(Package { name, folder, direct: names.clone(), linked: names });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_workspace() {
        let workspace = Workspace::read().expect("readable");
        assert!(workspace.text("Cargo.toml").expect("there").contains("[workspace]"));
        assert!(workspace.below("crates/series/src/", ".rs").any(|(path, _)| path.ends_with("labels.rs")));
        let named = |name: &str| workspace.packages.iter().find(|p| p.name == name).expect("a member");
        assert_eq!(named("watchbell-series").folder, "crates/series");
        assert!(named("watchbell").direct.contains("watchbell-detect"));
        // Through watchbell-adapter-api.
        assert!(named("watchbell-host").linked.contains("tokio"));
        // Only its tests use it.
        assert!(!named("watchbell-series").linked.contains("proptest"));
    }
}
