//! watchbell

use clap::Parser;

#[derive(clap::Parser)]
enum Command {
    Score(watchbell::cli::score::ScoreArgs),
}

fn main() -> anyhow::Result<()> {
    let Command::Score(args) = Command::parse();
    watchbell::cli::score::run(args)
}
