//! What stands in the frames: values to the server, and its answer.

use serde::{Deserialize, Serialize};

use crate::verdicts::ItemValue;

#[derive(Serialize)]
struct Request<'a> {
    request: &'static str,
    data: Vec<Row<'a>>,
    clock: i64,
    ns: i64,
}

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    key: &'a str,
    value: &'a str,
    clock: i64,
    ns: i64,
}

/// Seconds, and nanoseconds within them.
pub(crate) fn clock(time_ms: i64) -> (i64, i64) {
    (time_ms.div_euclid(1_000), time_ms.rem_euclid(1_000) * 1_000_000)
}

/// The request that hands over `values` at `now_ms`.
pub(super) fn request(values: &[ItemValue], now_ms: i64) -> Vec<u8> {
    let data = values.iter().map(|value| {
        let (clock, ns) = clock(value.time_ms);
        Row { host: &value.host, key: &value.key, value: &value.value, clock, ns }
    });
    let (clock, ns) = clock(now_ms);
    let request = Request { request: "sender data", data: data.collect(), clock, ns };
    serde_json::to_vec(&request).unwrap_or_default()
}

/// How many of the values of a request were taken. Which ones is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Values taken.
    pub processed: usize,
    /// Values refused.
    pub failed: usize,
}

/// What a server says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was understood.
    Counts(Counts),
    /// It was refused as a whole, for this reason: the same request will be again.
    Refused(String),
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    response: String,
    #[serde(default)]
    info: String,
    redirect: Option<Redirect>,
}

#[derive(Deserialize)]
struct Redirect {
    #[serde(default)]
    address: String,
}

/// Reads an answer. `success` says only that the request was understood, so the counts are read from its text.
///
/// # Errors
/// The answer is none.
pub fn reply(payload: &[u8]) -> Result<Said, String> {
    let reply: Reply = serde_json::from_slice(payload).map_err(|error| {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(100)]);
        format!("the answer `{shown}` is not understood: {error}")
    })?;
    if let Some(redirect) = reply.redirect {
        let to = if redirect.address.is_empty() { "another proxy of its group" } else { &redirect.address };
        return Ok(Said::Refused(format!("the proxy sends these hosts to `{to}`: name that one under `servers` too")));
    }
    if reply.response != "success" {
        return Ok(Said::Refused(format!("the server refused the request: `{}`", reply.info)));
    }
    let count = |name: &str| {
        let mut parts = reply.info.split(';').filter_map(|part| part.split_once(':'));
        parts.find(|(key, _)| key.trim() == name).and_then(|(_, number)| number.trim().parse().ok())
    };
    match (count("processed"), count("failed")) {
        (Some(processed), Some(failed)) => Ok(Said::Counts(Counts { processed, failed })),
        _ => Err(format!("the answer has no counts of values: `{}`", reply.info)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_that_of_zabbix_sender() {
        let value = |key: &str, text: &str, time_ms| ItemValue {
            host: "web-1".into(),
            key: key.into(),
            value: text.to_owned(),
            time_ms,
        };
        let values = [value("a[\"b\"]", "4.5", 1_795_190_000_123), value("c", "x\"y", 1_795_190_001_000)];
        let text = String::from_utf8(request(&values, 1_795_190_002_500)).expect("text");
        assert_eq!(
            text,
            r#"{"request":"sender data","data":[{"host":"web-1","key":"a[\"b\"]","value":"4.5","clock":1795190000,"ns":123000000},{"host":"web-1","key":"c","value":"x\"y","clock":1795190001,"ns":0}],"clock":1795190002,"ns":500000000}"#
        );
    }

    #[test]
    fn counts_are_read_from_the_text() {
        let info = r#"{"response":"success","info":"processed: 1; failed: 249; total: 250; seconds spent: 0.000055"}"#;
        assert_eq!(reply(info.as_bytes()), Ok(Said::Counts(Counts { processed: 1, failed: 249 })));
        for (text, part) in [
            (r#"{"response":"success","info":"done"}"#, "no counts"),
            (r#"{"response":"success"}"#, "no counts"),
            ("<html>", "is not understood"),
        ] {
            let error = reply(text.as_bytes()).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
        for (text, part) in [
            (r#"{"response":"failed","info":"cannot parse"}"#, "`cannot parse`"),
            (
                r#"{"response":"failed","redirect":{"revision":3,"address":"proxy-2:10051"}}"#,
                "to `proxy-2:10051`: name that one",
            ),
        ] {
            let said = reply(text.as_bytes());
            assert!(matches!(&said, Ok(Said::Refused(why)) if why.contains(part)), "{said:?}");
        }
    }
}
