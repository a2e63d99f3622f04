//! What a series' labels say of its host, looked at alone: which label names it, what of an address is the host, and
//! rows that give names of their own (`hosts:` of `mappings/entities.yaml`). What needs the names of other sources is
//! decided by [`resolve`](crate::hosts::resolve).

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_series::Selector;

use super::Place;
use super::at::At;
use super::file::{Loader, PATTERN, anchored};
use crate::entities::host_of;
use crate::hosts::Guesses;

/// Compiled rules of hosts.
#[derive(Debug, Default)]
pub(super) struct HostRules {
    pub(super) labels: Vec<EntityLabel>,
    guesses: Guesses,
    rows: Vec<HostRow>,
    /// First row of each exact name; in lower case where case is ignored.
    exact: HashMap<String, usize>,
}

/// A label that may name the host.
#[derive(Debug, Clone)]
pub(super) struct EntityLabel {
    label: Box<str>,
    /// Whether its value is an address, of which only the host counts.
    address: bool,
    /// A label with another name of the same host, by which rows may know it, too.
    also: Option<Box<str>>,
}

/// A row of `hosts: names:`.
#[derive(Debug)]
struct HostRow {
    place: Place,
    /// Whether it holds only for exact names, which [`HostRules::exact`] leads to.
    by_name: bool,
    pattern: Option<Regex>,
    labels: Option<Selector>,
    /// The host; `None` to keep the name as it is.
    host: Option<Box<str>>,
}

/// The name of the host of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenHost<'a> {
    /// The label that carries it; empty where a row knows the series by other labels.
    pub label: &'a str,
    /// That label's value.
    pub carried: &'a str,
    /// The name.
    pub name: Cow<'a, str>,
    /// Whether the label carries an address, of which the name is the host.
    pub address: bool,
    /// Whether nothing is to be guessed about the name: a row gave it, or it is that of a probed address.
    pub decided: bool,
    pub(super) by: By,
}

/// What gave a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Label,
    Port,
    Url,
    Row(usize),
}

impl GivenHost<'_> {
    /// What gave the name, as a number that is its own for each row.
    pub(crate) fn by(&self) -> u32 {
        match self.by {
            By::Label => 0,
            By::Port => 1,
            By::Url => 2,
            By::Row(index) => 3 + index as u32,
        }
    }
}

impl HostRules {
    pub(super) fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// The host of a series with these label values; `None` where nothing names one.
    pub(super) fn given<'a>(&'a self, get: impl Fn(&str) -> &'a str + Copy) -> Option<GivenHost<'a>> {
        let mut given = None;
        for by in &self.labels {
            let carried = get(&by.label);
            let name = if by.address { host_of(carried) } else { carried };
            if !name.is_empty() {
                // Who is asked by URL is a service as its users see it, whatever machine answers.
                let url = by.address && carried.contains("://");
                let rule = match (url, name == carried) {
                    (true, _) => By::Url,
                    (false, false) => By::Port,
                    (false, true) => By::Label,
                };
                let also = by.also.as_deref().map_or("", get);
                let found = GivenHost {
                    label: &by.label,
                    carried,
                    name: name.into(),
                    address: by.address,
                    decided: url,
                    by: rule,
                };
                given = Some((found, also));
                break;
            }
        }
        let (mut given, also) = given.map_or((None, ""), |(given, also)| (Some(given), also));
        let row = self.row(given.as_ref(), also, get);
        let Some((index, host)) = row else { return given };
        let at = given.get_or_insert(GivenHost {
            label: "",
            carried: "",
            name: Cow::Borrowed(""),
            address: false,
            decided: true,
            by: By::Row(index),
        });
        let host_is_kept = host.is_none();
        if let Some(host) = host {
            at.name = host;
        }
        // A name that a row gives is what somebody calls the host.
        (at.address, at.decided, at.by) = (at.address && host_is_kept, true, By::Row(index));
        given.filter(|given| !given.name.is_empty())
    }

