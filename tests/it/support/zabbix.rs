//! A real Zabbix: server, frontend and agent on a PostgreSQL of their own, as plain processes in one folder.
//!
//! The schema is read in once for a build folder and kept there; each instance begins with a copy of it. Tests of one run
//! share an instance by [`Zabbix::shared`], with hosts of their own; who stops parts of it starts one alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, free_low_port, free_port, run};
use super::{http, postgres, wait};

/// The superuser that a new Zabbix comes with.
pub(crate) const USER: &str = "Admin";
pub(crate) const PASSWORD: &str = "zabbix";

/// Which Zabbix is started.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// Major and minor version.
    pub(crate) version: (u16, u16),
    pub(crate) server: PathBuf,
    pub(crate) agent: PathBuf,
    /// Where schema and frontend are, as `/usr/share` of the packages.
    pub(crate) share: PathBuf,
}

impl Release {
    /// The 6.0 that Debian's packages install.
    fn installed() -> Self {
        let (server, agent, share) = ("zabbix_server".into(), "zabbix_agentd".into(), "/usr/share".into());
        Self { version: (6, 0), server, agent, share }
    }
}

/// A running Zabbix.
#[derive(Debug)]
pub(crate) struct Zabbix {
    pub(crate) release: Release,
    server: Mutex<Option<Process>>,
    web: Mutex<Option<Process>>,
    agent: Mutex<Option<Process>>,
    database: Option<Process>,
    session: OnceLock<String>,
    pub(crate) server_port: u16,
    pub(crate) agent_port: u16,
    web_port: u16,
    folder: TempDir,
}

