use super::*;
use watchbell_series::Labels;

fn spec_of(rules: &Rules, labels: &[(&str, &str)]) -> (Option<String>, Meaning, bool) {
    let labels = Labels::series(labels.iter().copied()).expect("labels");
    let get = |name: &str| labels.get(name).unwrap_or("");
    let facts = rules.facts(labels.name());
    let mut rows = Vec::new();
    rules.rows(&facts, get, &mut rows);
    let watched = rules.watched(&facts, &rows, get);
    let kind = rules.kind(&rows).unwrap_or_default();
    let unit = rules.unit(&rows).unwrap_or_default();
    let unit = if kind == MetricKind::Counter { unit.rate() } else { unit };
    let name = rules.name(&rows);
    let judged_in = rules.common_unit(&rows).unwrap_or(unit);
    rules.judging(&rules.named(name.as_deref().unwrap_or(labels.name())), judged_in, get, &mut rows);
    let meaning = rules.meaning(&rows, kind, unit, true);
    (meaning.name.as_deref().map(str::to_owned), meaning.clone(), watched)
}

fn load(text: &str) -> Result<Rules, Vec<RuleProblem>> {
    Rules::load(&[("mine.yaml", text)], &[])
}

#[test]
fn the_built_in_rules_hold() {
    let rules = Rules::built_in().expect("built-in rules");
    assert!(rules.len() > 200, "{}", rules.len());
    for (labels, name, direction, watched) in [
        (&[(NAME, "node_load1"), ("instance", "a:9100")][..], Some("load.1m"), Direction::Up, true),
        (&[(NAME, "node_cpu_seconds_total"), ("mode", "idle")], Some("cpu.idle"), Direction::Down, true),
        (&[(NAME, "node_cpu_seconds_total"), ("mode", "user")], Some("cpu.user"), Direction::Up, true),
        (
            &[(NAME, "windows_logical_disk_free_bytes"), ("volume", "C:")],
            Some("filesystem.free"),
            Direction::Down,
            true,
        ),
        (&[(NAME, "pg_stat_activity_count"), ("state", "idle")], Some("database.sessions"), Direction::Up, true),
        (
            &[(NAME, "node_filesystem_avail_bytes"), ("fstype", "tmpfs")],
            Some("filesystem.available"),
            Direction::Down,
            false,
        ),
        (
            &[(NAME, "node_filesystem_avail_bytes"), ("fstype", "ext4")],
            Some("filesystem.available"),
            Direction::Down,
            true,
        ),
        (&[(NAME, "node_boot_time_seconds")], None, Direction::Both, false),
        (&[(NAME, "node_disk_io_time_seconds_total"), ("device", "sda")], Some("disk.busy"), Direction::Up, true),
        (&[(NAME, "process_start_time_seconds")], None, Direction::Both, false),
        (&[(NAME, "scrape_duration_seconds")], None, Direction::Both, false),
        (&[(NAME, "my_app_errors_total")], None, Direction::Up, true),
        (&[(NAME, "my_app_queue_length")], None, Direction::Both, true),
    ] {
        let (got, meaning, is_watched) = spec_of(&rules, labels);
        assert_eq!((got.as_deref(), meaning.spec.direction, is_watched), (name, direction, watched), "{labels:?}");
    }
}

#[test]
fn kinds_of_untyped_metrics() {
    let rules = Rules::built_in().expect("built-in rules");
    for (name, kind) in [
        ("node_vmstat_pgfault", MetricKind::Counter),
        ("node_netstat_Tcp_CurrEstab", MetricKind::Gauge),
        ("node_netstat_Tcp_InSegs", MetricKind::Counter),
        ("mysql_global_status_threads_running", MetricKind::Gauge),
        ("mysql_global_status_handlers_total", MetricKind::Counter),
        ("mysql_global_status_open_tables", MetricKind::Gauge),
        ("container_network_tcp_usage_total", MetricKind::Gauge),
    ] {
        assert_eq!(spec_of(&rules, &[(NAME, name)]).1.kind, kind, "{name}");
    }
}

#[test]
fn users_files_go_first_and_only_say_what_differs() {
    let rules = load("metrics:\n  - {metric: node_load1, min_deviation: 3}\n").expect("rules");
    let (name, meaning, _) = spec_of(&rules, &[(NAME, "node_load1")]);
    assert_eq!((name.as_deref(), meaning.spec.min_deviation), (Some("load.1m"), 3.0));
    assert_eq!(meaning.spec.direction, Direction::Up);
}

