//! Limits and events of the kernel: open files (`/proc/sys/fs/file-nr`), paging and kills for want of
//! memory (`/proc/vmstat`), sockets (`/proc/net/sockstat`).

use super::{lines, numbers};
use crate::page::Page;

/// The fields of `/proc/vmstat` that node_exporter shows by default; the file has over a hundred.
const VMSTAT: [&str; 7] = ["oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout"];

/// Reads `/proc/sys/fs/file-nr`: allocated, unused, maximum.
pub(super) fn file_nr(text: &str, page: &mut Page) {
    lines("/proc/sys/fs/file-nr", text, page, |line, page| {
        let numbers = numbers(line, 0).filter(|numbers| numbers.len() == 3)?;
        page.gauge("node_filefd_allocated", &[], numbers[0]);
        page.gauge("node_filefd_maximum", &[], numbers[2]);
        Some(())
    });
}

/// Reads `/proc/vmstat`.
pub(super) fn vmstat(text: &str, page: &mut Page) {
    lines("/proc/vmstat", text, page, |line, page| {
        let (field, value) = line.split_once(' ')?;
        if VMSTAT.contains(&field) {
            page.counter(&format!("node_vmstat_{field}"), &[], value.trim().parse().ok()?);
        }
        Some(())
    });
}

/// Reads `/proc/net/sockstat`: `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1`. Memory counts pages there,
/// whose size differs between machines, and is left out.
pub(super) fn sockstat(text: &str, page: &mut Page) {
    lines("/proc/net/sockstat", text, page, |line, page| {
        let (protocol, rest) = line.split_once(':')?;
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        for pair in words.chunks(2) {
            let value: f64 = pair.get(1)?.parse().ok()?;
            if !matches!(pair[0], "mem" | "memory") {
                page.gauge(&format!("node_sockstat_{protocol}_{}", pair[0]), &[], value);
            }
        }
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::filled;

    #[test]
    fn reads_open_files() {
        let (lines, errors) = filled(|page| file_nr("1024\t0\t65536\n", page));
        assert_eq!(lines, ["node_filefd_allocated 1024 gauge", "node_filefd_maximum 65536 gauge"]);
        assert_eq!(errors, [""; 0]);
        assert_eq!(filled(|page| file_nr("1 2\n", page)).1.len(), 1);
    }

    #[test]
    fn reads_chosen_events() {
        let (lines, errors) = filled(|page| vmstat("nr_free_pages 9\npgmajfault 12\noom_kill 1\n", page));
        assert_eq!(lines, ["node_vmstat_pgmajfault 12 counter", "node_vmstat_oom_kill 1 counter"]);
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn reads_sockets() {
        let text = "sockets: used 230\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1\nUDP: inuse\n";
        let (lines, errors) = filled(|page| sockstat(text, page));
        let expected = [
            "node_sockstat_sockets_used 230 gauge",
            "node_sockstat_TCP_inuse 5 gauge",
            "node_sockstat_TCP_orphan 0 gauge",
            "node_sockstat_TCP_tw 2 gauge",
            "node_sockstat_TCP_alloc 7 gauge",
        ];
        assert_eq!(lines, expected);
        assert_eq!(errors, ["can not understand line 3 of /proc/net/sockstat: `UDP: inuse`"]);
    }
}
