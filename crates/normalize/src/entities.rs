//! The machines (or services) that series belong to, interned: one id for each `host`.
//!
//! Ids are counted and used again once the last series of an entity is gone.

use std::collections::HashMap;

/// Names of entities by id.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    names: Vec<Box<str>>,
    refs: Vec<u32>,
    ids: HashMap<Box<str>, u32>,
    free: Vec<u32>,
}

impl Entities {
    /// The id of `name`; counts one more series of it.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            self.refs[*id as usize] += 1;
            return *id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.names[id as usize] = name.into();
                self.refs[id as usize] = 1;
                id
            }
            None => {
                self.names.push(name.into());
                self.refs.push(1);
                self.names.len() as u32 - 1
            }
        };
        self.ids.insert(name.into(), id);
        id
    }

    /// One series less of entity `id`.
    pub(crate) fn release(&mut self, id: u32) {
        let refs = &mut self.refs[id as usize];
        *refs -= 1;
        if *refs == 0 {
            let name = std::mem::take(&mut self.names[id as usize]);
            self.ids.remove(&name);
            self.free.push(id);
        }
    }

    /// Name of entity `id`; empty where there is none.
    pub(crate) fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |name| name)
    }

    /// Entities in use.
    pub(crate) fn live(&self) -> usize {
        self.ids.len()
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let text: usize = self.names.iter().map(|n| 2 * n.len()).sum();
        text + self.names.capacity() * 20 + self.ids.capacity() * 28
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
        let mut entities = Entities::default();
        let a = entities.intern("web-1");
        assert_eq!(entities.intern("web-1"), a);
        let b = entities.intern("web-2");
        entities.release(a);
        assert_eq!(entities.name(a), "web-1");
        entities.release(a);
        assert_eq!((entities.name(a), entities.live()), ("", 1));
        assert_eq!(entities.intern("web-3"), a);
        assert_eq!((entities.name(a), entities.name(b)), ("web-3", "web-2"));
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
