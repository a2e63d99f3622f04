//! What Zabbix needs so that verdicts can be sent to it: template, links, items. First what would be done, then doing it.
//!
//! Everything is asked first and only what is missing becomes a [`Step`], so that doing it twice changes nothing.

mod items;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Api, Version};
use crate::verdicts::key::Part;

/// Technical name of the template.
pub const TEMPLATE: &str = "Watchbell anomaly detection";
const TEMPLATE_6: &str = include_str!("../../../examples/zabbix/template_6.0.yaml");
const TEMPLATE_7: &str = include_str!("../../../examples/zabbix/template_7.0.yaml");
/// Type of the role of super admins.
const SUPER_ADMIN: &str = "3";
/// Hosts linked by one call, and items made by one.
const AT_ONCE: usize = 100;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Technical names of hosts.
    pub hosts: Vec<String>,
    /// Groups whose hosts are meant too.
    pub groups: Vec<String>,
    /// Items one by one in place of the template: for items whose key matches this regular expression as a whole, these
    /// parts of each.
    pub plain: Option<(String, Vec<Part>)>,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The template is not there (`new`), or is another one than this version's.
    Import {
        /// Whether there is none yet.
        new: bool,
        /// Version of the format.
        format: &'static str,
    },
    /// A host is not linked to the template.
    Link {
        /// Technical name.
        host: String,
        /// Its id.
        id: String,
    },
    /// A host lacks an item.
    Item {
        /// Technical name.
        host: String,
        /// What `item.create` is given.
        item: Value,
    },
    /// A host lacks a trigger.
    Trigger {
        /// Technical name.
        host: String,
        /// What `trigger.create` is given.
        trigger: Value,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
        match self {
            Self::Import { new: true, format } => write!(f, "import template `{TEMPLATE}` (format {format})"),
            Self::Import { new: false, format } => {
                write!(f, "update template `{TEMPLATE}` (format {format}); the values of its macros stay")
            }
            Self::Link { host, .. } => write!(f, "link template to host `{host}`"),
            Self::Item { host, item } => write!(f, "create item `{}` on host `{host}`", text(item, "key_")),
            Self::Trigger { host, trigger } => {
                write!(f, "create trigger `{}` on host `{host}`", text(trigger, "description"))
            }
        }
    }
}

/// A host as `host.get` tells it.
#[derive(Debug, Deserialize)]
struct Host {
    hostid: String,
    host: String,
    #[serde(default, rename = "parentTemplates")]
    templates: Vec<Linked>,
}

#[derive(Debug, Deserialize)]
struct Linked {
    templateid: String,
}

/// Finds out what is missing.
///
/// # Errors
/// Zabbix can not be asked, does not know a host or group, or is too old for the template.
pub async fn missing(api: &Api, wish: &Wish) -> Result<Vec<Step>, String> {
    let version = api.version().await.map_err(|error| error.to_string())?;
    let hosts = hosts(api, wish).await?;
    let mut steps = Vec::new();
    if let Some((keys, parts)) = &wish.plain {
        let pattern = Regex::new(&format!("^(?:{keys})$")).map_err(|error| error.to_string())?;
        let mut matched = hosts.is_empty();
        for host in &hosts {
            matched |= items::missing(api, version, (&host.host, &host.hostid), &pattern, parts, &mut steps).await?;
        }
        if !matched {
            return Err(format!(
                "no numeric item of these hosts that is enabled has a key that matches `{keys}` as a whole"
            ));
        }
        return Ok(steps);
    }
    if version < Version::new(6, 0) {
        return Err(format!("the template needs Zabbix 6.0 or later, this is {version}: use `--plain`"));
    }
    let (format, text) = template(version);
    let id = known(api).await?;
    let new = id.is_none();
    if new && !is_super_admin(api).await {
        return Err(
            "this user is no super admin, who alone can import the template, and sees none that is there: use the \
                    token of a super admin, or `--plain` with that of an admin of the hosts"
                .to_owned(),
        );
    }
    let differs = new || differs(&call(api, "configuration.importcompare", import(text, version)).await?);
    if differs {
        steps.push(Step::Import { new, format });
    }
    for Host { hostid, host, templates } in hosts {
        if !templates.iter().any(|linked| Some(&linked.templateid) == id.as_ref()) {
            steps.push(Step::Link { host, id: hostid });
        }
    }
    Ok(steps)
}

/// Does all `steps`, telling `done` how many of them are done.
///
/// # Errors
/// What Zabbix refused; what was done until then stays, and is not asked for again.
pub async fn apply(api: &Api, steps: &[Step], mut done: impl FnMut(usize)) -> Result<(), String> {
    let version = api.version().await.map_err(|error| error.to_string())?;
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let alike = |step: &&Step| std::mem::discriminant(*step) == std::mem::discriminant(first);
        let count = rest.iter().take(AT_ONCE).take_while(alike).count();
        let (now, later) = rest.split_at(count);
        match first {
            Step::Import { .. } => import_template(api, version).await?,
            Step::Link { .. } => link(api, now).await?,
            Step::Item { .. } => create(api, "item.create", now).await?,
            Step::Trigger { .. } => create(api, "trigger.create", now).await?,
        }
        rest = later;
        done(steps.len() - rest.len());
    }
    Ok(())
}

async fn link(api: &Api, steps: &[Step]) -> Result<(), String> {
    let id = known(api).await?.ok_or("the template was imported, but this user can not see it")?;
    let hosts: Vec<Value> = steps
        .iter()
        .filter_map(|step| if let Step::Link { id, .. } = step { Some(json!({"hostid": id})) } else { None })
        .collect();
    call::<Value>(api, "host.massadd", json!({"hosts": hosts, "templates": [{"templateid": id}]})).await?;
    Ok(())
}