    /// The first row that holds, and the host it gives; no host to keep the name.
    fn row<'a>(
        &'a self,
        given: Option<&GivenHost<'a>>,
        also: &'a str,
        get: impl Fn(&str) -> &'a str + Copy,
    ) -> Option<(usize, Option<Cow<'a, str>>)> {
        if self.rows.is_empty() {
            return None;
        }
        let names: [&str; 3] = given.map_or(["", "", also], |given| [&given.name, given.carried, also]);
        let named = names.iter().filter(|name| !name.is_empty());
        let exact: Vec<usize> = named.clone().filter_map(|name| self.exact.get(&self.key(name)).copied()).collect();
        for (index, row) in self.rows.iter().enumerate() {
            if row.labels.as_ref().is_some_and(|labels| !labels.matches_by(get)) {
                continue;
            }
            let host = row.host.as_deref();
            if let Some(pattern) = &row.pattern {
                let Some(captures) = named.clone().find_map(|name| pattern.captures(name)) else { continue };
                let expanded = host.map(|host| {
                    let mut text = String::new();
                    captures.expand(host, &mut text);
                    text
                });
                return Some((index, expanded.map(Cow::Owned)));
            }
            if !row.by_name || exact.contains(&index) {
                return Some((index, host.map(Cow::Borrowed)));
            }
        }
        None
    }

    /// The host that the row `index` gives, and the row that calls a name like that otherwise; only of rows that hold for
    /// all series.
    fn next(&self, index: usize) -> Option<(&str, &HostRow)> {
        let row = self.rows.get(index).filter(|row| row.labels.is_none() && row.pattern.is_none())?;
        let host = row.host.as_deref()?;
        let next = &self.rows[*self.exact.get(&self.key(host))?];
        // In another file it is a correction.
        let other = next.place.file == row.place.file
            && next.labels.is_none()
            && next.host.as_deref().is_some_and(|next| self.key(next) != self.key(host));
        other.then_some((host, next))
    }

    fn key(&self, name: &str) -> String {
        if self.guesses.ignore_case { name.to_lowercase() } else { name.to_owned() }
    }

    /// What gave the name, in words; `place` says where a row stands.
    pub(super) fn said(&self, given: &GivenHost<'_>, place: impl Fn(Place) -> String) -> String {
        match given.by {
            By::Label => format!("label `{}`", given.label),
            By::Port => format!("host of the address in label `{}`", given.label),
            By::Url => format!("host of the URL in label `{}`", given.label),
            By::Row(index) => self.rows.get(index).map_or_else(String::new, |row| place(row.place)),
        }
    }
}

/// A row of `entity:`.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct EntityRow {
    /// The label that names the host, such as `instance`.
    label: At<String>,
    #[serde(default)]
    address: bool,
    also: Option<String>,
}

/// The block `hosts:` as it is written.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HostsBlock {
    ignore_case: Option<bool>,
    join_domains: Option<bool>,
    strip_domains: Option<Vec<At<String>>>,
    #[serde(default)]
    names: Vec<At<NamesRow>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NamesRow {
    host: Option<At<String>>,
    names: Option<Vec<At<String>>>,
    pattern: Option<At<String>>,
    labels: Option<At<String>>,
    #[serde(default)]
    keep: bool,
}

/// What files said of hosts so far.
#[derive(Default)]
pub(super) struct HostsSoFar {
    labels: Vec<EntityLabel>,
    ignore_case: Option<bool>,
    join_domains: Option<bool>,
    strip_domains: Option<Vec<String>>,
    rows: Vec<HostRow>,
    names: Vec<(String, usize, String, usize)>,
}