#[test]
fn watch_ignore_keep() {
    let rules = load(
        "watch: ['{job=\"a\"}']\nignore: ['{__name__=~\"x_.*\"}']\nkeep: ['x_kept']\n\
         metrics: [{metric: x_forced, watch: true}, {metric: y_off, watch: false}]",
    )
    .expect("rules");
    let watched = |name, job| spec_of(&rules, &[(NAME, name), ("job", job)]).2;
    assert!(watched("y", "a") && watched("x_kept", "a") && watched("x_forced", "a"));
    assert!(!watched("y", "b") && !watched("x_other", "a") && !watched("y_off", "a"));
}

#[test]
fn all_problems_with_file_line_field_and_hint() {
    let text = "metrics:\n  - {metric: a, unit: furlong}\n  - {pattern: '('}\n  - {name: x}\n  - {metric: b, legal_min: 2, \
                legal_max: 1}\n  - {metric: c, sensitivity: 0, bad: sideways, name: 'Load 1'}\nwatch: ['{job=node}']\n";
    let problems = load(text).expect_err("problems");
    let said: Vec<(usize, &str)> = problems.iter().map(|p| (p.line, p.field.as_str())).collect();
    for want in [
        (2, "metrics[0].unit"),
        (3, "metrics[1].pattern"),
        (4, "metrics[2]"),
        (5, "metrics[3]"),
        (6, "metrics[4].sensitivity"),
        (6, "metrics[4].bad"),
        (6, "metrics[4].name"),
        (7, "watch[0]"),
    ] {
        assert!(said.contains(&want), "{want:?} in {said:?}");
    }
    assert!(problems.iter().all(|p| p.file == "mine.yaml"));
    assert!(problems[0].to_string().contains("mine.yaml:"));
}

#[test]
fn broken_yaml_says_where() {
    let problems = load("metrics:\n  - {metric: [a]}\n").expect_err("problems");
    assert_eq!((problems.len(), problems[0].line), (1, 2), "{problems:?}");
    assert!(load("metrics: [").is_err());
    assert!(load("watch: []").expect_err("a problem")[0].message.contains("nothing would be watched"));
    assert!(load("# nothing but a comment\n").is_ok());
}

#[test]
fn built_in_mappings_only_say_what_a_metric_is() {
    let rules = Rules::built_in().expect("built-in rules");
    for row in &rules.rows {
        let judges = row.direction.is_some()
            || row.min_deviation.or(row.min_relative_deviation).or(row.sensitivity).is_some()
            || row.legal_min.or(row.legal_max).is_some()
            || row.flatline.or(row.missing).is_some();
        let place = rules.place(row.place);
        assert_eq!(judges, place.starts_with("rules/detect/"), "{place}");
    }
}

#[test]
fn judging_by_the_name_in_common_words_and_by_unit() {
    let detect = "metrics:\n  - {name: load.1m, min_deviation: 7}\n  - {pattern: 'my_.*', unit: seconds, bad: up}\n";
    let rules = Rules::load(&[("m.yaml", "metrics: [{metric: node_load5, bad: both}]")], &[("d.yaml", detect)]);
    let rules = rules.expect("rules");
    let (_, meaning, _) = spec_of(&rules, &[(NAME, "node_load1")]);
    assert_eq!((meaning.spec.min_deviation, meaning.spec.direction), (7.0, Direction::Up), "the rest is built in");
    let places = rules.provenance(&meaning.rows);
    assert_eq!(places.min_deviation.as_deref(), Some("d.yaml:2"));
    assert!(places.direction.is_some_and(|place| place.starts_with("rules/detect/cpu.yaml (built in):")));
    let (_, meaning, _) = spec_of(&rules, &[(NAME, "node_load5")]);
    assert_eq!(meaning.spec.direction, Direction::Both, "a user's mapping still judges");
    let mapped = Rules::load(&[("m.yaml", "metrics: [{metric: my_time, unit: seconds}]")], &[("d.yaml", detect)]);
    let mapped = mapped.expect("rules");
    assert_eq!(spec_of(&mapped, &[(NAME, "my_time")]).1.spec.direction, Direction::Up);
    assert_eq!(spec_of(&mapped, &[(NAME, "my_other")]).1.spec.direction, Direction::Both, "of another unit");
}

