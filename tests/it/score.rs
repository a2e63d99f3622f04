//! `watchbell score`: the contract of its files, and its exit codes.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::load::Noise;
use crate::support::watchbell::command;

const ROWS: usize = 400;
const SPIKE: usize = 350;

fn score(paths: &[&Path], out: &Path, more: &[&str]) -> Output {
    let paths = paths.iter().map(|path| path.to_str().expect("UTF-8"));
    let words: Vec<&str> =
        ["score", "--out", out.to_str().expect("UTF-8")].into_iter().chain(more.iter().copied()).chain(paths).collect();
    command(&words)
}

/// Rows of noise with one spike; `gap` rows have no value, `label` is a column that must not be read.
fn csv(columns: usize, label: bool) -> String {
    let mut noise = Noise(99);
    let mut text = "timestamp".to_owned();
    for column in 0..columns {
        write!(text, ",{}", if columns == 1 { "value".to_owned() } else { format!("m{column}") }).expect("written");
    }
    text += if label { ",label\n" } else { "\n" };
    for row in 0..ROWS {
        write!(text, "{}", 1_700_000_000 + row * 60).expect("written");
        for _ in 0..columns {
            let value = 10.0 + noise.next() + if row == SPIKE { 80.0 } else { 0.0 };
            if row == 200 {
                text.push(',');
            } else {
                write!(text, ",{value}").expect("written");
            }
        }
        text += if label { ",1\n" } else { "\n" };
    }
    text
}

/// Time, score and mark of each row of an output.
fn rows(path: &Path) -> Vec<(String, Option<f64>, bool)> {
    let text = fs::read_to_string(path).expect("an output");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("timestamp,score,is_anomaly"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), 3, "{line}");
        let score = (!cells[1].is_empty()).then(|| cells[1].parse().expect("a number"));
        (cells[0].to_owned(), score, cells[2] == "1")
    };
    lines.map(row).collect()
}

#[test]
fn each_row_has_its_score_and_the_spike_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (folder.path().join("data"), folder.path().join("new/out"));
    fs::create_dir(&data).expect("a folder");
    fs::write(data.join("plain.csv"), csv(1, false)).expect("written");
    fs::write(data.join("labelled.csv"), csv(1, true)).expect("written");
    fs::write(data.join("notes.txt"), "no data").expect("written");
    let mut packed = GzEncoder::new(fs::File::create(data.join("wide.csv.gz")).expect("a file"), Compression::fast());
    packed.write_all(csv(4, false).as_bytes()).expect("written");
    packed.finish().expect("written");

    let done = score(&[&data], &out, &["--mark", "onset"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let mut names: Vec<_> = fs::read_dir(&out).expect("a folder").map(|f| f.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["labelled.csv", "plain.csv", "wide.csv"]);
    for name in ["plain.csv", "wide.csv"] {
        let rows = rows(&out.join(name));
        assert_eq!(rows.len(), ROWS, "{name}");
        assert!(rows.iter().enumerate().all(|(n, row)| row.0 == (1_700_000_000 + n * 60).to_string()));
        assert_eq!(rows[0].1, None, "{name}: nothing is known at the first row");
        assert_eq!(rows[200].1, None, "{name}: no value, no score");
        let (_, spike, marked) = &rows[SPIKE];
        assert!(*marked && spike.is_some_and(|score| score > 1.0), "{name}: {spike:?}");
        let marks = rows.iter().filter(|row| row.2).count();
        assert!(marks <= 3, "{name}: {marks} rows are marked");
    }
    assert_eq!(rows(&out.join("labelled.csv")), rows(&out.join("plain.csv")), "a label is never read");
}

#[test]
fn scores_are_causal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (folder.path().join("whole.csv"), folder.path().join("cut.csv"));
    let text = csv(2, false);
    fs::write(&whole, &text).expect("written");
    let head: Vec<&str> = text.lines().take(301).collect();
    fs::write(&cut, head.join("\n") + "\n").expect("written");
    let out = folder.path().join("out");
    assert!(score(&[&whole, &cut], &out, &["--mark", "alarm"]).status.success());
    assert_eq!(rows(&out.join("cut.csv")), rows(&out.join("whole.csv"))[..300]);
}

#[test]
fn what_can_not_be_scored_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let out = path("out");
    fs::write(path("good.csv"), csv(1, false)).expect("written");
    fs::write(path("bad.csv"), "time,value\n1,2\n").expect("written");
    let some = score(&[&path("good.csv"), &path("bad.csv")], &out, &[]);
    let said = String::from_utf8_lossy(&some.stderr).into_owned();
    assert_eq!(some.status.code(), Some(1), "{said}");
    assert!(said.contains("bad.csv:1") && said.contains("`timestamp`"), "{said}");
    assert_eq!(rows(&out.join("good.csv")).len(), ROWS, "the other file is scored");
    assert!(!out.join("bad.csv").exists());

    fs::write(path("words.csv"), "timestamp,value\n1,2\n2,many\n").expect("written");
    let words = score(&[&path("words.csv")], &out, &[]);
    assert_eq!(words.status.code(), Some(0), "a cell that is no number is a missing value");
    assert!(String::from_utf8_lossy(&words.stderr).contains("`many`"));

    assert_eq!(score(&[&path("missing.csv")], &out, &[]).status.code(), Some(1));
    assert_eq!(command(&["score"]).status.code(), Some(2));
    assert_eq!(command(&["score", "x.csv", "--out", "y", "--mark", "everything"]).status.code(), Some(2));
}