impl Zabbix {
    /// The instance that tests share while any of them uses it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Zabbix>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let zabbix = Arc::new(Self::start());
            *shared = Arc::downgrade(&zabbix);
            zabbix
        })
    }

    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_release(Release::installed())
    }

    /// Starts one of this release.
    pub(crate) fn start_release(release: Release) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // PostgreSQL refuses root and runs as another user, who must get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("allowed");
        let cluster = folder.path().join("cluster");
        run(Command::new("cp").arg("-a").arg(schema(&release)).arg(&cluster));
        let database = Some(postgres::start(&cluster));
        let zabbix = Self {
            release,
            server: Mutex::default(),
            web: Mutex::default(),
            agent: Mutex::default(),
            database,
            session: OnceLock::new(),
            server_port: free_low_port(),
            agent_port: free_low_port(),
            web_port: free_port(),
            folder,
        };
        zabbix.write_files();
        zabbix.start_server();
        zabbix.start_web();
        zabbix.start_agent();
        zabbix
    }

    fn write_files(&self) {
        let folder = self.folder.path().display();
        for name in ["export", "socket"] {
            fs::create_dir(self.path(name)).expect("a folder");
        }
        let mut server = format!(
            "ListenIP=127.0.0.1\nListenPort={}\nDBHost={folder}/cluster\nDBName=zabbix\nDBUser=zabbix\nLogType=console\n\
             PidFile={folder}/server.pid\nSocketDir={folder}/socket\nExportDir={folder}/export\nAllowRoot=1\n\
             ExportType=events,history,trends\nCacheUpdateFrequency=1\nStartPingers=0\nStartDiscoverers=0\n\
             StartHTTPPollers=0\nStartPollers=2\nStartPollersUnreachable=1\nStartTrappers=3\nStartTimers=1\n\
             HousekeepingFrequency=0\nTimeout=5\nStartHistoryPollers=1\nStartDBSyncers=2\nCacheSize=128M\n\
             HistoryCacheSize=64M\nHistoryIndexCacheSize=64M\nTrendCacheSize=64M\n",
            self.server_port
        );
        if self.has_connectors() {
            server.push_str("StartConnectors=1\n");
        }
        fs::write(self.path("server.conf"), server).expect("written");
        let agent = format!(
            "ListenIP=127.0.0.1\nListenPort={}\nServer=127.0.0.1\nServerActive=127.0.0.1:{}\nHostname=agent\n\
             LogType=console\nPidFile={folder}/agent.pid\nAllowRoot=1\nStartAgents=1\n",
            self.agent_port, self.server_port
        );
        fs::write(self.path("agent.conf"), agent).expect("written");
        let www = self.path("www");
        run(Command::new("cp").arg("-r").arg(self.release.share.join("zabbix")).arg(&www));
        // Debian's frontend reads its settings from a constant path under /etc; this copy reads ours.
        let place = www.join("include/classes/core/CConfigFile.php");
        let code = fs::read_to_string(&place).expect("the frontend is installed");
        fs::write(&place, code.replace("/etc/zabbix/zabbix.conf.php", &format!("{folder}/zabbix.conf.php")))
            .expect("written");
        let settings = format!(
            "<?php\n$DB = ['TYPE' => 'POSTGRESQL', 'SERVER' => '{folder}/cluster', 'PORT' => '0', 'DATABASE' => 'zabbix',\n\
             'USER' => 'zabbix', 'PASSWORD' => '', 'SCHEMA' => '', 'ENCRYPTION' => false, 'KEY_FILE' => '',\n\
             'CERT_FILE' => '', 'CA_FILE' => '', 'VERIFY_HOST' => false, 'CIPHER_LIST' => '',\n\
             'DOUBLE_IEEE754' => true];\n$ZBX_SERVER = '127.0.0.1';\n$ZBX_SERVER_PORT = '{}';\n\
             $ZBX_SERVER_NAME = 'test';\n$IMAGE_FORMAT_DEFAULT = IMAGE_FORMAT_PNG;\n",
            self.server_port
        );
        fs::write(self.path("zabbix.conf.php"), settings).expect("written");
    }

    /// Starts the server, again after [`Zabbix::stop_server`].
    pub(crate) fn start_server(&self) {
        let mut command = Command::new(&self.release.server);
        command.arg("-f").arg("-c").arg(self.path("server.conf"));
        let server = self.launch("zabbix_server", &mut command);
        await_port(self.server_port, "Zabbix");
        *lock(&self.server) = Some(server);
    }

    /// Ends the server as an administrator would; it writes down what it holds first.
    pub(crate) fn stop_server(&self) {
        end(&mut lock(&self.server));
    }

    /// Starts the frontend under PHP's own web server.
    pub(crate) fn start_web(&self) {
        let mut command = Command::new("php");
        command.args(["-d", "max_execution_time=300", "-d", "post_max_size=16M", "-d", "date.timezone=UTC"]);
        command.args(["-d", "memory_limit=512M", "-d", "opcache.enable_cli=1"]);
        command.args(["-S", &format!("127.0.0.1:{}", self.web_port), "-t"]).arg(self.path("www"));
        let web = self.launch("php", &mut command);
        *lock(&self.web) = Some(web);
        wait::until("the API of Zabbix", || self.post("apiinfo.version", &json!([]), None));
    }

    /// Ends the frontend.
    pub(crate) fn stop_web(&self) {
        end(&mut lock(&self.web));
    }

    /// Ends the agent: nothing is measured any more.
    pub(crate) fn stop_agent(&self) {
        end(&mut lock(&self.agent));
    }

    fn start_agent(&self) {
        let mut command = Command::new(&self.release.agent);
        command.arg("-f").arg("-c").arg(self.path("agent.conf"));
        let agent = self.launch("zabbix_agentd", &mut command);
        await_port(self.agent_port, "the agent of Zabbix");
        *lock(&self.agent) = Some(agent);
    }

    fn launch(&self, name: &str, command: &mut Command) -> Process {
        let log = self.path(&format!("{name}.log"));
        Process::start(name, command.current_dir(self.folder.path()), &log)
            .unwrap_or_else(|error| panic!("{error}; install what tests need by: .ci/setup test"))
    }

    /// Whether a session goes into the header `Authorization`.
    pub(crate) fn takes_header(&self) -> bool {
        self.release.version >= (6, 4)
    }

    /// Whether the server posts values by itself.
    pub(crate) fn has_connectors(&self) -> bool {
        self.release.version >= (7, 0)
    }

    /// Runs SQL in its database.
    pub(crate) fn sql(&self, script: &str) {
        let mut command = Command::new("psql");
        command.args(["-qX", "-v", "ON_ERROR_STOP=1", "-U", "zabbix", "-h"]).arg(self.path("cluster"));
        run(command.args(["-c", script, "zabbix"]));
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Address of the frontend.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web_port)
    }

    /// Calls the API as the superuser.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let session = self.session.get_or_init(|| {
            let login = self.post("user.login", &json!({"username": USER, "password": PASSWORD}), None);
            login.expect("logged in").as_str().expect("a session").to_owned()
        });
        self.post(method, &params, Some(session)).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    fn post(&self, method: &str, params: &Value, auth: Option<&str>) -> Result<Value, String> {
        let mut body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        let bearer = format!("Bearer {}", auth.unwrap_or_default());
        let mut headers = vec![("content-type", "application/json-rpc")];
        match auth {
            Some(_) if self.takes_header() => headers.push(("authorization", &bearer)),
            Some(session) => body["auth"] = session.into(),
            None => {}
        }
        let url = format!("{}/api_jsonrpc.php", self.url());
        let text = http::post(&url, &headers, body.to_string().into_bytes())?.ok()?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer.get("result").is_some() {
            true => Ok(answer["result"].take()),
            false => Err(text),
        }
    }

    /// A token of the superuser.
    pub(crate) fn token(&self, name: &str) -> String {
        let made = self.call("token.create", json!([{"name": name}]));
        let told = self.call("token.generate", json!([made["tokenids"][0]]));
        told[0]["token"].as_str().expect("a token").to_owned()
    }

    /// The group of this name, made where there is none.
    pub(crate) fn group(&self, name: &str) -> String {
        let known = self.call("hostgroup.get", json!({"filter": {"name": name}}));
        match known[0]["groupid"].as_str() {
            Some(id) => id.to_owned(),
            None => id(&self.call("hostgroup.create", json!({"name": name}))["groupids"][0]),
        }
    }

    /// A new host in `group`, with the agent as its interface. Gives its id.
    pub(crate) fn host(&self, host: &str, group: &str) -> String {
        let interface = json!({"type": 1, "main": 1, "useip": 1, "ip": "127.0.0.1", "dns": "",
                               "port": self.agent_port.to_string()});
        let groups = json!([{"groupid": self.group(group)}]);
        let made = self.call("host.create", json!({"host": host, "groups": groups, "interfaces": [interface]}));
        id(&made["hostids"][0])
    }

    /// A new trapper item of a value type (0 float, 3 unsigned, 4 text). Gives its id.
    pub(crate) fn trapper(&self, hostid: &str, key: &str, value_type: u8, more: Value) -> String {
        let mut item = json!({"hostid": hostid, "name": key, "key_": key, "type": 2, "value_type": value_type});
        item.as_object_mut().expect("a map").extend(more.as_object().cloned().unwrap_or_default());
        id(&self.call("item.create", item)["itemids"][0])
    }

    /// A new item that the agent measures each second, as a number. Gives its id.
    pub(crate) fn measured(&self, hostid: &str, key: &str, units: &str) -> String {
        let interface = self.call("hostinterface.get", json!({"hostids": [hostid], "output": ["interfaceid"]}));
        let item = json!({"hostid": hostid, "name": key, "key_": key, "type": 0, "value_type": 0, "delay": "1s",
                          "units": units, "interfaceid": interface[0]["interfaceid"]});
        id(&self.call("item.create", item)["itemids"][0])
    }

    /// Sends values of trapper items with their times, as zabbix_sender does. Gives how many the server took; those
    /// of items made a second ago are not known to it yet.
    pub(crate) fn send(&self, values: &[(&str, &str, &str, i64)]) -> usize {
        let lines: Vec<String> =
            values.iter().map(|(host, key, value, s)| format!("{host} {key} {s} {value}\n")).collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), lines.concat()).expect("written");
        let port = self.server_port.to_string();
        let mut command = Command::new("zabbix_sender");
        command.args(["-z", "127.0.0.1", "-p", &port, "-T", "-i"]).arg(file.path());
        let output = command.output().expect("zabbix_sender runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("processed: "), "zabbix_sender said: {said}{}", String::from_utf8_lossy(&output.stderr));
        // One count for each 250 values.
        let counts =
            said.split("processed: ").skip(1).filter_map(|rest| rest.split(';').next()?.trim().parse::<usize>().ok());
        counts.sum()
    }

    /// The same again and again until the server takes all of them.
    pub(crate) fn send_all(&self, values: &[(&str, &str, &str, i64)]) {
        wait::until("Zabbix to take values", || {
            let taken = self.send(values);
            wait::when(taken == values.len(), || format!("{taken} of {} taken; {}", values.len(), self.log()))
        });
    }

    /// All that the server said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("zabbix_server.log")).unwrap_or_default()
    }
}

