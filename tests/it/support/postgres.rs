//! PostgreSQL on a folder of its own, for the peers that need a database.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{Process, run};
use super::wait;

const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// Makes a cluster without anything in it. Its parent must let the user of PostgreSQL through.
pub(crate) fn make(cluster: &Path) {
    fs::create_dir(cluster).expect("a folder");
    if is_root() {
        run(Command::new("chown").arg("postgres:postgres").arg(cluster));
    }
    let mut make = as_postgres("initdb");
    make.arg("-D").arg(cluster).args(["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-U", "postgres"]);
    run(make.current_dir("/"));
}

/// A command that runs as the user of PostgreSQL where tests run as root.
fn as_postgres(program: &str) -> Command {
    let program = format!("{POSTGRES}/{program}");
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", &program]);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

/// Starts PostgreSQL on the cluster, reachable by a socket in its folder only.
pub(crate) fn start(cluster: &Path) -> Process {
    let mut command = as_postgres("postgres");
    command.arg("-D").arg(cluster).args(["-p", "5432", "-c", "listen_addresses=", "-c", "fsync=off"]);
    command.args(["-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB"]);
    command.arg("-c").arg(format!("unix_socket_directories={}", cluster.display())).current_dir("/");
    let log = cluster.parent().expect("a folder").join("postgres.log");
    let database = Process::start("postgres", &mut command, &log);
    let database = database.unwrap_or_else(|error| panic!("{error}; run: .ci/setup test"));
    wait::until("PostgreSQL", || {
        let mut ready = Command::new(format!("{POSTGRES}/pg_isready"));
        let output = ready.args(["-q", "-h"]).arg(cluster).output().map_err(|error| error.to_string())?;
        wait::when(output.status.success(), || fs::read_to_string(&log).unwrap_or_default())
    });
    database
}
