//! What a replay shows: tables for the terminal, files, a page.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use jiff::tz::TimeZone;
use serde_json::json;

use super::findings::{Findings, Group, subject};
use super::player::Played;
use crate::alerting::Episode;
use crate::report::words::{number, span, time};
use crate::report::{Cell, Page, Plot, Table};
use crate::words;

/// Series that get a plot of their own.
const PLOTTED: usize = 20;
/// Rows of tables that only show the worst.
const SHOWN: usize = 15;

/// The whole report for a terminal, with at most `limit` alerts one by one.
#[must_use]
pub fn text(found: &Findings, zone: &TimeZone, limit: usize) -> String {
    let mut out = String::new();
    for line in summary(found, zone) {
        let _ = writeln!(out, "{line}");
    }
    let mut section = |title: &str, table: &Table| {
        if !table.is_empty() {
            let _ = write!(out, "\n{title}\n{}", table.text());
        }
    };
    section("By rule", &rules_table(found));
    section("By host", &hosts_table(found));
    section("Noisiest series", &series_table(found, SHOWN));
    let (shown, all) = (found.alerts.len().min(limit), found.alerts.len());
    let title = if shown < all { format!("The first {shown} of {all} alerts") } else { "Alerts".to_owned() };
    section(&title, &alerts_table(found, zone, limit));
    out
}

/// What was replayed, and the answer in one line.
fn summary(found: &Findings, zone: &TimeZone) -> Vec<String> {
    let (first, last) = found.span_ms;
    let (held, judged) = found.series;
    let alerts = found.alerts.len();
    // Without a name of a host there is nothing to share the alerts between.
    let (on, each) = match found.hosts.len() {
        0 => ("none of which names a host".to_owned(), String::new()),
        hosts => (
            format!("on {}", words::count(hosts as u64, "host")),
            format!(", {} a week and host", number(found.per_week(alerts) / hosts as f64, 2)),
        ),
    };
    let mut lines = vec![
        format!(
            "Replayed {} to {} ({}): {} samples.",
            time(first, zone),
            time(last, zone),
            span((last - first) as f64 / 1000.0),
            found.samples
        ),
        format!("Series: {held}, of which {judged} {} judged, {on}.", if judged == 1 { "is" } else { "are" }),
        format!(
            "Left out: everything before {}, while series were young ({}).",
            time(found.counted_from_ms, zone),
            counted(found.left_out)
        ),
        format!("Would have fired: {}; {} a week{each}.", counted(alerts), number(found.per_week(alerts), 1)),
    ];
    let firing = found.alerts.iter().filter(|alert| alert.ends_ms.is_none()).count();
    if firing > 0 {
        lines.push(format!("Still firing at the end: {firing}."));
    }
    lines
}

fn counted(alerts: usize) -> String {
    words::count(alerts as u64, "alert")
}

fn rules_table(found: &Findings) -> Table {
    let mut table = Table::new(&["rule", "severity", "#alerts", "#per week", "#hosts", "#typical length"]);
    for (rule, group) in found.by_rule() {
        let Group { alerts, severity, hosts, .. } = &group;
        let numbers =
            [alerts.to_string(), number(found.per_week(*alerts), 1), hosts.len().to_string(), span(group.typical_s())];
        table.row([rule, severity.clone()].into_iter().chain(numbers));
    }
    table
}

fn hosts_table(found: &Findings) -> Table {
    let mut table = Table::new(&["host", "#alerts", "#per week", "#time in alert"]);
    for (host, group) in found.by_host() {
        table.row([host, group.alerts.to_string(), number(found.per_week(group.alerts), 1), span(group.total_s())]);
    }
    table
}

fn series_table(found: &Findings, limit: usize) -> Table {
    let mut table = Table::new(&["series", "#alerts", "#per week", "#highest score", "#time in alert"]);
    for (name, group) in found.by_series().into_iter().take(limit) {
        let per_week = number(found.per_week(group.alerts), 1);
        let rest = [group.alerts.to_string(), per_week, score(group.peak), span(group.total_s())];
        let link = Cell::link(&name, &name);
        table.row([link].into_iter().chain(rest.map(Cell::from)));
    }
    table
}

