//! Every `tests/config/*.good.yaml` must pass, every `*.bad.yaml` must give exactly what its head expects.
//!
//! The head of a bad file has a line `# expect: LINE:COLUMN: path: message` for each problem in order,
//! each followed by `# hint: ...` where there is a hint. The kinds of source and sink here are small ones
//! made for these files: what they check is the reading of a config, not an adapter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, History, HistoryConfig, HistoryContext, HistoryDone, HistoryError, HistoryKind, HistoryRequest,
    HttpClientConfig, Prepared, Problems, Resource, ScoreSink, SinkConfig, SinkContext, SinkKind, Source, SourceConfig,
    SourceContext, SourceError, SourceKind, Span,
};

use super::*;
use crate::registry::Adapter;

const ADAPTERS: &[Adapter] = &[Adapter {
    name: "test",
    sources: &[SourceKind::of::<Host>(), SourceKind::of::<WriteIn>(), SourceKind::of::<Pages>()],
    sinks: &[SinkKind::of::<Exposition>()],
    histories: &[HistoryKind::of::<Archive>()],
}];

struct Idle(Vec<Resource>);

impl Source for Idle {
    fn resources(&self) -> Vec<Resource> {
        self.0.clone()
    }
    fn run(self: Box<Self>, _: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }
}

impl ScoreSink for Idle {
    fn resources(&self) -> Vec<Resource> {
        self.0.clone()
    }
    fn run(self: Box<Self>, _: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }
}

impl History for Idle {
    fn lookback_ms(&self) -> i64 {
        0
    }
    fn read(&self, _: HistoryRequest, _: HistoryContext) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
        Box::pin(async { Ok(HistoryDone::default()) })
    }
}

/// What the config that is built in sets of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the shapes matter here")]
struct Host {
    interval: Option<Span>,
}

impl SourceConfig for Host {
    const KIND: &'static str = "host";
    const SUMMARY: &'static str = "This machine.";
    fn prepare(self, _: &mut Problems) -> Option<Box<dyn Source>> {
        Some(Box::new(Idle(Vec::new())))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteIn {}

impl SourceConfig for WriteIn {
    const KIND: &'static str = "prometheus_remote_write_in";
    const SUMMARY: &'static str = "Takes remote write.";
    fn prepare(self, _: &mut Problems) -> Option<Box<dyn Source>> {
        Some(Box::new(Idle(vec![Resource::Route("/api/v1/write")])))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exposition {}

impl SinkConfig for Exposition {
    const KIND: &'static str = "prometheus_exposition";
    const SUMMARY: &'static str = "Serves scores.";
    fn prepare(self, _: &mut Problems) -> Option<Prepared> {
        Some(Prepared::Scores(Box::new(Idle(vec![Resource::Route("/scores")]))))
    }
}

/// A kind with every shape that a config struct can have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the shapes matter here")]
struct Pages {
    /// Pages to read. Each is a full address.
    #[schemars(length(min = 1))]
    urls: Vec<String>,
    #[serde(default)]
    interval: Option<Span>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    limit: u16,
    #[serde(default)]
    weight: Option<f64>,
    #[serde(default)]
    honor_labels: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    names: OneOrMany,
    #[serde(default)]
    http: HttpClientConfig,
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    list_file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// As Prometheus writes it.
    #[default]
    Text,
    /// As OpenMetrics says.
    OpenMetrics,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "only the shapes matter here")]
enum Step {
    Keep { regex: String },
    Drop { regex: String, invert: Option<bool> },
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the shapes matter here")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl SourceConfig for Pages {
    const KIND: &'static str = "pages";
    const SUMMARY: &'static str = "Reads pages.";
    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        for (i, url) in self.urls.iter().enumerate().filter(|(_, url)| !url.starts_with("http")) {
            problems.hint(format!("urls[{i}]"), format!("`{url}` is no address"), "begin it with `http://`");
        }
        if let Some(file) = &self.list_file {
            let text = std::fs::read(file).map_err(|error| format!("can not read `{}`: {error}", file.display()));
            problems.take("list_file", text);
        }
        problems.is_empty().then(|| Box::new(Idle(Vec::new())) as Box<dyn Source>)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the shapes matter here")]
struct Archive {
    /// Where it is.
    url: String,
}

impl HistoryConfig for Archive {
    const KIND: &'static str = "archive";
    const SUMMARY: &'static str = "Reads back.";
    fn prepare(self, _: &mut Problems) -> Option<Arc<dyn History>> {
        Some(Arc::new(Idle(Vec::new())))
    }
}

fn lookup(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("web-1".to_owned()),
        "LIMIT" => Some("500".to_owned()),
        "HOME" => Some("/home/someone".to_owned()),
        _ => None,
    }
}

fn check(text: &str) -> Result<Checked, Vec<Located>> {
    parse("watchbell.yaml", Path::new(""), text, &Overrides::default(), Registry::new(ADAPTERS), &lookup)
}

fn files(ending: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("readable").path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    assert!(!found.is_empty(), "no `{ending}` files");
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("readable"))).collect()
}

#[test]
fn good_files_pass() {
    for (path, text) in files(".good.yaml") {
        if let Err(problems) = check(&text) {
            let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}:\n{}", path.display(), shown.join("\n"));
        }
    }
}

