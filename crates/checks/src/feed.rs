//! From performance data to a batch: series named `nagios_perfdata`, told apart by host, service, label, command and unit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use watchbell_adapter_api::Problems;
use watchbell_series::labels::{NAME, hash_canonical, write_canonical_label};
use watchbell_series::{MetricKind, RawBatch, RawSample, RawSeries};

use crate::grammar::{self, Fault};
use crate::limits::Limits;

/// The name of all series of performance data.
pub const METRIC: &str = "nagios_perfdata";
/// Labels of performance data that Watchbell wrote itself begin so; they are never read back.
pub const OWN: &str = "watchbell_";
/// Series of one batch; what is more goes into the next.
pub const MAX_SERIES: usize = 10_000;

/// The labels that come from a line, in order of names.
const FIELDS: [&str; 6] = ["child", "command", "host", "label", "service", "unit"];

/// Writes items into batches.
#[derive(Debug, Clone)]
pub struct Writer {
    /// All labels in order of names: those of the config with their value, those of a line with their place.
    order: Vec<(String, Place)>,
}

#[derive(Debug, Clone)]
enum Place {
    Fixed(String),
    Field(usize),
}

/// Whose performance data it is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// When it was measured, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Name of the host.
    pub host: &'a [u8],
    /// Empty for a host's own check.
    pub service: &'a [u8],
    /// Name of the check command; may be empty.
    pub command: &'a [u8],
}

impl Writer {
    /// A writer that adds `fixed` labels to each series; they must not be those of a line.
    #[must_use]
    pub fn new(fixed: &BTreeMap<String, String>) -> Self {
        let mut order: Vec<_> =
            FIELDS.iter().enumerate().map(|(i, name)| ((*name).to_owned(), Place::Field(i))).collect();
        order.extend(fixed.iter().map(|(name, value)| (name.clone(), Place::Fixed(value.clone()))));
        order.push((NAME.to_owned(), Place::Fixed(METRIC.to_owned())));
        order.sort_by(|a, b| a.0.cmp(&b.0));
        Self { order }
    }

    /// Whether a user may add a label of this name.
    #[must_use]
    pub fn free(name: &str) -> bool {
        !name.starts_with("__") && !FIELDS.contains(&name) && name != "watchbell"
    }

    /// Appends the items of `perfdata` and notes their limits; `bad` is told of each token that is none. Gives the number of values.
    pub fn write(
        &self,
        origin: Origin<'_>,
        perfdata: &[u8],
        batch: &mut RawBatch,
        mut limits: Option<&mut Limits>,
        mut bad: impl FnMut(&str, Fault, &[u8]),
    ) -> usize {
        let (perfdata, named) = grammar::split_command(perfdata);
        let command = text(named.unwrap_or(origin.command));
        let (host, service) = (text(origin.host), text(origin.service));
        let (mut child, mut plugin) = (Cow::Borrowed(""), None);
        let mut values = 0;
        for item in grammar::items(perfdata) {
            let item = match item {
                Ok(item) => item,
                Err(wrong) => {
                    bad(plugin.as_deref().unwrap_or(&command), wrong.fault, wrong.token);
                    continue;
                }
            };
            let full = text(&item.label);
            let mut label = &*full;
            // check_multi: `child::plugin::label`; labels without it belong to the child before them.
            let mut parts = full.splitn(3, "::");
            if let (Some(of), Some(by), Some(rest)) = (parts.next(), parts.next(), parts.next())
                && !(of.is_empty() || by.is_empty() || rest.is_empty())
            {
                (child, plugin, label) = (of.to_owned().into(), Some(by.to_owned()), rest);
            }
            let Some(value) = item.value else { continue };
            if label.starts_with(OWN) {
                continue;
            }
            let base = grammar::base(item.unit);
            let unit = base.word.map_or_else(|| text(item.unit), Cow::Borrowed);
            let value = base.value(value);
            if !value.is_finite() {
                bad(plugin.as_deref().unwrap_or(&command), Fault::NotANumber, item.unit);
                continue;
            }
            let command = plugin.as_deref().unwrap_or(&command);
            let kind = if base.counter { MetricKind::Counter } else { MetricKind::Gauge };
            self.push([&child, command, &host, label, &service, &unit], kind, origin.ts_ms, value, batch);
            // Limits of a counter are about its total, which nobody judges.
            if let Some(limits) = limits.as_deref_mut().filter(|_| !base.counter && item.has_limits()) {
                limits.see(batch, &item, &base, origin.ts_ms);
            }
            values += 1;
        }
        values
    }

