//! `GET /`: the page that people look at, also at night and on a phone. Plain HTML without scripts, from the same rows
//! as the JSON of the API: what fires comes first, what there is nothing of is one quiet line.

mod html;

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use serde_json::Value;
use watchbell_adapter_api::Failures;
use watchbell_adapter_api::health::Failure;
use watchbell_adapter_api::sink::{Cursor, ScoreQuery};
use watchbell_series::{Labels, Reading, Subject, Unit};

use self::html::{Row, Section, escape, moment};
use super::context::shown_subject;
use super::{Api, hosts};
use crate::alerting::Reason;
use crate::context::problems::Problem;
use crate::store::journal::{Kept, KeptWindow, Which};
use crate::words;

/// Hosts, series and rows of each other table at most.
const HOSTS: usize = 200;
const SERIES: usize = 20;
/// Alerts that are looked at for the most severe ones among them.
const LOOKED: u32 = 500;
const ROWS: usize = 50;
/// With more judged series than this only anomalous ones are looked through.
const LOOK_AT_ALL: u64 = 20_000;

/// Labels of alerts that their summary names, or that say the same of all.
const COMMON: [&str; 6] = ["alertname", "severity", "host", "metric", "instance", "job"];

pub(super) async fn page(State(api): State<Api>) -> Html<String> {
    let now_ms = api.clock.now_ms();
    let sections = [
        alerts(&api, Which::Firing, now_ms).await,
        components(&api.failures, now_ms),
        alerts(&api, Which::Withheld, now_ms).await,
        problems(&api, now_ms),
        windows(&api, now_ms).await,
        of_hosts(&api).await,
        series(&api).await,
        conflicts(&api),
    ];
    let mut banner = api.banner.map_or(String::new(), |text| format!("<p class=banner>{}</p>", escape(text)));
    if !api.gate.is_open() {
        banner.push_str("<p class=banner>Not ready: state is restored, history is caught up, or it is stopping.</p>");
    }
    let told = sections.iter().filter(|section| !section.count.is_empty() && section.id != "series");
    let links: Vec<String> = told.map(Section::link).collect();
    let body: String = sections.iter().map(Section::html).collect();
    let page = include_str!("page.html").replace("<!--banner-->", &banner);
    Html(page.replace("<!--counts-->", &links.join(" · ")).replace("<!--sections-->", &body))
}

async fn alerts(api: &Api, which: Which, now_ms: i64) -> Section {
    let firing = which == Which::Firing;
    let (id, title, empty, state) = match firing {
        true => ("alerts", "Alerts", "No alert fires.", "firing"),
        false => (
            "suppressed",
            "Suppressed alerts",
            "No anomaly is kept back by the budget or a quiet window.",
            "suppressed",
        ),
    };
    let section = Section::new(id, title, empty, format!("api/v1/alerts?state={state}"));
    match api.journal.kept(which, i64::MAX, LOOKED).await {
        Ok(mut kept) => {
            let rank = |kept: &Kept| match kept.episode.labels.get("severity") {
                Some("critical" | "page") => 0,
                Some("info") => 2,
                _ => 1,
            };
            kept.sort_by_key(rank);
            let head = ["~alert", "since", "#score", "~why"];
            section.table(&head, kept.iter().map(|kept| alert(kept, firing, now_ms)), ROWS)
        }
        Err(error) => section.broken(&error.to_string()),
    }
}

