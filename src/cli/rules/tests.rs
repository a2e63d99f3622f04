use std::path::Path;

use super::*;

/// What is wrong with a test of these lines, by the built-in rules.
fn faults(text: &str) -> Vec<String> {
    let file = file::parse(Path::new("t.yaml"), text, None).expect("a right file");
    file.cases.iter().flat_map(|case| case::run(&file, case)).collect()
}

const QUIET: &str = "tests:\n  - name: x\n    series:\n      - {series: 'node_load1{instance=\"a:1\"}', values: '5x600 60x5', noise: 0.3}\n";

#[test]
fn what_is_as_expected_passes() {
    let text = format!(
        "{QUIET}    mapping: [{{name: load.1m, host: a, bad: up, min_deviation: 0.5, flatline: false}}]\n    \
         scores: [{{from: 1h, to: 9h, under: 1}}, {{at: 10h2m, over: 1, pattern: spike}}]\n    \
         alerts: [{{at: 9h, firing: []}}, {{at: 10h4m, alert: MetricAnomalous, firing: [{{host: a}}]}}]\n"
    );
    assert_eq!(faults(&text), Vec::<String>::new());
}

#[test]
fn each_difference_is_told_with_its_line() {
    let text = format!(
        "{QUIET}    mapping:\n      - {{name: load.5m, bad: down, sensitivity: 2}}\n      - {{series: up, name: x}}\n      - {{watched: false}}\n    \
         scores:\n      - {{from: 1h, to: 9h, over: 1}}\n      - {{at: 1m, under: 1}}\n      - {{at: 10h2m, pattern: dip}}\n    \
         alerts:\n      - {{at: 10h4m, firing: []}}\n      - {{at: 9h, alert: MetricAnomalous, firing: [{{host: a}}]}}\n"
    );
    let faults = faults(&text);
    let has = |words: &[&str]| faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)));
    for words in [
        &["t.yaml:6:", "want: name: load.5m", "got:  name: load.1m", "want: bad: down", "want: sensitivity: 2"][..],
        &["t.yaml:7:", "selects no judged series"],
        &["t.yaml:8:", "want: not watched"],
        &["t.yaml:10: after 1h:", "want: score over 1", "got:  score 0."],
        &["t.yaml:10: and further times"],
        &["t.yaml:11:", "got:  no score (warming)"],
        &["t.yaml:12:", "want: pattern dip", "pattern spike"],
        &["t.yaml:14:", "got:  ", "MetricAnomalous"],
        &["t.yaml:15:", "want: {host=\"a\"}", "nothing fires"],
    ] {
        assert!(has(words), "{words:?} in {faults:#?}");
    }
}

#[test]
fn files_that_are_wrong_say_where() {
    for (text, want) in [
        ("tests: []\n", "t.yaml: no tests in it"),
        ("# nothing\n", "t.yaml: no tests in it"),
        ("tests:\n  - {name: x, series: [], scores: []}\n", "t.yaml:2: a test needs `series`"),
        (
            "tests:\n  - name: x\n    series: [{series: a, values: '1xx'}]\n    scores: []\n",
            "t.yaml:3: `1xx` is no value",
        ),
        ("tests:\n  - name: x\n    series: [{series: '{a=~\"b\"}', values: '1'}]\n", "t.yaml:3:"),
        ("tests:\n  - name: x\n    series: [{series: a}]\n", "t.yaml:3: a series needs either `values`"),
        ("tests:\n  - name: x\n    series: [{series: a, values: '1'}]\n    colour: red\n", "t.yaml:4:"),
        (
            "tests:\n  - {name: x, series: [{series: a, values: '1', nois: 2}], scores: [{at: 1m, ovr: 1}, {at: 1h, over: x}]}\n",
            "tests[0].series[0].nois: unknown key `nois`\n  hint: did you mean `noise`?",
        ),
        (
            "tests:\n  - {name: x, series: [{series: a, values: '1', nois: 2}], scores: [{at: 1m, ovr: 1}, {at: 1h, over: x}]}\n",
            "tests[0].scores[0].ovr: unknown key `ovr`\n  hint: did you mean `over`?",
        ),
        (
            "tests:\n  - {name: x, series: [{series: a, values: '1', nois: 2}], scores: [{at: 1m, ovr: 1}, {at: 1h, over: x}]}\n",
            "tests[0].scores[1].over: expected a number, found `x`",
        ),
        ("interval: ten\ntests: []\n", "t.yaml:1: `ten` is no duration"),
        (
            "tests:\n  - name: x\n    series: [{series: a, values: '1'}]\n    scores:\n      - {at: 1m, over: 1, pattern: odd}\n",
            "t.yaml:5: unknown pattern `odd`; known here: ",
        ),
        (
            "tests:\n  - name: x\n    series: [{series: a, values: '1'}, {series: b, values: '1'}]\n    scores: [{at: 0, over: 1}]\n",
            "t.yaml:4: which series?",
        ),
        (
            "tests:\n  - name: x\n    series: [{series: a, values: '1'}]\n    alerts:\n      - {at: 1m, alert: MetricAnomalos, firing: []}\n",
            "t.yaml:5: no rule is called `MetricAnomalos`; did you mean `MetricAnomalous`?",
        ),
        ("rules_dir: nowhere\ntests: []\n", "rules_dir: `nowhere` is no folder of rules"),
    ] {
        let problems = file::parse(Path::new("t.yaml"), text, None).expect_err(text);
        assert!(problems.iter().any(|problem| problem.contains(want)), "{want} in {problems:#?}");
    }
}

#[test]
fn what_is_wrong_with_rules_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    };
    write("rules/mappings/own.yaml", "metrics:\n  - {metric: a, nam: b}\n");
    let case = "tests:\n  - {name: x, series: [{series: a, values: '1'}], mapping: [{watched: true}]}\n";
    let paths = vec![write("one.yaml", case), write("two.yaml", case)];
    let problems = |rules_dir: &Path| {
        let args = TestArgs { paths: paths.clone(), rules_dir: Some(rules_dir.to_owned()) };
        let error = super::test(&args).expect_err("no rules");
        error.downcast_ref::<ConfigProblems>().expect("problems of configs").0.clone()
    };
    let told = problems(&folder.path().join("rules"));
    assert!(told.len() == 1 && told[0].contains("own.yaml:2"), "{told:#?}");
    let told = problems(Path::new("nowhere"));
    assert!(told.len() == 1 && told[0].contains("`nowhere` is no folder of rules\n  hint: "), "{told:#?}");
}
