//! `/proc/meminfo`: every field under node_exporter's name, in bytes where the kernel counts kB.

use super::lines;
use crate::page::Page;

/// Reads `/proc/meminfo`. `Active(anon):  12 kB` becomes `node_memory_Active_anon_bytes 12288`.
pub(super) fn meminfo(text: &str, page: &mut Page) {
    lines("/proc/meminfo", text, page, |line, page| {
        let (field, rest) = line.split_once(':')?;
        let mut words = rest.split_ascii_whitespace();
        let value: f64 = words.next()?.parse().ok()?;
        let field = field.trim().replace('(', "_").replace(')', "");
        match words.next() {
            Some("kB") => page.gauge(&format!("node_memory_{field}_bytes"), &[], value * 1024.0),
            None => page.gauge(&format!("node_memory_{field}"), &[], value),
            Some(_) => return None,
        }
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::filled;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       16384 kB\nActive(anon):   12 kB\nHugePages_Total:   3\nOdd: 5 MB\nMemFree: 1 kB\n";
        let (lines, errors) = filled(|page| meminfo(text, page));
        let expected = [
            "node_memory_MemTotal_bytes 16777216 gauge",
            "node_memory_Active_anon_bytes 12288 gauge",
            "node_memory_HugePages_Total 3 gauge",
            "node_memory_MemFree_bytes 1024 gauge",
        ];
        assert_eq!(lines, expected);
        assert_eq!(errors, ["can not understand line 4 of /proc/meminfo: `Odd: 5 MB`"]);
    }
}
