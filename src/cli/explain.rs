//! `watchbell explain`: asks a running service why a series does or does not alert.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use watchbell_adapter_api::{Clock, HttpClientConfig, Problems};
use watchbell_series::Selector;

use crate::clock::SystemClock;
use crate::{console, words};

/// A past minute is read back and judged again, which takes a while.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Asks a running service why a series does or does not alert.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The series, by labels of the input and `host`: `node_load1{host="web-1"}`.
    #[arg(value_name = "SELECTOR", value_parser = selector)]
    pub selector: String,
    /// A past moment, RFC 3339 or Unix seconds, or how long ago, such as `10m`: its history is read back and judged
    /// again. Now unless given.
    #[arg(long, value_name = "TIME", value_parser = at)]
    pub at: Option<String>,
    /// Address of the service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9797", value_parser = url)]
    pub url: String,
    /// User name for basic authentication.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// File that holds the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    pub json: bool,
}

fn selector(text: &str) -> Result<String, String> {
    text.parse::<Selector>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn url(text: &str) -> Result<String, String> {
    let known = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    match known {
        Some(_) => Ok(text.to_owned()),
        None => Err("no address; write it as `http://127.0.0.1:9797`".to_owned()),
    }
}

/// In seconds since the Unix epoch, by this machine's clock.
fn at(text: &str) -> Result<String, String> {
    words::read_moment(text, SystemClock.now_ms()).map(|at_ms| (at_ms as f64 / 1_000.0).to_string())
}

/// Asks, and prints the answer.
///
/// # Errors
/// Nothing answers, or the service has no answer: its reason.
pub fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(args))?;
    if args.json {
        return console::line(format_args!("{answer:#}"));
    }
    console::line(format_args!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default()))
}

async fn ask(args: &ExplainArgs) -> anyhow::Result<Value> {
    let mut config = json!({"tls": {"ca_file": args.ca_file}});
    if let (Some(username), Some(password_file)) = (&args.user, &args.password_file) {
        config["basic_auth"] = json!({"username": username, "password_file": password_file});
    }
    let config: HttpClientConfig = serde_json::from_value(config)?;
    let mut problems = Problems::default();
    let Some(client) = config.build(TIMEOUT, &mut problems) else {
        let problems: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        bail!(problems.join("\n"));
    };
    let url = format!("{}/api/v1/explain", args.url.trim_end_matches('/'));
    let mut query = vec![("match[]", args.selector.as_str())];
    query.extend(args.at.as_deref().map(|at| ("time", at)));
    let request = client.request(http::Method::GET, &url).map_err(anyhow::Error::msg)?.query(&query);
    let answer = request.send().await.with_context(|| {
        format!("no answer from `{}`; does the service run there? `--url` names another address", args.url)
    })?;
    let status = answer.status();
    let body = answer.text().await.with_context(|| format!("`{}` broke off", args.url))?;
    match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(mut body)) if status.is_success() => Ok(body.remove("data").unwrap_or_default()),
        Ok(body) if body.get("error").is_some() => {
            bail!("{}", body["error"].as_str().unwrap_or("refused without a reason"))
        }
        _ => bail!("`{}` answers {status}: {}", args.url, body.chars().take(200).collect::<String>().trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:9797", "https://watchbell.example.com/prefix/"] {
            assert_eq!(url(good).as_deref(), Ok(good));
        }
        for bad in ["localhost:9797", "127.0.0.1:9797", "http://", "ftp://a", ""] {
            assert!(url(bad).expect_err(bad).contains("`http://127.0.0.1:9797`"), "{bad}");
        }
    }
}
