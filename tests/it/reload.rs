//! A running service takes another config, keeps the old one where the new is wrong, and ends without loss.

use std::fs;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load;
use crate::support::server::Server;
use crate::support::watchbell::Home;

const PUSHED: &str = "sources:\n  - {type: prometheus_remote_write_in}\n";

fn job(name: &str, server: &Server) -> String {
    format!(
        "  - {{type: prometheus_scrape, name: {name}, job_name: {name}, scrape_interval: 1s, \
         static_configs: [{{targets: ['{}']}}]}}\n",
        server.address()
    )
}

/// A page with a metric, and an Alertmanager that takes all.
fn peer() -> Server {
    let page = ([(CONTENT_TYPE, "text/plain; version=0.0.4")], "it_page 1\n");
    Server::start(Router::new().route("/metrics", get(async move || page)).route("/api/v2/alerts", post(async || "")))
}

#[test]
fn sources_and_sinks_come_and_go() {
    let (server, home) = (peer(), Home::new(PUSHED));
    let service = home.start();
    let scraped = |job: &str| service.metric("watchbell_scrape_samples_total", &[("source", job)]);
    let reloads = |result: &str| service.metric("watchbell_reloads_total", &[("result", result)]);
    assert_eq!(service.reload().text, "reloaded: rules read anew, the config is as before\n");

    home.configure(&format!("{PUSHED}{}", job("one", &server)));
    service.signal("HUP");
    service.metric_until("watchbell_reloads_total", &[("result", "success")], |count| count == 2.0);
    service.metric_until("watchbell_scrape_samples_total", &[("source", "one")], |samples| samples > 0.0);
    assert!(service.score("watchbell_series_ready", &[("metric", "it_page"), ("job", "one")]).is_some());

    let sinks = format!("sinks:\n  - {{type: alertmanager, name: am, urls: ['{}']}}\n", server.url(""));
    home.configure(&format!("{PUSHED}{}{sinks}", job("two", &server)));
    let said = service.reload();
    assert_eq!(said.status, 200, "{}", said.text);
    for change in
        ["source `two` added", "source `one` removed", "sink `am` added", "sink `prometheus_exposition` removed"]
    {
        assert!(said.text.contains(change), "`{change}` in {}", said.text);
    }
    service.metric_until("watchbell_scrape_samples_total", &[("source", "two")], |samples| samples > 0.0);
    assert_eq!(service.get("/scores").status, 404, "its sink is gone");
    assert_eq!(service.metric("watchbell_source_up", &[("source", "two")]), 1.0);

    let before = (reloads("failure"), scraped("two"));
    home.configure(&format!("{PUSHED}  - {{type: prometheus_scrap}}\ndetect: {{warmup: ten}}\n"));
    let refused = service.reload();
    assert_eq!(refused.status, 400);
    let file = home.config().display().to_string();
    assert!(refused.text.contains(&format!("{file}:3")), "the line of the source: {}", refused.text);
    assert!(refused.text.contains(&format!("{file}:4")), "the line of the setting: {}", refused.text);
    assert!(refused.text.contains("did you mean `prometheus_scrape`?"), "{}", refused.text);
    assert_eq!(reloads("failure"), before.0 + 1.0);
    assert_eq!(service.metric("watchbell_config_last_reload_success", &[]), 0.0);
    assert!(service.log().contains("the old one stays in force"), "{}", service.log());
    service.metric_until("watchbell_scrape_samples_total", &[("source", "two")], |samples| samples > before.1);

    home.configure(PUSHED);
    assert!(service.reload().text.contains("source `two` removed"));
    assert_eq!(service.metric("watchbell_config_last_reload_success", &[]), 1.0);
    assert_eq!(service.get("/scores").status, 200, "what stands for a config without sinks is back");
    assert!(service.stop().success());
}

#[test]
fn a_stop_saves_and_a_start_goes_on() {
    let config = format!("{PUSHED}detect: {{warmup: 10s}}\n");
    let load = load::fleet(5, SystemClock.now_ms() + 60_000, 82);
    let whole = Home::new(&config);
    let uninterrupted = whole.start();
    for batch in &load {
        assert_eq!(uninterrupted.write(batch).status, 204);
    }

    let home = Home::new(&config);
    let service = home.start();
    for batch in &load[..80] {
        assert_eq!(service.write(batch).status, 204);
    }
    let before = service.scores();
    let second = home_in_use(&home);
    assert!(second.contains("in use") || second.contains("another"), "two on one folder are refused: {second}");
    assert_eq!(service.stop().code(), Some(0));
    let log = fs::read_to_string(home.path().join("watchbell.log")).expect("a log");
    assert!(log.contains("state saved") && log.contains("stopped"), "{log}");

    let service = home.start();
    assert_eq!(service.scores(), before, "nothing is learned anew");
    for batch in &load[80..] {
        assert_eq!(service.write(batch).status, 204);
    }
    assert_eq!(service.scores(), uninterrupted.scores());
}

/// What a second process on the folder of a running one says as it gives up.
fn home_in_use(home: &Home) -> String {
    let (config, data) = (home.config().display().to_string(), home.data().display().to_string());
    let words = ["run", "--config", &config, "--data-dir", &data, "--listen", "127.0.0.1:0"];
    let ended = crate::support::watchbell::command(&words);
    assert_eq!(ended.status.code(), Some(1));
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn machines_and_peers_are_judged_as_the_config_says_now() {
    let home = Home::new(&format!("{PUSHED}detect: {{tick: 100ms}}\n"));
    let service = home.start();
    let ticks = || service.metric("watchbell_ticks_total", &[]);
    service.metric_until("watchbell_ticks_total", &[], |ticks| ticks > 2.0);
    home.configure(&format!("{PUSHED}detect: {{tick: 100ms, joint: {{enabled: false}}, peers: {{enabled: false}}}}\n"));
    let said = service.reload().text;
    assert!(said.contains("`detect.joint` changed") && said.contains("`detect.peers` changed"), "{said}");
    let idle = ticks();
    home.configure(&format!("{PUSHED}detect: {{tick: 200ms, peers: {{group_by: [role]}}}}\n"));
    let said = service.reload().text;
    assert!(said.contains("`detect.tick` changed") && !said.contains("next start"), "{said}");
    service.metric_until("watchbell_ticks_total", &[], |ticks| ticks > idle + 2.0);
    assert!(service.stop().success());
}