#[test]
fn all_problems_of_detect_files_with_their_lines() {
    let text = "alerts: [{alert: X}]\nmetrics:\n  - {name: a, bad: sideways, min_deviation: -1}\n  - {bad: up}\n\
                \x20 - {name: a, pattern: b, flatline: 3}\n  - {name: a, watch: false, colour: red}\n  - {name: a}\n\
                \x20 - {pattern: '(', legal_min: 2, legal_max: [1]}\n  - {name: a, legal_min: 2, legal_max: 1, unit: ell}\n";
    let problems = Rules::load(&[], &[("d.yaml", text)]).expect_err("problems");
    let said: Vec<(usize, &str)> = problems.iter().map(|p| (p.line, p.field.as_str())).collect();
    for want in [
        (3, "metrics[0].bad"),
        (3, "metrics[0].min_deviation"),
        (4, "metrics[1]"),
        (5, "metrics[2].flatline"),
        (5, "metrics[2]"),
        (6, "metrics[3].watch"),
        (6, "metrics[3].colour"),
        (7, "metrics[4]"),
        (8, "metrics[5].pattern"),
        (8, "metrics[5].legal_max"),
        (9, "metrics[6]"),
        (9, "metrics[6].unit"),
    ] {
        assert!(said.contains(&want), "{want:?} in {said:?}");
    }
    assert!(problems.iter().all(|p| p.file == "d.yaml"));
    for fine in ["", "# a comment\n", "alerts: []\n", "not: [yaml"] {
        assert!(Rules::load(&[], &[("d.yaml", fine)]).is_ok(), "{fine:?} is for others to tell of");
    }
    assert!(Rules::load(&[], &[("d.yaml", "metrics: {a: b}")]).is_err());
}

#[test]
fn every_file_of_detect_is_compiled_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/detect");
    for file in std::fs::read_dir(folder).expect("the folder of rules") {
        let name = file.expect("a file").file_name().into_string().expect("UTF-8");
        let known = BUILT_IN_DETECT.iter().any(|(known, _)| known.contains(&format!("/{name} ")));
        assert!(known || name == "alerts.yaml", "{name} is asked by nobody");
    }
}

#[test]
fn nagios_plugins_have_the_words_of_exporters() {
    let rules = Rules::built_in().expect("built-in rules");
    for (nagios, prometheus) in [
        (&[("label", "load1")][..], &[(NAME, "node_load1")][..]),
        (&[("label", "swap"), ("unit", "bytes")], &[(NAME, "node_memory_SwapFree_bytes")]),
        (&[("label", "offset"), ("unit", "seconds")], &[(NAME, "node_timex_offset_seconds")]),
        (&[("label", "time"), ("unit", "seconds")], &[(NAME, "probe_duration_seconds")]),
        (&[("label", "rta"), ("unit", "seconds")], &[(NAME, "probe_icmp_duration_seconds")]),
        (
            &[("label", "time"), ("unit", "seconds"), ("command", "check_dns")],
            &[(NAME, "probe_dns_lookup_time_seconds")],
        ),
    ] {
        let labels: Vec<_> = nagios.iter().copied().chain([(NAME, "nagios_perfdata"), ("host", "a")]).collect();
        let (name, ours, watched) = spec_of(&rules, &labels);
        let (wanted, theirs, _) = spec_of(&rules, prometheus);
        assert_eq!((name, watched), (wanted, true), "{nagios:?}");
        assert_eq!((ours.spec.direction, ours.spec.unit), (theirs.spec.direction, theirs.spec.unit), "{nagios:?}");
    }
    for (label, unit, command, name) in [
        ("/", "bytes", "", Some("filesystem.used")),
        ("C:\\ Used Space", "bytes", "", Some("filesystem.used")),
        ("C:\\ free", "bytes", "", Some("filesystem.free")),
        ("data", "bytes", "check_disk_all", Some("filesystem.used")),
        ("/", "percent", "", Some("filesystem.used.percent")),
        ("procs", "", "", Some("process.count")),
        ("pl", "percent", "", Some("probe.loss")),
        ("10.0.0.1rta", "seconds", "", Some("probe.icmp.duration")),
        ("size", "bytes", "check_http", Some("probe.http.length")),
        ("Questions", "", "check_mysql", Some("database.queries")),
        ("something", "", "", None),
    ] {
        let labels = [(NAME, "nagios_perfdata"), ("host", "a"), ("label", label), ("unit", unit), ("command", command)];
        let (got, meaning, _) = spec_of(&rules, &labels);
        assert_eq!(got.as_deref(), name, "{label} {unit} {command}");
        assert_eq!(meaning.spec.unit.as_str(), if unit.is_empty() { "none" } else { unit }, "{label}");
    }
}

