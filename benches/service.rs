//! The service from outside: what a sample, a series, a request and a restart cost those who run it.
//!
//! Starts the program of this build in an empty folder and sends it remote write over loopback: flat out until every series
//! is known, flat out again, then live, each series once in 15 seconds; restarts it softly and by `kill -9`. With
//! `--beside PROGRAM` VictoriaMetrics takes the same load afterwards. The sender runs on the same cores, so times on
//! the wall are upper bounds; CPU is of the service alone, as it counts itself. Prints a table in Markdown.

#[path = "load.rs"]
mod load;
#[path = "service/peer.rs"]
mod peer;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use load::Load;
use peer::{Peer, Program, now, now_ms};

/// Rounds after which the state of a series is complete but for its season.
const KNOWN: usize = load::WARM_ROUNDS;
/// Rounds that are measured once all series are known.
const STEADY: usize = 30;
/// The same beside: it costs several times as much.
const BESIDE: usize = 8;
const CONNECTIONS: usize = 2;

#[derive(Parser)]
struct Args {
    /// Series in all, of hosts with 1,000 each.
    #[arg(long, default_value_t = 1_000_000)]
    series: usize,
    /// Length of the live part in seconds.
    #[arg(long, default_value_t = 75)]
    live: u64,
    /// Program of VictoriaMetrics, to have it take the same load.
    #[arg(long)]
    beside: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.series > 0 && args.series.is_multiple_of(load::REQUEST), "--series: a multiple of {}", load::REQUEST);
    tokio::runtime::Runtime::new()?.block_on(run(&args))
}

async fn run(args: &Args) -> Result<()> {
    let mut load = Load::new(args.series);
    // Such that what is sent flat out ends just before now.
    load.start_ms = now_ms() - (KNOWN + STEADY + 4) as i64 * load::CADENCE_MS;
    println!("| {} series, 1,000 a host, each 15 s | Watchbell |\n| --- | --- |", grouped(args.series));

    let folder = tempfile::tempdir()?;
    let mut service = Peer::start(Program::watchbell(folder.path(), args.series)?).await?;
    let seconds = flat_out(&mut service, &mut load, 2).await?;
    row("first sight and 2 samples each, CPU", &format!("{seconds:.1} s"));
    flat_out(&mut service, &mut load, KNOWN - 2).await?;
    let seconds = flat_out(&mut service, &mut load, STEADY).await?;
    row("flat out, all series known, CPU a million samples", &per_million(seconds, args.series * STEADY));
    row("memory", &memory(&service, args.series).await?);

    let soft = service.restart("TERM").await?;
    row("restart after SIGTERM, to the first request taken", &format!("{:.1} s", soft.as_secs_f64()));
    let live = live(&mut service, &mut load, Duration::from_secs(args.live)).await?;
    row("live: CPU a million samples", &per_million(live.cpu, live.answers.len() * load::REQUEST));
    row("live: p99 of the answer", &format!("{:.1} ms", live.quantile(0.99)));
    row("live: behind schedule at most", &format!("{:.1} ms", live.behind.as_secs_f64() * 1_000.0));
    row("live: memory", &memory(&service, args.series).await?);
    let hard = service.restart("KILL").await?;
    row("restart after `kill -9`", &format!("{:.1} s", hard.as_secs_f64()));
    service.stop("TERM").await?;

    if let Some(program) = &args.beside {
        let folder = tempfile::tempdir()?;
        let mut peer = Peer::start(Program::victoria_metrics(program, folder.path())?).await?;
        flat_out(&mut peer, &mut load, 2).await?;
        let seconds = flat_out(&mut peer, &mut load, BESIDE).await?;
        row("VictoriaMetrics, all series known, CPU a million samples", &per_million(seconds, args.series * BESIDE));
        row("VictoriaMetrics, memory", &memory(&peer, args.series).await?);
        peer.stop("TERM").await?;
    }
    Ok(())
}

/// Sends rounds as fast as they are taken. Returns the CPU seconds they cost.
async fn flat_out(peer: &mut Peer, load: &mut Load, rounds: usize) -> Result<f64> {
    let before = peer.cpu_seconds().await?;
    for round in 0..rounds {
        eprint!("\r{}: round {} of {rounds} ", peer.name(), round + 1);
        load.advance();
        stream::iter(&load.batches)
            .map(|batch| peer.post(load::body(batch)))
            .buffer_unordered(CONNECTIONS)
            .try_for_each(|_| async { Ok(()) })
            .await?;
    }
    eprintln!();
    Ok(peer.cpu_seconds().await? - before)
}

struct Live {
    cpu: f64,
    /// Milliseconds from the request to its answer, in ascending order.
    answers: Vec<f64>,
    /// The most that a request was sent after its time, because the ones before were not answered.
    behind: Duration,
}

impl Live {
    fn quantile(&self, q: f64) -> f64 {
        self.answers[((self.answers.len() - 1) as f64 * q).round() as usize]
    }
}

/// Sends each series once in 15 seconds, evenly spread, and no request before the one before last is answered.
async fn live(peer: &mut Peer, load: &mut Load, span: Duration) -> Result<Live> {
    let before = peer.cpu_seconds().await?;
    let apart = Duration::from_millis(load::CADENCE_MS as u64) / u32::try_from(load.batches.len())?;
    let (start, mut due) = (now(), Duration::ZERO);
    let (mut waiting, mut answers, mut behind) = (tokio::task::JoinSet::new(), Vec::new(), Duration::ZERO);
    while due < span {
        eprint!("\r{}: live, {} s of {} ", peer.name(), due.as_secs(), span.as_secs());
        load.round = (now_ms() - load.start_ms) / load::CADENCE_MS - 1;
        load.advance();
        for batch in &load.batches {
            let body = load::body(batch);
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
            if waiting.len() == CONNECTIONS {
                answers.push(waiting.join_next().await.context("a request")???);
            }
            behind = behind.max(start.elapsed().saturating_sub(due));
            waiting.spawn(peer.post(body));
            due += apart;
        }
    }
    while let Some(answer) = waiting.join_next().await {
        answers.push(answer??);
    }
    eprintln!();
    let mut answers: Vec<f64> = answers.iter().map(|answer| answer.as_secs_f64() * 1_000.0).collect();
    answers.sort_unstable_by(f64::total_cmp);
    Ok(Live { cpu: peer.cpu_seconds().await? - before, answers, behind })
}

async fn memory(peer: &Peer, series: usize) -> Result<String> {
    let bytes = peer.resident_bytes().await?;
    Ok(format!("{:.0} MiB: {:.0} bytes a series", bytes / f64::from(1 << 20), bytes / series as f64))
}

fn per_million(seconds: f64, samples: usize) -> String {
    format!("{:.2} s", seconds / samples as f64 * 1e6)
}

fn row(what: &str, result: &str) {
    println!("| {what} | {result} |");
}

/// With a comma at each thousand.
fn grouped(n: usize) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", grouped(n / 1_000), n % 1_000) }
}