#[test]
fn bad_files_give_exactly_what_they_expect() {
    let mut failures = String::new();
    for (path, text) in files(".bad.yaml") {
        let head = text.lines().take_while(|line| line.starts_with("# "));
        let expected: Vec<&str> = head.filter_map(|line| line.strip_prefix("# ")).collect();
        let mut got = Vec::new();
        for problem in check(&text).expect_err("a bad file is refused") {
            let line = problem.to_string();
            let mut lines = line.lines();
            let first =
                lines.next().and_then(|line| line.strip_prefix("watchbell.yaml:")).expect("begins with the file");
            got.push(format!("expect: {}", first.trim_start()));
            got.extend(lines.map(|line| line.trim_start().to_owned()));
        }
        if expected != got {
            failures += &format!("{}\n", path.display());
            got.iter().for_each(|line| failures += &format!("# {line}\n"));
        }
    }
    assert!(failures.is_empty(), "these files give:\n{failures}");
}

#[test]
fn what_is_built_in_is_right() {
    let checked = check(built_in::TEXT).expect("right");
    let names: Vec<&str> = checked.sources.iter().map(|source| &*source.name).collect();
    assert_eq!(names, ["host", "prometheus_remote_write_in"]);
    assert_eq!(checked.settings.http.listen.to_string(), "127.0.0.1:9797");
    assert_eq!(checked.settings.data_dir, Path::new("/home/someone/.local/share/watchbell"));
}

#[test]
fn absent_sources_and_sinks_are_the_built_in_ones() {
    let checked = check("timezone: Europe/Berlin").expect("right");
    assert_eq!((checked.sources.len(), checked.sinks.len()), (2, 1));
    assert!(check("sources: []").is_err(), "an empty list was written on purpose, and watches nothing");
}

#[test]
fn names_are_unique_and_stable() {
    let text = "sources: [{type: host}, {type: host, name: host-2}, {type: host}, {type: host}]";
    let names: Vec<String> = check(text).expect("right").sources.iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["host", "host-2", "host-3", "host-4"]);
}

#[test]
fn variables_reach_numbers_and_texts() {
    let checked = check("series: {max_series: '${LIMIT}', host_label: \"${HOST}\"}");
    assert!(checked.is_err(), "a text in quotes stays a text");
    let checked = check("series:\n  max_series: ${LIMIT}\n  host_label: ${HOST}").expect("right");
    assert_eq!(checked.settings.series.max_series, 500);
    assert_eq!(checked.settings.series.host_label.as_deref(), Some("web-1"));
}

#[test]
fn relative_paths_begin_where_the_file_is() {
    // Without a provider an HTTP client panics; a second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["rules", "secrets"] {
        std::fs::create_dir(folder.path().join(name)).expect("made");
    }
    std::fs::write(folder.path().join("secrets/token"), "t").expect("written");
    let text = "rules_dir: rules\ndata_dir: data\nsources:\n- type: prometheus_scrape\n  job_name: j\n  \
        file_sd_configs: [{files: [targets/*.yaml]}]\n  http: {authorization: {credentials_file: secrets/token}}\n";
    let path = folder.path().join("watchbell.yaml");
    std::fs::write(&path, text).expect("written");
    let checked = Config::load(&path, &Overrides::default()).expect("all files are found");
    assert_eq!(checked.settings.rules_dir, Some(folder.path().join("rules")));
    assert_eq!(checked.settings.data_dir, folder.path().join("data"));
    let files = &checked.sources[0].fingerprint["file_sd_configs"][0]["files"][0];
    assert_eq!(files.as_str(), folder.path().join("targets/*.yaml").to_str());
}