impl HostsSoFar {
    pub(super) fn finish(self, problems: &mut Vec<super::RuleProblem>) -> HostRules {
        let guesses = Guesses {
            ignore_case: self.ignore_case.unwrap_or(true),
            join_domains: self.join_domains.unwrap_or(true),
            strip_domains: self.strip_domains.unwrap_or_default(),
        };
        let mut rules = HostRules { labels: self.labels, guesses, rows: self.rows, exact: HashMap::new() };
        let mut said: HashMap<String, (String, usize)> = HashMap::new();
        let mut chained = Vec::new();
        for (name, row, file, line) in self.names {
            chained.push((row, file.clone(), line));
            let key = rules.key(&name);
            rules.exact.entry(key.clone()).or_insert(row);
            // In another file it is a correction; in the same one a slip.
            let before = said.entry(key).or_insert_with(|| (file.clone(), row)).clone();
            let differs = rules.rows[before.1].host != rules.rows[row].host && rules.rows[row].labels.is_none();
            if before.0 == file && differs && rules.rows[before.1].labels.is_none() {
                let above = rules.rows[before.1].place.line;
                let message = format!("`{name}` is given two hosts in this file, the other one in line {above}");
                let hint = "a name can belong to one host only; take it out of one of the rows".to_owned();
                let field = "hosts.names".to_owned();
                problems.push(super::RuleProblem { file, line, field, message, hint });
            }
        }
        // A name is looked up once: what a host is called is not looked up again.
        chained.dedup_by_key(|(row, ..)| *row);
        for (row, file, line) in chained {
            if let Some((host, next)) = rules.next(row) {
                let message = format!(
                    "`{host}` is itself the name of another host, `{}`, by line {}; names are looked up once, so these stay two",
                    next.host.as_deref().unwrap_or_default(),
                    next.place.line
                );
                let hint =
                    "give all names of a machine in one row: `{host: web1, names: [web-one, web-two]}`".to_owned();
                problems.push(super::RuleProblem { file, line, field: "hosts.names".to_owned(), message, hint });
            }
        }
        rules
    }
}

impl Loader {
    /// Takes rows of `entity:` in. Labels of earlier files are asked first, those of later ones where a series has
    /// none of them.
    pub(super) fn entity_rows(&mut self, file: &str, rows: &[EntityRow]) {
        for (i, row) in rows.iter().enumerate() {
            if row.label.value.is_empty() {
                let line = row.label.line();
                self.problem(file, line, &format!("entity[{i}].label"), "empty", "name a label such as `instance`");
            }
            let also = row.also.as_deref().map(Into::into);
            self.hosts.labels.push(EntityLabel { label: row.label.value.as_str().into(), address: row.address, also });
        }
    }

    /// Takes a block `hosts:` in.
    pub(super) fn hosts_block(&mut self, file: &str, block: &HostsBlock) {
        self.hosts.ignore_case = self.hosts.ignore_case.or(block.ignore_case);
        self.hosts.join_domains = self.hosts.join_domains.or(block.join_domains);
        if let Some(domains) = &block.strip_domains {
            for (i, domain) in domains.iter().enumerate() {
                let bare = domain.value.trim_start_matches('.');
                if bare.is_empty() || (bare.contains('*') && bare != "*") {
                    let line = domain.line();
                    let message = format!("`{}` is no domain", domain.value);
                    let hint = "a domain such as `example.org`, or `*` for any";
                    self.problem(file, line, &format!("hosts.strip_domains[{i}]"), message, hint);
                }
            }
            let domains = || domains.iter().map(|domain| domain.value.clone()).collect();
            self.hosts.strip_domains.get_or_insert_with(domains);
        }
        for (i, row) in block.names.iter().enumerate() {
            self.names_row(file, &format!("hosts.names[{i}]"), row.line(), &row.value);
        }
    }

    fn names_row(&mut self, file: &str, field: &str, line: usize, row: &NamesRow) {
        let example = "like `{host: web1, names: [web-one, 10.0.0.1]}`";
        match (&row.host, row.keep) {
            (Some(host), false) if !host.value.trim().is_empty() => {}
            (None, true) => {}
            _ => self.problem(file, line, field, "a row needs either `host` or `keep: true`", example),
        }
        if row.names.is_some() && row.pattern.is_some() {
            self.problem(file, line, field, "`names` and `pattern` in one row", "write two rows");
        }
        if row.names.as_ref().is_none_or(Vec::is_empty) && row.pattern.is_none() && row.labels.is_none() {
            self.problem(file, line, field, "a row needs `names`, `pattern` or `labels`", example);
        }
        let pattern = row.pattern.as_ref().and_then(|text| {
            let found = anchored(&text.value);
            found.map_err(|why| self.problem(file, text.line(), &format!("{field}.pattern"), why, PATTERN)).ok()
        });
        let labels = row.labels.as_ref().and_then(|text| {
            self.parse::<Selector>((file.to_owned(), format!("{field}.labels")), text, "like `{job=\"node\"}`")
        });
        if let (Some(host), Some(pattern)) = (&row.host, &pattern) {
            for group in unknown_groups(&host.value, pattern) {
                let message = format!("`pattern` has no group `{group}`");
                let hint = match pattern.captures_len() - 1 {
                    0 => "put what `host` shall take over in parentheses, or write `$$` for a dollar sign".to_owned(),
                    groups => format!(
                        "its groups are `$1` to `${groups}`, in front of a letter `${{1}}`; `$$` is a dollar sign"
                    ),
                };
                self.problem(file, host.line(), &format!("{field}.host"), message, &hint);
            }
        }
        let index = self.hosts.rows.len();
        for name in row.names.iter().flatten() {
            let line = name.line();
            self.hosts.names.push((name.value.clone(), index, file.to_owned(), line));
        }
        let place = self.place(file, line);
        self.hosts.rows.push(HostRow {
            place,
            by_name: row.names.is_some(),
            pattern,
            labels,
            host: row.host.as_ref().map(|host| host.value.as_str().into()),
        });
    }
}

