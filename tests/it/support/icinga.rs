//! A real Icinga 2 in a folder of its own and as the user that runs the tests: API with TLS, perfdata writer, Livestatus,
//! external commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::nagios::ODD;
use super::process::{Process, free_port};
use super::wait;

/// The only host.
pub(crate) const HOST: &str = "web-1";
/// Password of all users of the API.
pub(crate) const PASSWORD: &str = "s3cret pass";
/// What a user of the API needs for the source and the sink, as in `examples/icinga`.
const PERMISSIONS: &str = include_str!("../../../examples/icinga/api-user.conf");

/// A running Icinga.
#[derive(Debug)]
pub(crate) struct Icinga {
    daemon: Option<Process>,
    folder: TempDir,
    command: Vec<String>,
    port: u16,
}

impl Icinga {
    /// Starts the one that Debian's package installs.
    pub(crate) fn start() -> Self {
        Self::start_program(&["icinga2"])
    }

    /// Starts one by this command line: one host whose service `level` says what [`Icinga::level`] sets, standard
    /// plugins, and services that only wait for results.
    pub(crate) fn start_program(command: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["lib/certs", "cache", "log", "spool/tmp", "spool/perfdata", "run/icinga2", "cmd"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let mut icinga = Self { daemon: None, folder, command, port: 0 };
        icinga.level(100.0);
        fs::write(icinga.path("odd"), ODD).expect("written");
        certificates(&icinga.path("lib/certs"));
        icinga.run();
        icinga
    }

    /// Starts the daemon, again after [`Icinga::stop`]; the port stays.
    pub(crate) fn run(&mut self) {
        for _ in 0..3 {
            if self.port == 0 {
                self.port = free_port();
            }
            fs::write(self.path("icinga2.conf"), config(self.folder.path(), self.port)).expect("written");
            let said = |flag| {
                let output = Command::new("id").arg(flag).output().expect("id runs");
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            };
            let folder = self.folder.path().display();
            let mut line = Command::new(&self.command[0]);
            line.args(&self.command[1..]).args(["daemon", "-c"]).arg(self.path("icinga2.conf"));
            for (name, value) in [
                ("DataDir", format!("{folder}/lib")),
                ("CacheDir", format!("{folder}/cache")),
                ("LogDir", format!("{folder}/log")),
                ("SpoolDir", format!("{folder}/spool")),
                ("InitRunDir", format!("{folder}/run/icinga2")),
                ("ConfigDir", format!("{folder}")),
                ("RunAsUser", said("-un")),
                ("RunAsGroup", said("-gn")),
            ] {
                line.arg("-D").arg(format!("{name}={value}"));
            }
            let daemon = Process::start("icinga2", line.current_dir(self.folder.path()), &self.path("out.log"));
            let mut daemon =
                daemon.unwrap_or_else(|error| panic!("{error}; install what tests need by: .ci/setup test"));
            let up = wait::until("Icinga to answer", || match self.api("GET", "/v1/status/IcingaApplication", None) {
                Ok(_) => Ok(true),
                Err(_) if daemon.ended().is_some() => Ok(false),
                Err(error) => Err(format!("{error}; {}", self.log())),
            });
            if up {
                self.daemon = Some(daemon);
                return;
            }
            self.port = 0;
        }
        panic!("Icinga does not stay up: {}", self.log());
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

    /// Where its API is.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// What the service `level` says from now on.
    pub(crate) fn level(&self, value: f64) {
        let new = self.path("level.new");
        fs::write(&new, format!("LEVEL OK - {value}|level={value};900;5000;0\n")).expect("written");
        fs::rename(new, self.path("level")).expect("renamed");
    }

    /// Asks the API as its administrator.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "--max-time", "20", "-X", method, "-H", "Accept: application/json"]);
        curl.arg("--cacert").arg(self.path("lib/certs/ca.crt")).args(["-u", &format!("root:{PASSWORD}")]);
        if let Some(body) = body {
            curl.args(["-d", &body.to_string()]);
        }
        let output = curl.arg(format!("{}{path}", self.url())).output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value =
            serde_json::from_str(&text).map_err(|_| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        if json["error"].is_null() { Ok(json) } else { Err(text) }
    }

    /// State and output of a service with its performance data, as the API has them; an error while no result came from
    /// outside.
    pub(crate) fn service(&self, service: &str) -> Result<(u8, String), String> {
        let name = format!("{HOST}!{service}").replace(' ', "%20");
        let found =
            self.api("GET", &format!("/v1/objects/services/{name}?attrs=last_check_result&attrs=state"), None)?;
        let attrs = &found["results"][0]["attrs"];
        let result = &attrs["last_check_result"];
        if result["active"] != json!(false) {
            return Err(format!("no passive result of `{service}`: {result}"));
        }
        let perfdata: Vec<&str> =
            result["performance_data"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let output = result["output"].as_str().unwrap_or_default();
        Ok((attrs["state"].as_f64().ok_or("no state")? as u8, format!("{output}|{}", perfdata.join(" "))))
    }

    /// SHA-256 of the certificate it shows, as openssl prints it.
    pub(crate) fn fingerprint(&self) -> String {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(self.path("lib/certs/localhost.crt"));
        String::from_utf8_lossy(&openssl.output().expect("openssl runs").stdout).trim().to_owned()
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.path("out.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(3_000)..]).into_owned()
    }
}

impl Drop for Icinga {
    fn drop(&mut self) {
        // Killed, it would leave its helpers behind.
        self.stop();
    }
}

/// An authority, a certificate of the server and one of a client.
fn certificates(folder: &Path) {
    let script = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Test CA' -keyout ca.key -out ca.crt
for name in localhost watchbell; do
    openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
    printf 'subjectAltName=DNS:%s,IP:127.0.0.1\\n' $name >$name.ext
    openssl x509 -req -days 30 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile $name.ext -in $name.csr -out $name.crt
done";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn config(folder: &Path, port: u16) -> String {
    let at = folder.display();
    let text = format!(
        "const PluginDir = \"/usr/lib/nagios/plugins\"
const ManubulonPluginDir = PluginDir
const PluginContribDir = PluginDir
include <itl>
include <plugins>
const NodeName = \"localhost\"
const ZoneName = \"localhost\"
object Endpoint NodeName {{}}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object CheckerComponent \"checker\" {{}}
object ApiListener \"api\" {{ bind_host = \"127.0.0.1\", bind_port = {port} }}
object ApiUser \"root\" {{ password = \"{PASSWORD}\", permissions = [ \"*\" ] }}
object ApiUser \"poor\" {{ password = \"{PASSWORD}\", permissions = [ \"objects/query/Host\" ] }}
object ApiUser \"by certificate\" {{ client_cn = \"watchbell\", permissions = [ \"*\" ] }}
object ExternalCommandListener \"command\" {{ command_path = \"{at}/cmd/icinga2.cmd\" }}
object LivestatusListener \"live\" {{ socket_type = \"unix\", socket_path = \"{at}/cmd/livestatus\" }}
object PerfdataWriter \"perfdata\" {{
    host_perfdata_path = \"{at}/spool/perfdata/host-perfdata\"
    service_perfdata_path = \"{at}/spool/perfdata/service-perfdata\"
    host_temp_path = \"{at}/spool/tmp/host-perfdata\"
    service_temp_path = \"{at}/spool/tmp/service-perfdata\"
    rotation_interval = 2s
}}
object CheckCommand \"level\" {{ command = [ \"/bin/cat\", \"{at}/level\" ] }}
object CheckCommand \"odd\" {{ command = [ \"/bin/cat\", \"{at}/odd\" ] }}
template Service \"often\" {{ check_interval = 1s, retry_interval = 1s, max_check_attempts = 1 }}
object Host \"{HOST}\" {{
    check_command = \"dummy\", check_interval = 1s
    vars.watchbell = true, vars.watchbell_services = [ \"level\" ]
    vars.dummy_text = \"UP|rta=0.5ms pl=0%\"
}}
object Service \"level\" {{ import \"often\", host_name = \"{HOST}\", check_command = \"level\" }}
object Service \"odd\" {{ import \"often\", host_name = \"{HOST}\", check_command = \"odd\" }}
object Service \"load\" {{ import \"often\", host_name = \"{HOST}\", check_command = \"load\" }}
object Service \"icinga\" {{ import \"often\", host_name = \"{HOST}\", check_command = \"icinga\" }}
object Service \"by command\" {{
    host_name = \"{HOST}\", check_command = \"dummy\", check_interval = 1h, max_check_attempts = 1
}}
object Service \"broken\" {{
    import \"often\", host_name = \"{HOST}\", check_command = \"dummy\", vars.dummy_state = 2
}}
object Service \"closed\" {{
    import \"often\", host_name = \"{HOST}\", check_command = \"dummy\"
    enable_passive_checks = false, vars.watchbell = true
}}
"
    );
    // The files of the example, with the password of the tests.
    let user = PERMISSIONS.replace("change me", PASSWORD);
    text + &user + include_str!("../../../examples/icinga/watchbell.conf")
}
