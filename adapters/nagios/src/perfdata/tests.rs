use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use watchbell_series::Mode;

use super::*;
use watchbell_checks::testing::{Recorder, Running, problems_of};

const SERVICES: &[u8] = include_bytes!("../../testdata/nagios/service-perfdata.pnp");
/// A little after the recordings.
const NOW: i64 = 1_795_190_400;

fn line(time_s: i64, perfdata: &str) -> String {
    format!("[SERVICEPERFDATA]\t{time_s}\tweb-1\tall\t0.1\t0.1\tOK\t{perfdata}\n")
}

fn append(path: &Path, text: &[u8]) {
    let mut file = File::options().append(true).create(true).open(path).expect("opened");
    file.write_all(text).expect("written");
}

fn values(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.rsplit(' ').nth(1)).collect()
}

#[tokio::test]
async fn recorded_files_of_nagios_and_icinga() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorded: [(&str, &[u8]); 6] = [
        ("service.pnp", SERVICES),
        ("host.pnp", include_bytes!("../../testdata/nagios/host-perfdata.pnp")),
        ("service.template", include_bytes!("../../testdata/nagios/service-perfdata.template")),
        ("host.template", include_bytes!("../../testdata/nagios/host-perfdata.template")),
        ("service.icinga", include_bytes!("../../testdata/icinga2/service-perfdata")),
        ("host.icinga", include_bytes!("../../testdata/icinga2/host-perfdata")),
    ];
    let mut paths = Vec::new();
    for (name, text) in recorded {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        paths.push(path.display().to_string());
    }
    let lines: usize = recorded.iter().map(|(_, text)| text.iter().filter(|b| **b == b'\n').count()).sum();
    let source = Running::start::<PerfdataConfig>(json!({"files": paths, "interval": "100ms"}), None, NOW);
    let read = |source: &Running| source.metrics.counter(&LINES, &["nagios"]).get() as usize;
    source.until("all lines read", |source| read(source) == lines).await;
    for reason in ["form", "time", "name"] {
        assert_eq!(source.metrics.counter(&BAD_LINES, &["nagios", reason]).get(), 0.0, "{reason}");
    }
    let found = source.stop().await;
    for wanted in [
        "nagios_perfdata{command=\"load\",host=\"localhost\",label=\"load1\",service=\"load\"} gauge 2.24 @1795190253",
        "nagios_perfdata{command=\"disk\",host=\"localhost\",label=\"/\",service=\"disk\",unit=\"bytes\"} gauge 23222812672 @1795190250",
        "nagios_perfdata{host=\"localhost\",label=\"rta\",unit=\"seconds\"} gauge 0.000034 @1795191089",
        "nagios_perfdata{command=\"ping\",host=\"localhost\",label=\"pl\",service=\"ping\",unit=\"percent\"} gauge 0 @1795190255",
        "nagios_perfdata{command=\"procs\",host=\"localhost\",label=\"procs\",service=\"procs\"} gauge 187 @1795190618",
        "nagios_perfdata{host=\"localhost\",label=\"time\",service=\"http\",unit=\"seconds\"} gauge 0.000759 @1795191025",
    ] {
        assert!(found.iter().any(|line| line == wanted), "{wanted} in {found:#?}");
    }
}

#[tokio::test]
async fn a_followed_file_over_rotation_and_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, state) = (folder.path().join("perf"), folder.path().join("state"));
    let config = json!({"files": [path.clone()], "interval": "100ms", "labels": {"site": "x"}});
    append(&path, line(NOW - 9, "a=1").as_bytes());
    append(&path, line(NOW - 8, "a=2 b=").as_bytes());
    append(&path, b"[SERVICEPERFDATA]\t17951");
    let source = Running::start::<PerfdataConfig>(config.clone(), Some(state.clone()), NOW);
    source.until("two values", |source| source.recorder.lines().len() == 2).await;
    fs::rename(&path, folder.path().join("perf.1")).expect("renamed");
    append(&path, line(NOW - 6, "a=4").as_bytes());
    source.until("the new file", |source| source.recorder.lines().len() == 3).await;
    assert_eq!(source.metrics.counter(&FILES, &["nagios", "rotated"]).get(), 1.0);
    assert_eq!(source.metrics.counter(&BAD_LINES, &["nagios", "cut_off"]).get(), 1.0);
    assert_eq!(source.metrics.counter(&BAD_TOKENS, &["nagios", "unknown"]).get(), 1.0);
    source.until("the position", |_| state.join("positions.json").exists()).await;
    let before = source.stop().await;
    assert_eq!(values(&before), ["1", "2", "4"]);
    assert!(before[0].contains("site=\"x\""), "{before:?}");

    append(&path, line(NOW - 5, "a=5").as_bytes());
    let source = Running::start::<PerfdataConfig>(config, Some(state), NOW);
    source.until("what came meanwhile", |source| !source.recorder.lines().is_empty()).await;
    assert_eq!(values(&source.stop().await), ["5"]);
}

#[tokio::test]
async fn lines_wait_while_judging_is_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("perf");
    append(&path, line(NOW, "a=1").as_bytes());
    let recorder = Recorder { busy: 3.into(), ..Recorder::default() };
    let config = json!({"files": [path], "interval": "100ms"});
    let source = Running::start_with::<PerfdataConfig>(config, None, NOW, recorder);
    source.until("the value", |source| source.recorder.lines().len() == 1).await;
    assert_eq!(source.recorder.modes(), [Mode::Live]);
}

