//! `watchbell replay`: which alerts would have fired on history that is there already.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use watchbell_adapter_api::{Clock, History, Problems, Span};

use super::score::progress;
use crate::clock::{SystemClock, Timer};
use crate::config::{Checked, Overrides};
use crate::console;
use crate::offline::files;
use crate::offline::rows::timestamp_ms;
use crate::pipeline::service::Origin;
use crate::registry::Registry;
use crate::replay::csv::CsvFeed;
use crate::replay::feed::Feed;
use crate::replay::findings::Findings;
use crate::replay::history::HistoryFeed;
use crate::replay::output;
use crate::replay::player::Player;
use crate::replay::stages::Stages;
use crate::telemetry::logging;
use crate::words;

/// The kind of history that `--prometheus` reads.
const PROMETHEUS: &str = "prometheus_query";

/// Plays history through judging and alerting: which alerts would have fired, and how many a week. Delivers nothing.
///
/// History comes from CSV files, from a server that answers PromQL (--prometheus), or from where `history` of the
/// config says.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// CSV files (.csv, .csv.gz) or folders of them: a file for each machine, a column for each series.
    #[arg(value_name = "PATH", conflicts_with = "prometheus")]
    pub paths: Vec<PathBuf>,
    /// Config file: series, rules, alerting and time zone hold as for `run`; `history` is where to read.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Server to read from, with the prefix of its API.
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// Which series to read, such as '{job="node"}'; may be repeated.
    #[arg(long = "match", value_name = "SELECTOR", conflicts_with = "paths")]
    pub matches: Vec<String>,
    /// First time: unix seconds, RFC 3339, or a span ago such as `30d`. Default: the lookback of the history, 14d.
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Last time, written alike. Default: now.
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// Distance of the points to read; raw samples unless set.
    #[arg(long, value_name = "SPAN", conflicts_with = "paths")]
    pub step: Option<Span>,
    /// Leave out alerts of the first so much. Default: a day, or a quarter of a shorter history.
    #[arg(long, value_name = "SPAN")]
    pub warmup: Option<Span>,
    /// Write `alerts.csv`, `replay.json` and `index.html` into this folder; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print at most so many alerts one by one.
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    pub limit: usize,
    /// How to reach the server.
    #[command(flatten)]
    pub http: HttpArgs,
}

/// How to reach the server, as `history.http` of a config has it. Passwords are in files, not in the list of processes.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Reaching the server")]
pub struct HttpArgs {
    /// User name for basic authentication.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// File with the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub token_file: Option<PathBuf>,
    /// Further header, such as 'X-Scope-OrgID: team'; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Certificates of the authorities to trust (PEM) in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure: bool,
}

/// Replays, and prints what would have fired.
///
/// # Errors
/// Problems of the config, nothing to read, or a source that can not be read on.
pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let origin = Origin { file: args.config.clone(), overrides: Overrides::default() };
    let checked = origin.load().map_err(super::ConfigProblems)?;
    // Only what is wrong: the answer is what this command prints.
    logging::start(crate::config::settings::Log { level: crate::config::raw::LogLevel::Warn, ..checked.settings.log });
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make folder `{}`", out.display()))?;
    }
    let zone = checked.settings.timezone.clone();
    let stages = Stages::new(&checked.settings)?;
    let (mut feed, progress) = feed(args, checked)?;
    let timer = Timer::start();
    let player = Player::new(stages, args.out.is_some());
    let played = player.play(&mut *feed);
    progress.finish_and_clear();
    let (mut played, stages) = played?;
    let found = Findings::of(&mut played, &stages, args.warmup.map(Span::millis));
    let found = found.context("no samples between start and end; look at the selectors and the times")?;
    console::note(format_args!("replayed in {:.1} s", timer.seconds()));
    if let Some(out) = &args.out {
        output::write(&found, &played, &zone, out)?;
        console::note(format_args!("written: `{}`", out.join("index.html").display()));
    }
    console::text(&output::text(&found, &zone, args.limit))?;
    let (failed, all) = feed.failed();
    ensure!(failed == 0, "{failed} of {all} files could not be read, see above; the answer is of the others");
    Ok(())
}

fn feed(args: &ReplayArgs, checked: Checked) -> anyhow::Result<(Box<dyn Feed>, ProgressBar)> {
    let now_ms = SystemClock.now_ms();
    let at = |text: &Option<String>, name: &str| {
        text.as_deref().map(|text| time_ms(text, now_ms).with_context(|| format!("--{name}"))).transpose()
    };
    let (start, end) = (at(&args.start, "start")?, at(&args.end, "end")?);
    if !args.paths.is_empty() {
        let (from, to) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
        ensure!(from < to, "--start is not before --end");
        let paths = files::inputs(&args.paths)?;
        let progress = progress(&paths);
        return Ok((Box::new(CsvFeed::open(&paths, from, to, &progress)?), progress));
    }
    let history = history(args, checked)?;
    let to = end.unwrap_or(now_ms);
    let from = start.unwrap_or_else(|| to.saturating_sub(history.lookback_ms()));
    ensure!(from < to, "--start is not before --end");
    let style = ProgressStyle::with_template("{bar:30} {percent}% {eta}");
    let progress = ProgressBar::new((to - from) as u64);
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let feed = HistoryFeed::new(history, from, to, progress.clone()).context("cannot start the reader")?;
    Ok((Box::new(feed), progress))
}

