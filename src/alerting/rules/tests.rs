use std::fs;

use super::*;

fn load(files: &[(&str, &str)]) -> Result<Rules, Vec<RuleProblem>> {
    let temp = tempfile::tempdir().expect("temp dir");
    fs::create_dir(temp.path().join("detect")).expect("dir");
    for (name, text) in files {
        fs::write(temp.path().join("detect").join(name), text).expect("write");
    }
    Rules::load(Some(temp.path()))
}

fn problems(text: &str) -> Vec<String> {
    let problems = load(&[("mine.yaml", text)]).expect_err(text);
    problems.iter().map(|p| format!("{}:{} {}: {} ({})", p.line, p.column, p.field, p.message, p.hint)).collect()
}

#[test]
fn the_built_in_rules_are_sane() {
    let rules = Rules::builtin();
    let all = || rules.series.iter().chain(&rules.hosts).chain(&rules.fleet);
    let names: Vec<&str> = all().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["MetricAnomalous", "SeriesMissing", "PeerOutlier", "HostAnomalous", "FleetAnomalous"]);
    assert!(rules.series[2].is_about_peers() && !anomalous_wants_peers(&rules));
    let anomalous = &rules.series[0];
    assert!(anomalous.wants(Pattern::Spike) && anomalous.wants(Pattern::None) && !anomalous.wants(Pattern::Missing));
    assert!(rules.series[1].wants(Pattern::Missing) && !rules.series[1].wants(Pattern::None));
    let terms = Terms { score: 1.0, clear: 0.8, for_ms: 0, at_least: 2, of: 3, keep_firing_ms: 300_000 };
    assert_eq!(anomalous.terms, terms);
    assert_eq!((rules.under(0.8).count(), rules.under(1.0).count(), rules.under(1.1).count()), (0, 0, 2));
    for rule in all() {
        let names: Vec<&str> = rule.annotations.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..2], ["summary", "description"], "{}", rule.name);
    }
}

fn anomalous_wants_peers(rules: &Rules) -> bool {
    rules.series[0].wants(Pattern::PeerOutlier)
}

#[test]
fn outliers_among_peers_have_rules_of_their_own() {
    let found = problems("alerts:\n- alert: A\n  patterns: [spike, peer_outlier]\n");
    assert!(found[0].contains("alerts[0].patterns: `peer_outlier` stands beside others"), "{found:?}");
    let rules = load(&[("a.yaml", "alerts:\n- alert: A\n- alert: B\n  patterns: [peer_outlier]\n")]).expect("fine");
    let [a, b] = ["A", "B"].map(|name| rules.series.iter().find(|rule| rule.name == name).expect("a rule"));
    assert!(!a.wants(Pattern::PeerOutlier) && b.wants(Pattern::PeerOutlier) && !b.wants(Pattern::None));
}

#[test]
fn a_folder_of_the_users_changes_single_fields_and_adds_rules() {
    let rules = load(&[
        ("10-quiet.yaml", "alerts:\n- alert: SeriesMissing\n  enabled: false\n"),
        (
            "20-disk.yaml",
            "alerts:\n- alert: MetricAnomalous\n  for: 10m\n- alert: DiskAnomalous\n  select: 'node_disk_io_time_seconds_total{host=~\"db.*\"}'\n  score: 0.9\n  clear: 0.5\n  severity: critical\n  labels: {team: storage}\n",
        ),
        ("30-empty.yaml", "# nothing\n"),
        ("notes.txt", "not a rule file: ["),
    ])
    .expect("rules");
    let names: Vec<&str> = rules.series.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["MetricAnomalous", "PeerOutlier", "DiskAnomalous"]);
    assert_eq!((rules.series[0].terms.for_ms, rules.series[0].terms.of), (600_000, 3));
    let disk = &rules.series[2];
    assert_eq!(disk.labels, [("team".to_owned(), "storage".to_owned())]);
    assert_eq!(rules.under(0.95).map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["DiskAnomalous"]);
    assert_eq!(rules.under(0.9).count(), 0, "the edge itself is reported");
    let labels = Labels::series([("__name__", "node_disk_io_time_seconds_total"), ("host", "x")]).expect("labels");
    assert!(disk.selects(&labels, "db-1") && !disk.selects(&labels, "web-1"), "`host` is the entity");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = "\
alerts:
- alert: A
  scor: 2
  for: soon
  score: -1
  select: 'x{'
  hits: {at_least: 4, of: 3}
  labels: {severity: x, 'a b': c}
  annotations:
    summary: '{{nope}}'
- severity: page
- alert: A
- alert: B
  patterns: [spike, wobble]
  scope: planet
  enabled: maybe
  clear: 1.5
- alert: HostAnomalous
  select: '{job=\"node\"}'
- alert: C
  patterns: []
more: 1
";
    let found = problems(text);
    for want in [
        "3:3 alerts[0]: unknown field `scor` (did you mean `score`?)",
        "4:8 alerts[0].for: `soon` is no duration",
        "5:10 alerts[0].score: expected a score over 0",
        "6:11 alerts[0].select: selector `x{`",
        "7:9 alerts[0].hits: 4 of 3 samples can never be reached",
        "8:11 alerts[0].labels: label `severity` is the alert's own",
        "8:25 alerts[0].labels.a b: not a name",
        "alerts[0].annotations.summary: unknown placeholder `nope`",
        "11:3 alerts[1]: `alert` is missing",
        "12:3 alerts[2]: a second rule `A`",
        "14:21 alerts[3].patterns: unknown pattern `wobble`",
        "15:10 alerts[3].scope: unknown scope `planet`",
        "16:12 alerts[3].enabled: expected true or false, found `maybe`",
        "alerts[3]: `clear` 1.5 is over `score` 1",
        "18:3 alerts[4].select: a machine has no label `job`",
        "21:13 alerts[5].patterns: no kind of anomaly would begin it",
        "22:1 : unknown field `more` (known here: `alerts`, `metrics`)",
    ] {
        assert!(found.iter().any(|p| p.contains(want)), "`{want}` is not in {found:#?}");
    }
    assert_eq!(found.len(), 17, "{found:#?}");
}

#[test]
fn a_file_that_is_no_rule_file_is_named() {
    for (text, want) in [
        ("alerts: [\n", "check the YAML"),
        ("- a\n", "expected a mapping, found a list"),
        ("alerts: 7\n", "expected a list of rules, found `7`"),
        ("alerts: [1]\n", "expected a mapping, found `1`"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(want), "{text}: {found:?}");
    }
    let long = format!("# {}", "x".repeat(1 << 20));
    assert!(problems(&long)[0].contains("longer than"));
}

#[test]
fn a_problem_reads_like_a_compiler_message() {
    let problem = RuleProblem {
        file: "rules.d/detect/mine.yaml".into(),
        line: 4,
        column: 8,
        field: "alerts[0].for".to_owned(),
        message: "`soon` is no duration".to_owned(),
        hint: "write `5m`".to_owned(),
    };
    let text = "rules.d/detect/mine.yaml:4:8: alerts[0].for: `soon` is no duration\n  hint: write `5m`";
    assert_eq!(problem.to_string(), text);
}
