//! One host under all its names: which names of different sources mean the same host.
//!
//! Each name is first looked at alone, see [`HostRules`](crate::rules::HostRules): port off, rows of
//! `entities.yaml`. [`resolve`] then looks at all names at once and makes the guesses that need the others: letters
//! that differ in case only, and domains that one source writes and another leaves out. What comes out depends on
//! the set of names alone, never on their order. A guess is made only where one reading is possible; otherwise the
//! names stay hosts of their own, and the [conflict](HostConflict) is told.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A name of a host as the series of one source carry it, and what rules make of it alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName {
    /// The name that rules give for it.
    pub name: Box<str>,
    /// Tag of the source; 0 where it is not known, as for series that came from history only.
    pub source: u32,
    /// The label that carries it; empty where a row gave the name by other labels.
    pub label: Box<str>,
    /// The label's value.
    pub carried: Box<str>,
    /// Whether it was taken out of an address: others are asked first how the host is called.
    pub address: bool,
    /// Whether a row decided on it: nothing is guessed about it then.
    pub decided: bool,
    /// What gave the name, in words.
    pub rule: Box<str>,
}

/// Which guesses are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guesses {
    /// `Web1` and `web1` are one.
    pub ignore_case: bool,
    /// `web1.example.org` is `web1` where something is called plain `web1`.
    pub join_domains: bool,
    /// Domains that are left off wherever they stand; `*` for any.
    pub strip_domains: Vec<String>,
}

/// How the host of a name was found, beyond what the name itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is the name.
    Kept,
    /// Written with other capitals elsewhere.
    Case,
    /// The same name with or without a domain stands elsewhere.
    Joined,
    /// Its domain is one that is left off.
    Stripped,
}

impl How {
    /// In words; empty for a name that was kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "",
            Self::Case => "capitals ignored",
            Self::Joined => "with or without domain, as another source has it",
            Self::Stripped => "domain left off, as `strip_domains` says",
        }
    }
}

/// Names that may mean one host or several: they stay apart until a row says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConflict {
    /// The name that all of them could be taken for.
    pub name: String,
    /// The hosts that they stay.
    pub hosts: Vec<String>,
    /// Why it can not be told.
    pub reason: &'static str,
}

const DOMAINS: &str = "the same name in several domains";
const ONE_SOURCE: &str = "one source uses these names side by side";

impl HostConflict {
    /// What to write in `entities.yaml`.
    #[must_use]
    pub fn advice(&self) -> String {
        // JSON is YAML, and quotes every text safely.
        let quoted = |text: &str| format!("{text:?}");
        let names = self.hosts.iter().map(|host| quoted(host)).collect::<Vec<_>>().join(", ");
        format!(
            "if they are one host, add to `hosts: names:` of entities.yaml `- {{host: {}, names: [{names}]}}`; if they \
             are several, `- {{names: [{names}], keep: true}}`",
            quoted(&self.name)
        )
    }
}

/// The host of every name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostTable {
    hosts: BTreeMap<Box<str>, (Arc<str>, How)>,
    /// Where capitals do not count: the host of each name without them, none for a name of several hosts.
    lower: BTreeMap<Box<str>, Option<Arc<str>>>,
    conflicts: Vec<HostConflict>,
}

impl HostTable {
    /// The host that is called `name`: the name itself where nothing is known of it.
    #[must_use]
    pub fn host<'a>(&'a self, name: &'a str) -> &'a str {
        self.hosts.get(name).map_or(name, |(host, _)| host)
    }

    /// The same of a name that a person writes: where capitals do not count and it is not known as it stands, the one host
    /// that has it with others.
    #[must_use]
    pub fn host_alike<'a>(&'a self, name: &'a str) -> &'a str {
        if self.hosts.contains_key(name) {
            return self.host(name);
        }
        self.lower.get(name.to_lowercase().as_str()).and_then(Option::as_deref).unwrap_or(name)
    }

    /// The names that mean a host of another name, and that name.
    pub fn joined(&self) -> impl Iterator<Item = (&str, &str)> {
        self.hosts.iter().map(|(name, (host, _))| (&**name, &**host)).filter(|(name, host)| name != host)
    }

    /// How that was found.
    #[must_use]
    pub fn how(&self, name: &str) -> How {
        self.hosts.get(name).map_or(How::Kept, |(_, how)| *how)
    }

