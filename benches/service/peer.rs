//! A program under load: started on a free port of loopback, asked for what it costs, restarted, killed when dropped.

use std::fs::File;
use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

/// How long a program may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time itself")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "live samples carry the time of the clock")]
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// What to start, and where it answers what.
pub(crate) struct Program {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    port: u16,
    ready: &'static str,
    cpu: &'static str,
    resident: &'static str,
    log: PathBuf,
}

impl Program {
    /// The program of this build, with its data in `folder`.
    pub(crate) fn watchbell(folder: &Path, series: usize) -> Result<Self> {
        let (port, config) = (free_port()?, folder.join("watchbell.yaml"));
        let text = format!(
            "http: {{listen: \"127.0.0.1:{port}\"}}\nsources: [{{type: prometheus_remote_write_in}}]\n\
             series: {{max_series: {}}}\n",
            2 * series
        );
        std::fs::write(&config, text)?;
        let data = folder.join("data");
        let arguments = ["run", "--config", &config.to_string_lossy(), "--data-dir", &data.to_string_lossy()];
        Ok(Self {
            name: "Watchbell",
            path: env!("CARGO_BIN_EXE_watchbell").into(),
            arguments: arguments.map(str::to_owned).to_vec(),
            port,
            ready: "/-/ready",
            cpu: "watchbell_process_cpu_seconds_total",
            resident: "watchbell_process_resident_memory_bytes",
            log: folder.join("log"),
        })
    }

    /// VictoriaMetrics as a single node, with its data in `folder`.
    pub(crate) fn victoria_metrics(path: &Path, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let arguments = vec![
            format!("-storageDataPath={}", folder.join("data").display()),
            format!("-httpListenAddr=127.0.0.1:{port}"),
        ];
        Ok(Self {
            name: "VictoriaMetrics",
            path: path.to_owned(),
            arguments,
            port,
            ready: "/health",
            cpu: "process_cpu_seconds_total",
            resident: "process_resident_memory_bytes",
            log: folder.join("log"),
        })
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) struct Peer {
    program: Program,
    client: reqwest::Client,
    child: Child,
}

impl Peer {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(program: Program) -> Result<Self> {
        // The client is asked for TLS it never speaks here; a second call only says that it is installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let child = spawn(&program)?;
        let mut peer = Self { program, client, child };
        peer.becomes_ready().await?;
        Ok(peer)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.program.name
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.program.port)
    }

    async fn becomes_ready(&mut self) -> Result<()> {
        let started = now();
        loop {
            if let Ok(answer) = self.client.get(self.url(self.program.ready)).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && started.elapsed() < PATIENCE, "{} did not start: {}", self.name(), self.said());
            tokio::time::sleep(POLL).await;
        }
    }

    fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.program.log).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// Sends a remote-write 1.0 request. Returns how long the answer took.
    pub(crate) fn post(&self, body: Vec<u8>) -> impl Future<Output = Result<Duration>> + Send + 'static {
        let request = self
            .client
            .post(self.url("/api/v1/write"))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        let name = self.name();
        async move {
            let started = now();
            let answer = request.send().await.with_context(|| format!("{name} did not take a request"))?;
            let status = answer.status();
            let text = answer.text().await?;
            ensure!(status.is_success(), "{name} answered {status}: {text}");
            Ok(started.elapsed())
        }
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.client.get(self.url("/metrics")).send().await?.text().await?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("{} shows no {name}", self.name()))?;
        value.trim().parse().with_context(|| format!("{name} is {value}"))
    }

    pub(crate) async fn cpu_seconds(&self) -> Result<f64> {
        self.metric(self.program.cpu).await
    }

    pub(crate) async fn resident_bytes(&self) -> Result<f64> {
        self.metric(self.program.resident).await
    }

    /// Ends it by a signal and waits until it is gone.
    pub(crate) async fn stop(&mut self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "could not send {signal} to {}", self.name());
        let asked = now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                bail!("{} did not end: {}", self.name(), self.said());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends it by a signal and starts it anew. Returns the time from the start until it is ready.
    pub(crate) async fn restart(&mut self, signal: &str) -> Result<Duration> {
        self.stop(signal).await?;
        let started = now();
        self.child = spawn(&self.program)?;
        self.becomes_ready().await?;
        Ok(started.elapsed())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Program) -> Result<Child> {
    let log = File::options().create(true).append(true).open(&program.log)?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    child.with_context(|| format!("can not start {}", program.path.display()))
}
