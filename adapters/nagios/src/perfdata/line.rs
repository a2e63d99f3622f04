//! One line of a perfdata file, in any of the forms that are written.
//!
//! `DATATYPE::...` with tab-separated `KEY::value` is PNP4Nagios's bulk form, which Icinga 2's PerfdataWriter
//! writes too. `[SERVICEPERFDATA]` and `[HOSTPERFDATA]` begin the lines of Nagios's own templates.

use watchbell_checks::feed::Origin;
use watchbell_checks::grammar::items;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Line<'a> {
    /// When it was written, seconds since the Unix epoch.
    pub(crate) time_s: i64,
    pub(crate) host: &'a [u8],
    /// Empty for the check of the host itself.
    pub(crate) service: &'a [u8],
    pub(crate) perfdata: &'a [u8],
    /// Name of the check command, without its arguments; empty where the form does not tell it.
    pub(crate) command: &'a [u8],
}

/// Why a line can not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadLine {
    /// It has none of the known forms, or fields are missing.
    Form,
    /// Its time is no time.
    Time,
    /// It names no host, or a check of a service no service.
    Name,
}

impl BadLine {
    pub(crate) const ALL: [Self; 3] = [Self::Form, Self::Time, Self::Name];

    /// The word used as label value `reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Time => "time",
            Self::Name => "name",
        }
    }
}

impl<'a> Line<'a> {
    pub(crate) fn origin(&self) -> Origin<'a> {
        Origin { ts_ms: self.time_s * 1_000, host: self.host, service: self.service, command: self.command }
    }

    /// Reads a line without its end; `None` for an empty one.
    pub(crate) fn read(line: &'a [u8]) -> Option<Result<Self, BadLine>> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return None;
        }
        Some(if line.starts_with(b"[") { Self::template(line) } else { Self::keyed(line) }.and_then(Self::checked))
    }

    fn template(line: &'a [u8]) -> Result<Self, BadLine> {
        let mut fields = line.split(|b| *b == b'\t');
        let (kind, time, host) = (fields.next(), fields.next(), fields.next());
        let service = match kind {
            Some(b"[SERVICEPERFDATA]") => fields.next(),
            Some(b"[HOSTPERFDATA]") => None,
            _ => return Err(BadLine::Form),
        };
        if kind == Some(b"[SERVICEPERFDATA]") && service.is_none_or(|name| name.is_empty()) {
            return Err(BadLine::Name);
        }
        // Execution time and, for services, latency; then output and, last, perfdata. Both may hold tabs themselves.
        let skipped = if service.is_some() { 2 } else { 1 };
        let mut fields = fields.skip(skipped);
        let _output = fields.next().ok_or(BadLine::Form)?;
        let perfdata = perfdata(line, fields).ok_or(BadLine::Form)?;
        let time_s = seconds(time.unwrap_or_default())?;
        Ok(Self {
            time_s,
            host: host.unwrap_or_default(),
            service: service.unwrap_or_default(),
            perfdata,
            command: b"",
        })
    }

    fn keyed(line: &'a [u8]) -> Result<Self, BadLine> {
        let (mut found, mut kind, mut time) = (Self::default(), &b""[..], None);
        // Where performance data began that may go on behind a tab.
        let (mut open, mut end) = (None, 0);
        for field in line.split(|b| *b == b'\t') {
            end += field.len();
            let at = field.windows(2).position(|two| two == b"::").filter(|at| is_key(&field[..*at]));
            let (Some(at), begin) = (at, end) else {
                if let Some(begin) = open {
                    found.perfdata = &line[begin..end];
                }
                end += 1;
                continue;
            };
            let (key, value) = (&field[..at], &field[at + 2..]);
            end += 1;
            open = key.ends_with(b"PERFDATA").then(|| begin - value.len());
            match key {
                b"DATATYPE" => kind = value,
                // When the check ran, where someone put it in, is better than when the line was written.
                b"LASTSERVICECHECK" | b"LASTHOSTCHECK" => time = Some(value),
                b"TIMET" => time = time.or(Some(value)),
                b"HOSTNAME" => found.host = value,
                b"SERVICEDESC" => found.service = value,
                b"SERVICEPERFDATA" | b"HOSTPERFDATA" => found.perfdata = value,
                b"SERVICECHECKCOMMAND" | b"HOSTCHECKCOMMAND" => found.command = command(value),
                _ => {}
            }
        }
        match kind {
            b"SERVICEPERFDATA" if found.service.is_empty() => return Err(BadLine::Name),
            b"SERVICEPERFDATA" => {}
            b"HOSTPERFDATA" => found.service = b"",
            _ => return Err(BadLine::Form),
        }
        found.time_s = seconds(time.unwrap_or_default())?;
        Ok(found)
    }

    fn checked(self) -> Result<Self, BadLine> {
        if self.host.is_empty() { Err(BadLine::Name) } else { Ok(self) }
    }
}

/// Whether this is what keys are made of: a label with `::` in it is none.
fn is_key(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
}

/// Performance data among the last fields of `line`, which end with it: from the first on that has items and nothing else.
/// `None` where there are no fields.
fn perfdata<'a>(line: &'a [u8], fields: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let fields: Vec<&[u8]> = fields.collect();
    let mut length = fields.iter().map(|field| field.len() + 1).sum::<usize>().checked_sub(1)?;
    let mut rest = &line[line.len() - length..];
    let (last, earlier) = fields.split_last()?;
    // Nagios strips what it writes: where nothing stands at the end, there are no performance data, whatever the output is.
    if last.is_empty() {
        return Some(last);
    }
    for field in earlier {
        let quoted = field.starts_with(b"'") && items(rest).next().is_some_and(|item| item.is_ok());
        let mut own = items(field).peekable();
        if quoted || (own.peek().is_some() && own.all(|item| item.is_ok())) {
            return Some(rest);
        }
        length -= field.len() + 1;
        rest = &line[line.len() - length..];
    }
    Some(rest)
}

