//! The blocks of a status file: `servicestatus {`, lines `key=value`, `}`.

/// What is used of the block of a host or service.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Block<'a> {
    pub(super) host: &'a [u8],
    /// Empty for a host.
    pub(super) service: &'a [u8],
    pub(super) command: &'a [u8],
    /// Host: 0 up, 1 down, 2 unreachable. Service: 0 to 3.
    pub(super) state: u8,
    pub(super) checked: bool,
    /// Seconds since the Unix epoch.
    pub(super) last_check_s: i64,
    pub(super) execution_s: Option<f64>,
    pub(super) latency_s: Option<f64>,
    pub(super) acknowledged: bool,
    /// Downtimes that hold now.
    pub(super) downtime: u32,
    pub(super) flapping: bool,
    pub(super) perfdata: &'a [u8],
}

/// Calls `found` for each whole block of a host or service. Gives when the file was made, if it says so, and how
/// many blocks could not be used.
pub(super) fn read<'a>(text: &'a [u8], mut found: impl FnMut(Block<'a>)) -> (Option<i64>, usize) {
    let (mut created, mut bad) = (None, 0);
    let mut lines = text.split(|b| *b == b'\n');
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_ascii().strip_suffix(b"{").map(<[u8]>::trim_ascii) else { continue };
        let (mut block, mut ended, mut broken) = (Block::default(), false, false);
        for line in lines.by_ref() {
            let line = line.strip_prefix(b"\t").unwrap_or(line);
            if line.trim_ascii() == b"}" {
                ended = true;
                break;
            }
            let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
            let (key, value) = (&line[..at], &line[at + 1..]);
            if kind == b"info" && key == b"created" {
                created = number(value);
            }
            broken |= block.set(key, value).is_none();
        }
        let service = kind == b"servicestatus";
        if !service && kind != b"hoststatus" {
            continue;
        }
        if !ended || broken || block.host.is_empty() || (service && block.service.is_empty()) {
            bad += 1;
        } else {
            found(block);
        }
    }
    (created, bad)
}

impl<'a> Block<'a> {
    /// `None` if the value of a key that is used can not be read.
    fn set(&mut self, key: &[u8], value: &'a [u8]) -> Option<()> {
        match key {
            b"host_name" => self.host = value,
            b"service_description" => self.service = value,
            b"check_command" => self.command = crate::perfdata::line::command(value),
            b"current_state" => self.state = number(value).filter(|state| *state <= 3)?,
            b"has_been_checked" => self.checked = flag(value)?,
            b"last_check" => self.last_check_s = number(value)?,
            b"check_execution_time" => self.execution_s = number(value).filter(|s: &f64| s.is_finite()),
            b"check_latency" => self.latency_s = number(value).filter(|s: &f64| s.is_finite()),
            b"problem_has_been_acknowledged" => self.acknowledged = flag(value)?,
            b"scheduled_downtime_depth" => self.downtime = number(value)?,
            b"is_flapping" => self.flapping = flag(value)?,
            b"performance_data" => self.perfdata = value,
            _ => {}
        }
        Some(())
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn flag(value: &[u8]) -> Option<bool> {
    number::<u8>(value).map(|n| n != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &[u8] = include_bytes!("../../testdata/nagios/status.dat");

    fn all(text: &[u8]) -> (Vec<Block<'_>>, Option<i64>, usize) {
        let mut blocks = Vec::new();
        let (created, bad) = read(text, |block| blocks.push(block));
        (blocks, created, bad)
    }

    #[test]
    fn a_recorded_file() {
        let (blocks, created, bad) = all(RECORDED);
        assert_eq!((created, bad), (Some(1_795_191_880), 0));
        let disk = blocks.iter().find(|block| block.service == b"disk").expect("there");
        assert_eq!((disk.host, disk.command, disk.state), (&b"localhost"[..], &b"disk"[..], 0));
        assert_eq!((disk.checked, disk.last_check_s, disk.execution_s), (true, 1_795_191_876, Some(0.025)));
        assert!(disk.perfdata.starts_with(b"/=29664215040B;"));
        let host = &blocks[0];
        assert_eq!((host.service, host.downtime, host.acknowledged), (&b""[..], 0, false));
    }

    #[test]
    fn odd_values_and_halves() {
        let text = b"hoststatus {\n\thost_name=a\n\tplugin_output=x={y};z\n\tcurrent_state=1\n\t}\n\
                     servicestatus {\n\thost_name=a\n\tcurrent_state=7\n\tservice_description=s\n\t}\n\
                     servicestatus {\n\thost_name=a\n\t}\nother {\n\thost_name=b\n\t}\n\
                     servicestatus {\n\thost_name=a\n\tservice_description=s\n\tcurr";
        let (blocks, created, bad) = all(text);
        assert_eq!((blocks.len(), created, bad), (1, None, 3));
        assert_eq!((blocks[0].host, blocks[0].state), (&b"a"[..], 1));
    }

    proptest! {
        #[test]
        fn any_cut_is_survived(at in 0..RECORDED.len(), bytes: Vec<u8>) {
            all(&[&RECORDED[..at], &bytes].concat());
        }
    }
}