fn alerts_table(found: &Findings, zone: &TimeZone, limit: usize) -> Table {
    let mut table = Table::new(&["began", "#lasted", "rule", "severity", "kind", "#score", "host", "series"]);
    for alert in found.alerts.iter().take(limit) {
        let lasted = span(found.lasted_ms(alert) as f64 / 1000.0);
        let lasted = if alert.ends_ms.is_some() { lasted } else { format!("{lasted}+") };
        let severity = alert.labels.get("severity").unwrap_or_default();
        let series = if alert.series.is_some() { subject(alert) } else { String::new() };
        table.row([
            time(alert.starts_ms, zone),
            lasted,
            alert.rule.clone(),
            severity.to_owned(),
            alert.pattern.to_string(),
            score(alert.peak_score),
            alert.host.clone(),
            series,
        ]);
    }
    table
}

fn score(score: f32) -> String {
    number(f64::from(score), 2)
}

/// Writes `alerts.csv`, `replay.json` and `index.html` into `folder`, which is there.
///
/// # Errors
/// A file can not be written.
pub fn write(found: &Findings, played: &Played, zone: &TimeZone, folder: &Path) -> anyhow::Result<()> {
    write_csv(found, &folder.join("alerts.csv"))?;
    let json = serde_json::to_string_pretty(&as_json(found)).context("cannot write the findings as JSON")?;
    for (name, text) in [("replay.json", json), ("index.html", page(found, played, zone))] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn write_csv(found: &Findings, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    let mut out = csv::Writer::from_path(path).with_context(cannot)?;
    out.write_record(["began", "ended", "lasted_s", "rule", "severity", "kind", "peak_score", "host", "series"])
        .with_context(cannot)?;
    for alert in &found.alerts {
        let seconds = |ms: i64| (ms as f64 / 1000.0).to_string();
        out.write_record([
            seconds(alert.starts_ms),
            alert.ends_ms.map(seconds).unwrap_or_default(),
            seconds(found.lasted_ms(alert)),
            alert.rule.clone(),
            alert.labels.get("severity").unwrap_or_default().to_owned(),
            alert.pattern.to_string(),
            if alert.peak_score.is_nan() { String::new() } else { alert.peak_score.to_string() },
            alert.host.clone(),
            if alert.series.is_some() { subject(alert) } else { String::new() },
        ])
        .with_context(cannot)?;
    }
    out.flush().with_context(cannot)
}

fn as_json(found: &Findings) -> serde_json::Value {
    let group = |(name, group): (String, Group)| json!({"name": name, "alerts": group.alerts, "per_week": found.per_week(group.alerts), "seconds": group.total_s()});
    let alert = |alert: &Episode| {
        let map = |pairs: &mut dyn Iterator<Item = (String, String)>| -> serde_json::Map<String, serde_json::Value> {
            pairs.map(|(name, value)| (name, value.into())).collect()
        };
        json!({
            "starts_ms": alert.starts_ms,
            "ends_ms": alert.ends_ms,
            "rule": alert.rule,
            "host": alert.host,
            "series": alert.series.is_some().then(|| subject(alert)),
            "kind": alert.pattern.as_str(),
            "peak_score": alert.peak_score,
            "labels": map(&mut alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()))),
            "annotations": map(&mut alert.annotations.iter().cloned()),
        })
    };
    json!({
        "first_sample_ms": found.span_ms.0,
        "last_sample_ms": found.span_ms.1,
        "counted_from_ms": found.counted_from_ms,
        "samples": found.samples,
        "series": found.series.0,
        "series_judged": found.series.1,
        "hosts": found.hosts,
        "alerts_left_out": found.left_out,
        "alerts_per_week": found.per_week(found.alerts.len()),
        "by_rule": found.by_rule().into_iter().map(group).collect::<Vec<_>>(),
        "by_host": found.by_host().into_iter().map(group).collect::<Vec<_>>(),
        "by_series": found.by_series().into_iter().map(group).collect::<Vec<_>>(),
        "alerts": found.alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

fn page(found: &Findings, played: &Played, zone: &TimeZone) -> String {
    let mut page = Page::new("What would have fired");
    for line in summary(found, zone) {
        page.text(&line);
    }
    let bars = |alerts: &mut dyn Iterator<Item = &Episode>| -> Vec<(i64, i64, Option<bool>)> {
        alerts.map(|alert| (alert.starts_ms, alert.starts_ms + found.lasted_ms(alert), None)).collect()
    };
    let plot = |alarms, values| Plot {
        span: found.span_ms,
        values,
        alarms,
        learning_until: Some(found.counted_from_ms),
        ..Plot::default()
    };
    page.heading("By rule");
    page.table(&rules_table(found));
    page.heading("By host");
    page.table(&hosts_table(found));
    page.legend(&[("value", "value; of a counter its rate"), ("alarm", "alert"), ("learn", "left out")]);
    for (host, group) in found.by_host() {
        let svg = plot(bars(&mut found.alerts.iter().filter(|alert| alert.host == host)), Vec::new()).svg(&host);
        page.figure(&host, &counted(group.alerts), &svg);
    }
    page.heading("Noisiest series");
    page.table(&series_table(found, SHOWN.max(PLOTTED)));
    for (name, group) in found.by_series().into_iter().take(PLOTTED) {
        let of_this: Vec<&Episode> = found.alerts.iter().filter(|a| a.series.is_some() && subject(a) == name).collect();
        let trace = of_this.first().and_then(|alert| alert.series).and_then(|id| played.traces.get(&id.0));
        let values = trace.cloned().into_iter().collect();
        let words = format!("{}, highest score {}", counted(group.alerts), score(group.peak));
        page.figure(&name, &words, &plot(bars(&mut of_this.into_iter()), values).svg(&name));
    }
    page.heading("Alerts");
    page.table(&alerts_table(found, zone, usize::MAX));
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::super::findings::tests::{alert, findings};
    use super::*;

    fn found() -> Findings {
        let alerts =
            [("R", "cpu", 30, Some(1)), ("R", "cpu", 40, Some(3)), ("R", "mem<1>", 50, Some(2)), ("H", "", 60, None)];
        findings(
            alerts.into_iter().map(|(rule, metric, hour, lasted)| alert(rule, "a", metric, hour, lasted)).collect(),
        )
    }

    #[test]
    fn the_terminal_is_told_the_answer_first() {
        let text = text(&found(), &TimeZone::UTC, 2);
        assert!(text.contains("Would have fired: 4 alerts; 2.0 a week, 1.00 a week and host."), "{text}");
        assert!(text.contains("(2 alerts)") && text.contains("Still firing at the end: 1."), "{text}");
        assert!(text.contains("The first 2 of 4 alerts") && text.contains("1970-01-02 06:00:00"), "{text}");
        assert!(text.contains("12, of which 10 are judged, on 2 hosts"), "{text}");
        let quiet = super::text(&findings(Vec::new()), &TimeZone::UTC, 2);
        assert!(quiet.contains("0 alerts; 0.0 a week") && !quiet.contains("By rule"), "{quiet}");
        let mut one = findings(vec![alert("R", "", "cpu", 30, Some(1))]);
        (one.hosts, one.series) = (Default::default(), (1, 1));
        let text = super::text(&one, &TimeZone::UTC, 2);
        assert!(text.contains("Series: 1, of which 1 is judged, none of which names a host."), "{text}");
        assert!(text.contains("Would have fired: 1 alert; 0.5 a week."), "{text}");
    }

    #[test]
    fn files_hold_every_alert() {
        let temp = tempfile::tempdir().expect("a folder");
        write(&found(), &Played::default(), &TimeZone::UTC, temp.path()).expect("written");
        let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).expect("a file");
        let csv = read("alerts.csv");
        assert_eq!(csv.lines().count(), 5);
        assert_eq!(csv.lines().nth(1), Some(r#"108000,111600,3600,R,warning,spike,30,a,"cpu{host=""a""}""#));
        let json: serde_json::Value = serde_json::from_str(&read("replay.json")).expect("JSON");
        assert_eq!(
            (json["alerts"].as_array().map(Vec::len), json["by_rule"][0]["per_week"].as_f64()),
            (Some(4), Some(1.5))
        );
        assert_eq!((json["alerts"][3]["ends_ms"].is_null(), json["alerts"][3]["series"].is_null()), (true, true));
        let page = read("index.html");
        assert!(page.contains("mem&lt;1&gt;") && !page.contains("mem<1>") && page.contains("class='alarm'"));
        assert!(write(&found(), &Played::default(), &TimeZone::UTC, &temp.path().join("none")).is_err());
    }
}