impl Drop for Zabbix {
    fn drop(&mut self) {
        // Killed, they would leave their workers behind.
        for part in [&self.web, &self.agent, &self.server] {
            end(&mut lock(part));
        }
        if let Some(mut database) = self.database.take() {
            database.signal("INT");
            database.wait(wait::PATIENCE);
        }
    }
}

fn lock(part: &Mutex<Option<Process>>) -> std::sync::MutexGuard<'_, Option<Process>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(part: &mut Option<Process>) {
    if let Some(mut process) = part.take()
        && process.ended().is_none()
    {
        process.signal("TERM");
        process.wait(wait::PATIENCE);
    }
}

fn id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn await_port(port: u16, what: &str) {
    wait::until(what, || std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()));
}

/// A cluster with the schema and nobody in it, made once. Without statistics some requests of the frontend take minutes.
fn schema(release: &Release) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (major, minor) = release.version;
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("zabbix-{major}.{minor}-analyzed"));
    if kept.exists() {
        return kept;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("allowed");
    let cluster = folder.path().join("cluster");
    postgres::make(&cluster);
    let mut database = postgres::start(&cluster);
    let files = release.share.join("zabbix-server-pgsql").display().to_string();
    let psql = format!("psql -qX -v ON_ERROR_STOP=1 -h '{}'", cluster.display());
    let script = format!(
        "{psql} -U postgres -c 'CREATE ROLE zabbix LOGIN' -c 'CREATE DATABASE zabbix OWNER zabbix' postgres &&
         for file in schema images data; do zcat '{files}'/$file.sql.gz; done |
         grep -vxE '(START TRANSACTION|COMMIT);' | {psql} -U zabbix -1 zabbix >/dev/null &&
         {psql} -U postgres -c 'VACUUM (ANALYZE)' zabbix"
    );
    run(Command::new("sh").args(["-c", &script]));
    database.signal("INT");
    database.wait(wait::PATIENCE);
    let near = kept.with_extension(format!("{}", std::process::id()));
    run(Command::new("cp").arg("-a").arg(&cluster).arg(&near));
    fs::rename(&near, &kept).expect("renamed");
    kept
}
