//! One item as it is read: its series, its kind, and how often a value may be expected.

use std::collections::BTreeMap;

use watchbell_series::labels::NAME;
use watchbell_series::{LabelError, Labels, MetricKind};

use crate::key::Key;

/// Labels that come from an item; a user may add none of them.
const FIELDS: [&str; 5] = ["host", "key", "unit", "item", "itemid"];

/// A numeric item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) host_id: u64,
    /// 0 for floating point, 3 for unsigned.
    pub(crate) value_type: u8,
    pub(crate) kind: MetricKind,
    pub(crate) labels: Labels,
    /// Seconds between two values; none where Zabbix does not know.
    pub(crate) interval_s: Option<i64>,
    pub(crate) discard: Discard,
}

/// Whether Zabbix leaves values out that are as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Discard {
    /// Every value is kept.
    #[default]
    No,
    /// Kept when it changes.
    Unchanged,
    /// Kept when it changes, and after so many seconds.
    Heartbeat(i64),
}

impl Discard {
    /// How long the last value still holds, in seconds.
    pub(crate) fn holds_s(self) -> Option<i64> {
        match self {
            Self::No => None,
            Self::Unchanged => Some(i64::MAX),
            // One heartbeat may be late.
            Self::Heartbeat(seconds) => Some(seconds.saturating_mul(2)),
        }
    }
}

/// What goes into the labels of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    pub(crate) host: &'a str,
    pub(crate) key: &'a Key,
    pub(crate) units: &'a str,
    pub(crate) tags: &'a [(String, String)],
    pub(crate) more: &'a BTreeMap<String, String>,
}

impl Naming<'_> {
    /// The labels; see rules/mappings/zabbix.yaml for what they are.
    pub(crate) fn labels(self) -> Result<Labels, LabelError> {
        let mut pairs = vec![
            (NAME.to_owned(), metric(&self.key.name)),
            ("host".to_owned(), self.host.to_owned()),
            ("key".to_owned(), self.key.to_string()),
            ("unit".to_owned(), self.units.trim().trim_start_matches('!').to_owned()),
        ];
        pairs.extend(self.key.texts().enumerate().map(|(i, text)| (format!("p{}", i + 1), text)));
        let mut tags = BTreeMap::new();
        for (name, value) in self.tags {
            // A tag may stand more than once; the values are told together, in order.
            let all: &mut Vec<&str> = tags.entry(format!("tag_{}", plain(name))).or_default();
            all.push(value);
        }
        for (name, mut values) in tags {
            values.sort_unstable();
            pairs.push((name, values.join(",")));
        }
        pairs.extend(self.more.iter().map(|(name, value)| (name.clone(), value.clone())));
        pairs.retain(|(_, value)| !value.is_empty());
        Labels::series(pairs)
    }
}

/// The name of the series of an item with this key.
pub(crate) fn metric(key: &str) -> String {
    format!("zabbix_{}", plain(key))
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Whether a user may add a label of this name.
pub(crate) fn is_free(name: &str) -> bool {
    let parameter = name.strip_prefix('p').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain && !name.starts_with("__") && !name.starts_with("tag_") && !parameter && !FIELDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_an_item() {
        let (key, more) = (Key::read("vfs.fs.size[\"/var\",pused]"), [("site".to_owned(), "north".to_owned())].into());
        let tags = [("component".to_owned(), "storage".to_owned()), ("component".to_owned(), "fs".to_owned())];
        let naming = Naming { host: "web 1", key: &key, units: "!%", tags: &tags, more: &more };
        assert_eq!(
            naming.labels().expect("labels").to_string(),
            "zabbix_vfs_fs_size{host=\"web 1\",key=\"vfs.fs.size[/var,pused]\",p1=\"/var\",p2=\"pused\",site=\"north\",\
             tag_component=\"fs,storage\",unit=\"%\"}"
        );
        assert!(
            is_free("site")
                && is_free("port")
                && !is_free("p1")
                && !is_free("host")
                && !is_free("tag_x")
                && !is_free("1a")
        );
    }
}