#[tokio::test]
async fn what_is_old_is_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("perf");
    append(&path, line(NOW - 86_400, "a=1").as_bytes());
    let source = Running::start::<PerfdataConfig>(json!({"files": [path], "interval": "100ms"}), None, NOW);
    source.until("the value", |source| source.recorder.lines().len() == 1).await;
    assert_eq!(source.recorder.modes(), [Mode::Backfill]);
    assert_eq!(source.metrics.gauge(&LAG, &["nagios"]).get(), 86_400.0);
}

#[tokio::test]
async fn a_spool_is_read_and_emptied() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("service-perfdata.2", line(NOW, "a=2")), ("service-perfdata.1", line(NOW - 1, "a=1 junk"))] {
        fs::write(folder.path().join(name), text).expect("written");
    }
    fs::write(folder.path().join("last"), "no line at all").expect("written");
    let source = Running::start::<PerfdataConfig>(json!({"spools": [folder.path()], "interval": "100ms"}), None, NOW);
    let empty = || fs::read_dir(folder.path()).expect("readable").count() == 0;
    source.until("an empty folder", |_| empty()).await;
    assert_eq!(source.metrics.counter(&FILES, &["nagios", "spooled"]).get(), 3.0);
    let mut found = source.stop().await;
    found.sort();
    assert_eq!(values(&found), ["1", "2"]);
}

#[tokio::test]
async fn a_pipe_with_and_without_a_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let source = Running::start::<PerfdataConfig>(json!({"pipes": [path.clone()], "interval": "100ms"}), None, NOW);
    source.until("the pipe", |_| path.exists()).await;
    for value in ["1", "2"] {
        // The writer goes away in between.
        let path = path.clone();
        let text = line(NOW, &format!("a={value}"));
        tokio::task::spawn_blocking(move || append(&path, text.as_bytes())).await.expect("written");
        source.until("the value", |source| values(&source.recorder.lines()).last() == Some(&value)).await;
    }
    source.stop().await;
}

#[tokio::test]
async fn a_file_that_can_not_be_read_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({"files": [folder.path()], "spools": ["/nonexistent/spool"], "interval": "100ms"});
    let source = Running::start::<PerfdataConfig>(config, None, NOW);
    source.until("errors", |source| source.metrics.counter(&ERRORS, &["nagios"]).get() >= 2.0).await;
    source.stop().await;
}

#[tokio::test]
async fn a_file_fails_until_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("perf");
    let source = Running::start::<PerfdataConfig>(json!({"files": [path], "interval": "100ms"}), None, NOW);
    let failure = (path.display().to_string(), "there is no such file".to_owned());
    source.until("it fails", |source| source.failing() == [failure.clone()]).await;
    append(&path, line(NOW, "a=1").as_bytes());
    source.until("the value", |source| source.recorder.lines().len() == 1).await;
    assert_eq!(source.failing(), []);
    source.stop().await;
}

#[test]
fn what_is_not_there_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("perf");
    append(&there, b"");
    let config = json!({
        "files": [there, folder.path().join("prf")], "spools": [folder.path().join("spol")], "pipes": [folder.path().join("pip")],
    });
    let config: PerfdataConfig = serde_json::from_value(config).expect("the shape is right");
    let source = config.prepare(&mut Problems::default()).expect("right");
    let found = source.warnings().into_vec();
    let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["files[1]", "spools[0]", "pipes[0]"]);
    assert_eq!(found[0].message, format!("there is no `{}` now", folder.path().join("prf").display()));
}

#[test]
fn problems() {
    assert_eq!(problems_of::<PerfdataConfig>(json!({"files": ["/a"], "spools": ["/b"]})), Vec::<String>::new());
    let found = problems_of::<PerfdataConfig>(json!({
        "files": ["/a", ""], "spools": ["/a"], "interval": "10ms", "labels": {"host": "x", "b-c": "y", "__name__": "z"}
    }));
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(problems_of::<PerfdataConfig>(json!({}))[0].starts_with("nothing to read"));
}

proptest! {
    #[test]
    fn any_lines_give_good_series(
        lines in proptest::collection::vec(
            (
                "(DATATYPE::SERVICEPERFDATA\tTIMET::7\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::|\
                  \\[HOSTPERFDATA\\]\t7\th\t0\tOK\t|)",
                proptest::collection::vec(any::<u8>(), 0..80),
                "[ab'=;:. 0-9mscB%\\[\\]]{0,40}",
            ),
            0..6,
        ),
    ) {
        let mut text = Vec::new();
        for (head, bytes, perfdata) in lines {
            text.extend_from_slice(head.as_bytes());
            text.extend_from_slice(perfdata.as_bytes());
            text.extend(bytes);
            text.push(b'\n');
        }
        let mut batch = RawBatch::default();
        let (values, _) = LineReader::default().read(&text, &mut batch);
        prop_assert_eq!(values, batch.series.len());
        for series in &batch.series {
            let labels = watchbell_series::labels::read_canonical(batch.label_bytes(series)).expect("good labels");
            prop_assert_eq!(labels.id().0, series.key);
            prop_assert!(batch.samples_of(series)[0].value.is_finite());
        }
    }
}
