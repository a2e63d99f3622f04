//! One line of Zabbix's export: a value, a trend or an event, as NDJSON.
//!
//! Source: "Newline-delimited JSON export protocol" of Zabbix's manual. 4.x wrote the host as plain text.

use serde::Deserialize;

use crate::api::value::{ItemValue, integer};

/// A line of the export.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    host: Option<Host>,
    #[serde(default)]
    itemid: Option<u64>,
    #[serde(default)]
    name: String,
    #[serde(deserialize_with = "integer")]
    clock: i64,
    #[serde(default, deserialize_with = "integer")]
    ns: i64,
    #[serde(default)]
    value: Option<ItemValue>,
    /// Type of the value: 0 and 3 are numbers, also where a text looks like one.
    #[serde(default, rename = "type")]
    kind: u8,
    /// Of trends only.
    #[serde(default)]
    count: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Host {
    Named { host: String },
    Plain(String),
}

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Read {
    /// A number of an item.
    Number(Value),
    /// A value that is no number.
    Text,
    /// A trend or an event: nothing to judge.
    Other,
}

/// A number of an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) host: String,
    pub(crate) item: u64,
    pub(crate) name: String,
    pub(crate) clock: i64,
    pub(crate) ns: i64,
    pub(crate) number: f64,
}

/// Reads a line.
pub(crate) fn read(line: &[u8]) -> Result<Read, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let (Some(host), Some(item)) = (line.host, line.itemid) else { return Ok(Read::Other) };
    let host = match host {
        Host::Named { host } | Host::Plain(host) => host,
    };
    Ok(match line.value {
        _ if line.count.is_some() => Read::Other,
        Some(ItemValue::Number(number)) if number.is_finite() && matches!(line.kind, 0 | 3) => {
            Read::Number(Value { host, item, name: line.name, clock: line.clock, ns: line.ns, number })
        }
        Some(_) => Read::Text,
        None => return Err("a line of an item without `value`".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8]) -> Vec<Read> {
        bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(|line| read(line).expect("a line")).collect()
    }

    #[test]
    fn recorded_lines() {
        let values = lines(include_bytes!("../../testdata/history.ndjson"));
        assert_eq!(values[1], Read::Text, "the version");
        let Read::Number(load) = &values[2] else { panic!("{values:?}") };
        assert_eq!((load.host.as_str(), load.item, load.number), ("web-host", 44519, 4.132812));
        assert!(lines(include_bytes!("../../testdata/trends.ndjson")).iter().all(|line| *line == Read::Other));
        assert!(lines(include_bytes!("../../testdata/problems.ndjson")).iter().all(|line| *line == Read::Other));
        let old = read(br#"{"host":"web","groups":[],"applications":[],"itemid":1,"name":"x","clock":1,"ns":2,"value":18446744073709551615}"#);
        assert!(
            matches!(old, Ok(Read::Number(value)) if value.host == "web" && value.number == 18_446_744_073_709_551_615.0)
        );
        assert!(read(b"{\"clock\":1,\"host\":{\"host\":\"a\"},\"itemid\":1}").is_err());
        assert!(read(b"{\"host\":").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }
    }
}