/// A point in time: unix seconds, RFC 3339, or a span before `now_ms`.
fn time_ms(text: &str, now_ms: i64) -> anyhow::Result<i64> {
    if let Some(ms) = timestamp_ms(text) {
        return Ok(ms);
    }
    words::read_moment(text, now_ms).map_err(anyhow::Error::msg)
}

/// The history of the config, changed by what the command line says; or that of `--prometheus`.
fn history(args: &ReplayArgs, checked: Checked) -> anyhow::Result<Arc<dyn History>> {
    let changed = !args.matches.is_empty() || args.step.is_some() || !args.http.is_empty();
    let (kind, mut value) = match (&args.prometheus, checked.history) {
        (None, Some(history)) if !changed => return Ok(history.item),
        (None, Some(history)) => (history.kind, history.fingerprint),
        // Its credentials are for the server that it names.
        (Some(url), Some(history)) if history.fingerprint["url"].as_str() == Some(url) => {
            (history.kind, history.fingerprint)
        }
        (Some(url), _) => (PROMETHEUS, json!({"url": url})),
        (None, None) => {
            bail!("nothing to replay: name CSV files, a server with --prometheus URL, or a config that has `history`")
        }
    };
    let Some(object) = value.as_object_mut() else { bail!("`history` of the config is no mapping") };
    object.remove("type");
    if !args.matches.is_empty() {
        object.insert("selectors".to_owned(), json!(args.matches));
    }
    if let Some(step) = args.step {
        object.insert("step".to_owned(), json!(step));
    }
    if !args.http.is_empty() {
        object.insert("http".to_owned(), args.http.as_config()?);
    }
    let mut problems = Problems::default();
    let kind = Registry::default().history(kind).map_err(|unknown| anyhow!("{unknown}"))?;
    let prepared = (kind.prepare)(value, &mut problems);
    let told: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    ensure!(told.is_empty(), super::ConfigProblems(told));
    prepared.context("the history can not be read with these settings")
}

impl HttpArgs {
    fn is_empty(&self) -> bool {
        let Self { user, password_file, token_file, header, ca_file, insecure } = self;
        user.is_none()
            && password_file.is_none()
            && token_file.is_none()
            && header.is_empty()
            && ca_file.is_none()
            && !insecure
    }

    /// The same in the words of a config.
    fn as_config(&self) -> anyhow::Result<Value> {
        let mut http = Map::new();
        if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
            http.insert("basic_auth".to_owned(), json!({"username": user, "password_file": file}));
        }
        if let Some(file) = &self.token_file {
            http.insert("authorization".to_owned(), json!({"credentials_file": file}));
        }
        let mut headers = Map::new();
        for header in &self.header {
            let (name, value) =
                header.split_once(':').with_context(|| format!("--header: `{header}` is not `NAME: VALUE`"))?;
            headers.insert(name.trim().to_owned(), value.trim().into());
        }
        http.insert("headers".to_owned(), headers.into());
        http.insert("tls".to_owned(), json!({"ca_file": self.ca_file, "insecure_skip_verify": self.insecure}));
        Ok(http.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn times_are_written_in_three_ways() {
        let now = 1_700_000_000_000;
        assert_eq!(time_ms("1600000000", now).expect("seconds"), 1_600_000_000_000);
        assert_eq!(time_ms("2023-11-14T22:13:20Z", now).expect("RFC 3339"), now);
        assert_eq!(time_ms("1d", now).expect("ago"), now - 86_400_000);
        assert_eq!(time_ms("now", now).expect("now"), now);
        assert!(time_ms("yesterday", now).expect_err("no time").to_string().contains("`14d`"));
    }

    fn args(words: &[&str]) -> ReplayArgs {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: ReplayArgs,
        }
        <Only as clap::Parser>::parse_from(["replay"].iter().chain(words)).args
    }

    fn prepared(words: &[&str], config: &str) -> Result<(), String> {
        let checked = Config::from_text("c", config, &Overrides::default()).expect("a good config");
        history(&args(words), checked).map(|_| ()).map_err(|error| format!("{error:#}"))
    }

    const CONFIG: &str = "sources: [{type: prometheus_remote_write_in}]\n\
                          history: {type: prometheus_query, url: 'http://a:1', http: {basic_auth: {username: u, password: p}}}\n";

    #[test]
    fn the_command_line_goes_before_the_config() {
        // The program does this at its start; a second time is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert_eq!(prepared(&[], CONFIG), Ok(()));
        assert_eq!(prepared(&["--match", "{job=\"x\"}", "--step", "1m", "--insecure"], CONFIG), Ok(()));
        assert_eq!(prepared(&["--prometheus", "http://b:2", "--header", "X-Scope-OrgID: t"], CONFIG), Ok(()));
        for (words, want) in [
            (&["--match", "{job="][..], "selectors[0]"),
            (&["--prometheus", "nowhere"], "`nowhere` is no address"),
            (&["--prometheus", "http://b:2", "--header", "X"], "is not `NAME: VALUE`"),
            (&["--prometheus", "http://b:2", "--token-file", "/no/such/file"], "/no/such/file"),
        ] {
            let error = prepared(words, CONFIG).expect_err(want);
            assert!(error.contains(want), "{want}: {error}");
        }
        let none = prepared(&[], "sources: [{type: prometheus_remote_write_in}]\n").expect_err("no history");
        assert!(none.contains("--prometheus"), "{none}");
    }
}
