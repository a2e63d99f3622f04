//! Zabbix's sender protocol: values for trapper items, to the trapper port of a server or proxy.
//!
//! Source: Zabbix manual, "Zabbix sender protocol". One request a connection; the answer has only counts, so who was
//! refused is found by the groups that values are sent in.

pub mod frame;
pub mod message;
mod tls;

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use watchbell_adapter_api::seldom::Seldom;

use self::frame::Progress;
pub(crate) use self::message::{Counts, Said, clock};
pub(crate) use self::tls::Tls;
pub use self::tls::TrapperTls;
use crate::verdicts::ItemValue;

/// Longest answer that is read, in bytes; it is one line.
const LONGEST_ANSWER: usize = 64 * 1_024;
/// The trapper port unless one is written.
pub(crate) const PORT: u16 = 10_051;

/// A server or proxy, perhaps a cluster of which one node is active.
#[derive(Debug)]
pub(crate) struct Trapper {
    /// `host:port` of each node.
    nodes: Vec<String>,
    /// The node that answered last.
    active: usize,
    tls: Option<Tls>,
    timeout: Duration,
    compress: bool,
    said: Seldom,
}

impl Trapper {
    pub(crate) fn new(nodes: Vec<String>, tls: Option<Tls>, timeout: Duration, compress: bool) -> Self {
        Self { nodes, active: 0, tls, timeout, compress, said: Seldom::default() }
    }

    /// How it is called in messages.
    pub(crate) fn name(&self) -> &str {
        self.nodes.get(self.active).map_or("", String::as_str)
    }

    /// Hands over `values`; at most one connection to each node. A request that is refused as a whole refuses all of them.
    pub(crate) async fn send(&mut self, values: &[ItemValue], now_ms: i64) -> Result<Counts, String> {
        let frame = frame::encode(&message::request(values, now_ms), self.compress);
        let mut failures = Vec::new();
        for _ in 0..self.nodes.len() {
            match self.exchange(&frame).await {
                Ok(payload) => {
                    return Ok(match message::reply(&payload)? {
                        Said::Counts(counts) => counts,
                        Said::Refused(why) => {
                            if self.said.may(&why, now_ms) {
                                tracing::warn!(values = values.len(), "`{}`: {why}", self.name());
                            }
                            Counts { processed: 0, failed: values.len() }
                        }
                    });
                }
                Err(Failure { message, reached }) => {
                    failures.push(format!("`{}`: {message}", self.name()));
                    // What reached a node may have been taken there: the others must not have it too.
                    if reached {
                        break;
                    }
                    self.active = (self.active + 1) % self.nodes.len();
                }
            }
        }
        Err(failures.join("; "))
    }

    async fn exchange(&self, frame: &[u8]) -> Result<Vec<u8>, Failure> {
        let early = |message: String| Failure { message, reached: false };
        let connect = timeout(self.timeout, TcpStream::connect(self.name())).await;
        let stream = connect.map_err(|_| early(format!("no connection within {:?}", self.timeout)))?;
        let stream = stream.map_err(|error| early(format!("can not connect: {error}")))?;
        let answer = match &self.tls {
            None => timeout(self.timeout, talk(stream, frame)).await,
            Some(tls) => {
                let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
                let handshake = timeout(self.timeout, connector.connect(tls.name.clone(), stream)).await;
                let stream = handshake.map_err(|_| early(format!("no TLS within {:?}", self.timeout)))?;
                let stream = stream.map_err(|error| early(format!("TLS failed: {error}")))?;
                timeout(self.timeout, talk(stream, frame)).await
            }
        };
        let late = |message: String| Failure { message, reached: true };
        answer.map_err(|_| late(format!("no answer within {:?}", self.timeout)))?.map_err(late)
    }
}

struct Failure {
    message: String,
    /// Whether the node may have seen the request.
    reached: bool,
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, frame: &[u8]) -> Result<Vec<u8>, String> {
    let broken = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "it hangs up; does it want TLS?".to_owned()
        }
        _ => error.to_string(),
    };
    stream.write_all(frame).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::with_capacity(256);
    loop {
        match frame::decode(&answer, LONGEST_ANSWER).map_err(|error| error.to_string())? {
            Progress::Payload(payload) => return Ok(payload),
            Progress::Needs(_) => {
                if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
                    return Err("it hangs up without an answer; it may be stopping, or want TLS".to_owned());
                }
            }
        }
    }
}

/// The nodes that an entry of `servers` names: `host[:port]`, several with `;` between.
pub(crate) fn nodes(entry: &str) -> Result<Vec<String>, String> {
    entry
        .split(';')
        .map(|node| {
            let node = node.trim();
            let bracketed = node.starts_with('[') && node.ends_with(']');
            let (host, port) = match node.rsplit_once(':') {
                Some((host, port)) if !bracketed && (!host.contains(':') || host.ends_with(']')) => (host, port),
                // An IPv6 address needs brackets to have a port.
                Some(_) if !bracketed && node.parse::<std::net::Ipv6Addr>().is_ok() => {
                    return Ok(format!("[{node}]:{PORT}"));
                }
                _ => return named(node, PORT, entry),
            };
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            named(host, port.ok_or_else(|| format!("`{node}` has no port that is one"))?, entry)
        })
        .collect()
}

fn named(host: &str, port: u16, entry: &str) -> Result<String, String> {
    if host.is_empty() || host.contains(['/', ' ', '@']) {
        return Err(format!("`{entry}` is no address"));
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