fn alert(kept: &Kept, firing: bool, now_ms: i64) -> Row {
    let episode = &kept.episode;
    let text = |name: &str| {
        let found = episode.annotations.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    let severity = escape(episode.labels.get("severity").unwrap_or_default());
    let summary = if text("summary").is_empty() { &episode.rule } else { text("summary") };
    let mut why = Vec::new();
    match Reason::ALL.into_iter().find(|reason| !firing && reason.as_str() == kept.suppressed) {
        Some(Reason::Budget) => why.push("kept back: under the edge of the alert budget".to_owned()),
        Some(Reason::FalseDiscovery) => why.push("kept back: chance gives as many in a fleet of this size".to_owned()),
        Some(Reason::Feedback) => why.push("kept back: people called such alerts of it false".to_owned()),
        Some(Reason::Muted) => why.push(format!("kept back by a quiet window: {}", text("muted"))),
        None => {}
    }
    match (text("value"), text("expected")) {
        ("", _) => {}
        (value, "") => why.push(value.to_owned()),
        (value, expected) => why.push(format!("{value}, expected {expected}")),
    }
    // When it last looked like this is a part of the explanation.
    why.extend([text("explanation"), text("limit")].map(str::to_owned));
    if !text("top_contributors").is_empty() {
        why.push(format!("from {}", text("top_contributors")));
    }
    why.retain(|reason| !reason.is_empty());
    let why: Vec<String> = why.iter().map(|reason| escape(reason)).collect();
    let score = if episode.peak_score.is_finite() { format!("{:.2}", episode.peak_score) } else { "–".to_owned() };
    // What tells the series apart from others of its host and metric.
    let own = episode.labels.iter().filter(|(name, _)| !COMMON.contains(name));
    let own = Labels::new(own).unwrap_or_default();
    let own = if own.is_empty() { String::new() } else { escape(&own.to_string()) };
    let title = format!(
        "<b>{}</b><small>{own}</small><small><i class=\"{severity}\">{severity}</i> {} <code>{}</code></small>",
        escape(summary),
        escape(&episode.rule),
        escape(&kept.id)
    );
    Row { loud: firing, cells: vec![title, moment(episode.starts_ms, now_ms), score, why.join("<br>")] }
}

fn about(subject: &Subject) -> String {
    let shown = shown_subject(subject);
    let text = ["host", "match"].into_iter().find_map(|key| shown.get(key).and_then(Value::as_str));
    escape(text.unwrap_or("everything"))
}

fn components(failures: &Failures, now_ms: i64) -> Section {
    let mut rows = Vec::new();
    for (name, failures) in failures.all() {
        let row = |failure: &Failure| {
            let name = format!("<b>{}</b><small>{}</small>", escape(&name), escape(&failure.part));
            Row { loud: true, cells: vec![name, moment(failure.since_ms, now_ms), escape(&failure.reason)] }
        };
        rows.extend(failures.iter().map(row));
    }
    let empty = "No source or sink says that it fails.";
    Section::new("components", "Sources and sinks that fail", empty, "api/v1/components".to_owned()).table(
        &["~name", "since", "~reason"],
        rows.into_iter(),
        ROWS,
    )
}

fn problems(api: &Api, now_ms: i64) -> Section {
    let told = api.known.problems.load_full();
    let mut open: Vec<&Problem> = told.iter().filter(|problem| problem.told.ends_ms.is_none()).collect();
    open.sort_by_key(|problem| Reverse((problem.told.severity, problem.told.starts_ms)));
    let row = |problem: &Problem| {
        let told = &problem.told;
        let acknowledged = if told.acknowledged { "<small>acknowledged</small>" } else { "" };
        let name = format!("<b>{}</b>{acknowledged}", escape(&told.name));
        let severity = told.severity_word().replace('_', " ");
        Row::quiet([name, severity, about(&told.subject), moment(told.starts_ms, now_ms), escape(&problem.source)])
    };
    let empty = "No other tool tells of a problem.";
    Section::new("problems", "Problems of other tools", empty, "api/v1/problems".to_owned()).table(
        &["~problem", "severity", "~about", "since", "source"],
        open.into_iter().map(row),
        ROWS,
    )
}

async fn windows(api: &Api, now_ms: i64) -> Section {
    let empty = "No quiet window is in force or planned.";
    let section = Section::new("windows", "Quiet windows", empty, "api/v1/windows".to_owned());
    let mut all = match api.journal.windows().await {
        Ok(all) => all,
        Err(error) => return section.broken(&error.to_string()),
    };
    all.retain(|kept| kept.window.ends_ms.is_none_or(|end| end >= now_ms));
    let key = |kept: &KeptWindow| {
        let (from, end) = (kept.window.starts_ms, kept.window.ends_ms.unwrap_or(i64::MAX));
        if from <= now_ms { (false, end) } else { (true, from) }
    };
    all.sort_by_key(key);
    let row = |KeptWindow { source, window }: &KeptWindow| {
        let reason = if window.reason.is_empty() { "without a reason" } else { &window.reason };
        let state = if window.starts_ms <= now_ms { "in force" } else { "planned" };
        let until = window.ends_ms.map_or_else(|| "open".to_owned(), |end| moment(end, now_ms));
        let title = format!("<b>{}</b><small>{state}</small>", escape(reason));
        Row::quiet([title, about(&window.subject), moment(window.starts_ms, now_ms), until, escape(source)])
    };
    section.table(&["window", "~about", "from", "until", "source"], all.iter().map(row), ROWS)
}

async fn of_hosts(api: &Api) -> Section {
    let mut hosts = hosts::list(api).await;
    hosts.sort_by(|a, b| b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)).then(a.host.cmp(&b.host)));
    let row = |host: &hosts::Host| {
        let score = host.score.map_or("warming".to_owned(), |score| format!("{score:.2}"));
        let parts = host.parts.iter().filter_map(|(name, part)| Some(format!("{name} {:.2}", (*part)?)));
        let parts = parts.collect::<Vec<_>>().join(", ");
        let from = host.contributors.iter().map(|c| format!("{} ({:.0} %)", escape(&c.series), 100.0 * c.share));
        let from = from.collect::<Vec<_>>().join("<br>");
        let hosts::Host { anomalous, ready, series, .. } = host;
        let name = format!("<b>{}</b>", escape(&host.host));
        let counts = [anomalous, ready, series].map(u32::to_string);
        let cells = [name, score, parts, from].into_iter().chain(counts).collect();
        Row { loud: host.score.is_some_and(|score| score > 1.0), cells }
    };
    let empty = "No host yet: nothing was received, or no series names one.";
    Section::new("hosts", "Hosts", empty, "api/v1/hosts".to_owned()).table(
        &["host", "#score", "parts", "~from", "#anomalous", "#with a score", "#series"],
        hosts.iter().map(row),
        HOSTS,
    )
}