#[test]
fn every_name_of_other_tools_is_judged_by_subject() {
    let rules = Rules::built_in().expect("built-in rules");
    for row in &rules.rows {
        let (Some(name), file) = (&row.name, rules.place(row.place)) else { continue };
        if file.starts_with("rules/mappings/prometheus.yaml") {
            continue;
        }
        assert!(!rules.named(name).is_empty(), "{file}: no row of rules/detect says what matters about {name}");
    }
}

#[test]
fn rules_in_common_units_are_converted_to_those_of_the_series() {
    let rules = Rules::built_in().expect("built-in rules");
    let bits = [(NAME, "zabbix_net_if_in"), ("p1", "eth0"), ("unit", "bps"), ("host", "a")];
    let (name, meaning, _) = spec_of(&rules, &bits);
    assert_eq!((name.as_deref(), meaning.spec.unit), (Some("network.receive.bytes"), Unit::BitsPerSecond));
    assert_eq!((meaning.common_unit, meaning.factor), (Unit::BytesPerSecond, 0.125));
    assert_eq!(meaning.spec.min_deviation, 4096.0 * 8.0, "4 KiB a second are as many bits");
    let (_, meaning, _) = spec_of(&rules, &[(NAME, "zabbix_system_cpu_util"), ("p2", "idle"), ("unit", "%")]);
    assert_eq!((meaning.spec.min_deviation, meaning.spec.direction), (5.0, Direction::Down));
    let (_, meaning, _) = spec_of(&rules, &[(NAME, "node_cpu_seconds_total"), ("mode", "idle")]);
    assert_eq!((meaning.spec.min_deviation, meaning.common_unit), (0.05, Unit::SecondsPerSecond));
    for wrong in ["common_unit: bytes", "factor: 2", "common_unit: bytes, factor: 0", "common_unit: ell, factor: 2"] {
        assert!(load(&format!("metrics: [{{metric: a, {wrong}}}]")).is_err(), "{wrong}");
    }
}

#[test]
fn rows_of_one_file_that_contradict() {
    let told =
        |text: &str| -> Vec<String> { load(text).err().unwrap_or_default().iter().map(ToString::to_string).collect() };
    let text = "metrics:\n  - {metric: a, name: x}\n  - {metric: a, labels: '{b=\"c\"}', name: y}\n  - {metric: a, unit: bytes}\n  - {metric: a, name: z}\n";
    let problems = told(text);
    assert!(
        problems.len() == 1
            && problems[0].starts_with("mine.yaml:5: metrics[3]: `name` never holds: the row of line 2 "),
        "{problems:#?}"
    );
    assert_eq!(told("metrics:\n  - {pattern: 'a.*', watch: true}\n  - {pattern: 'a.*', watch: true}\n").len(), 0);
    assert_eq!(told("metrics:\n  - {pattern: 'a.*', watch: true}\n  - {pattern: 'a.*', watch: false}\n").len(), 1);
    // Of two files the first corrects the second.
    let files = [("one", "metrics: [{metric: a, name: x}]"), ("two", "metrics: [{metric: a, name: y}]")];
    assert!(Rules::load(&files, &[]).is_ok());
}

#[test]
fn a_pattern_that_is_none_is_told_in_one_line() {
    for text in ["metrics:\n  - {pattern: 'node_(load'}\n", "hosts:\n  names: [{pattern: 'node_(load', host: a}]\n"] {
        let problem = load(text).expect_err("a problem")[0].to_string();
        assert!(
            problem.contains("pattern: `node_(load` is no regular expression: unclosed group\n  hint: "),
            "{problem}"
        );
    }
}
