//! `/proc/diskstats`: what block devices did. Fields as in the kernel's `Documentation/admin-guide/iostats.rst`:
//! sectors are always 512 bytes, times are milliseconds; kernels before 4.18 and 5.5 have fewer fields.

use regex::Regex;

use super::{lines, numbers};
use crate::page::Page;

const SECTOR_BYTES: f64 = 512.0;
const MILLI: f64 = 0.001;

/// Name, and what one unit of the field is worth, in the order of the fields. `node_disk_io_now` is the only gauge.
const FIELDS: [(&str, f64); 17] = [
    ("node_disk_reads_completed_total", 1.0),
    ("node_disk_reads_merged_total", 1.0),
    ("node_disk_read_bytes_total", SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", MILLI),
    ("node_disk_writes_completed_total", 1.0),
    ("node_disk_writes_merged_total", 1.0),
    ("node_disk_written_bytes_total", SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", MILLI),
    ("node_disk_io_now", 1.0),
    ("node_disk_io_time_seconds_total", MILLI),
    ("node_disk_io_time_weighted_seconds_total", MILLI),
    ("node_disk_discards_completed_total", 1.0),
    ("node_disk_discards_merged_total", 1.0),
    ("node_disk_discarded_sectors_total", 1.0),
    ("node_disk_discard_time_seconds_total", MILLI),
    ("node_disk_flush_requests_total", 1.0),
    ("node_disk_flush_requests_time_seconds_total", MILLI),
];

/// Reads `/proc/diskstats` without the devices that `exclude` matches.
pub(super) fn diskstats(text: &str, exclude: &Regex, page: &mut Page) {
    lines("/proc/diskstats", text, page, |line, page| {
        let device = line.split_ascii_whitespace().nth(2)?;
        if exclude.is_match(device) {
            return Some(());
        }
        for ((name, unit), value) in FIELDS.iter().zip(numbers(line, 3)?) {
            let labels = [("device", device)];
            if *name == "node_disk_io_now" {
                page.gauge(name, &labels, value);
            } else {
                page.counter(name, &labels, value * unit);
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
    fn reads_diskstats() {
        let text = "   7       0 loop0 1 0 0 0 0 0 0 0 0 0 0
   8       0 sda 100 5 2048 1500 200 6 4096 2500 3 1000 4000 7 8 9 10 11 12
   8      16 sdb 1 2 3 4 5 6 7 8 9 10 11
   8      32 sdc nonsense
";
        let exclude = Regex::new("^loop[0-9]+$").expect("valid");
        let (lines, errors) = filled(|page| diskstats(text, &exclude, page));
        assert_eq!(lines.len(), 17 + 11);
        for expected in [
            "node_disk_read_bytes_total{device=\"sda\"} 1048576 counter",
            "node_disk_read_time_seconds_total{device=\"sda\"} 1.5 counter",
            "node_disk_io_now{device=\"sda\"} 3 gauge",
            "node_disk_discarded_sectors_total{device=\"sda\"} 9 counter",
            "node_disk_flush_requests_time_seconds_total{device=\"sda\"} 0.012 counter",
            "node_disk_io_time_weighted_seconds_total{device=\"sdb\"} 0.011 counter",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} not in {lines:#?}");
        }
        assert_eq!(errors.len(), 1);
    }
}
