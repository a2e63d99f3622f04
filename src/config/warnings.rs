//! What is legal in a config and yet seldom meant: `watchbell check` tells it, and the log at a start.

use std::path::Path;

use watchbell_adapter_api::{Prepared, Problem, Problems};

use super::{Checked, Named};

/// The kind of source that watches the machine itself.
const HOST: &str = "host";
/// Keys of it that tell two of them apart.
const TELLING: [&str; 3] = ["instance", "job", "disable"];

/// All that is odd about `checked`, a text each that begins with the key and ends with what to do.
pub(super) fn of(checked: &Checked) -> Vec<String> {
    let settings = &checked.settings;
    let mut told = Vec::new();
    let listen = settings.http.listen;
    if !listen.ip().to_canonical().is_loopback() && settings.http.basic_auth.is_none() {
        told.push(format!(
            "http.listen: `{listen}` is open to other machines and nobody is asked who they are: whoever reaches it reads \
             everything and sends samples and feedback\n  hint: set `http.basic_auth` and `http.tls`, or listen on \
             `127.0.0.1:{}` behind a proxy that asks; let it be where the network keeps others out",
            listen.port()
        ));
    }
    told.extend(twin_hosts(&checked.sources));
    if let Some(problem) = unwritable(&settings.data_dir, may_write) {
        told.push(problem);
    }
    told.extend(settings.rules_dir.as_deref().and_then(unread_rules));
    told
}

/// What sources and sinks say is not there now.
pub(super) fn absences(checked: &Checked) -> Vec<String> {
    let mut all = Problems::default();
    for source in &checked.sources {
        all.within(&source.path, source.item.warnings());
    }
    for sink in &checked.sinks {
        if let Prepared::Scores(scores) = &sink.item {
            all.within(&sink.path, scores.warnings());
        }
    }
    let text = |problem: Problem| {
        let hint = problem.hint.map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        format!("{}: {}{hint}", problem.path, problem.message)
    };
    all.into_vec().into_iter().map(text).collect()
}

/// Where rules lie in the folder of rules, and what is read.
const READ: [&str; 2] = ["mappings", "detect"];

/// Files that lie beside the folders that are read.
fn unread_rules(dir: &Path) -> Option<String> {
    let dir_words = dir.display();
    if !READ.iter().any(|name| dir.join(name).is_dir()) {
        return Some(format!(
            "rules_dir: nothing in `{dir_words}` is read, which holds neither a folder `mappings` nor `detect`\n  hint: what \
             metrics are goes into `mappings/*.yaml`, what matters about them and alerts into `detect/*.yaml`"
        ));
    }
    let is_yaml = |path: &Path| path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let found = dir.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_yaml(path)).min()?;
    let name = found.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(format!(
        "rules_dir: `{name}` in `{dir_words}` is not read\n  hint: move it into the folder `mappings` or `detect` beside it"
    ))
}

/// Sources that read the same of this machine under the same labels.
fn twin_hosts<T>(sources: &[Named<T>]) -> Vec<String> {
    let hosts: Vec<&Named<T>> = sources.iter().filter(|source| source.kind == HOST).collect();
    let twin = |at: usize| {
        let own = hosts[at];
        let same = |other: &&Named<T>| TELLING.iter().all(|key| own.fingerprint.get(key) == other.fingerprint.get(key));
        let first = hosts[..at].iter().copied().find(|other| same(other))?;
        Some(format!(
            "{}: `{}` and `{}` both watch this machine under the same labels: what the one brings is refused as another \
             value, or a late one, of the other\n  hint: keep one, or give each an `instance` of its own",
            own.path, own.name, first.name
        ))
    };
    (0..hosts.len()).filter_map(twin).collect()
}

