//! The HTTP server: HTTP/1.1 and HTTP/2, with or without TLS, bounded in connections and in how long a
//! client may take for its headers, and drained at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use watchbell_adapter_api::Shutdown;

use super::routes::RouteTable;

/// How long a client may take to send the head of a request, and for the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may take to end at the shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// A bound server.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    max_connections: usize,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds `address`.
    ///
    /// # Errors
    /// The address is taken or not ours; the message names it.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        max_connections: usize,
    ) -> Result<Self, String> {
        let listener = TcpListener::bind(address).await.map_err(|e| {
            format!("can not listen on {address}: {e}\n  hint: is another watchbell running? `--listen` takes another address")
        })?;
        Ok(Self { listener, tls: tls.map(TlsAcceptor::from), max_connections })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `routes` until the shutdown, then waits for open requests.
    pub async fn run(self, routes: RouteTable, mut shutdown: Shutdown) {
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(self.max_connections));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.wait() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Usually too many open files: a pause lets some close.
                    tracing::warn!(%error, "can not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Acknowledgements are small and waited for.
            let _ = stream.set_nodelay(true);
            let (routes, watcher, tls) = (routes.clone(), graceful.watcher(), self.tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, routes, watcher, HEAD_TIMEOUT).await,
                    Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => serve(stream, routes, watcher, HEAD_TIMEOUT).await,
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake took too long"),
                    },
                }
                drop(permit);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

async fn serve<S>(stream: S, routes: RouteTable, watcher: hyper_util::server::graceful::Watcher, patience: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(Notify::new());
    let first = Arc::clone(&asked);
    let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        asked.notify_one();
        let routes = routes.current();
        async move { routes.oneshot(request.map(axum::body::Body::new)).await }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    // The server's own timeout begins with the protocol being known. Whoever does not even get there, or
    // never asks by HTTP/2, would hold a place for ever.
    let silent = async {
        if tokio::time::timeout(patience, first.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        },
        () = silent => tracing::debug!("a connection brought no request in time"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_client_that_asks_nothing_is_let_go() {
        for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (mut client, server) = tokio::io::duplex(1 << 16);
            let graceful = GracefulShutdown::new();
            let (routes, patience) = (RouteTable::new(axum::Router::new(), None), Duration::from_millis(20));
            tokio::spawn(serve(server, routes, graceful.watcher(), patience));
            client.write_all(sent).await.expect("sent");
            let mut answer = Vec::new();
            tokio::time::timeout(HEAD_TIMEOUT, client.read_to_end(&mut answer)).await.expect("closed").expect("read");
        }
    }
}
