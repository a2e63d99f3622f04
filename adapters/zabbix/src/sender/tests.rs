use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

fn value(key: &str) -> ItemValue {
    ItemValue { host: "web-1".into(), key: key.into(), value: "1".to_owned(), time_ms: 5_000 }
}

/// A server that answers each connection with `pieces`, one write each, and keeps what it was sent.
struct Fake {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Fake {
    async fn start(pieces: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut bytes = Vec::new();
                let payload = loop {
                    if let Progress::Payload(payload) = frame::decode(&bytes, 1 << 20).expect("a frame") {
                        break payload;
                    }
                    assert!(stream.read_buf(&mut bytes).await.expect("read") > 0, "half a request");
                };
                let text = String::from_utf8(payload).expect("text");
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                for piece in &pieces {
                    stream.write_all(piece).await.expect("written");
                    stream.flush().await.expect("flushed");
                    tokio::task::yield_now().await;
                }
            }
        });
        Self { address, seen, task }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(text: &str) -> Vec<u8> {
    frame::encode(text.as_bytes(), false)
}

const TAKEN: &str = r#"{"response":"success","info":"processed: 1; failed: 1; total: 2; seconds spent: 0.000055"}"#;

fn trapper(nodes: Vec<String>, compress: bool) -> Trapper {
    Trapper::new(nodes, None, Duration::from_secs(5), compress)
}

#[tokio::test]
async fn values_go_and_counts_come_however_the_network_splits_them() {
    let pieces = answer(TAKEN).chunks(1).map(<[u8]>::to_vec).collect();
    let server = Fake::start(pieces).await;
    for compress in [false, true] {
        let values: Vec<ItemValue> = (0..250).map(|i| value(&format!("anomaly.score[item {i}]"))).collect();
        let counts = trapper(vec![server.address.clone()], compress).send(&values, 6_000).await;
        assert_eq!(counts, Ok(Counts { processed: 1, failed: 1 }));
    }
    let seen = server.seen();
    assert!(seen[0].contains("anomaly.score[item 249]") && seen[0] == seen[1], "{}", seen[0]);
}

#[tokio::test]
async fn the_next_node_of_a_cluster_is_asked_when_one_is_down() {
    let server = Fake::start(vec![answer(TAKEN)]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let mut trapper = trapper(vec![free.to_string(), server.address.clone()], false);
    assert!(trapper.send(&[value("a")], 0).await.is_ok());
    assert_eq!(trapper.name(), server.address);
    assert!(trapper.send(&[value("a")], 0).await.is_ok());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_may_have_been_taken_is_not_given_to_another_node() {
    let (mute, other) = (Fake::start(Vec::new()).await, Fake::start(vec![answer(TAKEN)]).await);
    let error = trapper(vec![mute.address.clone(), other.address.clone()], false).send(&[value("a")], 0).await;
    let error = error.expect_err("no answer");
    assert!(error.contains(&mute.address) && error.contains("hangs up"), "{error}");
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let web = Fake::start(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).await;
    let error = trapper(vec![web.address.clone()], false).send(&[value("a")], 0).await.expect_err("not Zabbix");
    assert!(error.contains("trapper port"), "{error}");
    let half = Fake::start(vec![answer(TAKEN)[..20].to_vec()]).await;
    let error = trapper(vec![half.address.clone()], false).send(&[value("a")], 0).await.expect_err("half an answer");
    assert!(error.contains("hangs up"), "{error}");
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = slow.local_addr().expect("an address").to_string();
    let mut trapper = Trapper::new(vec![address], None, Duration::from_millis(50), false);
    assert!(trapper.send(&[value("a")], 0).await.expect_err("silent").contains("no answer within 50ms"));
}

#[tokio::test]
async fn a_request_refused_as_a_whole_refuses_its_values() {
    let proxy =
        Fake::start(vec![answer(r#"{"response":"failed","redirect":{"revision":3,"address":"proxy-2:10051"}}"#)]).await;
    let counts = trapper(vec![proxy.address.clone()], false).send(&[value("a"), value("b")], 0).await;
    assert_eq!(counts, Ok(Counts { processed: 0, failed: 2 }));
}

#[test]
fn addresses() {
    let ok = |entry: &str| nodes(entry).expect("an address").join(" ");
    assert_eq!(ok("zabbix"), "zabbix:10051");
    assert_eq!(ok("zabbix:10052"), "zabbix:10052");
    assert_eq!(ok("node1;node2:20051"), "node1:10051 node2:20051");
    assert_eq!(ok("[::1]:10052"), "[::1]:10052");
    assert_eq!(ok("[::1]"), "[::1]:10051");
    assert_eq!(ok("::1"), "[::1]:10051");
    for entry in ["", "a:0", "a:x", "http://zabbix/", "a;", ":10051"] {
        assert!(nodes(entry).is_err(), "{entry}");
    }
}