#[test]
fn the_paths_of_the_service_are_its_own() {
    let served = |path: &&str| !matches!(*path, "/scores" | "/api/v1/write");
    let mut own: Vec<&str> = crate::api::ROUTES.iter().map(|route| route.path).filter(served).collect();
    own.sort_unstable();
    // One path may have several methods.
    own.dedup();
    let mut kept = crate::api::OWN_PATHS;
    kept.sort_unstable();
    assert_eq!(own, kept);
    let text = "sinks:\n- type: prometheus_exposition\n  path: /metrics\n";
    let problems = Config::from_text("w", text, &Overrides::default()).expect_err("it is taken");
    assert!(problems.len() == 1 && problems[0].message.contains("watchbell itself"), "{problems:?}");
}

#[test]
fn overrides_go_first() {
    let overrides = Overrides { listen: "[::1]:80".parse().ok(), data_dir: Some("/var/lib/w".into()) };
    let text = "data_dir: /elsewhere\nhttp: {listen: nonsense}";
    let checked = parse("f", Path::new(""), text, &overrides, Registry::new(ADAPTERS), &lookup)
        .expect("what is overridden is not asked");
    assert_eq!(checked.settings.http.listen.port(), 80);
    assert_eq!(checked.settings.data_dir, Path::new("/var/lib/w"));
}

#[test]
fn files_that_are_no_configs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let problems = Config::load(&path, &Overrides::default()).expect_err("refused");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].file, path.display().to_string());
        (problems[0].line, problems[0].column, problems[0].message.clone())
    };
    assert_eq!(load("garbage", b"a: 1\nb: \xff\xfe\0"), (2, 4, "not a text file".to_owned()));
    assert_eq!(load("large", &vec![b'#'; 20 << 20]), (0, 0, "larger than 4 MiB".to_owned()));
    assert_eq!(load("empty", b""), (0, 0, "nothing is written in it".to_owned()));
    assert_eq!(load("comment", b"# later\n---\n"), (0, 0, "nothing is written in it".to_owned()));
    let absent = Config::load(&folder.path().join("absent"), &Overrides::default()).expect_err("refused");
    assert!(absent[0].message.starts_with("can not be read"), "{}", absent[0]);
}

#[test]
fn very_many_problems_are_told_in_short() {
    let text: String = (0..5_000).map(|i| format!("key{i}: 1\n")).collect();
    let problems = check(&text).expect_err("all are unknown");
    assert_eq!(problems.len(), 201);
    assert_eq!(problems[200].to_string(), "watchbell.yaml: and 4800 more problems");
}

#[test]
fn a_reload_sees_what_changed() {
    let outline = |text: &str| Outline::of(&check(text).expect(text));
    let old = outline(
        "sources: [{type: host}, {type: pages, name: a, urls: [http://a]}, {type: pages, name: b, urls: [http://b]}]",
    );
    let new = outline(
        "shards: 3\nhttp: {listen: '127.0.0.1:1'}\ndetect: {sensitivity: 2}\nhistory: {type: archive, url: x}\n\
         sources: [{type: pages, name: b, urls: [http://c]}, {type: pages, name: c, urls: [http://a]}, {type: host}]",
    );
    let difference = Difference::between(&old, &new);
    assert_eq!(difference.sources.added, ["c"]);
    assert_eq!(difference.sources.removed, ["a"]);
    assert_eq!(difference.sources.changed, ["b"]);
    assert!(difference.sinks.is_empty() && difference.history);
    assert_eq!(difference.settings, ["detect.sensitivity"]);
    assert_eq!(difference.restart, ["http.listen", "shards"]);
    assert!(Difference::between(&new, &new).is_empty());
}

#[test]
fn secrets_do_not_show() {
    let text = "http: {basic_auth: {username: u, password: hunter2}}\n\
                sources: [{type: pages, urls: [http://a], http: {basic_auth: {username: u, password: hunter2}}}]";
    let checked = check(text).expect("right");
    let shown = format!("{checked:?} {:?} {:?}", checked.sources[0], Outline::of(&checked));
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[-{}\\[\\]:,&*#'\"a-c \n\t!|>%@~$1-]{0,80}") {
        let _ = check(&text);
    }

    #[test]
    fn any_place_of_a_config_may_be_broken(at in 0usize..2_000, with in "[-{}\\[\\]:,&*'\" \n\ta0]{1,3}") {
        let text = include_str!("../../tests/config/everything.good.yaml");
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let _ = check(&format!("{}{with}{}", &text[..at], &text[at..]));
    }
}
