use std::fs;

use serde_json::json;

use super::*;
use watchbell_checks::testing::{Running, problems_of};

const RECORDED: &str = include_str!("../../testdata/nagios/status.dat");
const NOW: i64 = 1_795_191_880;

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("written");
    fs::rename(new, path).expect("renamed");
}

#[tokio::test]
async fn states_and_performance_data_of_a_recorded_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("status.dat");
    replace(&path, RECORDED);
    let config = json!({"path": path, "interval": "1s", "perfdata": true, "labels": {"site": "x"}});
    let source = Running::start::<StatusConfig>(config, None, NOW);
    source.until("the file", |source| !source.recorder.lines().is_empty()).await;
    let found = source.recorder.lines();
    for wanted in [
        "nagios_host_state{host=\"localhost\",site=\"x\"} gauge 0 @1795191865",
        "nagios_service_state{host=\"localhost\",service=\"disk\",site=\"x\"} gauge 0 @1795191876",
        "nagios_check_execution_seconds{host=\"localhost\",service=\"disk\",site=\"x\"} gauge 0.025 @1795191876",
        "nagios_service_downtime{host=\"localhost\",service=\"disk\",site=\"x\"} gauge 0 @1795191880",
        "nagios_perfdata{command=\"disk\",host=\"localhost\",label=\"/\",service=\"disk\",site=\"x\",unit=\"bytes\"} \
         gauge 29664215040 @1795191876",
    ] {
        assert!(found.iter().any(|line| line == wanted), "{wanted} in {found:#?}");
    }
    // The same file again says nothing; then one check has run, and someone set a downtime for another.
    let text = RECORDED.replacen("last_check=1795191876", "last_check=1795191886", 1);
    let at = text.find("service_description=http").expect("there");
    let (head, tail) = text.split_at(at);
    replace(&path, &format!("{head}{}", tail.replacen("scheduled_downtime_depth=0", "scheduled_downtime_depth=1", 1)));
    source.until("what is new", |source| source.recorder.lines().len() > found.len()).await;
    let new = source.stop().await.split_off(found.len());
    assert_eq!(new.len(), 4 + 3 + 3, "{new:#?}");
    assert!(
        new.iter()
            .any(|line| line.contains("service_downtime{host=\"localhost\",service=\"http\",site=\"x\"} gauge 1 "))
    );
}

#[tokio::test]
async fn problems_that_ended_while_nobody_read_get_their_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("status.dat");
    // The end of the file is not written yet: what stands behind it may last.
    let at = RECORDED.rfind("servicestatus {").expect("a service");
    replace(&path, &RECORDED[..at + 40]);
    let open = [("localhost", "disk"), ("localhost", "gone")];
    let source = Running::start_again::<StatusConfig>(json!({"path": path, "interval": "1s"}), NOW, &open);
    source.until("what is there", |source| !source.ends().is_empty()).await;
    assert!(source.ends()[0].0.starts_with("localhost!disk@"), "{:?}", source.ends());
    replace(&path, RECORDED);
    source.until("two ends", |source| source.ends().len() == 2).await;
    assert_eq!(source.ends()[1].0, "localhost!gone@0");
    source.stop().await;
}

#[tokio::test]
async fn own_results_are_not_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("status.dat");
    let block = |service: &str, perfdata: &str| {
        format!(
            "servicestatus {{\n\thost_name=a\n\tservice_description={service}\n\thas_been_checked=1\n\
             \tcurrent_state=1\n\tlast_check={NOW}\n\tperformance_data={perfdata}\n\t}}\n"
        )
    };
    replace(&path, &(block("Anomaly", "watchbell_score=1;1;2;0 watchbell_series=9;;;0") + &block("load", "load1=2")));
    let source = Running::start::<StatusConfig>(json!({"path": path, "perfdata": true}), None, NOW);
    source.until("the file", |source| !source.recorder.lines().is_empty()).await;
    let found = source.stop().await;
    assert!(found.iter().all(|line| line.contains("service=\"load\"")), "{found:#?}");
    assert_eq!(found.len(), 5);
}

#[tokio::test]
async fn a_file_that_is_not_there_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("status.dat");
    let source = Running::start::<StatusConfig>(json!({"path": path.clone(), "interval": "1s"}), None, NOW);
    source.until("an error", |source| source.metrics.counter(&ERRORS, &["nagios"]).get() > 0.0).await;
    replace(&path, RECORDED);
    source.until("the file", |source| !source.recorder.lines().is_empty()).await;
    source.stop().await;
}

#[test]
fn problems() {
    assert_eq!(problems_of::<StatusConfig>(json!({"path": "/a"})), Vec::<String>::new());
    let found = problems_of::<StatusConfig>(json!({"path": "", "interval": "10ms", "labels": {"host": "x"}}));
    assert_eq!(found.len(), 3, "{found:#?}");
}