struct Top {
    labels: String,
    reading: Reading,
}

/// The series with the greatest scores.
async fn top_series(api: &Api) -> Vec<Top> {
    let anomalous_only = api.scores.series() > LOOK_AT_ALL;
    let query = Arc::new(ScoreQuery { selectors: Vec::new(), anomalous_only });
    let (mut top, mut cursor) = (Vec::new(), Some(Cursor::START));
    while let Some(at) = cursor {
        let page = api.scores.page(Arc::clone(&query), at).await;
        for row in page.rows.iter().filter(|row| row.reading.score.is_finite()) {
            let labels = Labels::new(page.labels_of(row)).unwrap_or_default().to_string();
            top.push(Top { labels, reading: row.reading });
        }
        top.sort_by(|a: &Top, b| b.reading.score.total_cmp(&a.reading.score).then_with(|| a.labels.cmp(&b.labels)));
        top.truncate(SERIES);
        cursor = page.next;
    }
    top
}

async fn series(api: &Api) -> Section {
    let row = |Top { labels, reading }: &Top| {
        let [value, lower, upper] =
            [reading.value, reading.lower, reading.upper].map(|value| words::quantity(value, Unit::None));
        let (score, band) = (format!("{:.2}", reading.score), format!("{lower} to {upper}"));
        let cells = vec![escape(labels), score, value, band, reading.pattern.as_str().to_owned()];
        Row { loud: reading.score > 1.0, cells }
    };
    let empty = "No series has a score yet; the first come after 20 samples.";
    let head = ["~series", "#score", "#value", "#expected", "pattern"];
    Section::new("series", "Series that stand out most", empty, "scores".to_owned()).table(
        &head,
        top_series(api).await.iter().map(row),
        SERIES,
    )
}

fn conflicts(api: &Api) -> Section {
    let names = api.book.table();
    let row = |conflict: &watchbell_normalize::hosts::HostConflict| {
        let name = format!("<b>{}</b><small>{}</small>", escape(&conflict.name), escape(conflict.reason));
        let hosts: Vec<String> = conflict.hosts.iter().map(|host| escape(host)).collect();
        Row::quiet([name, hosts.join("<br>"), escape(&conflict.advice())])
    };
    let empty = "No names of hosts are in conflict.";
    Section::new("conflicts", "Names that may be one host", empty, "api/v1/hosts".to_owned()).table(
        &["name", "hosts", "~what to do"],
        names.conflicts().iter().map(row),
        ROWS,
    )
}

#[cfg(test)]
mod tests {
    use watchbell_series::Pattern;

    use super::*;
    use crate::alerting::Episode;

    #[test]
    fn what_fails_is_shown_with_its_reason() {
        let failures = Failures::default();
        let zabbix = failures.component("zabbix");
        assert!(components(&failures, 0).html().contains("No source or sink says that it fails."));
        zabbix.failing("api", "status 401 <b>", 0);
        let section = components(&failures, 120_000);
        let html = section.html();
        assert!(section.count == "1" && html.contains("<b>zabbix</b><small>api</small>"), "{html}");
        assert!(html.contains("ago") && html.contains("status 401 &lt;b&gt;"), "{html}");
    }

    #[test]
    fn an_alert_says_each_reason_once() {
        let seen = "2025-12-26T00:00:00Z, 6 days before";
        let explanation = format!("Compared with the last few samples; it last looked like this at {seen}.");
        let texts = [("value", "3 s"), ("expected", "1 s"), ("last_seen", seen), ("explanation", &explanation)];
        let episode = Episode {
            rule: "MetricAnomalous".to_owned(),
            series: None,
            host: "a".to_owned(),
            labels: Labels::default(),
            annotations: texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            generator_url: String::new(),
            starts_ms: 0,
            ends_ms: None,
            peak_score: 2.0,
            pattern: Pattern::Spike,
        };
        let kept = Kept { id: "1".to_owned(), episode, suppressed: String::new(), feedback: String::new() };
        let why = &alert(&kept, true, 0).cells[3];
        assert_eq!(*why, format!("3 s, expected 1 s<br>{explanation}"));
    }
}