async fn create(api: &Api, method: &str, steps: &[Step]) -> Result<(), String> {
    let objects: Vec<&Value> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Item { item, .. } => Some(item),
            Step::Trigger { trigger, .. } => Some(trigger),
            _ => None,
        })
        .collect();
    call::<Value>(api, method, json!(objects)).await?;
    Ok(())
}

/// The template for `version`, and the version of its format.
fn template(version: Version) -> (&'static str, &'static str) {
    if version >= Version::new(7, 0) { ("7.0", TEMPLATE_7) } else { ("6.0", TEMPLATE_6) }
}

/// What `configuration.import` and `configuration.importcompare` are given.
fn import(text: &str, version: Version) -> Value {
    let all = json!({"createMissing": true, "updateExisting": true, "deleteMissing": true});
    let groups = if version >= Version::new(6, 2) { "template_groups" } else { "groups" };
    json!({
        "format": "yaml",
        "source": text,
        "rules": {
            groups: {"createMissing": true},
            "templates": {"createMissing": true, "updateExisting": true},
            "items": all, "discoveryRules": all, "triggers": all, "graphs": all
        }
    })
}

/// Whether a comparison found anything but values of macros, which are the administrator's.
fn differs(tree: &Value) -> bool {
    fn without_macros(value: &Value) -> Value {
        let mut value = value.clone();
        value.as_object_mut().map(|map| map.remove("macros"));
        value
    }
    match tree {
        Value::Array(rows) => rows.iter().any(differs),
        Value::Object(rows) => {
            let changed = match (rows.get("before"), rows.get("after")) {
                (Some(before), Some(after)) => without_macros(before) != without_macros(after),
                (before, after) => before.is_some() || after.is_some(),
            };
            changed || rows.iter().any(|(name, row)| name != "before" && name != "after" && differs(row))
        }
        _ => false,
    }
}

#[derive(Debug, Deserialize)]
struct Macro {
    hostmacroid: String,
    #[serde(rename = "macro")]
    name: String,
    #[serde(default)]
    value: String,
}

/// Imports the template. Values of its macros that were there stay as they are.
async fn import_template(api: &Api, version: Version) -> Result<(), String> {
    let before = macros(api).await?;
    call::<Value>(api, "configuration.import", import(template(version).1, version)).await?;
    for new in macros(api).await? {
        if let Some(old) = before.iter().find(|old| old.name == new.name && old.value != new.value) {
            let params = json!({"hostmacroid": new.hostmacroid, "value": old.value});
            call::<Value>(api, "usermacro.update", params).await?;
        }
    }
    Ok(())
}

async fn macros(api: &Api) -> Result<Vec<Macro>, String> {
    let Some(template) = known(api).await? else { return Ok(Vec::new()) };
    let params = json!({"output": ["hostmacroid", "macro", "value"], "hostids": [template]});
    call(api, "usermacro.get", params).await
}

/// Whether the user may import templates. Of other users only a super admin sees more than itself.
async fn is_super_admin(api: &Api) -> bool {
    #[derive(Deserialize)]
    struct Role {
        #[serde(rename = "type")]
        of: String,
    }
    #[derive(Deserialize)]
    struct User {
        role: Role,
    }
    let params = json!({"output": ["userid"], "selectRole": ["type"]});
    // A role that may not ask for users says nothing; Zabbix itself will.
    let users: Result<Vec<User>, _> = call(api, "user.get", params).await;
    users.map_or(true, |users| users.iter().any(|user| user.role.of == SUPER_ADMIN))
}

/// Id of the template, if it is there.
async fn known(api: &Api) -> Result<Option<String>, String> {
    let params = json!({"output": ["templateid"], "filter": {"host": TEMPLATE}});
    let found: Vec<Linked> = call(api, "template.get", params).await?;
    Ok(found.into_iter().next().map(|template| template.templateid))
}

/// The hosts that are meant, each once.
async fn hosts(api: &Api, wish: &Wish) -> Result<Vec<Host>, String> {
    #[derive(Deserialize)]
    struct Group {
        groupid: String,
        name: String,
    }
    let output = json!(["hostid", "host"]);
    let mut found: Vec<Host> = Vec::new();
    if !wish.hosts.is_empty() {
        let params = json!({"output": output, "filter": {"host": wish.hosts}, "selectParentTemplates": ["templateid"]});
        found = call(api, "host.get", params).await?;
        let known: BTreeSet<&str> = found.iter().map(|host| host.host.as_str()).collect();
        let unknown: Vec<&str> = wish.hosts.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(format!(
                "no host `{}` that this user can see; the technical name is wanted, and its case counts",
                unknown.join("`, `")
            ));
        }
    }
    if !wish.groups.is_empty() {
        let params = json!({"output": ["groupid", "name"], "filter": {"name": wish.groups}});
        let groups: Vec<Group> = call(api, "hostgroup.get", params).await?;
        let known: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let unknown: Vec<&str> = wish.groups.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(format!("no group of hosts `{}` that this user can see", unknown.join("`, `")));
        }
        let ids: Vec<&str> = groups.iter().map(|group| group.groupid.as_str()).collect();
        let params = json!({"output": output, "groupids": ids, "selectParentTemplates": ["templateid"]});
        found.extend(call::<Vec<Host>>(api, "host.get", params).await?);
    }
    found.sort_by(|a, b| a.host.cmp(&b.host));
    found.dedup_by(|a, b| a.hostid == b.hostid);
    Ok(found)
}

async fn call<T: serde::de::DeserializeOwned + Send + 'static>(
    api: &Api,
    method: &str,
    params: Value,
) -> Result<T, String> {
    api.call(method, &params).await.map_err(|error| error.to_string())
}
