//! Readings by `sysinfo`, for systems without `/proc`: the part of node_exporter's series that can be told
//! there, under the names that Linux machines have, so that one rule fits all machines.

use std::collections::BTreeMap;

use sysinfo::{Disks, Networks, System};

use crate::host::{Filters, Group, Roots};
use crate::page::{Page, ReadError};

/// What outlives one reading.
#[derive(Debug, Default)]
pub(crate) struct State {
    system: Option<System>,
    /// Busy and idle seconds of each CPU, summed up from the share between two readings: `sysinfo` knows no totals.
    cpu_seconds: BTreeMap<String, (f64, f64)>,
    /// System uptime at the last reading, in seconds.
    last_uptime: Option<f64>,
}

/// Name of the machine.
pub(crate) fn hostname(_roots: &Roots) -> Option<String> {
    System::host_name().ok().filter(|name| !name.is_empty())
}

/// Reads one group onto `page`. Groups that only Linux has give nothing.
pub(crate) fn collect(group: Group, state: &mut State, _roots: &Roots, filters: &Filters, page: &mut Page) {
    let read = match group {
        Group::Cpu => cpu(state, page),
        Group::Load => load(page),
        Group::Memory => memory(state, page),
        Group::Disk => disks(filters, page),
        Group::Network => networks(filters, page),
        Group::Filesystem => filesystems(filters, page),
        Group::Pressure | Group::Kernel => Ok(()),
    };
    if let Err(e) = read {
        page.error(ReadError::System(e.to_string()));
    }
}

fn system(slot: &mut Option<System>) -> Result<&mut System, sysinfo::Error> {
    match slot {
        Some(system) => Ok(system),
        None => Ok(slot.insert(System::new()?)),
    }
}

/// Busy time is given as mode `user`, the rest as `idle`: other modes are not known.
fn cpu(state: &mut State, page: &mut Page) -> Result<(), sysinfo::Error> {
    let uptime = System::uptime()? as f64;
    page.gauge("node_boot_time_seconds", &[], System::boot_time()? as f64);
    let system = system(&mut state.system)?;
    system.refresh_cpu_usage();
    let passed = state.last_uptime.replace(uptime).map_or(0.0, |last| (uptime - last).max(0.0));
    for (number, cpu) in system.cpus().iter().enumerate() {
        let busy = f64::from(cpu.usage()).clamp(0.0, 100.0) / 100.0;
        let (busy_seconds, idle_seconds) = state.cpu_seconds.entry(number.to_string()).or_default();
        *busy_seconds += busy * passed;
        *idle_seconds += (1.0 - busy) * passed;
        let number = number.to_string();
        page.counter("node_cpu_seconds_total", &[("cpu", &number), ("mode", "user")], *busy_seconds);
        page.counter("node_cpu_seconds_total", &[("cpu", &number), ("mode", "idle")], *idle_seconds);
    }
    Ok(())
}

fn load(page: &mut Page) -> Result<(), sysinfo::Error> {
    let load = System::load_average()?;
    page.gauge("node_load1", &[], load.one);
    page.gauge("node_load5", &[], load.five);
    page.gauge("node_load15", &[], load.fifteen);
    Ok(())
}

fn memory(state: &mut State, page: &mut Page) -> Result<(), sysinfo::Error> {
    let system = system(&mut state.system)?;
    system.refresh_memory();
    page.gauge("node_memory_MemTotal_bytes", &[], system.total_memory() as f64);
    page.gauge("node_memory_MemFree_bytes", &[], system.free_memory() as f64);
    page.gauge("node_memory_MemAvailable_bytes", &[], system.available_memory() as f64);
    page.gauge("node_memory_SwapTotal_bytes", &[], system.total_swap() as f64);
    page.gauge("node_memory_SwapFree_bytes", &[], system.free_swap() as f64);
    Ok(())
}

fn disks(filters: &Filters, page: &mut Page) -> Result<(), sysinfo::Error> {
    // A device is listed once for each place where it is mounted.
    let mut seen = std::collections::HashSet::new();
    for disk in &Disks::new_with_refreshed_list()? {
        let path = disk.name().to_string_lossy();
        let device = path.strip_prefix("/dev/").unwrap_or(&path);
        if !filters.disk.is_match(device) && seen.insert(device.to_owned()) {
            let usage = disk.usage();
            page.counter("node_disk_read_bytes_total", &[("device", device)], usage.total_read_bytes as f64);
            page.counter("node_disk_written_bytes_total", &[("device", device)], usage.total_written_bytes as f64);
        }
    }
    Ok(())
}

fn filesystems(filters: &Filters, page: &mut Page) -> Result<(), sysinfo::Error> {
    for disk in &Disks::new_with_refreshed_list()? {
        let (device, fstype) = (disk.name().to_string_lossy(), disk.file_system().to_string_lossy());
        let point = disk.mount_point().to_string_lossy();
        if filters.mount_point.is_match(&point) || filters.filesystem_type.is_match(&fstype) {
            continue;
        }
        let labels = [("device", &*device), ("fstype", &*fstype), ("mountpoint", &*point)];
        page.gauge("node_filesystem_size_bytes", &labels, disk.total_space() as f64);
        page.gauge("node_filesystem_avail_bytes", &labels, disk.available_space() as f64);
        page.gauge("node_filesystem_readonly", &labels, f64::from(u8::from(disk.is_read_only())));
    }
    Ok(())
}

fn networks(filters: &Filters, page: &mut Page) -> Result<(), sysinfo::Error> {
    for (device, data) in &Networks::new_with_refreshed_list()? {
        let device = device.to_string_lossy();
        if filters.network.is_match(&device) {
            continue;
        }
        let labels = [("device", &*device)];
        page.counter("node_network_receive_bytes_total", &labels, data.total_received() as f64);
        page.counter("node_network_transmit_bytes_total", &labels, data.total_transmitted() as f64);
        page.counter("node_network_receive_packets_total", &labels, data.total_packets_received() as f64);
        page.counter("node_network_transmit_packets_total", &labels, data.total_packets_transmitted() as f64);
        page.counter("node_network_receive_errs_total", &labels, data.total_errors_on_received() as f64);
        page.counter("node_network_transmit_errs_total", &labels, data.total_errors_on_transmitted() as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostConfig;

    #[test]
    fn tells_the_basics_of_this_machine() {
        let (roots, filters) = HostConfig::default().parts().expect("the defaults are valid");
        let (mut page, mut state) = (Page::new("here", "host"), State::default());
        for _ in 0..2 {
            for group in Group::ALL {
                collect(*group, &mut state, &roots, &filters, &mut page);
            }
        }
        let (points, errors) = page.into_parts();
        assert!(errors.is_empty(), "{errors:?}");
        for name in ["node_load1", "node_memory_MemAvailable_bytes", "node_boot_time_seconds", "node_cpu_seconds_total"]
        {
            let point = points.iter().find(|p| p.labels.name() == name).expect(name);
            assert!(point.value.is_finite() && point.value >= 0.0, "{name}");
        }
        assert!(hostname(&roots).is_some());
    }
}