    /// Names that stay apart although they may mean one host, in order.
    #[must_use]
    pub fn conflicts(&self) -> &[HostConflict] {
        &self.conflicts
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<&str> {
        self.hosts.values().map(|(host, _)| &**host).collect()
    }

    /// Hosts that are called otherwise than in `before`, all names of them alike: the old word and the new one,
    /// which was none before.
    #[must_use]
    pub fn renamed(&self, before: &Self) -> Vec<(String, String)> {
        let mut became: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, (old, _)) in &before.hosts {
            // A name that is gone has no series that would want to be followed.
            if let Some((new, _)) = self.hosts.get(name) {
                became.entry(old).or_default().insert(new);
            }
        }
        let (known, taken) = (before.hosts(), self.hosts());
        let moved = became.into_iter().filter_map(|(old, new)| match new.len() {
            1 => Some((old, new.into_iter().next()?)),
            _ => None,
        });
        let moved = moved.filter(|(old, new)| old != new && !known.contains(new) && !taken.contains(old));
        moved.map(|(old, new)| (old.to_owned(), new.to_owned())).collect()
    }
}

/// What is known of one spelling.
#[derive(Debug, Clone, Default)]
struct Facts<'a> {
    decided: bool,
    /// Whether somebody calls a host so, beyond reaching it under an address.
    called: bool,
    /// Source and label of those that write it so.
    places: BTreeSet<(u32, &'a str)>,
    /// What a row took for it with a domain: it stands for a host of that one.
    full: BTreeSet<String>,
}

impl<'a> Facts<'a> {
    fn add(&mut self, other: &Self) {
        self.decided |= other.decided;
        self.called |= other.called;
        self.places.extend(&other.places);
        self.full.extend(other.full.iter().cloned());
    }

    /// Whether a row says of which domain this host is, and that is not the one of `name`.
    fn is_of_another_domain(&self, name: &str) -> bool {
        !self.full.is_empty() && name.contains('.') && !self.full.contains(&name.to_lowercase())
    }
}

/// The host of each of `names`, with the guesses that are allowed.
#[must_use]
pub fn resolve(names: &[HostName], guesses: &Guesses) -> HostTable {
    let mut facts: BTreeMap<&str, Facts<'_>> = BTreeMap::new();
    for name in names.iter().filter(|name| !name.name.is_empty()) {
        let known = facts.entry(&name.name).or_default();
        known.decided |= name.decided;
        known.called |= !name.address;
        if let Some(full) = name.decided.then(|| full_name(name)).flatten() {
            known.full.insert(full);
        }
        if name.source != 0 {
            known.places.insert((name.source, &name.label));
        }
    }
    let mut table = HostTable::default();
    let spelled = spell(&facts, guesses, &mut table.conflicts);
    let mut folded: BTreeMap<&str, Facts<'_>> = BTreeMap::new();
    for (name, spelling) in &spelled {
        folded.entry(spelling).or_default().add(&facts[name]);
    }
    let joined = join(&folded, guesses, &mut table.conflicts);
    for (name, spelling) in &spelled {
        let (host, how) = joined.get(&**spelling).cloned().unwrap_or_else(|| {
            let how = if **spelling == **name { How::Kept } else { How::Case };
            (spelling.clone(), how)
        });
        if guesses.ignore_case {
            let of_all = table.lower.entry(name.to_lowercase().into()).or_insert_with(|| Some(host.clone()));
            if of_all.as_ref() != Some(&host) {
                *of_all = None;
            }
        }
        table.hosts.insert((*name).into(), (host, how));
    }
    table.conflicts.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.hosts.cmp(&b.hosts)));
    table
}

/// The spelling that stands for each name, where case is ignored.
fn spell<'a>(
    facts: &BTreeMap<&'a str, Facts<'a>>,
    guesses: &Guesses,
    conflicts: &mut Vec<HostConflict>,
) -> BTreeMap<&'a str, Arc<str>> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in facts.keys() {
        let key = if guesses.ignore_case { name.to_lowercase() } else { (*name).to_owned() };
        alike.entry(key).or_default().push(name);
    }
    let mut spelled = BTreeMap::new();
    for (lower, names) in alike {
        let apart = side_by_side(names.iter().map(|name| &facts[name]));
        // Where rows decide about all of them, nothing is open any more.
        if apart && names.iter().any(|name| !facts[name].decided) {
            let hosts = names.iter().map(|name| (*name).to_owned()).collect();
            conflicts.push(HostConflict { name: lower.clone(), hosts, reason: ONE_SOURCE });
        }
        let decided = names.iter().find(|name| facts[*name].decided).copied();
        let common: Arc<str> = match names[..] {
            [one] => one.into(),
            _ => decided.or_else(|| called(&names, facts)).unwrap_or(&lower).into(),
        };
        for name in names {
            spelled.insert(name, if apart || facts[name].decided { name.into() } else { Arc::clone(&common) });
        }
    }
    spelled
}

