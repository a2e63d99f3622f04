//! `watchbell bench`: labelled sets in, measures out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::load::Noise;
use crate::support::watchbell::command;

const ROWS: usize = 600;

/// A gauge in noise, far up in the labelled rows 400 to 409, and once where no label is.
fn csv(columns: usize, false_alarm: bool) -> String {
    let mut noise = Noise(5);
    let mut text = format!("timestamp{},label\n", ",value".repeat(columns));
    for row in 0..ROWS {
        let labelled = (400..410).contains(&row);
        write!(text, "{}", 1_700_000_000 + 60 * row).expect("written");
        for _ in 0..columns {
            let up = if labelled || (false_alarm && row == 500) { 90.0 } else { 0.0 };
            write!(text, ",{}", 10.0 + noise.next() + up).expect("written");
        }
        writeln!(text, ",{}", u8::from(labelled)).expect("written");
    }
    text
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

/// The cell of `column` in the row that begins with `names`.
fn cell(csv: &str, names: &str, column: &str) -> String {
    let head: Vec<&str> = csv.lines().next().expect("a head").split(',').collect();
    let at = head.iter().position(|name| *name == column).expect("a column");
    let row = csv.lines().find(|line| line.starts_with(names)).expect("a row");
    row.split(',').nth(at).expect("a cell").to_owned()
}

#[test]
fn sets_are_measured_and_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let manifest = r#"{"dataset": "Gauges", "kind": "univariate",
        "series": {"bad": {"train_rows": 300, "interval_s": 60}, "good": {"train_rows": 300, "interval_s": 60}}}"#;
    write(&path("data/gauges/manifest.json"), manifest);
    write(&path("data/gauges/good.csv"), &csv(1, false));
    write(&path("data/gauges/bad.csv"), &csv(1, true));
    let start = 1_700_000_000;
    let window = format!("[[{}, {}]]", start + 60 * 395, start + 60 * 415);
    write(&path("data/gauges/windows.json"), &format!(r#"{{"good": {window}, "bad": {window}}}"#));
    write(&path("data/hosts/manifest.json"), r#"{"series": {"web": {"train_rows": 300}}}"#);
    write(&path("data/hosts/web.csv"), &csv(3, false));
    write(&path("data/logs/manifest.json"), r#"{"dataset": "Lines", "kind": "logs"}"#);

    let (data, out) = (path("data").display().to_string(), path("new/out").display().to_string());
    let done = command(&["bench", &data, "--out", &out]);
    let (said, told) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(said.contains("By set") && said.contains("NAB") && said.contains("gauges, odd"), "{said}");

    let read = |name: &str| fs::read_to_string(path("new/out").join(name)).expect("a file");
    let (sets, series) = (read("sets.csv"), read("series.csv"));
    let number = |csv: &str, names: &str, column: &str| cell(csv, names, column).parse::<f64>().expect("a number");
    assert_eq!(number(&sets, "gauges,all", "events"), 2.0);
    assert_eq!(number(&sets, "gauges,all", "found"), 2.0, "{sets}");
    assert_eq!(number(&series, "gauges,good", "false_alarms"), 0.0);
    assert_eq!(number(&series, "gauges,bad", "false_alarms"), 1.0);
    assert_eq!(number(&series, "gauges,good", "event_f1"), 1.0);
    assert_eq!(number(&series, "hosts,web", "found"), 1.0);
    assert!(number(&sets, "gauges,all", "nab_own_standard") > 50.0);
    assert_eq!(cell(&sets, "hosts,all", "nab_own_standard"), "", "no windows, no score");
    assert!(number(&series, "gauges,good", "vus_pr") > 0.5);
    let page = read("index.html");
    assert!(
        page.contains("id='gauges-bad'") && page.contains("class='wrong'") && !page.contains("http"),
        "a whole page"
    );

    let again = command(&["bench", &data, "--set", "gauges", "--format", "markdown"]);
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(said.contains("| gauges | 2 | 2 |") && !said.contains("| hosts"), "{said}");
}

#[test]
fn what_is_broken_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let failed = |words: &[&str], code: i32, want: &str| {
        let done = command(&[&["bench"], words].concat());
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{told}");
        assert!(told.contains(want), "{want}: {told}");
    };
    let shown = folder.path().display().to_string();
    failed(&[], 2, "<FOLDER>");
    failed(&["/no/such/folder"], 1, "is no folder");
    failed(&[&shown], 1, "holds no set");
    write(&path("kpi/manifest.json"), r#"{"series": {"a": {}, "b": {}}}"#);
    failed(&[&shown], 1, "there is no `a.csv`");
    failed(&[&shown, "--set", "kpy"], 1, "did you mean `kpi`?");
    // One series that can not be read does not hide the other, and still fails the command.
    write(&path("kpi/a.csv"), &csv(1, false));
    write(&path("kpi/b.csv"), "timestamp,value,label\n1,2,0\n2,3,x\n");
    failed(&[&shown], 1, "b.csv:3: `label` is `x`");
    failed(&[&shown], 1, "1 of 2 series failed");
    // Nor does one that is not there.
    write(&path("kpi/manifest.json"), r#"{"series": {"a": {}, "b": {}, "c": {}}}"#);
    failed(&[&shown], 1, "series `c`: there is no `c.csv`");
    failed(&[&shown], 1, "2 of 3 series failed");
}
