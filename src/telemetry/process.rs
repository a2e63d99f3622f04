//! Processor time, memory and open files of this process, and which version it is.
//!
//! Read from `/proc/self` when `/metrics` is asked for; where there is no such folder only the version
//! shows. Never fails: what can not be read keeps its last value.

use std::fs;

use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics};

/// Ticks of a second in `/proc/self/stat`: `USER_HZ`, 100 on every architecture of Linux since 2.6.
const TICKS: f64 = 100.0;

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: MetricKindDef::Gauge, help, labels }
}

static BUILD_INFO: MetricDef = gauge("watchbell_build_info", &["version"], "Always 1; the label tells the version.");
static CPU: MetricDef = MetricDef {
    name: "watchbell_process_cpu_seconds_total",
    kind: MetricKindDef::Counter,
    help: "Processor time used, in seconds.",
    labels: &[],
};
static MEMORY: MetricDef = gauge("watchbell_process_resident_memory_bytes", &[], "Memory held, in bytes.");
static FILES: MetricDef = gauge("watchbell_process_open_fds", &[], "Open files, sockets included.");
static THREADS: MetricDef = gauge("watchbell_process_threads", &[], "Threads.");

/// The metrics of this module.
pub static METRICS: &[&MetricDef] = &[&BUILD_INFO, &CPU, &MEMORY, &FILES, &THREADS];

/// Makes the version show. Once, at start.
pub fn register(metrics: &Metrics) {
    metrics.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
}

/// Brings the numbers of this process up to date.
pub fn observe(metrics: &Metrics) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        let cpu = metrics.counter(&CPU, &[]);
        cpu.inc_by((seconds - cpu.get()).max(0.0));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        metrics.gauge(&MEMORY, &[]).set(kib * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        metrics.gauge(&THREADS, &[]).set(threads);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is this reading itself.
        metrics.gauge(&FILES, &[]).set(files.count().saturating_sub(1) as f64);
    }
}

/// User and system time, fields 14 and 15 of `stat`; counted from behind the program's name, which may
/// hold blanks. See proc_pid_stat(5).
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "42 (watch) bell) S 1 42 42 0 -1 4194560 500 0 2 0 1234 66 0 0 20 0 9 0 100 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(13.0));
        assert_eq!(cpu_seconds("42 (w) S 1"), None);
        let status = "Name:\twatchbell\nVmRSS:\t  2048 kB\nThreads:\t9\n";
        assert_eq!((field(status, "VmRSS:"), field(status, "Threads:")), (Some(2048.0), Some(9.0)));
        assert_eq!(field("", "VmRSS:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn tells_of_this_process() {
        let metrics = Metrics::default();
        register(&metrics);
        observe(&metrics);
        observe(&metrics);
        assert!(metrics.gauge(&MEMORY, &[]).get() > 1e6);
        assert!(metrics.gauge(&THREADS, &[]).get() >= 1.0);
        assert!(metrics.gauge(&FILES, &[]).get() >= 3.0);
    }
}
