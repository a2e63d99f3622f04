//! Sink `nagios_nsca`: passive results to the NSCA daemon, protocol version 3.
//!
//! The daemon greets with a vector and its time, is sent one packet for each result, and answers nothing. It
//! hangs up on a packet that it can not read, so a connection that ends early means another password or method.
//! Its own time goes back to it, so clocks need not agree.

mod cipher;
mod packet;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Prepared, Problems, ScoreSink, Secret, SinkConfig, SinkContext, SourceError, Span,
};

pub use cipher::Encryption;

use self::cipher::{Cipher, IV};
use self::packet::{MAX_HOST, packet};
use crate::nrdp::Password;
use watchbell_checks::passive::{self, PassiveResult, Plan, ResultsConfig, Sent, Way};

/// Results of one connection: well below the 30 s after which the daemon takes a packet for old.
const BATCH: usize = 500;
/// How long after the last packet the daemon is given to hang up.
const OBJECTION: Duration = Duration::from_secs(1);

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NscaConfig {
    /// `host:port` of the daemon; the port is usually 5667.
    pub address: String,
    /// The daemon's `decryption_method`.
    #[serde(default)]
    pub encryption: Encryption,
    /// The daemon's `password`; at most one of `password` and `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password; read again for each connection.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// Bytes for the output in a packet: 4096, or 512 for daemons older than 2.9.
    #[serde(default = "output_bytes")]
    pub output_bytes: usize,
    /// How long connecting and sending may take each.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
    /// What becomes a result, and in which state.
    #[serde(default)]
    pub results: ResultsConfig,
}

fn output_bytes() -> usize {
    4_096
}

fn ten_seconds() -> Span {
    Span::seconds(10)
}

impl SinkConfig for NscaConfig {
    const KIND: &'static str = "nagios_nsca";
    const SUMMARY: &'static str = "Sends a passive check result for each host to the NSCA daemon.";
    const METRICS: &'static [MetricDef] = passive::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let port = self.address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        if port.is_none_or(|(host, port)| host.is_empty() || port == 0) {
            problems.hint("address", format!("`{}` is no `host:port`", self.address), "write it as `nagios:5667`");
        }
        if !matches!(self.output_bytes, 512 | 4_096) {
            problems.add("output_bytes", format!("`{}` is neither 4096 nor 512", self.output_bytes));
        }
        if self.timeout.0 < Duration::from_secs(1) {
            problems.hint("timeout", format!("`{}` is too short", self.timeout), "use at least 1s");
        }
        let password = Password::of("password", self.password, self.password_file, problems);
        if password.is_none() && !matches!(self.encryption, Encryption::None | Encryption::Xor) {
            let hint = "write the daemon's `password`, or `password_file`";
            problems.hint("password", "this encryption needs a password", hint);
        }
        let plan = self.results.check(problems)?;
        let way = Daemon {
            address: self.address,
            encryption: self.encryption,
            password,
            output_bytes: self.output_bytes,
            timeout: self.timeout.0,
        };
        (problems.len() == before).then(|| Prepared::Scores(Box::new(Nsca { way, plan })))
    }
}

struct Nsca {
    way: Daemon,
    plan: Plan,
}

impl ScoreSink for Nsca {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(passive::run(self.plan, self.way, context))
    }
}

struct Daemon {
    address: String,
    encryption: Encryption,
    password: Option<Password>,
    output_bytes: usize,
    timeout: Duration,
}

impl Way for Daemon {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let mut taken = 0;
            for batch in results.chunks(BATCH) {
                if let Err(error) = self.deliver(batch).await {
                    return Sent::failed(taken, format!("NSCA at `{}`: {error}", self.address));
                }
                taken += batch.len();
            }
            // A name cut short would be another host's.
            match results.iter().find(|result| result.host.len() > MAX_HOST) {
                Some(long) => {
                    Sent::failed(taken, format!("`{}` is too long a name for NSCA, which takes 63 bytes", long.host))
                }
                None => Sent::all(results),
            }
        })
    }
}

impl Daemon {
    async fn deliver(&self, results: &[PassiveResult]) -> Result<(), String> {
        let late = |what: &str| format!("{what} took longer than {} s", self.timeout.as_secs());
        let password = self.password.as_ref().map(Password::read).transpose()?;
        let connected = timeout(self.timeout, TcpStream::connect(&self.address)).await;
        let mut stream = connected.map_err(|_| late("connecting"))?.map_err(|error| error.to_string())?;
        let mut greeting = [0; IV + 4];
        let greeted = timeout(self.timeout, stream.read_exact(&mut greeting)).await;
        greeted
            .map_err(|_| late("the greeting"))?
            .map_err(|error| format!("no greeting ({error}); is this NSCA, and may this machine speak to it?"))?;
        let (iv, time) = greeting.split_at(IV);
        let iv: &[u8; IV] = iv.try_into().map_err(|_| "a short greeting".to_owned())?;
        let time_s = u32::from_be_bytes(time.try_into().map_err(|_| "a short greeting".to_owned())?);
        let password = password.as_ref().map_or("", Secret::reveal);
        let mut cipher = Cipher::new(self.encryption, password.as_bytes(), iv);
        let write = async {
            for result in results.iter().filter(|result| result.host.len() <= MAX_HOST) {
                let output = result.output(self.output_bytes - 1);
                let state = result.state as u8;
                let mut bytes = packet(self.output_bytes, time_s, state, &result.host, &result.service, &output);
                cipher.encrypt(&mut bytes);
                stream.write_all(&bytes).await?;
            }
            stream.flush().await
        };
        let refused = "it hung up; is this its `password` and `decryption_method`?";
        timeout(self.timeout, write)
            .await
            .map_err(|_| late("sending"))?
            .map_err(|error| format!("{refused} ({error})"))?;
        match timeout(OBJECTION, stream.read(&mut greeting)).await {
            Err(_) => Ok(()),
            Ok(_) => Err(refused.to_owned()),
        }
    }
}
