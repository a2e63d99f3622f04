use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use watchbell_checks::testing::result;

/// A server that answers each request with the next of `answers` and keeps the bodies it was sent.
async fn server(answers: Vec<(u16, &'static str)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/nrdp/", listener.local_addr().expect("an address"));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    tokio::spawn(async move {
        for (status, answer) in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
            let body = loop {
                let n = stream.read(&mut piece).await.expect("readable");
                request.extend_from_slice(&piece[..n]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                let length =
                    head.split("content-length: ").nth(1).and_then(|l| l.lines().next()?.parse::<usize>().ok());
                if body.len() >= length.expect("a length") {
                    break body.to_owned();
                }
            };
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            let text =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}", answer.len());
            stream.write_all(text.as_bytes()).await.expect("written");
        }
    });
    (url, bodies)
}

fn post(url: &str) -> Post {
    // Without a provider the client can not be built; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = HttpClientConfig::default().build(Duration::from_secs(5), &mut Problems::default());
    let token = Password::Text(Secret::new("hunter2"));
    Post { url: url.parse().expect("a URL"), token, client: client.expect("a client") }
}

#[tokio::test]
async fn results_are_posted_in_batches() {
    const OK: &str = r#"{"result":{"status":0,"message":"OK","meta":{"output":"500 checks processed."}}}"#;
    let (url, bodies) = server(vec![(200, OK), (200, r#"{"result":{"status":"0","message":"OK"}}"#)]).await;
    let results: Vec<_> = (0..BATCH + 1).map(|i| result(&format!("web-{i}"), 1, "a & b=ä")).collect();
    assert_eq!(post(&url).send(&results).await, Sent::all(&results));
    let bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(bodies.len(), 2);
    let form: Vec<(String, String)> =
        Url::parse(&format!("http://x/?{}", bodies[1])).expect("a form").query_pairs().into_owned().collect();
    assert_eq!(form[0], ("token".to_owned(), "hunter2".to_owned()));
    assert_eq!(form[1], ("cmd".to_owned(), "submitcheck".to_owned()));
    let json: serde_json::Value = serde_json::from_str(&form[2].1).expect("json");
    assert_eq!(
        json,
        json!({"checkresults": [{
            "checkresult": {"type": "service", "checktype": "1"}, "hostname": "web-500", "servicename": "Anomaly",
            "state": "1", "output": "a & b=ä|watchbell_score=1"
        }]})
    );
}

#[tokio::test]
async fn a_refusal_is_told_without_the_token() {
    for (status, answer, wanted) in [
        (200, r#"{"result":{"status":-1,"message":"BAD TOKEN"}}"#, "refused: BAD TOKEN"),
        (200, "<html>It works!</html>", "its answer is not NRDP's"),
        (404, "no", "answered 404"),
        (301, "", "answered 301"),
    ] {
        let (url, _) = server(vec![(status, answer)]).await;
        let sent = post(&url).send(&[result("web-1", 0, "x")]).await;
        let error = sent.error.expect("an error");
        assert!(sent.taken == 0 && error.contains(wanted) && error.contains("127.0.0.1"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = post("http://127.0.0.1:1/nrdp/").send(&[result("web-1", 0, "x")]).await.error.expect("an error");
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn problems() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let check = |config: serde_json::Value| {
        let config: NrdpConfig = serde_json::from_value(config).expect("the shape is right");
        let mut problems = Problems::default();
        assert_eq!(config.prepare(&mut problems).is_none(), !problems.is_empty());
        problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(check(serde_json::json!({"url": "http://a/nrdp/", "token": "x"})), Vec::<String>::new());
    assert_eq!(check(serde_json::json!({"url": "http://a/nrdp/"})).len(), 1);
    let found =
        check(serde_json::json!({"url": "http://u:hunter2@a/", "token": "x", "token_file": "/x", "timeout": "1ms"}));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(!found.join(" ").contains("hunter2"));
}
