//! `watchbell demo`: a made-up fleet through the real pipeline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use watchbell_adapter_api::{Clock, Ingest};

use crate::clock::{SystemClock, Timer};
use crate::config::{Config, Overrides};
use crate::console;
use crate::demo::fleet::{STEP_S, fleet};
use crate::demo::incidents;
use crate::demo::replay::{DemoClock, Replay};
use crate::pipeline::service::{Origin, Service};
use crate::telemetry::logging;

/// What the demo runs; it submits its samples itself, beside the receiver.
const CONFIG: &str =
    "sources: [{type: prometheus_remote_write_in}]\nsinks: [{type: prometheus_exposition}]\nlog: {level: warn}\n";
/// How much history is replayed.
const HISTORY_S: i64 = 3 * 86_400;
const BANNER: &str = "Demo: every host, number and incident on this page is made up.";

/// Replays a made-up fleet with incidents, then goes on in real time until it is stopped.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9797", value_parser = super::listen)]
    pub listen: SocketAddr,
    /// Stop after the replay.
    #[arg(long)]
    pub once: bool,
}

/// Runs the demo. What it learns is kept in a folder of its own and removed at the end.
///
/// # Errors
/// The service can not start.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("watchbell-demo-").tempdir()?;
    let overrides = Overrides { listen: Some(args.listen), data_dir: Some(folder.path().to_owned()) };
    let checked = Config::from_text("demo", CONFIG, &overrides)
        .map_err(|problems| super::ConfigProblems(problems.iter().map(ToString::to_string).collect()))?;
    logging::start(checked.settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let end_s = SystemClock.now_ms() / 1000 / STEP_S * STEP_S;
        let begin_s = end_s - HISTORY_S;
        let clock = Arc::new(DemoClock::at(begin_s));
        let service =
            Service::start(Origin::default(), checked, Arc::clone(&clock) as Arc<dyn Clock>, Some(BANNER)).await?;
        console::line(format_args!("DEMO: a made-up fleet of 8 hosts; nothing here is real."))?;
        console::line(format_args!("Scores: http://{0}/scores   page: http://{0}/", service.address()))?;
        let ingest: Arc<dyn Ingest> = Arc::new(service.ingest());
        let mut replay = Replay::new(fleet(), incidents::before(end_s), ingest, service.scores(), Arc::clone(&clock));
        play(&mut replay, begin_s, end_s).await?;
        clock.release();
        if args.once {
            service.run(std::future::ready(()), mpsc::channel(1).1).await;
            return Ok(());
        }
        console::line(format_args!(
            "The fleet goes on in real time; web-1 has errors for two minutes in each ten. Ctrl-C ends it."
        ))?;
        let going_on = tokio::spawn(go_on(replay, end_s));
        let stop = async {
            // Without a handler for signals the process ends at once, which is as good.
            let _ = tokio::signal::ctrl_c().await;
        };
        service.run(stop, mpsc::channel(1).1).await;
        going_on.abort();
        Ok(())
    })
}

async fn play(replay: &mut Replay, begin_s: i64, end_s: i64) -> anyhow::Result<()> {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("replaying three days {wide_bar} {percent}%") {
        bar.set_style(style);
    }
    let timer = Timer::start();
    replay.run(begin_s, end_s, |share| bar.set_position((share * 1000.0) as u64)).await?;
    bar.finish_and_clear();
    console::line(format_args!("{} samples of three days judged in {:.1} s.\n", replay.samples(), timer.seconds()))?;
    console::line(format_args!("{:<26} {:<9} {:>14} {:>7}  by", "incident", "host", "seen after", "score"))?;
    for (incident, seen) in replay.findings() {
        match seen {
            Some(seen) => {
                let after = format!("{} min {:02} s", seen.after_s / 60, seen.after_s % 60);
                console::line(format_args!(
                    "{:<26} {:<9} {after:>14} {:>7.1}  {}",
                    incident.title, incident.host, seen.peak, seen.series
                ))?;
            }
            None => console::line(format_args!("{:<26} {:<9} {:>14}", incident.title, incident.host, "not seen"))?,
        }
    }
    console::line(format_args!(""))
}

/// Submits a sample of every series each 15 s of real time, those missed during the replay first.
async fn go_on(mut replay: Replay, end_s: i64) {
    let mut ts_s = end_s;
    loop {
        while ts_s <= SystemClock.now_ms() / 1000 {
            replay.set_incidents(vec![incidents::live(ts_s)]);
            if replay.step(ts_s).await.is_err() {
                return;
            }
            ts_s += STEP_S;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