/// The folder of data, or where it is not there yet the one that it would be made in, if it is not to be written in.
fn unwritable(dir: &Path, may_write: impl Fn(&Path) -> bool) -> Option<String> {
    let there = nearest_there(dir)?;
    if may_write(there) {
        return None;
    }
    let what = if there == dir { "it".to_owned() } else { format!("`{}`, where it would be made,", there.display()) };
    Some(format!(
        "data_dir: `{}` can not be used: the user of this check may not write in {what}\n  hint: give the folder to the \
         user that runs the service and check as that user, or name another with `data_dir`",
        dir.display()
    ))
}

/// `dir` itself, or the nearest folder above that is there.
pub(super) fn nearest_there(dir: &Path) -> Option<&Path> {
    let here = |path: &'static str| Path::new(path);
    dir.ancestors().map(|path| if path.as_os_str().is_empty() { here(".") } else { path }).find(|path| path.exists())
}

fn may_write(dir: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let data = tempfile::tempdir().expect("a folder");
        let overrides = Overrides { data_dir: Some(data.path().to_owned()), ..Overrides::default() };
        Config::from_text("w.yaml", text, &overrides).expect("right").warnings()
    }

    #[test]
    fn an_open_listener_that_asks_nobody() {
        for open in ["0.0.0.0:9797", "'[::]:9797'", "192.0.2.7:9797"] {
            let told = told(&format!("http: {{listen: {open}}}\n"));
            assert!(told.len() == 1 && told[0].starts_with("http.listen: `"), "{open}: {told:#?}");
        }
        for closed in ["127.0.0.1:9797", "'[::1]:9797'", "'[::ffff:127.0.0.1]:1'"] {
            assert_eq!(told(&format!("http: {{listen: {closed}}}\n")), [""; 0], "{closed}");
        }
        assert_eq!(told("http: {listen: 0.0.0.0:9797, basic_auth: {username: a, password: b}}\n"), [""; 0]);
    }

    #[test]
    fn two_sources_that_read_the_same() {
        let told_of = |two: &str| told(&format!("sources:\n  - {{type: host, interval: 5s}}\n  - {two}\n"));
        let told = told_of("{type: host}");
        assert!(told.len() == 1 && told[0].starts_with("sources[1]: `host-2` and `host` both watch"), "{told:#?}");
        assert_eq!(told_of("{type: host, instance: other}"), [""; 0]);
        assert_eq!(told_of("{type: prometheus_remote_write_in}"), [""; 0]);
    }

    #[test]
    fn files_that_are_not_there() {
        let text = "sources: [{type: nagios_perfdata, files: [/nowhere/perf]}, {type: nagios_status, path: /nowhere/s}]\n\
                    sinks: [{type: nagios_command_file, path: /nowhere/cmd}]\n";
        let checked = Config::from_text("w.yaml", text, &Overrides::default()).expect("right");
        let told = checked.absences();
        let begin = |told: &String| told.split_once(" now\n  hint: ").expect("with a hint").0.to_owned();
        assert_eq!(
            told.iter().map(begin).collect::<Vec<_>>(),
            [
                "sources[0].files[0]: there is no `/nowhere/perf`",
                "sources[1].path: there is no `/nowhere/s`",
                "sinks[0].path: there is no `/nowhere/cmd`",
            ]
        );
    }

    #[test]
    fn rules_that_nobody_reads() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = temp.path();
        assert!(unread_rules(dir).expect("empty").contains("holds neither a folder `mappings` nor `detect`"));
        std::fs::create_dir(dir.join("mappings")).expect("made");
        assert_eq!(unread_rules(dir), None);
        std::fs::write(dir.join("own.yaml"), "").expect("written");
        assert!(unread_rules(dir).expect("a stray file").contains("`own.yaml` in "));
    }

    #[test]
    fn a_folder_that_is_not_to_be_written_in() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = temp.path().join("a/b");
        let told = unwritable(&dir, |_| false).expect("told");
        let above = format!("may not write in `{}`, where it would be made", temp.path().display());
        assert!(told.starts_with("data_dir: `") && told.contains(&above), "{told}");
        assert_eq!(unwritable(&dir, may_write), None);
        assert_eq!(nearest_there(Path::new("not-there")), Some(Path::new(".")));
    }
}
