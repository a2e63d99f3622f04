//! A real Nagios 4 with NSCA daemons, in a folder of its own and as the user that runs the tests.

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use super::process::{Process, free_port};
use super::wait;

/// The only host.
pub(crate) const HOST: &str = "web-1";
const PLUGINS: &str = "/usr/lib/nagios/plugins";
/// The standard plugins look at no memory: one as sites have it, with the label that Checkmk's has.
const MEMORY: &str = "while read -r name value unit; do
    if [ \"$name\" = MemAvailable: ]; then echo \"MEMORY OK|mem_available=$((value * 1024))B;;;0\"; fi
done < /proc/meminfo
";

/// What an odd plugin prints: performance data on several lines, quotes and blanks in labels, tabs, open and inverted ranges, a
/// comma, Latin-1, labels of check_multi. Nothing of it is bad.
pub(crate) const ODD: &[u8] = b"ODD OK - a\ttab|'it''s 1'=1;@~:5;20:10;; 'a\tb'=2%;;;0;100\tcomma=0,5s;80%\nlong text\n\
    more of it|'second part'=4KB;10:;~:5\nthird=5 unknown=U stra\xdfe=6 one::check_one::state=7 next=8c two::check_two::state=9\n";
/// Labels in it, and the units and children of some.
pub(crate) const ODD_LABELS: [&[(&str, &str)]; 7] = [
    &[("label", "second part"), ("unit", "bytes")],
    &[("label", "third")],
    &[("label", "comma"), ("unit", "seconds")],
    &[("label", "it's 1")],
    &[("label", "straße")],
    &[("label", "next"), ("child", "one"), ("command", "check_one")],
    &[("label", "state"), ("child", "two"), ("command", "check_two")],
];

/// A running Nagios.
#[derive(Debug)]
pub(crate) struct Nagios {
    daemon: Option<Process>,
    folder: TempDir,
    user: String,
}

impl Nagios {
    /// Starts one whose host is checked by standard plugins every second, with a service `level` that says what
    /// [`Nagios::level`] sets, and with `passive` services that only wait for results.
    pub(crate) fn start(passive: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["rw", "results", "tmp", "spool"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let said = |flag| {
            let output = Command::new("id").arg(flag).output().expect("id runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let (user, group) = (said("-un"), said("-gn"));
        let mut nagios = Self { daemon: None, folder, user };
        nagios.level(100.0);
        fs::write(nagios.path("nagios.cfg"), main(nagios.folder.path(), &nagios.user, &group)).expect("written");
        fs::write(nagios.path("memory"), MEMORY).expect("written");
        fs::write(nagios.path("odd"), ODD).expect("written");
        fs::write(nagios.path("objects.cfg"), objects(nagios.folder.path(), passive)).expect("written");
        nagios.run();
        nagios
    }

    /// Starts the daemon, again after [`Nagios::stop`].
    pub(crate) fn run(&mut self) {
        let mut command = Command::new("nagios4");
        command.arg(self.path("nagios.cfg")).current_dir(self.folder.path());
        let log = self.path("out.log");
        let daemon = Process::start("nagios4", &mut command, &log);
        let daemon = daemon.unwrap_or_else(|error| panic!("{error}; install what tests need by: .ci/setup test"));
        self.daemon = Some(daemon);
        wait::until("Nagios to take commands", || {
            wait::when(self.path("rw/nagios.cmd").exists() && self.path("status.dat").exists(), || {
                fs::read_to_string(self.path("out.log")).unwrap_or_default()
            })
        });
    }

    /// Ends the daemon as an administrator would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal("TERM");
            daemon.wait(wait::PATIENCE);
        }
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the service `level` says from now on.
    pub(crate) fn level(&self, value: f64) {
        let new = self.path("level.new");
        fs::write(&new, format!("LEVEL OK - {value}|level={value};;;0\n")).expect("written");
        fs::rename(new, self.path("level")).expect("renamed");
    }

    /// Gives an external command.
    pub(crate) fn command(&self, text: &str) {
        let mut pipe = fs::File::options().write(true).open(self.path("rw/nagios.cmd")).expect("Nagios reads");
        writeln!(pipe, "[{}] {text}", SystemClock.now_ms() / 1_000).expect("written");
    }

    /// State and output of a service, as the status file has them; an error while no result came.
    pub(crate) fn service(&self, service: &str) -> Result<(u8, String), String> {
        let text = fs::read(self.path("status.dat")).map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&text);
        let name = format!("\tservice_description={service}\n");
        let block = text.split("servicestatus {").find(|block| block.contains(&name)).ok_or("no such service")?;
        let get = |key: &str| block.split(&format!("\t{key}=")).nth(1).and_then(|rest| rest.lines().next());
        if get("has_been_checked") != Some("1") {
            return Err(format!("no result of `{service}`; {}", self.log()));
        }
        let state = get("current_state").and_then(|state| state.parse().ok()).ok_or("no state")?;
        Ok((state, format!("{}|{}", get("plugin_output").unwrap_or(""), get("performance_data").unwrap_or(""))))
    }

    /// The end of its own log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.path("nagios.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2_000)..]).into_owned()
    }

    /// Starts an NSCA daemon that hands on to this Nagios. Gives its address.
    pub(crate) fn nsca(&self, method: u8, password: &str) -> (Process, String) {
        for _ in 0..3 {
            let port = free_port();
            let name = format!("nsca-{port}");
            let password = if password.is_empty() { String::new() } else { format!("password={password}\n") };
            let text = format!(
                "server_address=127.0.0.1\nserver_port={port}\nnsca_user={user}\npid_file={folder}/{name}.pid\n\
                 command_file={folder}/rw/nagios.cmd\nalternate_dump_file={folder}/{name}.dump\ndebug=1\n\
                 max_packet_age=30\ndecryption_method={method}\n{password}",
                user = self.user,
                folder = self.folder.path().display()
            );
            let config = self.path(&format!("{name}.cfg"));
            fs::write(&config, text).expect("written");
            let mut command = Command::new("nsca");
            command.arg("-f").arg("-c").arg(&config).arg("--daemon");
            let mut daemon =
                Process::start("nsca", &mut command, &self.path(&format!("{name}.log"))).expect("nsca starts");
            let address = format!("127.0.0.1:{port}");
            let up = wait::until("NSCA to listen", || match std::net::TcpStream::connect(&address) {
                Ok(_) => Ok(true),
                Err(_) if daemon.ended().is_some() => Ok(false),
                Err(error) => Err(error.to_string()),
            });
            if up {
                return (daemon, address);
            }
        }
        panic!("NSCA does not stay up; see its log in {}", self.folder.path().display());
    }
}

impl Drop for Nagios {
    fn drop(&mut self) {
        // Killed, Nagios would leave its workers behind.
        self.stop();
    }
}

fn main(folder: &Path, user: &str, group: &str) -> String {
    let folder = folder.display();
    format!(
        "log_file={folder}/nagios.log
cfg_file={folder}/objects.cfg
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
status_file={folder}/status.dat
status_update_interval=1
state_retention_file={folder}/retention.dat
lock_file={folder}/nagios.lock
temp_file={folder}/nagios.tmp
temp_path={folder}/tmp
check_result_path={folder}/results
check_result_reaper_frequency=1
nagios_user={user}
nagios_group={group}
command_file={folder}/rw/nagios.cmd
query_socket={folder}/rw/nagios.qh
check_external_commands=1
use_syslog=0
enable_notifications=0
check_for_updates=0
interval_length=1
process_performance_data=1
service_perfdata_file={folder}/service-perfdata
service_perfdata_file_mode=a
host_perfdata_file={folder}/host-perfdata
host_perfdata_file_mode=a
host_perfdata_file_template=DATATYPE::HOSTPERFDATA\\tTIMET::$TIMET$\\tHOSTNAME::$HOSTNAME$\\t\
HOSTPERFDATA::$HOSTPERFDATA$\\tHOSTCHECKCOMMAND::$HOSTCHECKCOMMAND$\\tHOSTSTATE::$HOSTSTATE$
host_perfdata_file_processing_interval=2
host_perfdata_file_processing_command=spool_host_perfdata
"
    )
}

fn objects(folder: &Path, passive: &[String]) -> String {
    let mut text = "define timeperiod {
    timeperiod_name always
    alias           always
"
    .to_owned();
    for day in ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"] {
        writeln!(text, "    {day} 00:00-24:00").expect("written");
    }
    text.push_str(
        "}
define contact {
    contact_name                  nobody
    host_notification_period      always
    service_notification_period   always
    host_notification_commands    spool_host_perfdata
    service_notification_commands spool_host_perfdata
}
",
    );
    let folder = folder.display();
    for (name, line) in [
        ("spool_host_perfdata", format!("/bin/mv {folder}/host-perfdata {folder}/spool/host-perfdata.$TIMET$")),
        ("check_level", format!("/bin/cat {folder}/level")),
        ("check_load", format!("{PLUGINS}/check_load -w 50,50,50 -c 90,90,90")),
        ("check_disk", format!("{PLUGINS}/check_disk -w 1% -c 0% -p /")),
        ("check_odd", format!("/bin/cat {folder}/odd")),
        ("check_memory", format!("/bin/sh {folder}/memory")),
        ("check_users", format!("{PLUGINS}/check_users -w 20 -c 50")),
        ("check_broken", format!("{PLUGINS}/check_dummy 2 BROKEN")),
        ("check_alive", format!("{PLUGINS}/check_dummy 0 'UP|rta=0.5ms pl=0%'")),
    ] {
        writeln!(text, "define command {{\n    command_name {name}\n    command_line {line}\n}}").expect("written");
    }
    let often = "check_interval 1\n    retry_interval 1\n    max_check_attempts 1\n    check_period always\n    contacts nobody";
    writeln!(
        text,
        "define host {{\n    host_name {HOST}\n    address 127.0.0.1\n    check_command check_alive\n    {often}\n}}"
    )
    .expect("written");
    for (service, command) in [
        ("level", "check_level"),
        ("load", "check_load"),
        ("disk /", "check_disk"),
        ("users", "check_users"),
        ("memory", "check_memory"),
        ("odd", "check_odd"),
        ("broken", "check_broken"),
    ] {
        service_of(service, command, often, &mut text);
    }
    let waits = format!("active_checks_enabled 0\n    passive_checks_enabled 1\n    {often}");
    for service in passive {
        service_of(service, "check_alive", &waits, &mut text);
    }
    text
}

fn service_of(service: &str, command: &str, more: &str, text: &mut String) {
    writeln!(
        text,
        "define service {{\n    host_name {HOST}\n    service_description {service}\n    check_command {command}\n    {more}\n}}"
    )
    .expect("written");
}
