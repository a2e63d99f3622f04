//! `/proc/stat`: CPU time by CPU and mode, switches, forks, boot time; `/proc/loadavg`.
//! Times there are in ticks of 1/100 s on every Linux (`USER_HZ`), whatever the kernel's own tick is.

use super::{lines, numbers};
use crate::page::Page;

const TICKS_PER_SECOND: f64 = 100.0;
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// Reads `/proc/stat`. Old kernels have fewer modes than [`MODES`].
pub(super) fn stat(text: &str, page: &mut Page) {
    lines("/proc/stat", text, page, |line, page| {
        let key = line.split_ascii_whitespace().next()?;
        match key {
            "cpu" | "softirq" => {}
            "ctxt" => page.counter("node_context_switches_total", &[], first(line)?),
            "intr" => page.counter("node_intr_total", &[], first(line)?),
            "processes" => page.counter("node_forks_total", &[], first(line)?),
            "btime" => page.gauge("node_boot_time_seconds", &[], first(line)?),
            "procs_running" => page.gauge("node_procs_running", &[], first(line)?),
            "procs_blocked" => page.gauge("node_procs_blocked", &[], first(line)?),
            _ => {
                if let Some(cpu) = key.strip_prefix("cpu") {
                    one_cpu(cpu, &numbers(line, 1)?, page);
                }
            }
        }
        Some(())
    });
}

fn one_cpu(cpu: &str, ticks: &[f64], page: &mut Page) {
    for (mode, ticks) in MODES.iter().zip(ticks) {
        page.counter("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
    }
    for (mode, ticks) in ["user", "nice"].iter().zip(ticks.iter().skip(MODES.len())) {
        page.counter("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
    }
}

/// Reads `/proc/loadavg`.
pub(super) fn loadavg(text: &str, page: &mut Page) {
    lines("/proc/loadavg", text, page, |line, page| {
        let mut words = line.split_ascii_whitespace();
        for name in ["node_load1", "node_load5", "node_load15"] {
            page.gauge(name, &[], words.next()?.parse().ok()?);
        }
        Some(())
    });
}

fn first(line: &str) -> Option<f64> {
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::filled;

    const STAT: &str = "cpu  110 20 30 400 5 0 6 7 0 0
cpu0 110 20 30 400 5 0 6 7 8 9
intr 5219 0 0 12
ctxt 91234
btime 1763660000
processes 4321
procs_running 2
procs_blocked 1
softirq 77 0 1 2
";

    #[test]
    fn reads_stat() {
        let (lines, errors) = filled(|page| stat(STAT, page));
        assert_eq!(errors, [""; 0]);
        assert_eq!(lines.len(), 8 + 2 + 6, "the sum line is not a CPU");
        for expected in [
            "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1.1 counter",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 0.07 counter",
            "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0.09 counter",
            "node_intr_total 5219 counter",
            "node_context_switches_total 91234 counter",
            "node_boot_time_seconds 1763660000 gauge",
            "node_procs_blocked 1 gauge",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} not in {lines:#?}");
        }
    }

    #[test]
    fn one_bad_line_costs_only_itself() {
        let (lines, errors) = filled(|page| stat("cpu0 1 2 x\ncpu1 1 2\nctxt\n", page));
        assert_eq!(lines.len(), 2);
        assert_eq!(errors, ["can not understand line 1 of /proc/stat: `cpu0 1 2 x`"]);
    }

    #[test]
    fn reads_loadavg() {
        let (lines, errors) = filled(|page| loadavg("0.52 1.58 2.59 3/602 12345\n", page));
        assert_eq!(lines, ["node_load1 0.52 gauge", "node_load5 1.58 gauge", "node_load15 2.59 gauge"]);
        assert_eq!(errors, [""; 0]);
        assert_eq!(filled(|page| loadavg("0.5\n", page)).1.len(), 1);
    }
}
