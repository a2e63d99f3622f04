//! `/proc/pressure/*`: how long work waited for CPU, memory and disks, since kernel 4.20.
//! The kernel counts microseconds; `some` means that at least one task waited, `full` that all did.

use super::lines;
use crate::page::Page;

type Parse = fn(&str, &mut Page);

/// Files and their readers. For the CPU, `full` has no meaning on the level of the machine.
pub(super) const FILES: [(&str, Parse); 3] = [
    ("pressure/cpu", |text, page| totals(text, "node_pressure_cpu_waiting_seconds_total", None, page)),
    ("pressure/memory", |text, page| {
        let stalled = Some("node_pressure_memory_stalled_seconds_total");
        totals(text, "node_pressure_memory_waiting_seconds_total", stalled, page);
    }),
    ("pressure/io", |text, page| {
        let stalled = Some("node_pressure_io_stalled_seconds_total");
        totals(text, "node_pressure_io_waiting_seconds_total", stalled, page);
    }),
];

fn totals(text: &str, some: &str, full: Option<&str>, page: &mut Page) {
    lines("/proc/pressure", text, page, |line, page| {
        let micros: f64 = line.rsplit_once("total=")?.1.trim().parse().ok()?;
        let name = match line.split_ascii_whitespace().next()? {
            "some" => Some(some),
            "full" => full,
            _ => return None,
        };
        if let Some(name) = name {
            page.counter(name, &[], micros / 1e6);
        }
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::filled;

    const IO: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000
full avg10=0.00 avg60=0.00 avg300=0.00 total=1500000
";

    #[test]
    fn reads_totals() {
        let (lines, errors) = filled(|page| FILES[2].1(IO, page));
        let expected = [
            "node_pressure_io_waiting_seconds_total 2.5 counter",
            "node_pressure_io_stalled_seconds_total 1.5 counter",
        ];
        assert_eq!(lines, expected);
        assert_eq!(errors, [""; 0]);
        assert_eq!(filled(|page| FILES[0].1(IO, page)).0, ["node_pressure_cpu_waiting_seconds_total 2.5 counter"]);
        assert_eq!(filled(|page| FILES[0].1("some total=x\n", page)).1.len(), 1);
    }
}
