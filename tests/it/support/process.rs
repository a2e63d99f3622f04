//! Processes of tests: on a free port, in a folder of their own, killed by pid when dropped.

use std::collections::HashSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::{http, wait};

/// How often a peer whose port was snatched away is started.
const ATTEMPTS: usize = 3;

/// A port of the loopback that nobody listens on and no other test was given.
pub(crate) fn free_port() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// The same among the ports below 32768, where some programs insist to listen.
pub(crate) fn free_low_port() -> u16 {
    static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| Mutex::new((std::process::id() % 12_000) as u16));
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        *next = (*next + 1) % 12_000;
        if TcpListener::bind(("127.0.0.1", 20_000 + *next)).is_ok() {
            return 20_000 + *next;
        }
    }
}

/// A running process whose output goes to a file.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it says on both outputs is added to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = File::options().create(true).append(true).open(log).map_err(|e| e.to_string())?;
        let second = file.try_clone().map_err(|e| e.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(second).spawn();
        let child = child.map_err(|error| format!("can not start `{name}`: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Starts a peer that comes with a Debian package and waits until `ready` (a path) answers with success.
    /// `command` is asked for the command line with a port to listen on.
    pub(crate) fn peer(
        program: &str,
        package: &str,
        folder: &Path,
        ready: &str,
        command: impl Fn(&mut Command, u16),
    ) -> (Self, u16) {
        let log = folder.join(format!("{}.log", Path::new(program).file_name().expect("a name").display()));
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let mut line = Command::new(program);
            command(line.current_dir(folder), port);
            let mut process = Self::start(program, &mut line, &log).unwrap_or_else(|error| {
                panic!("{error}; `make test` installs the package `{package}` (or run: .ci/setup test)")
            });
            if process.becomes_ready(&format!("http://127.0.0.1:{port}{ready}")) {
                return (process, port);
            }
        }
        panic!("`{program}` did not stay up: {}", tail(&log));
    }

    /// Whether `url` answers with success before the process ends.
    fn becomes_ready(&mut self, url: &str) -> bool {
        let name = self.name.clone();
        wait::until(&format!("`{name}` to be ready"), || {
            if self.ended().is_some() {
                return Ok(false);
            }
            http::get(url)?.ok().map(|_| true)
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status().expect("a shell");
        assert!(sent.success(), "`{line}` failed");
    }

    /// Kills it as the kernel would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child that was not waited for");
        self.child.wait().expect("a child");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("`{}` to end", self.name);
        wait::within(limit, &what, || self.ended().ok_or_else(|| "it runs".to_owned()))
    }

    /// All it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- `{}` said last:\n{}", self.name, tail(&self.log));
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(6_000)..]).into_owned()
}

/// Runs a command of a peer to its end.
pub(crate) fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; run: .ci/setup test"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
