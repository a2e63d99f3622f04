use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use watchbell_checks::testing::{Running, problems_of};
use watchbell_series::Subject;

use super::*;

const NOW: i64 = 1_795_704_020;

/// What a server says to the first line of a query and the rest of it.
type Answer = Arc<dyn Fn(&str, &str) -> Vec<u8> + Send + Sync>;

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, answer: Answer) {
    let mut stream = BufReader::new(stream);
    let mut query = String::new();
    while !query.ends_with("\n\n") {
        if stream.read_line(&mut query).await.unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(query.contains("OutputFormat: json\nResponseHeader: fixed16\n"), "{query}");
    let (first, rest) = query.split_once('\n').unwrap_or_default();
    let _ = stream.write_all(&answer(first, rest)).await;
}

fn framed(code: u16, body: &[u8]) -> Vec<u8> {
    [format!("{code} {:>11}\n", body.len()).as_bytes(), body].concat()
}

fn row(of_host: bool, state: u8, at_s: i64, depth: u32, perfdata: &str) -> Value {
    let names = if of_host { json!(["web-1"]) } else { json!(["web-1", "disk"]) };
    let mut row = names.as_array().cloned().unwrap_or_default();
    let rest = json!([
        "check_disk!x",
        state,
        1,
        1,
        at_s,
        0.5,
        0.25,
        false,
        depth,
        0,
        at_s - 5,
        "DISK",
        perfdata,
        1_795_703_000
    ]);
    row.extend(rest.as_array().cloned().unwrap_or_default());
    Value::Array(row)
}

/// A Livestatus whose service `disk` is as `disk` says: state, when, downtimes.
fn livestatus(disk: Arc<Mutex<(u8, i64, u32)>>) -> Answer {
    Arc::new(move |first, rest| {
        let (state, at_s, depth) = *disk.lock().unwrap_or_else(PoisonError::into_inner);
        let body = match first {
            "GET hosts" => json!([row(true, 0, NOW - 30, 0, "rta=1ms")]).to_string(),
            "GET services" => {
                let since = rest.split("last_check >= ").nth(1).and_then(|s| s.lines().next()?.parse::<i64>().ok());
                let is_new = since.is_none_or(|since| at_s >= since);
                json!(if is_new { vec![row(false, state, at_s, depth, "/=7B;5;9;0;10 stra\u{7f}e=1")] } else { vec![] })
                    .to_string()
            }
            _ => json!([
                [1, "web-1", "", 1_795_704_000, 1_795_705_000, 1, 0, "ada", "swap"],
                [2, "web-1", "disk", 1_795_704_000, 1_795_705_000, 0, 60, "ada", "flexible"]
            ])
            .to_string(),
        };
        // A byte of Latin-1 in the middle of JSON.
        let bytes = body.bytes().map(|b| if b == 0x7f { 0xdf } else { b }).collect::<Vec<_>>();
        framed(200, &bytes)
    })
}

async fn tcp(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answer)));
        }
    });
    address
}

#[tokio::test]
async fn states_values_and_context_by_a_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("live");
    let disk = Arc::new(Mutex::new((0, NOW - 20, 0)));
    let (listener, answer) = (UnixListener::bind(&path).expect("bound"), livestatus(Arc::clone(&disk)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answer)));
        }
    });
    let config = json!({"socket": path, "interval": "1s", "refresh": "1s", "labels": {"site": "x"}});
    let source = Running::start::<LivestatusConfig>(config, None, NOW);
    source.until("the windows", |source| !source.told.windows.lock().expect("free").is_empty()).await;
    let first = source.recorder.lines();
    for wanted in [
        "nagios_host_state{host=\"web-1\",site=\"x\"} gauge 0 @1795703990",
        "nagios_service_state{host=\"web-1\",service=\"disk\",site=\"x\"} gauge 0 @1795704000",
        "nagios_perfdata{command=\"check_disk\",host=\"web-1\",label=\"straße\",service=\"disk\",site=\"x\"} gauge 1 @1795704000",
        "nagios_perfdata{command=\"check_disk\",host=\"web-1\",label=\"rta\",site=\"x\",unit=\"seconds\"} gauge 0.001 @1795703990",
        "nagios_service_downtime{host=\"web-1\",service=\"disk\",site=\"x\"} gauge 0 @1795704020",
    ] {
        assert!(first.iter().any(|line| line == wanted), "{wanted} in {first:#?}");
    }
    let windows = source.told.windows.lock().expect("free").clone();
    assert_eq!(
        (windows.len(), &windows[0].subject),
        (1, &Subject::Host("web-1".into())),
        "the flexible one has not begun"
    );
    assert!(source.told.limits.lock().expect("free").iter().any(|limit| limit.name == "disk / warn"));
    // A problem, and the flexible downtime begins.
    *disk.lock().expect("free") = (2, NOW - 10, 1);
    source.until("two windows", |source| source.told.windows.lock().expect("free").len() == 2).await;
    source.until("a problem", |source| !source.told.problems.lock().expect("free").is_empty()).await;
    let problems = source.told.problems.lock().expect("free").clone();
    assert_eq!((problems[0].severity, problems[0].starts_ms), (4, (NOW - 15) * 1_000));
    let found = source.stop().await;
    let new: Vec<_> = found[first.len()..].iter().filter(|line| line.contains("nagios_service_state")).collect();
    assert_eq!(new, ["nagios_service_state{host=\"web-1\",service=\"disk\",site=\"x\"} gauge 2 @1795704010"]);
}