/// The name of a command without its arguments, `check_load` of `check_load!5!10`.
pub(crate) fn command(text: &[u8]) -> &[u8] {
    text.split(|b| *b == b'!').next().unwrap_or_default().trim_ascii()
}

/// A time of Nagios; 0 stands for never.
fn seconds(text: &[u8]) -> Result<i64, BadLine> {
    // Some write a fraction.
    let whole = text.split(|b| *b == b'.').next().unwrap_or_default();
    let text = std::str::from_utf8(whole).map_err(|_| BadLine::Time)?;
    text.trim().parse().ok().filter(|s| (1..=i64::MAX / 1_000).contains(s)).ok_or(BadLine::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Line<'_>, BadLine> {
        Line::read(line.as_bytes()).expect("not empty")
    }

    #[test]
    fn all_forms() {
        let wanted = Line { time_s: 7, host: b"web 1", service: b"disk /", perfdata: b"/=1B a::b::c=2", command: b"" };
        assert_eq!(read("[SERVICEPERFDATA]\t7\tweb 1\tdisk /\t0.004\t0.006\tDISK OK\t/=1B a::b::c=2"), Ok(wanted));
        let text = "DATATYPE::SERVICEPERFDATA\tTIMET::7\tHOSTNAME::web 1\tSERVICEDESC::disk /\t\
                    SERVICEPERFDATA::/=1B a::b::c=2\tSERVICECHECKCOMMAND::check_disk!10%!5%\tSERVICESTATE::OK\r";
        assert_eq!(read(text), Ok(Line { command: b"check_disk", ..wanted }));
        let host = Line { service: b"", perfdata: b"rta=1ms", ..wanted };
        assert_eq!(read("[HOSTPERFDATA]\t7\tweb 1\t0.009\tPING OK\trta=1ms"), Ok(host));
        assert_eq!(
            read("DATATYPE::HOSTPERFDATA\tTIMET::9\tLASTHOSTCHECK::7\tHOSTNAME::web 1\tHOSTPERFDATA::rta=1ms"),
            Ok(host)
        );
        // Output with a tab in it.
        assert_eq!(read("[HOSTPERFDATA]\t7\tweb 1\t0.009\tPING\tOK\trta=1ms"), Ok(host));
        assert_eq!(read("[HOSTPERFDATA]\t7\tweb 1\t0.009\tPING\tOK\t"), Ok(Line { perfdata: b"", ..host }));
        // Words of it that look like an item, before performance data and before none.
        assert_eq!(read("[HOSTPERFDATA]\t7\tweb 1\t0.009\tPING\tqueue=7 jobs\trta=1ms"), Ok(host));
        assert_eq!(read("[HOSTPERFDATA]\t7\tweb 1\t0.009\tPING\tqueue=7\t"), Ok(Line { perfdata: b"", ..host }));
        assert!(Line::read(b" \r").is_none());
    }

    #[test]
    fn performance_data_with_tabs_in_them() {
        for perfdata in ["a=1\tb=2;;\t'c d'=3", "'a\tb'=1 c=2", "a::b::c=1\td=2\te::f::g=3", "a=1\tjunk\tb=2"] {
            for head in ["", "more output\t"] {
                let text = format!("[SERVICEPERFDATA]\t7\th\ts\t0.1\t0.2\tOK\t{head}{perfdata}");
                assert_eq!(read(&text).map(|line| line.perfdata), Ok(perfdata.as_bytes()), "{text}");
            }
            let head = "DATATYPE::SERVICEPERFDATA\tTIMET::7\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::";
            for tail in ["", "\tSERVICECHECKCOMMAND::check_x!1\tno key\tHOSTSTATE::UP"] {
                let text = format!("{head}{perfdata}{tail}");
                assert_eq!(read(&text).map(|line| line.perfdata), Ok(perfdata.as_bytes()), "{text}");
            }
        }
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, why) in [
            ("hello", BadLine::Form),
            ("DATATYPE::OTHER\tTIMET::7\tHOSTNAME::a", BadLine::Form),
            ("[SERVICEPERFDATA]\t7\ta\tb\t0.1", BadLine::Form),
            ("[SERVICEPERFDATA]\t7", BadLine::Name),
            ("[HOSTPERFDATA]\t7", BadLine::Form),
            ("[HOSTPERFDATA]\tx\ta\t0.1\tOK\t", BadLine::Time),
            ("[HOSTPERFDATA]\t0\ta\t0.1\tOK\t", BadLine::Time),
            ("DATATYPE::HOSTPERFDATA\tTIMET::$TIMET$\tHOSTNAME::a", BadLine::Time),
            ("DATATYPE::HOSTPERFDATA\tTIMET::7\tHOSTNAME::", BadLine::Name),
            ("DATATYPE::SERVICEPERFDATA\tTIMET::7\tHOSTNAME::a", BadLine::Name),
        ] {
            assert_eq!(read(line), Err(why), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, head in "(|\\[HOSTPERFDATA\\]\t|DATATYPE::SERVICEPERFDATA\tTIMET::)") {
            let line = [head.as_bytes(), &bytes].concat();
            let _ = Line::read(&line);
        }
    }
}
