//! How the set in force goes into the log of a shard: whole at the beginning of a file, and else what changed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Key, Names, Quiet, Window};
use crate::context::subject::Target;

/// First byte in the log of a shard; no batch begins so.
pub const RECORD: u8 = b'W';

/// What a log says of quiet windows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Whether what was known before counts no more.
    whole: bool,
    gone: Vec<Key>,
    new: Vec<Arc<Window>>,
    names: BTreeMap<Box<str>, Option<Box<str>>>,
}

impl Record {
    /// All of `quiet`.
    #[must_use]
    pub fn whole(quiet: &Quiet) -> Self {
        let names = quiet.names.iter().map(|(name, host)| (name.clone(), Some(host.clone())));
        Self { whole: true, gone: Vec::new(), new: quiet.windows.clone(), names: names.collect() }
    }

    /// How `now` differs from `before`.
    #[must_use]
    pub fn change(before: &Quiet, now: &Quiet, (gone, new): &(Vec<Arc<Window>>, Vec<Arc<Window>>)) -> Self {
        let stays: HashSet<_> = new.iter().map(|window| window.key()).collect();
        let gone = gone.iter().map(|window| window.key()).filter(|key| !stays.contains(key));
        let gone = gone.map(|(source, id)| (source.to_owned(), id.to_owned())).collect();
        Self { whole: false, gone, new: new.clone(), names: renamed(&before.names, &now.names) }
    }

    /// What is in force after it, where `before` was.
    #[must_use]
    pub fn apply(&self, before: &Quiet) -> Quiet {
        let before = if self.whole { &Quiet::default() } else { before };
        let gone: HashSet<(&str, &str)> = self.gone.iter().map(|(source, id)| (source.as_str(), id.as_str())).collect();
        let new: HashSet<(&str, &str)> = self.new.iter().map(|window| window.key()).collect();
        let stays = |window: &&Arc<Window>| !gone.contains(&window.key()) && !new.contains(&window.key());
        let windows = before.windows.iter().filter(stays).chain(&self.new).cloned().collect();
        let mut names = Names::clone(&before.names);
        for (name, host) in &self.names {
            match host {
                Some(host) => names.insert(name.clone(), host.clone()),
                None => names.remove(name),
            };
        }
        Quiet::new(windows, Arc::new(names))
    }

    /// As bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let window = |w: &Arc<Window>| json!([w.source, w.id, w.target.json(), w.starts_ms, w.ends_ms, w.reason]);
        let new: Vec<Value> = self.new.iter().map(window).collect();
        let names: Map<_, _> = self.names.iter().map(|(name, host)| (name.to_string(), json!(host))).collect();
        let shown = json!({"whole": self.whole, "gone": self.gone, "new": new, "names": names});
        let mut out = vec![RECORD];
        out.extend(shown.to_string().as_bytes());
        out
    }

    /// Takes back what [`Record::bytes`] gave.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        let shown: Value = serde_json::from_slice(record.strip_prefix(&[RECORD])?).ok()?;
        let name = |(name, host): (&String, &Value)| {
            let host = if host.is_null() { None } else { Some(host.as_str()?.into()) };
            Some((name.as_str().into(), host))
        };
        Some(Self {
            whole: shown.get("whole")?.as_bool()?,
            gone: serde_json::from_value(shown.get("gone")?.clone()).ok()?,
            new: shown.get("new")?.as_array()?.iter().map(read_window).collect::<Option<_>>()?,
            names: shown.get("names")?.as_object()?.iter().map(name).collect::<Option<_>>()?,
        })
    }
}

fn read_window(value: &Value) -> Option<Arc<Window>> {
    let text = |at: usize| value.get(at)?.as_str().map(ToOwned::to_owned);
    Some(Arc::new(Window {
        source: text(0)?,
        id: text(1)?,
        target: Target::from_json(value.get(2)?)?,
        starts_ms: value.get(3)?.as_i64()?,
        ends_ms: value.get(4)?.as_i64()?,
        reason: text(5)?,
    }))
}

/// Names that mean another host now; `None` for those that are hosts of their own again.
#[must_use]
pub fn renamed(before: &Arc<Names>, now: &Arc<Names>) -> BTreeMap<Box<str>, Option<Box<str>>> {
    if Arc::ptr_eq(before, now) {
        return BTreeMap::new();
    }
    let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), None));
    let new = now.iter().filter(|(name, host)| before.get(*name) != Some(host));
    gone.chain(new.map(|(name, host)| (name.clone(), Some(host.clone())))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, window};
    use super::*;

    #[test]
    fn sets_and_changes_of_them_go_into_a_log_and_back() {
        let host = |name: &str| Target::Host(vec![name.to_owned()]);
        let all = |windows: &[Window]| windows.iter().cloned().map(Arc::new).collect::<Vec<_>>();
        let (one, two) = (window("1", host("web-1"), 10), window("2", host("web-2"), i64::MAX));
        let longer = Window { ends_ms: 20, reason: "kernel \"6.12\"\n".to_owned(), ..one.clone() };
        let first = Quiet::new(all(&[one, two]), names(&[("web-1.example.org", "web-1"), ("a", "b")]));
        let second = Quiet::new(
            all(&[longer, window("3", Target::All, 5)]),
            names(&[("web-1.example.org", "web-1"), ("a", "c"), ("d", "e")]),
        );
        for (from, to) in [(&first, &second), (&second, &first), (&first, &Quiet::default())] {
            let change = to.differs(from).expect("a change");
            let record = Record::change(from, to, &change);
            let read = Record::read(&record.bytes()).expect("a record");
            assert_eq!((&read, &read.apply(from)), (&record, to));
            let whole = Record::read(&Record::whole(to).bytes()).expect("a record");
            assert_eq!(&whole.apply(from), to, "whatever was before");
            assert!(to.differs(&read.apply(from)).is_none());
        }
        assert!(Record::change(&first, &second, &second.differs(&first).expect("a change")).names.len() == 2);
        assert_eq!(Record::read(b"W[[1]]"), None);
        assert_eq!(Record::read(b"\x03{}"), None);
    }
}
