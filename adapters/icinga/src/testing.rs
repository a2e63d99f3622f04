//! What tests share: a server that answers as it is told, one request a connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watchbell_adapter_api::{HttpClientConfig, Problems, Span};

use crate::peer::Peer;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    body: String,
    /// Whether the connection stays open behind the body, which has no known length.
    open: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), open: false }
    }

    /// A stream that says this and then nothing.
    pub(crate) fn stream(body: &str) -> Self {
        Self { status: 200, body: body.to_owned(), open: true }
    }
}

/// A server; its requests are kept.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers with one of `replies` after the other.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter());
        Self::answering(move |_| replies.lock().unwrap_or_else(PoisonError::into_inner).next()).await
    }

    /// Answers with what `answer` says to the first line of a request; `None` closes the connection.
    pub(crate) async fn answering(answer: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Some(request) = read(&mut stream).await else { return };
                    let first = request.lines().next().unwrap_or_default().to_owned();
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    let Some(reply) = answer(&first) else { return };
                    let length =
                        if reply.open { String::new() } else { format!("content-length: {}\r\n", reply.body.len()) };
                    let head = format!("HTTP/1.1 {} X\r\n{length}connection: close\r\n\r\n", reply.status);
                    if stream.write_all((head + &reply.body).as_bytes()).await.is_ok() && reply.open {
                        // Until the client goes.
                        let _ = stream.read(&mut [0]).await;
                    }
                });
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        request.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|l| l.lines().next()?.trim().parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// A peer of user `u` with the password `hunter2`.
pub(crate) fn peer(url: &str) -> Peer {
    // Without a provider the client can not be built; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let auth = serde_json::json!({"basic_auth": {"username": "u", "password": "hunter2"}});
    let http: HttpClientConfig = serde_json::from_value(auth).expect("the shape is right");
    let mut problems = Problems::default();
    let peer = Peer::of(url, http, Span(Duration::from_secs(5)), &mut problems);
    peer.unwrap_or_else(|| panic!("{:?}", problems.into_vec()))
}
