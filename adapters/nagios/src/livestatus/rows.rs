//! What is asked for, and the rows that come back.

use std::borrow::Cow;

use serde_json::Value;
use watchbell_checks::state::{Check, Downtime};

use crate::perfdata::line::command;

/// Columns of hosts and services, in the order of [`Row`]; names first.
const COLUMNS: &str = "check_command state state_type has_been_checked last_check execution_time latency acknowledged \
     scheduled_downtime_depth is_flapping last_hard_state_change plugin_output perf_data";

/// The query for hosts or services, those checked since `since_s` or all.
pub(super) fn checks(of_host: bool, since_s: Option<i64>) -> String {
    let filter = since_s.map(|since| format!("Filter: last_check >= {since}\n")).unwrap_or_default();
    if of_host {
        format!("GET hosts\nColumns: name {COLUMNS} last_time_up\n{filter}")
    } else {
        format!("GET services\nColumns: host_name description {COLUMNS} last_time_ok\n{filter}")
    }
}

/// The query for all downtimes.
pub(super) fn downtimes() -> String {
    "GET downtimes\nColumns: id host_name service_description start_time end_time fixed duration author comment\n"
        .to_owned()
}

/// The rows of an answer.
pub(super) fn read(body: &str) -> Result<Vec<Vec<Value>>, String> {
    serde_json::from_str(body).map_err(|error| format!("an answer that is not Livestatus's: {error}"))
}

/// One host or service.
#[derive(Debug)]
pub(super) struct Row<'a> {
    host: &'a str,
    service: &'a str,
    command: Cow<'a, str>,
    output: &'a str,
    perfdata: &'a str,
    numbers: [f64; 11],
}

impl<'a> Row<'a> {
    /// `None` for a row with other columns.
    pub(super) fn read(row: &'a [Value], of_host: bool) -> Option<Self> {
        let names = if of_host { 1 } else { 2 };
        if row.len() != names + 14 {
            return None;
        }
        let text = |at: usize| text_of(&row[at]);
        let service = if of_host { "" } else { text(1)? };
        let mut numbers = [0.0; 11];
        let places = (names + 1..names + 11).chain([names + 13]);
        for (number, at) in numbers.iter_mut().zip(places) {
            *number = number_of(&row[at])?;
        }
        let full = text(names)?;
        let found = Self {
            host: text(0)?,
            service,
            command: String::from_utf8_lossy(command(full.as_bytes())),
            output: text(names + 11)?,
            perfdata: text(names + 12)?,
            numbers,
        };
        let named = !found.host.is_empty() && (of_host || !service.is_empty());
        // What was never checked has any state.
        let [state, _, checked, ..] = numbers;
        (named && (checked == 0.0 || (0.0..=3.0).contains(&state))).then_some(found)
    }

    /// As all of the family have it.
    pub(super) fn check(&self) -> Check<'_> {
        let [state, hard, checked, last_check, execution, latency, acknowledged, downtime, flapping, since, ok] =
            self.numbers;
        Check {
            host: self.host.as_bytes(),
            service: self.service.as_bytes(),
            command: self.command.as_bytes(),
            state: state as u8,
            hard: hard != 0.0,
            checked: checked != 0.0,
            last_check_ms: ms(last_check),
            execution_s: Some(execution),
            latency_s: Some(latency),
            acknowledged: acknowledged != 0.0,
            downtime: downtime as u32,
            flapping: flapping != 0.0,
            hard_since_ms: ms(since),
            last_ok_ms: ms(ok),
            output: self.output.as_bytes(),
            perfdata: self.perfdata.as_bytes(),
        }
    }
}

/// One downtime.
#[derive(Debug)]
pub(super) struct DowntimeRow<'a> {
    id: String,
    host: &'a str,
    service: &'a str,
    author: &'a str,
    comment: &'a str,
    numbers: [f64; 4],
}

impl<'a> DowntimeRow<'a> {
    /// `None` for a row with other columns.
    pub(super) fn read(row: &'a [Value]) -> Option<Self> {
        if row.len() != 9 {
            return None;
        }
        let mut numbers = [0.0; 4];
        for (number, value) in numbers.iter_mut().zip(&row[3..7]) {
            *number = number_of(value)?;
        }
        let id = number_of(&row[0])?.to_string();
        let text = |at: usize| text_of(&row[at]);
        Some(Self { id, host: text(1)?, service: text(2)?, author: text(7)?, comment: text(8)?, numbers })
    }

