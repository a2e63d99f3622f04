//! `/proc/net/dev`: bytes, packets and faults by interface.

use regex::Regex;

use super::{lines, numbers};
use crate::page::Page;

/// The columns of `/proc/net/dev`, receiving then transmitting.
const COLUMNS: [&str; 16] = [
    "node_network_receive_bytes_total",
    "node_network_receive_packets_total",
    "node_network_receive_errs_total",
    "node_network_receive_drop_total",
    "node_network_receive_fifo_total",
    "node_network_receive_frame_total",
    "node_network_receive_compressed_total",
    "node_network_receive_multicast_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_drop_total",
    "node_network_transmit_fifo_total",
    "node_network_transmit_colls_total",
    "node_network_transmit_carrier_total",
    "node_network_transmit_compressed_total",
];

/// Reads `/proc/net/dev` without the interfaces that `exclude` matches.
pub(super) fn dev(text: &str, exclude: &Regex, page: &mut Page) {
    lines("/proc/net/dev", text, page, |line, page| {
        // The two lines of headings have no colon after a name.
        if line.contains('|') {
            return Some(());
        }
        let (device, counts) = line.rsplit_once(':')?;
        let device = device.trim();
        if exclude.is_match(device) {
            return Some(());
        }
        let counts = numbers(counts, 0).filter(|counts| counts.len() >= COLUMNS.len())?;
        for (name, count) in COLUMNS.iter().zip(counts) {
            page.counter(name, &[("device", device)], count);
        }
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::filled;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
eth0.5:98 7 6 5 4 3 2 1 11 12 13 14 15 16 17 18
vethab:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  eth1: 1 2
";

    #[test]
    fn reads_interfaces() {
        let (lines, errors) = filled(|page| dev(DEV, &Regex::new("^veth").expect("valid"), page));
        assert_eq!(lines.len(), 32);
        assert_eq!(lines[16], "node_network_receive_bytes_total{device=\"eth0.5\"} 98 counter");
        assert_eq!(lines[23], "node_network_receive_multicast_total{device=\"eth0.5\"} 1 counter");
        assert_eq!(lines[31], "node_network_transmit_compressed_total{device=\"eth0.5\"} 18 counter");
        assert_eq!(errors, ["can not understand line 6 of /proc/net/dev: `  eth1: 1 2`"]);
    }
}