    fn push(&self, fields: [&str; 6], kind: MetricKind, ts_ms: i64, value: f64, batch: &mut RawBatch) {
        let from = batch.labels.len();
        for (name, place) in &self.order {
            let value = match place {
                Place::Fixed(value) => value,
                Place::Field(i) => fields[*i],
            };
            if !value.is_empty() {
                write_canonical_label(name.as_bytes(), value.as_bytes(), &mut batch.labels);
            }
        }
        let at = batch.samples.len();
        batch.samples.push(RawSample { ts_ms, value });
        let key = hash_canonical(&batch.labels[from..]).0;
        let series = RawSeries::samples(key, from..batch.labels.len(), at..at + 1);
        batch.series.push(RawSeries { kind, ..series });
    }
}

/// Notes the `labels` that a user can not add.
pub fn check_labels(labels: &BTreeMap<String, String>, problems: &mut Problems) {
    for name in labels.keys() {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !plain || !Writer::free(name) {
            let message = format!("`{name}` can not be added as a label");
            problems.hint(format!("labels.{name}"), message, "use another name, of letters, digits and `_`");
        }
    }
}

/// `bytes` as text. What in it is not UTF-8 is taken as Latin-1, in which old plugins print.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|b| char::from(*b)));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_series::labels::read_canonical;

    fn write(command: &str, perfdata: &[u8]) -> (Vec<String>, Vec<String>) {
        let writer = Writer::new(&[("site".to_owned(), "north".to_owned())].into());
        let origin = Origin { ts_ms: 7_000, host: b"web-1", service: b"all", command: command.as_bytes() };
        let (mut batch, mut bad) = (RawBatch::default(), Vec::new());
        writer.write(origin, perfdata, &mut batch, None, |plugin, fault, token| {
            bad.push(format!("{plugin} {fault:?} {}", text(token)));
        });
        let series = batch.series.iter().map(|series| {
            let labels = read_canonical(batch.label_bytes(series)).expect("canonical");
            assert_eq!(labels.id().0, series.key, "labels are in order");
            let sample = batch.samples_of(series)[0];
            assert_eq!(sample.ts_ms, 7_000);
            format!("{labels} {} {}", series.kind, sample.value)
        });
        (series.collect(), bad)
    }

    #[test]
    fn series_of_a_service() {
        let (series, bad) = write("check_x", b"time=12ms;;;0 junk hits=5c 'free %'=3% rpm=900rpm gone=U [check_y]");
        let labels = |rest: &str| format!("nagios_perfdata{{command=\"check_y\",host=\"web-1\",{rest}}}");
        assert_eq!(
            series,
            [
                labels("label=\"time\",service=\"all\",site=\"north\",unit=\"seconds\"") + " gauge 0.012",
                labels("label=\"hits\",service=\"all\",site=\"north\"") + " counter 5",
                labels("label=\"free %\",service=\"all\",site=\"north\",unit=\"percent\"") + " gauge 3",
                labels("label=\"rpm\",service=\"all\",site=\"north\",unit=\"rpm\"") + " gauge 900",
            ]
        );
        assert_eq!(bad, ["check_y NoEquals junk"]);
    }

    #[test]
    fn children_of_check_multi() {
        let (series, bad) = write("check_multi", b"a::check_load::load1=1 load5=2 bad b::check_disk::/=3B x::y=4");
        let found: Vec<String> = series
            .iter()
            .map(|series| {
                let get = |name: &str| series.split(&format!("{name}=\"")).nth(1).and_then(|s| s.split('"').next());
                format!("{:?} {:?} {:?}", get("child"), get("command"), get("label")).replace("Some", "")
            })
            .collect();
        assert_eq!(
            found,
            [
                "(\"a\") (\"check_load\") (\"load1\")",
                "(\"a\") (\"check_load\") (\"load5\")",
                "(\"b\") (\"check_disk\") (\"/\")",
                "(\"b\") (\"check_disk\") (\"x::y\")"
            ]
        );
        assert_eq!(bad, ["check_load NoEquals bad"]);
    }

    #[test]
    fn own_output_is_not_read_back_and_latin_1_is() {
        let (series, bad) = write("", b"watchbell_score=1 stra\xdfe=2");
        assert_eq!(series.len(), 1);
        assert!(series[0].contains("label=\"straße\""), "{series:?}");
        // One bad byte changes nothing of what stands beside it.
        assert_eq!(text("straße ".as_bytes()).to_string() + &text(b"\xc3\x9f \xdf \xb0C"), "straße ß ß °C");
        assert!(bad.is_empty());
    }
}
