//! The names of hosts that series carry, interned: one id for each name, source and label; several ids may be one host.
//!
//! Ids are counted and used again once the last series of a name is gone. Which host a name means is looked up in a
//! [`HostTable`] that is replaced as a whole: neither an id nor what was learned under it changes then.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hosts::{HostName, HostTable};
use crate::rules::{GivenHost, Rules};

/// Names by id.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    names: Vec<Option<Entity>>,
    ids: HashMap<Box<str>, u32>,
    free: Vec<u32>,
    table: Arc<HostTable>,
    /// Changes with the set of names.
    epoch: u64,
    /// Changes with the rules: what gave a name is said in the words of its time.
    generation: u32,
    key: String,
}

#[derive(Debug)]
struct Entity {
    name: HostName,
    /// The host it means; `None` if it is called by the very name.
    host: Option<Box<str>>,
    key: Box<str>,
    refs: u32,
}

impl Entity {
    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.name.name)
    }

    fn look_up(&mut self, table: &HostTable) {
        let host = table.host(&self.name.name);
        self.host = (*host != *self.name.name).then(|| host.into());
    }
}

impl Entities {
    /// The id of what `rules` gave for a series of the source with tag `source`; counts one more series of it.
    pub(crate) fn intern(&mut self, source: u32, given: Option<&GivenHost<'_>>, rules: &Rules) -> u32 {
        let id = self.reserve(source, given, rules);
        if let Some(entity) = &mut self.names[id as usize] {
            entity.refs += 1;
        }
        id
    }

    fn reserve(&mut self, source: u32, given: Option<&GivenHost<'_>>, rules: &Rules) -> u32 {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        if let Some(given) = given {
            use std::fmt::Write as _;
            // Lengths keep texts apart. Writing to a string does not fail.
            let (label, carried) = (given.label, given.carried);
            let _ = write!(key, "{source} {} {} ", self.generation, given.by());
            let _ = write!(key, "{} {label}{} {carried}{}", label.len(), carried.len(), given.name);
        }
        let known = self.ids.get(key.as_str()).copied();
        let id = known.unwrap_or_else(|| {
            let name = HostName {
                name: given.map_or_else(Box::default, |given| given.name.as_ref().into()),
                source,
                label: given.map_or_else(Box::default, |given| given.label.into()),
                carried: given.map_or_else(Box::default, |given| given.carried.into()),
                address: given.is_some_and(|given| given.address),
                decided: given.is_some_and(|given| given.decided),
                rule: given.map_or_else(Box::default, |given| rules.host_rule(given).into()),
            };
            let mut entity = Entity { name, host: None, key: key.as_str().into(), refs: 0 };
            entity.look_up(&self.table);
            self.epoch += 1;
            let id = match self.free.pop() {
                Some(id) => {
                    self.names[id as usize] = Some(entity);
                    id
                }
                None => {
                    self.names.push(Some(entity));
                    self.names.len() as u32 - 1
                }
            };
            self.ids.insert(key.as_str().into(), id);
            id
        });
        self.key = key;
        id
    }

    /// One series less of entity `id`.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(entity) = self.names.get_mut(id as usize).and_then(Option::as_mut) else { return };
        entity.refs -= 1;
        if entity.refs == 0 {
            let key = std::mem::take(&mut entity.key);
            self.ids.remove(&key);
            self.names[id as usize] = None;
            self.free.push(id);
            self.epoch += 1;
        }
    }

    /// The host of entity `id`; empty where there is none.
    pub(crate) fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).and_then(Option::as_ref).map_or("", Entity::host)
    }

    /// The name behind entity `id`, as a source has it.
    pub(crate) fn carried(&self, id: u32) -> Option<&HostName> {
        self.names.get(id as usize).and_then(Option::as_ref).map(|entity| &entity.name)
    }

    /// All names in use, those of series without a host left out.
    pub(crate) fn carried_all(&self) -> impl Iterator<Item = &HostName> {
        self.names.iter().flatten().map(|entity| &entity.name).filter(|name| !name.name.is_empty())
    }

    /// Changes whenever [`Entities::carried_all`] does.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Goes by other rules from now on.
    pub(crate) fn next_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Looks hosts up in `table` from now on; gives the ids that mean another host than before.
    pub(crate) fn set_table(&mut self, table: Arc<HostTable>) -> Vec<u32> {
        let mut changed = Vec::new();
        for (id, entity) in self.names.iter_mut().enumerate() {
            let Some(entity) = entity else { continue };
            let before = entity.host.take();
            entity.look_up(&table);
            if entity.host != before {
                changed.push(id as u32);
            }
        }
        self.table = table;
        changed
    }

    /// Entities in use.
    pub(crate) fn live(&self) -> usize {
        self.ids.len()
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let of = |e: &Entity| {
            let name = &e.name;
            name.name.len() + name.label.len() + name.carried.len() + name.rule.len() + 2 * e.key.len()
        };
        let text: usize = self.names.iter().flatten().map(of).sum();
        text + self.names.capacity() * size_of::<Option<Entity>>() + self.ids.capacity() * 28
    }
}