    /// Host, and service or nothing.
    pub(super) fn names(&self) -> (&'a str, &'a str) {
        (self.host, self.service)
    }

    /// As all of the family have it. When a flexible one began Livestatus does not tell: one that is `in_effect` is
    /// taken to hold from its start to its end, and is left out once it is not any more.
    pub(super) fn downtime(&self, in_effect: bool) -> Downtime<'_> {
        let [start, end, fixed, duration] = self.numbers;
        Downtime {
            id: self.id.as_bytes(),
            host: self.host.as_bytes(),
            service: self.service.as_bytes(),
            starts_ms: ms(start),
            ends_ms: ms(end),
            fixed: fixed != 0.0 || in_effect,
            duration_ms: ms(duration),
            began_ms: 0,
            author: self.author.as_bytes(),
            comment: self.comment.as_bytes(),
        }
    }
}

/// A text; null for one that is not there yet.
fn text_of(value: &Value) -> Option<&str> {
    if value.is_null() { Some("") } else { value.as_str() }
}

/// A number; Icinga writes some as booleans.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(set) => Some(f64::from(u8::from(*set))),
        // An absent time is null in some versions.
        Value::Null => Some(0.0),
        value => value.as_f64(),
    }
}

fn ms(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVICES: &str = r#"[["web-1","level","check_level!",1,1,1,1795704006,0.0077,0.0004,false,1,false,1795703948,
        1795700000,"x","y"]]"#;

    #[test]
    fn rows_of_icinga_and_of_others() {
        let text = r#"[["web-1","level","check_level!a",2,1,1,1795704006,0.5,0.25,true,1,0,1795703948,"LEVEL","level=5;50;90;0",1795703000],
            ["web-1","level","check_level",2,1,1,1795704006,null,0.25,1,1,0,0,"","",0],
            ["web-1","","check_level",0,1,1,1795704006,0,0,1,1,0,0,"","",0],
            ["web-1","level","check_level",7,1,1,1795704006,0,0,1,1,0,0,"","",0],
            ["web-1","new","check_level",16,0,0,null,null,null,0,0,0,null,null,null,null],
            ["web-1"]]"#;
        let rows = read(text).expect("rows");
        let found: Vec<_> = rows.iter().map(|row| Row::read(row, false)).collect();
        assert_eq!(found.iter().filter(|row| row.is_none()).count(), 3);
        let check = found[0].as_ref().expect("good").check();
        assert_eq!((check.host, check.service, check.command), (&b"web-1"[..], &b"level"[..], &b"check_level"[..]));
        assert_eq!((check.state, check.hard, check.acknowledged, check.downtime), (2, true, true, 1));
        assert_eq!((check.last_check_ms, check.hard_since_ms), (1_795_704_006_000, 1_795_703_948_000));
        assert_eq!(
            (check.last_ok_ms, check.execution_s, check.perfdata),
            (1_795_703_000_000, Some(0.5), &b"level=5;50;90;0"[..])
        );
        let rows = read(r#"[[3,"web-1","",1795703000,1795709999,true,0,"ada","swap"],[3]]"#).expect("rows");
        let found: Vec<_> = rows.iter().map(|row| DowntimeRow::read(row)).collect();
        assert!(found[1].is_none());
        let downtime = found[0].as_ref().expect("good").downtime(false);
        assert_eq!((downtime.id, downtime.starts_ms, downtime.fixed), (&b"3"[..], 1_795_703_000_000, true));
        assert!(read("nonsense").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(at in 0..SERVICES.len(), tail: Vec<u8>) {
            let bytes = [&SERVICES.as_bytes()[..at], &tail].concat();
            if let Ok(rows) = read(&watchbell_checks::feed::text(&bytes)) {
                for row in rows {
                    let _ = (Row::read(&row, true), Row::read(&row, false), DowntimeRow::read(&row));
                }
            }
        }
    }
}
