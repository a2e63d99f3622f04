//! The blocks of a status file: `servicestatus {`, lines `key=value`, `}`.

use watchbell_checks::state::{Check, Downtime};

/// What is used of a block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block<'a> {
    pub(super) kind: Kind,
    /// Of a host or service.
    pub(super) check: Check<'a>,
    /// Of a downtime.
    pub(super) downtime: Downtime<'a>,
}

/// What a block is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `hoststatus`, `servicestatus`.
    State,
    /// `hostdowntime`, `servicedowntime`.
    Downtime,
}

/// What [`read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    /// When the file was made, seconds since the Unix epoch, if it says so.
    pub(super) created: Option<i64>,
    /// Blocks that could not be used.
    pub(super) bad: usize,
    /// Whether its last block has its end.
    pub(super) whole: bool,
}

/// Calls `found` for each whole block of a host, a service or a downtime.
pub(super) fn read<'a>(text: &'a [u8], mut found: impl FnMut(Block<'a>)) -> Read {
    let mut about = Read { created: None, bad: 0, whole: true };
    let mut lines = text.split(|b| *b == b'\n');
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_ascii().strip_suffix(b"{").map(<[u8]>::trim_ascii) else { continue };
        let of = match kind {
            b"hoststatus" => Some((Kind::State, false)),
            b"servicestatus" => Some((Kind::State, true)),
            b"hostdowntime" => Some((Kind::Downtime, false)),
            b"servicedowntime" => Some((Kind::Downtime, true)),
            _ => None,
        };
        let kind_of = of.map_or(Kind::State, |(kind, _)| kind);
        let mut block = Block { kind: kind_of, check: Check::default(), downtime: Downtime::default() };
        let (mut ended, mut broken) = (false, false);
        for line in lines.by_ref() {
            let line = line.strip_prefix(b"\t").unwrap_or(line);
            if line.trim_ascii() == b"}" {
                ended = true;
                break;
            }
            let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
            let (key, value) = (&line[..at], &line[at + 1..]);
            if kind == b"info" && key == b"created" {
                about.created = number(value);
            }
            if of.is_some() {
                broken |= block.set(key, value).is_none();
            }
        }
        about.whole &= ended;
        let Some((_, service)) = of else { continue };
        if !ended || broken || !block.is_named(service) {
            about.bad += 1;
        } else {
            found(block);
        }
    }
    about
}

impl<'a> Block<'a> {
    /// Whether it names its host and, if it is of a `service`, that too.
    fn is_named(&self, service: bool) -> bool {
        let (host, name) = match self.kind {
            Kind::State => (self.check.host, self.check.service),
            Kind::Downtime => (self.downtime.host, self.downtime.service),
        };
        !host.is_empty() && (!service || !name.is_empty())
    }

    /// `None` if the value of a key that is used can not be read.
    fn set(&mut self, key: &[u8], value: &'a [u8]) -> Option<()> {
        match self.kind {
            Kind::State => set_check(&mut self.check, key, value),
            Kind::Downtime => set_downtime(&mut self.downtime, key, value),
        }
    }
}

fn set_check<'a>(check: &mut Check<'a>, key: &[u8], value: &'a [u8]) -> Option<()> {
    match key {
        b"host_name" => check.host = value,
        b"service_description" => check.service = value,
        b"check_command" => check.command = crate::perfdata::line::command(value),
        b"current_state" => check.state = number(value).filter(|state| *state <= 3)?,
        b"state_type" => check.hard = flag(value)?,
        b"has_been_checked" => check.checked = flag(value)?,
        b"last_check" => check.last_check_ms = time_ms(value)?,
        b"last_hard_state_change" => check.hard_since_ms = time_ms(value)?,
        b"last_time_ok" | b"last_time_up" => check.last_ok_ms = time_ms(value)?,
        b"check_execution_time" => check.execution_s = number(value).filter(|s: &f64| s.is_finite()),
        b"check_latency" => check.latency_s = number(value).filter(|s: &f64| s.is_finite()),
        b"problem_has_been_acknowledged" => check.acknowledged = flag(value)?,
        b"scheduled_downtime_depth" => check.downtime = number(value)?,
        b"is_flapping" => check.flapping = flag(value)?,
        b"plugin_output" => check.output = value,
        b"performance_data" => check.perfdata = value,
        _ => {}
    }
    Some(())
}

