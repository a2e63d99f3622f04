//! Mounted file systems: `/proc/<pid>/mounts` says which, `statvfs` how full they are. The latter may hang
//! on a dead network share; the source therefore reads this group apart from the others.

use std::collections::HashSet;
use std::path::Path;

use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::lines;
use crate::host::Filters;
use crate::page::Page;

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    fstype: String,
}

/// Sizes of the file systems in `mounts` that `filters` let pass. `rootfs` is where the machine's `/` is seen.
pub(super) fn sizes(mounts: &str, filters: &Filters, rootfs: &Path, page: &mut Page) {
    for mount in parse(mounts, filters, rootfs, page) {
        let seen = rootfs.join(mount.point.trim_start_matches('/'));
        let labels = [("device", &*mount.device), ("fstype", &*mount.fstype), ("mountpoint", &*mount.point)];
        let read = rustix::fs::statvfs(&seen);
        page.gauge("node_filesystem_device_error", &labels, f64::from(u8::from(read.is_err())));
        if let Ok(stat) = read {
            one(&stat, &labels, page);
        }
    }
}

fn one(stat: &StatVfs, labels: &[(&str, &str)], page: &mut Page) {
    let bytes = |blocks: u64| blocks as f64 * stat.f_frsize as f64;
    page.gauge("node_filesystem_size_bytes", labels, bytes(stat.f_blocks));
    page.gauge("node_filesystem_free_bytes", labels, bytes(stat.f_bfree));
    page.gauge("node_filesystem_avail_bytes", labels, bytes(stat.f_bavail));
    page.gauge("node_filesystem_files", labels, stat.f_files as f64);
    page.gauge("node_filesystem_files_free", labels, stat.f_ffree as f64);
    let readonly = stat.f_flag.contains(StatVfsMountFlags::RDONLY);
    page.gauge("node_filesystem_readonly", labels, f64::from(u8::from(readonly)));
}

/// The mounts that pass the filters, each device and mount point once: a repeat would be the same series again.
fn parse(text: &str, filters: &Filters, rootfs: &Path, page: &mut Page) -> Vec<Mount> {
    let (mut mounts, mut seen) = (Vec::new(), HashSet::new());
    lines("/proc/mounts", text, page, |line, _| {
        let mut words = line.split_ascii_whitespace();
        let (device, point, fstype) = (unescape(words.next()?), unescape(words.next()?), words.next()?.to_owned());
        // Seen from within a container, the machine's own mounts stand below the place where its `/` is mounted.
        let point = match Path::new(&point).strip_prefix(rootfs) {
            Ok(below) => format!("/{}", below.display()),
            Err(_) => point,
        };
        let wanted = !filters.mount_point.is_match(&point) && !filters.filesystem_type.is_match(&fstype);
        if wanted && seen.insert((device.clone(), point.clone())) {
            mounts.push(Mount { device, point, fstype });
        }
        Some(())
    });
    mounts
}

/// Undoes `\040` and its like: spaces, tabs, line feeds and backslashes are written in octal there.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| *byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal.map(|d| d.iter().fold(0u32, |code, digit| code * 8 + u32::from(digit - b'0'))) {
            Some(code) if code < 256 => {
                out.push(code as u8);
                rest = &tail[3..];
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostConfig;
    use crate::page::testing::filled;

    const MOUNTS: &str = r"proc /proc proc rw,relatime 0 0
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw 0 0
/dev/sdb1 /mnt/my\040disk xfs ro 0 0
/dev/sdb1 /mnt/my\040disk xfs ro 0 0
broken
";

    fn filters() -> Filters {
        HostConfig::default().parts().expect("the defaults are valid").1
    }

    #[test]
    fn chooses_mounts() {
        let mut mounts = Vec::new();
        let (_, errors) = filled(|page| mounts = parse(MOUNTS, &filters(), Path::new("/"), page));
        let points: Vec<&str> = mounts.iter().map(|m| m.point.as_str()).collect();
        assert_eq!(points, ["/", "/run", "/mnt/my disk"]);
        assert_eq!(errors, ["can not understand line 7 of /proc/mounts: `broken`"]);
    }

    #[test]
    fn a_rootfs_is_stripped() {
        let text = "/dev/sda1 /rootfs ext4 rw 0 0\n/dev/sdb1 /rootfs/srv ext4 rw 0 0\n";
        let mut mounts = Vec::new();
        filled(|page| mounts = parse(text, &filters(), Path::new("/rootfs"), page));
        let points: Vec<&str> = mounts.iter().map(|m| m.point.as_str()).collect();
        assert_eq!(points, ["/", "/srv"]);
    }

    #[test]
    fn sizes_are_plausible_and_a_gone_mount_says_so() {
        let text = "/dev/x / ext4 rw 0 0\n/dev/y /no/such/place ext4 rw 0 0\n";
        let (lines, errors) = filled(|page| sizes(text, &filters(), Path::new("/"), page));
        assert_eq!(errors, [""; 0]);
        let value = |name: &str| -> f64 {
            let line = lines.iter().find(|l| l.starts_with(name) && l.contains("mountpoint=\"/\"")).expect(name);
            line.split(' ').nth(1).expect("a value").parse().expect("a number")
        };
        assert!(value("node_filesystem_size_bytes") >= value("node_filesystem_free_bytes"));
        assert!(value("node_filesystem_free_bytes") >= value("node_filesystem_avail_bytes"));
        assert!(value("node_filesystem_size_bytes") > 0.0);
        let gone =
            "node_filesystem_device_error{device=\"/dev/y\",fstype=\"ext4\",mountpoint=\"/no/such/place\"} 1 gauge";
        assert!(lines.iter().any(|l| l == gone), "{lines:#?}");
        assert_eq!(lines.len(), 7 + 1);
    }

    #[test]
    fn octal_escapes() {
        assert_eq!(unescape(r"a\040b\134c\x\04"), r"a b\c\x\04");
        assert_eq!(unescape(r"\303\244\777"), "ä\\777");
    }
}
