//! The command line: `watchbell <command>`.
//!
//! One file a command. Exit codes: 0 done, 1 failed, 2 wrong usage or config, 141 nobody reads the output. What was asked for goes to
//! standard output, everything else to standard error.

pub mod bench;
pub mod check;
pub mod demo;
pub mod explain;
pub mod healthy;
pub mod reference;
pub mod replay;
pub mod rules;
pub mod run;
pub mod score;
pub mod zabbix;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::console;

/// The exit code where nobody reads the output any more: what shells show of a process that SIGPIPE ended.
const CLOSED: u8 = 128 + 13;

/// Problems of a config, a text each: the command line exits with 2 for them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigProblems(pub Vec<String>);

/// Streaming anomaly detection beside the monitoring you have: Prometheus, Zabbix, Nagios and Icinga 2.
#[derive(Debug, Parser)]
#[command(name = "watchbell", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Demo(demo::DemoArgs),
    Score(score::ScoreArgs),
    Explain(explain::ExplainArgs),
    Rules(rules::RulesArgs),
    Bench(bench::BenchArgs),
    Replay(Box<replay::ReplayArgs>),
    Zabbix(zabbix::ZabbixArgs),
    Healthy(healthy::HealthyArgs),
    Reference(reference::ReferenceArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are what was asked for; a closed pipe is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match arguments.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Check(args) => check::run(&args),
        Command::Score(args) => score::run(args),
        Command::Explain(args) => explain::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Zabbix(args) => zabbix::run(&args),
        Command::Healthy(args) => healthy::run(&args),
        Command::Reference(args) => reference::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(problems) = error.downcast_ref::<ConfigProblems>() {
        console::note(format_args!("{problems}"));
        return ExitCode::from(2);
    }
    if error.is::<console::Closed>() {
        // As a tool that SIGPIPE ends: quietly, and yet no success, for the answer may be cut short.
        return ExitCode::from(CLOSED);
    }
    console::note(format_args!("error: {}", told(error)));
    ExitCode::FAILURE
}

/// The error with its causes, each said once: some say their cause themselves, before what to do about it.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}

/// Reads the address of `--listen`.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let hint = "write an IP address and a port, such as `127.0.0.1:9797`, or `0.0.0.0:9797` for all interfaces";
    text.parse().map_err(|_| hint.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("disk full").context("can not write `a`: disk full; free some").context("no score");
        assert_eq!(told(&error), "no score: can not write `a`: disk full; free some");
        assert!(listen("9797").expect_err("no address").contains("`127.0.0.1:9797`"));
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        for words in
            [&["watchbell"][..], &["watchbell", "chek"], &["watchbell", "check"], &["watchbell", "reference", "x"]]
        {
            assert!(Arguments::try_parse_from(words).is_err_and(|error| error.use_stderr()), "{words:?}");
        }
        for words in [&["watchbell", "--help"][..], &["watchbell", "--version"], &["watchbell", "check", "--help"]] {
            assert!(Arguments::try_parse_from(words).is_err_and(|error| !error.use_stderr()), "{words:?}");
        }
    }
}