fn set_downtime<'a>(downtime: &mut Downtime<'a>, key: &[u8], value: &'a [u8]) -> Option<()> {
    match key {
        b"host_name" => downtime.host = value,
        b"service_description" => downtime.service = value,
        b"downtime_id" => downtime.id = value,
        b"start_time" => downtime.starts_ms = time_ms(value)?,
        b"end_time" => downtime.ends_ms = time_ms(value)?,
        b"flex_downtime_start" => downtime.began_ms = time_ms(value)?,
        b"fixed" => downtime.fixed = flag(value)?,
        b"duration" => downtime.duration_ms = time_ms(value)?,
        b"author" => downtime.author = value,
        b"comment" => downtime.comment = value,
        _ => {}
    }
    Some(())
}

/// Seconds, as milliseconds.
fn time_ms(value: &[u8]) -> Option<i64> {
    number::<i64>(value).map(|s| s.saturating_mul(1_000))
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

    fn all(text: &[u8]) -> (Vec<Block<'_>>, Read) {
        let mut blocks = Vec::new();
        let about = read(text, |block| blocks.push(block));
        (blocks, about)
    }

    #[test]
    fn a_recorded_file() {
        let (blocks, about) = all(RECORDED);
        assert_eq!(about, Read { created: Some(1_795_191_880), bad: 0, whole: true });
        let disk = &blocks.iter().find(|block| block.check.service == b"disk").expect("there").check;
        assert_eq!((disk.host, disk.command, disk.state), (&b"localhost"[..], &b"disk"[..], 0));
        assert_eq!((disk.checked, disk.last_check_ms, disk.execution_s), (true, 1_795_191_876_000, Some(0.025)));
        assert!(disk.hard && disk.last_ok_ms == disk.last_check_ms);
        assert!(disk.perfdata.starts_with(b"/=29664215040B;"));
        let host = &blocks[0].check;
        assert_eq!((host.service, host.downtime, host.acknowledged), (&b""[..], 0, false));
    }

    #[test]
    fn odd_values_and_halves() {
        let text = b"hoststatus {\n\thost_name=a\n\tplugin_output=x={y};z\n\tcurrent_state=1\n\t}\n\
                     servicestatus {\n\thost_name=a\n\tcurrent_state=7\n\tservice_description=s\n\t}\n\
                     servicestatus {\n\thost_name=a\n\t}\nother {\n\thost_name=b\n\t}\n\
                     hostdowntime {\n\thost_name=a\n\tdowntime_id=3\n\tstart_time=7\n\tend_time=9\n\tfixed=1\n\t}\n\
                     hostdowntime {\n\thost_name=a\n\tdowntime_id=3\n\tstart_time=soon\n\t}\n\
                     servicestatus {\n\thost_name=a\n\tservice_description=s\n\tcurr";
        let (blocks, about) = all(text);
        assert_eq!((blocks.len(), about), (2, Read { created: None, bad: 4, whole: false }));
        assert_eq!((blocks[0].check.host, blocks[0].check.state), (&b"a"[..], 1));
        let downtime = &blocks[1].downtime;
        assert_eq!((downtime.starts_ms, downtime.ends_ms, downtime.fixed), (7_000, 9_000, true));
    }

    proptest! {
        #[test]
        fn any_cut_is_survived(at in 0..RECORDED.len(), bytes: Vec<u8>) {
            all(&[&RECORDED[..at], &bytes].concat());
        }
    }
}
