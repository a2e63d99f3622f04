//! `watchbell run`: the service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock::SystemClock;
use crate::config::Overrides;
use crate::console;
use crate::pipeline::service::{Origin, Service};
use crate::telemetry::logging;

/// Runs the service. Without a config it watches this machine and takes remote write.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Config file; without one: this machine, the remote-write receiver, scores at /scores.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on, in place of `http.listen`.
    #[arg(long, value_name = "ADDR", value_parser = super::listen)]
    pub listen: Option<SocketAddr>,
    /// Folder for the database and what was learned, in place of `data_dir`.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT; SIGHUP reloads the config.
///
/// # Errors
/// The service can not start. Problems of the config are a [`super::ConfigProblems`].
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let overrides = Overrides { listen: args.listen, data_dir: args.data_dir };
    let origin = Origin { file: args.config, overrides };
    let checked = origin.load().map_err(super::ConfigProblems)?;
    logging::start(checked.settings.log);
    for warning in checked.warnings() {
        tracing::warn!("{}", warning.replace("\n  hint: ", "; "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangups = signal(SignalKind::hangup())?;
        let (hangup, reloads) = mpsc::channel(1);
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                // One waiting reload is as good as two.
                let _ = hangup.try_send(());
            }
        });
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tokio::pin!(stop);
        let service = tokio::select! {
            service = Service::start(origin, checked, Arc::new(SystemClock), None) => service?,
            () = &mut stop => return Err(anyhow!("stopped before it was ready")),
        };
        let address = service.address();
        // That nobody reads it is no reason not to serve.
        let _ = console::line(format_args!(
            "Watchbell listens on http://{address} (page: /, scores: /scores, own metrics: /metrics)"
        ));
        service.run(stop, reloads).await;
        Ok(())
    })?;
    // A thread that hangs in a system call, such as on a dead network share, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(())
}