/// Host of an address: without scheme, user, path and port. `10.0.0.1:9100` is `10.0.0.1`,
/// `[::1]:9100` is `::1`, `https://example.org:8443/x` is `example.org`.
pub(crate) fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(inner) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        return inner.0;
    }
    match rest.rsplit_once(':') {
        // More than one colon without brackets: a bare IPv6 address, which has no port.
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_and_used_again() {
        let rules = Rules::built_in().expect("rules");
        let mut entities = Entities::default();
        let intern = |entities: &mut Entities, source: u32, value: &'static str| {
            let given = rules.host(|label| if label == "host" { value } else { "" });
            entities.intern(source, given.as_ref(), &rules)
        };
        let a = intern(&mut entities, 1, "web-1");
        assert_eq!(intern(&mut entities, 1, "web-1"), a);
        let b = intern(&mut entities, 2, "web-1");
        assert_ne!(a, b, "of another source");
        let epoch = entities.epoch();
        entities.release(a);
        assert_eq!((entities.name(a), entities.epoch()), ("web-1", epoch));
        entities.release(a);
        assert_eq!((entities.name(a), entities.live()), ("", 1));
        assert_ne!(entities.epoch(), epoch);
        assert_eq!(intern(&mut entities, 1, "web-3"), a);
        assert_eq!((entities.name(a), entities.name(b)), ("web-3", "web-1"));
        let none = entities.intern(1, None, &rules);
        assert_eq!((entities.name(none), entities.carried_all().count()), ("", 2));
    }

    #[test]
    fn a_table_gives_names_their_hosts_and_ids_stay() {
        let rules = Rules::built_in().expect("rules");
        let mut entities = Entities::default();
        let given = rules.host(|label| if label == "host" { "WEB" } else { "" });
        let id = entities.intern(1, given.as_ref(), &rules);
        let other = HostName { name: "web".into(), source: 2, ..entities.carried(id).expect("a name").clone() };
        let names: Vec<HostName> = entities.carried_all().cloned().chain([other]).collect();
        let table = Arc::new(crate::hosts::resolve(&names, rules.guesses()));
        assert_eq!(entities.set_table(Arc::clone(&table)), [id]);
        assert_eq!(entities.name(id), "web");
        assert_eq!(entities.set_table(table), [0_u32; 0]);
        assert_eq!(entities.set_table(Arc::default()), [id]);
        assert_eq!(entities.name(id), "WEB");
    }

    #[test]
    fn host_of_an_address() {
        for (address, host) in [
            ("10.0.0.1:9100", "10.0.0.1"),
            ("web-1", "web-1"),
            ("[2001:db8::1]:9100", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("https://user:pw@example.org:8443/health?x=1", "example.org"),
            ("example.org/probe", "example.org"),
            ("db:primary", "db:primary"),
            ("", ""),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
    }
}
