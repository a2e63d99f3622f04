//! Readings from `/proc`, one file a group. Each group is a pure function of the text of its files, so
//! that recorded text tests it; this file only opens and dispatches. Never runs a command.

mod cpu;
mod disk;
mod filesystem;
mod kernel;
mod memory;
mod network;
mod pressure;

use crate::host::{Filters, Group, Roots};
use crate::page::{Page, ReadError, read};

/// What outlives one reading: nothing here, `/proc` counts by itself.
#[derive(Debug, Default)]
pub(crate) struct State;

/// Name of the machine.
pub(crate) fn hostname(roots: &Roots) -> Option<String> {
    let name = read(&roots.procfs.join("sys/kernel/hostname")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Reads one group onto `page`.
pub(crate) fn collect(group: Group, _state: &mut State, roots: &Roots, filters: &Filters, page: &mut Page) {
    let mut file = |name: &str, parse: &mut dyn FnMut(&str, &mut Page)| match read(&roots.procfs.join(name)) {
        Ok(text) => parse(&text, page),
        Err(e) => page.error(e),
    };
    match group {
        Group::Cpu => file("stat", &mut cpu::stat),
        Group::Load => file("loadavg", &mut cpu::loadavg),
        Group::Memory => file("meminfo", &mut memory::meminfo),
        Group::Disk => file("diskstats", &mut |text, page| disk::diskstats(text, &filters.disk, page)),
        Group::Network => file("net/dev", &mut |text, page| network::dev(text, &filters.network, page)),
        Group::Pressure => {
            for (name, parse) in pressure::FILES {
                file(name, &mut |text, page| parse(text, page));
            }
        }
        Group::Kernel => {
            file("sys/fs/file-nr", &mut kernel::file_nr);
            file("vmstat", &mut kernel::vmstat);
            file("net/sockstat", &mut kernel::sockstat);
        }
        // A private mount namespace shows other mounts than the machine's: those of process 1 come first.
        Group::Filesystem => {
            match read(&roots.procfs.join("1/mounts")).or_else(|_| read(&roots.procfs.join("self/mounts"))) {
                Ok(text) => filesystem::sizes(&text, filters, &roots.rootfs, page),
                Err(e) => page.error(e),
            }
        }
    }
}

/// The columns of `line` after its first `skip`, as numbers. `None` where one is no number.
fn numbers(line: &str, skip: usize) -> Option<Vec<f64>> {
    line.split_ascii_whitespace().skip(skip).map(|word| word.parse().ok()).collect()
}

/// Calls `each` with every non-empty line; notes the first that it refuses and goes on with the rest.
fn lines(what: &'static str, text: &str, page: &mut Page, mut each: impl FnMut(&str, &mut Page) -> Option<()>) {
    let mut refused = None;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if each(line, page).is_none() && refused.is_none() {
            refused = Some(ReadError::line(what, at, line));
        }
    }
    if let Some(error) = refused {
        page.error(error);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::host::HostConfig;

    /// Every series of this machine, against the names and kinds that node_exporter 1.9 gives.
    #[test]
    fn names_and_kinds_are_those_of_node_exporter() {
        let types = include_str!("../testdata/node_exporter_types.txt");
        let known: HashMap<&str, &str> = types.lines().filter_map(|line| line.split_once(' ')).collect();
        let (roots, filters) = HostConfig::default().parts().expect("the defaults are valid");
        let mut page = Page::new("here", "host");
        for group in Group::ALL {
            collect(*group, &mut State, &roots, &filters, &mut page);
        }
        let (points, _) = page.into_parts();
        assert!(points.len() > 50, "only {} series", points.len());
        for point in &points {
            let name = point.labels.name();
            match known.get(name) {
                // It has no kind for these; here they are counted as what they are.
                Some(&"untyped") => assert!(name.starts_with("node_vmstat_")),
                Some(kind) => assert_eq!(point.kind.as_str(), *kind, "{name}"),
                // Kernels differ in the fields of meminfo.
                None => assert!(name.starts_with("node_memory_"), "{name} is unknown to node_exporter"),
            }
        }
    }
}
