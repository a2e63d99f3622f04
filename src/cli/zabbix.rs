//! `watchbell zabbix setup`: makes in Zabbix what verdicts need there. Says what it would do unless told to do it.

use std::path::PathBuf;

use anyhow::{anyhow, bail, ensure};
use serde_json::json;
use watchbell_adapter_api::Problems;
use watchbell_zabbix::api::{Api, ApiConfig};
use watchbell_zabbix::setup::{self, Step, Wish};
use watchbell_zabbix::verdicts::key::Part;

use crate::console;

/// Steps of one kind that are shown one by one.
const SHOWN: usize = 20;

/// Works on a Zabbix server.
#[derive(Debug, clap::Args)]
pub struct ZabbixArgs {
    #[command(subcommand)]
    command: ZabbixCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ZabbixCommand {
    Setup(SetupArgs),
}

/// Makes what verdicts need in Zabbix: the template, its links to hosts, or items one by one. Only says what is missing
/// unless told to `--apply`; what is there is left alone.
#[derive(Debug, clap::Args)]
pub struct SetupArgs {
    /// Address of the frontend as a browser has it.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// File that holds an API token, of a user who may write to the hosts; for the template a super admin.
    #[arg(long, value_name = "FILE", conflicts_with = "user", required_unless_present = "user")]
    pub token_file: Option<PathBuf>,
    /// User name, where there is no token.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// File that holds the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Host to set up, by its technical name; may be given several times.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Group whose hosts are set up; may be given several times.
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// Items one by one in place of the template, for `items.keys: plain` of the sink.
    #[arg(long)]
    pub plain: bool,
    /// With `--plain`: keys of items that are judged, a regular expression on the whole key.
    #[arg(long, value_name = "REGEX", default_value = ".*", requires = "plain")]
    pub keys: String,
    /// With `--plain`: what each gets, of score, value, expected, lower and upper.
    #[arg(
        long,
        value_name = "LIST",
        default_value = "score,expected,lower,upper",
        requires = "plain",
        value_delimiter = ','
    )]
    pub values: Vec<String>,
    /// Do it.
    #[arg(long)]
    pub apply: bool,
}

/// Runs the command.
///
/// # Errors
/// Zabbix can not be asked, or refuses.
pub fn run(args: &ZabbixArgs) -> anyhow::Result<()> {
    match &args.command {
        ZabbixCommand::Setup(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(set_up(args))
        }
    }
}

async fn set_up(args: &SetupArgs) -> anyhow::Result<()> {
    let api = api(args)?;
    let wish = wish(args)?;
    let result = look_and_apply(&api, &wish, args).await;
    api.log_out().await;
    result
}

async fn look_and_apply(api: &Api, wish: &Wish, args: &SetupArgs) -> anyhow::Result<()> {
    let steps = setup::missing(api, wish).await.map_err(|error| anyhow!(error))?;
    if wish.hosts.is_empty() && wish.groups.is_empty() {
        console::note(format_args!("no hosts are named: with --host NAME or --group NAME they are set up too"));
    }
    if steps.is_empty() {
        return console::line(format_args!("nothing is missing"));
    }
    show(&steps)?;
    if !args.apply {
        let to_do = count(steps.len());
        return console::line(format_args!("{to_do} to do; nothing was changed: add --apply to do it"));
    }
    let mut done = 0;
    let result = setup::apply(api, &steps, |so_far| done = so_far).await;
    let told = console::line(format_args!("{} of {} done", done, count(steps.len())));
    result.map_err(|error| anyhow!(error))?;
    told
}

fn count(steps: usize) -> String {
    if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") }
}

/// The steps, of a long row of the same kind the first ones only.
fn show(steps: &[Step]) -> anyhow::Result<()> {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let alike = |step: &&Step| std::mem::discriminant(*step) == std::mem::discriminant(first);
        let (now, later) = rest.split_at(rest.iter().take_while(alike).count());
        for step in now.iter().take(SHOWN) {
            console::line(format_args!("{step}"))?;
        }
        if now.len() > SHOWN {
            console::line(format_args!("... and {} more of this kind", now.len() - SHOWN))?;
        }
        rest = later;
    }
    Ok(())
}

fn wish(args: &SetupArgs) -> anyhow::Result<Wish> {
    let parts: Result<Vec<Part>, _> =
        args.values.iter().map(|word| serde_json::from_value::<Part>(json!(word.trim()))).collect();
    let Ok(parts) = parts else {
        bail!("`{}` is no list of score, value, expected, lower and upper", args.values.join(","));
    };
    ensure!(
        !(args.plain && args.hosts.is_empty() && args.groups.is_empty()),
        "items one by one need hosts: name them by --host or --group"
    );
    let plain = args.plain.then(|| (args.keys.clone(), parts));
    Ok(Wish { hosts: args.hosts.clone(), groups: args.groups.clone(), plain })
}

fn api(args: &SetupArgs) -> anyhow::Result<Api> {
    let mut config = json!({"url": args.url, "max_requests_per_second": 20.0});
    for (name, value) in [("token_file", &args.token_file), ("password_file", &args.password_file)] {
        if let Some(value) = value {
            config[name] = json!(value);
        }
    }
    if let Some(user) = &args.user {
        config["user"] = json!(user);
    }
    if let Some(ca_file) = &args.ca_file {
        config["http"] = json!({"tls": {"ca_file": ca_file}});
    }
    let config: ApiConfig = serde_json::from_value(config)?;
    let mut problems = Problems::default();
    config.prepare(&mut problems).ok_or_else(|| {
        let problems: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        anyhow!(problems.join("\n"))
    })
}