/// What `host` refers to by `$1` or `${name}` and `pattern` does not have, as [`regex::Captures::expand`] reads it.
fn unknown_groups(host: &str, pattern: &Regex) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut rest = host;
    while let Some((_, after)) = rest.split_once('$') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (group, tail) = match braced {
            _ if after.starts_with('$') => ("", &after[1..]),
            Some((group, tail)) => (group, tail),
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        let known = match group.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => group.is_empty() || pattern.capture_names().flatten().any(|name| name == group),
        };
        if !known {
            unknown.push(group.to_owned());
        }
        rest = tail;
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::super::{RuleProblem, Rules};

    fn load(text: &str) -> Result<Rules, Vec<RuleProblem>> {
        Rules::load(&[("mine.yaml", text)], &[])
    }

    /// Name, whether it is decided, and what gave it.
    fn given(rules: &Rules, labels: &[(&str, &str)]) -> (String, bool, String) {
        let get = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let given = rules.host(get);
        given.map_or_else(Default::default, |it| (it.name.clone().into_owned(), it.decided, rules.host_rule(&it)))
    }

    #[test]
    fn by_the_first_label_that_is_there() {
        let rules = Rules::built_in().expect("built-in rules");
        for (labels, name, decided, by) in [
            (
                &[("instance", "10.0.0.1:9100"), ("job", "node")][..],
                "10.0.0.1",
                false,
                "host of the address in label `instance`",
            ),
            (&[("instance", "10.0.0.1:9100"), ("node", "worker-3")], "worker-3", false, "label `node`"),
            (&[("instance", "https://example.org:8443/x")], "example.org", true, "host of the URL in label `instance`"),
            (&[("instance", "web1")], "web1", false, "label `instance`"),
            (&[("job", "node")], "", false, ""),
        ] {
            assert_eq!(given(&rules, labels), (name.to_owned(), decided, by.to_owned()), "{labels:?}");
        }
        let (name, decided, by) = given(&rules, &[("__name__", "probe_success"), ("instance", "www.example.org:443")]);
        assert_eq!((name.as_str(), decided), ("www.example.org", true));
        assert!(by.starts_with("rules/mappings/entities.yaml (built in):"), "{by}");
    }

    #[test]
    fn rows_give_names() {
        let text = "entity: [{label: host, also: visible_name}]\nhosts:\n  names:\n    - {host: web1, names: [web-one, 10.0.0.1, Shop front]}\n\
                    \x20   - {host: 'node-$1', pattern: 'ip-10-0-0-(\\d+)\\..*'}\n\
                    \x20   - {host: core, labels: '{job=\"snmp\",rack=\"a\"}'}\n\
                    \x20   - {names: [lonely], keep: true}\n";
        let rules = load(text).expect("rules");
        for (labels, name, decided, line) in [
            (&[("instance", "10.0.0.1:9100")][..], "web1", true, ":4"),
            (&[("host", "WEB-ONE")], "web1", true, ":4"),
            (&[("host", "17"), ("visible_name", "Shop front")], "web1", true, ":4"),
            (&[("instance", "ip-10-0-0-7.ec2.internal:9100")], "node-7", true, ":5"),
            (&[("job", "snmp"), ("rack", "a")], "core", true, ":6"),
            (&[("job", "snmp"), ("rack", "a"), ("instance", "switch")], "core", true, ":6"),
            (&[("host", "lonely")], "lonely", true, ":7"),
            (&[("host", "other")], "other", false, ""),
        ] {
            let (got, was, by) = given(&rules, labels);
            assert_eq!((got.as_str(), was), (name, decided), "{labels:?}");
            assert!(!decided || by == format!("mine.yaml{line}"), "{by}");
        }
        let exact = load("hosts: {ignore_case: false, names: [{host: a, names: [B]}]}").expect("rules");
        assert_eq!(given(&exact, &[("host", "b")]).0, "b");
        // A user's row goes before another file's.
        let both = [
            ("a.yaml", "hosts: {names: [{host: x, names: [n]}]}"),
            ("b.yaml", "hosts: {names: [{host: y, names: [n]}]}"),
        ];
        assert_eq!(given(&Rules::load(&both, &[]).expect("rules"), &[("host", "n")]).0, "x");
    }

    #[test]
    fn everything_wrong_is_said_with_its_line() {
        let text = "hosts:\n  strip_domains: ['*.org', '']\n  names:\n    - {host: a}\n    - {names: [x]}\n\
                    \x20   - {host: b, keep: true, names: [x]}\n    - {host: c, pattern: '('}\n    - {host: d, labels: 'x{'}\n\
                    \x20   - {host: e, names: [y], pattern: z}\n    - {host: f, names: [n]}\n    - {host: g, names: [N]}\n";
        let problems = load(text).expect_err("problems");
        let said: Vec<(usize, &str)> = problems.iter().map(|p| (p.line, p.field.as_str())).collect();
        for want in [
            (2, "hosts.strip_domains[0]"),
            (2, "hosts.strip_domains[1]"),
            (4, "hosts.names[0]"),
            (5, "hosts.names[1]"),
            (6, "hosts.names[2]"),
            (7, "hosts.names[3].pattern"),
            (8, "hosts.names[4].labels"),
            (9, "hosts.names[5]"),
            (11, "hosts.names"),
        ] {
            assert!(said.contains(&want), "{want:?} in {said:?}");
        }
    }

    #[test]
    fn a_host_takes_over_groups_that_are_there() {
        let row = |host: &str| format!("hosts: {{names: [{{host: '{host}', pattern: '(?P<kind>[a-z]+)-(\\d+)'}}]}}");
        for host in ["$1", "${1}x$2", "$kind-$2", "web$$", "a${kind}b", "$"] {
            load(&row(host)).unwrap_or_else(|problems| panic!("{host}: {problems:?}"));
        }
        for (host, group) in [("$3", "3"), ("a-${9}", "9"), ("$1a", "1a"), ("${sort}", "sort"), ("$1$$$4", "4")] {
            let problems = load(&row(host)).expect_err(host);
            let [problem] = &problems[..] else { panic!("{problems:?}") };
            assert_eq!((problem.line, problem.field.as_str()), (1, "hosts.names[0].host"), "{host}");
            assert_eq!(problem.message, format!("`pattern` has no group `{group}`"));
            assert!(problem.hint.contains("`$1` to `$2`"), "{}", problem.hint);
        }
        let none = load("hosts: {names: [{host: 'x$1', pattern: 'a.*'}]}").expect_err("no group");
        assert!(none[0].hint.contains("parentheses"), "{}", none[0].hint);
    }

    #[test]
    fn names_that_lead_on_are_told() {
        let told = |text: &str| -> Vec<String> {
            load(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
        };
        let circle = told("hosts:\n  names:\n    - {names: [a, c], host: b}\n    - {names: [B], host: a}\n");
        assert_eq!(circle.len(), 2, "{circle:#?}");
        assert!(
            circle[0].starts_with("mine.yaml:3: hosts.names: `b` is itself the name of another host, `a`, by line 4;")
        );
        for right in [
            "hosts:\n  names:\n    - {names: [a], host: b}\n    - {names: [b], keep: true}\n",
            "hosts:\n  names:\n    - {names: [a], host: b}\n    - {names: [b, c], host: B}\n",
            "hosts:\n  names:\n    - {names: [a], host: b}\n    - {names: [b], host: c, labels: '{job=\"x\"}'}\n",
        ] {
            assert_eq!(told(right), [""; 0], "{right}");
        }
        let twice = told("hosts:\n  names:\n    - {names: [a], host: b}\n    - {names: [a], host: c}\n");
        assert!(twice[0].contains("`a` is given two hosts in this file, the other one in line 3"), "{twice:#?}");
    }
}