#[tokio::test]
async fn problems_that_ended_while_nobody_asked_get_their_ends() {
    let address = tcp(livestatus(Arc::new(Mutex::new((0, NOW - 20, 0))))).await;
    let open = [("web-1", "disk"), ("web-1", "gone")];
    let source = Running::start_again::<LivestatusConfig>(json!({"address": address}), NOW, &open);
    source.until("two ends", |source| source.ends().len() == 2).await;
    // One has been well since then, of the other Nagios says nothing.
    let wanted = [("web-1!disk@0".to_owned(), (NOW - 25) * 1_000), ("web-1!gone@0".to_owned(), NOW * 1_000)];
    assert_eq!(source.ends(), wanted);
    source.stop().await;
}

#[tokio::test]
async fn refusals_name_the_peer() {
    let wide = Duration::from_secs(5);
    for (answer, wanted) in [
        (
            framed(452, b"Error: Column 'x' does not exist in table 'hosts'.\n\nStacktrace:\n"),
            "refuses (452): Error: Column",
        ),
        (framed(413, b"too much"), "max_response_size"),
        (b"Table 'nothing' does not exist.".to_vec(), "is not Livestatus's: `Table 'nothing'"),
        (Vec::new(), "hung up"),
        (framed(200, b"[[1,2]]")[..20].to_vec(), "broke off after 4 of 7 bytes"),
        (b"200   268435457\n".to_vec(), "has 256 MiB, and at most 256 are read: let"),
    ] {
        let address = tcp(Arc::new(move |_, _| answer.clone())).await;
        let error = Peer::Address(address.clone()).ask("GET x\n", wide).await.expect_err("refused");
        assert!(error.contains(wanted) && error.contains(&address) && !error.contains("Stack"), "{error}");
    }
    let error = Peer::Socket("/nonexistent/live".into()).ask("GET x\n", wide).await.expect_err("no socket");
    assert!(error.contains("/nonexistent/live") && error.contains("is it loaded"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let error = Peer::Address(address).ask("GET x\n", Duration::from_secs(10)).await.expect_err("silent");
    assert!(error.contains("within 10 s"), "{error}");
}

#[tokio::test]
async fn bad_rows_are_counted_and_the_rest_is_taken() {
    let good = json!([["odd"], row(true, 0, NOW - 30, 0, "")]).to_string();
    let answer: Answer =
        Arc::new(move |first, _| framed(200, if first == "GET hosts" { good.as_bytes() } else { b"[]" }));
    let config = json!({"address": tcp(answer).await});
    let source = Running::start::<LivestatusConfig>(config, None, NOW);
    source.until("a bad row", |source| source.metrics.counter(&BAD_ROWS, &["nagios"]).get() == 1.0).await;
    assert!(source.stop().await.iter().any(|line| line.starts_with("nagios_host_state")));
}

#[test]
fn problems() {
    for good in [json!({"socket": "/a"}), json!({"address": "nagios:6557"}), json!({"address": "[::1]:6557"})] {
        assert_eq!(problems_of::<LivestatusConfig>(good), Vec::<String>::new());
    }
    for bad in [json!({}), json!({"address": "nagios"}), json!({"socket": "/a", "address": "nagios:1"})] {
        assert_eq!(problems_of::<LivestatusConfig>(bad).len(), 1);
    }
    let bad = json!({"socket": "/a", "interval": "10ms", "refresh": "1ms", "timeout": "1ms", "labels": {"host": "x"}});
    assert_eq!(problems_of::<LivestatusConfig>(bad).len(), 4);
}