/// The host of each name that is called by another one's domain-less form.
fn join(
    facts: &BTreeMap<&str, Facts<'_>>,
    guesses: &Guesses,
    conflicts: &mut Vec<HostConflict>,
) -> BTreeMap<String, (Arc<str>, How)> {
    let mut joined = BTreeMap::new();
    // By the form without a listed domain: the names that have one, and whether each has.
    let mut stripped: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut by_head: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, known) in facts {
        let is_address = name.parse::<IpAddr>().is_ok();
        if let Some(short) = guesses.strip(name).filter(|_| !known.decided && !is_address) {
            stripped.entry(short.to_lowercase()).or_default().push(name);
        } else if !is_address && (!known.decided || !name.contains('.')) {
            let head = name.split('.').next().unwrap_or(name);
            by_head.entry(head.to_lowercase()).or_default().push(name);
        }
    }
    let mut bare_names: BTreeMap<String, &str> = BTreeMap::new();
    if !stripped.is_empty() {
        bare_names.extend(facts.keys().map(|name| (name.to_lowercase(), *name)));
    }
    for (short, names) in stripped {
        let bare = bare_names.get(&short).copied();
        if let [one] = names[..] {
            let own = guesses.strip(one).unwrap_or(one);
            joined.insert(one.to_owned(), (bare.unwrap_or(own).into(), How::Stripped));
        } else {
            let mut hosts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            hosts.extend(bare.map(str::to_owned));
            conflicts.push(HostConflict { name: short, hosts, reason: DOMAINS });
        }
    }
    if !guesses.join_domains {
        return joined;
    }
    for (head, mut names) in by_head {
        if names.len() < 2 || names.iter().all(|name| facts[name].decided) {
            continue;
        }
        names.sort_by_key(|name| (name.len(), *name));
        let chain = names.windows(2).all(|pair| {
            let (short, long) = (pair[0].to_lowercase(), pair[1].to_lowercase());
            long.strip_prefix(&short).is_some_and(|rest| rest.starts_with('.'))
        });
        let other = |known: &Facts<'_>| names.iter().any(|name| known.is_of_another_domain(name));
        let chain = chain && !names.iter().any(|name| other(&facts[name]));
        let apart = side_by_side(names.iter().map(|name| &facts[name]));
        if chain && !apart {
            let common = called(&names, facts).unwrap_or(names[0]);
            let host: Arc<str> = common.into();
            let others = names.iter().filter(|name| **name != common);
            joined.extend(others.map(|name| ((*name).to_owned(), (Arc::clone(&host), How::Joined))));
        } else {
            let hosts = names.iter().map(|name| (*name).to_owned()).collect();
            let reason = if chain { ONE_SOURCE } else { DOMAINS };
            conflicts.push(HostConflict { name: head, hosts, reason });
        }
    }
    joined
}

/// The name with its domain that a row gave a name without one for.
fn full_name(name: &HostName) -> Option<String> {
    let carried = name.carried.to_lowercase();
    let full = carried.split(':').next().unwrap_or_default();
    let domain = full.strip_prefix(&name.name.to_lowercase())?;
    domain.starts_with('.').then(|| full.to_owned())
}

/// The name that all use who call the host by one, others reaching it under an address only.
fn called<'a>(names: &[&'a str], facts: &BTreeMap<&str, Facts<'_>>) -> Option<&'a str> {
    let mut called = names.iter().copied().filter(|name| facts[name].called);
    called.next().filter(|_| called.next().is_none())
}

/// Whether one source writes several of these in the same label: who tells names apart means several hosts.
fn side_by_side<'a>(mut names: impl Iterator<Item = &'a Facts<'a>>) -> bool {
    let mut seen: BTreeSet<(u32, &str)> = BTreeSet::new();
    names.any(|facts| {
        let met = facts.places.iter().any(|place| seen.contains(place));
        seen.extend(&facts.places);
        met
    })
}

impl Guesses {
    /// `name` without the listed domain that it ends in, the longest of several.
    fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        let without = |domain: &String| {
            if domain == "*" {
                return name.split_once('.').map(|(head, _)| head);
            }
            let domain = domain.trim_start_matches('.');
            let at = name.len().checked_sub(domain.len() + 1)?;
            let ends = name.is_char_boundary(at)
                && name[at..].strip_prefix('.').is_some_and(|end| end.eq_ignore_ascii_case(domain));
            ends.then(|| &name[..at])
        };
        self.strip_domains.iter().filter_map(without).filter(|short| !short.is_empty()).min_by_key(|short| short.len())
    }
}

#[cfg(test)]
mod tests;
