//! Writes one page of scores: reads all series once, from shard to shard, and writes each into the blocks
//! of its families, so that score, value and band of a series are of one moment.
//!
//! Runs on a thread for blocking work, since it is all CPU: it never holds up the service's own threads.
//! Formats: Prometheus text 0.0.4 and OpenMetrics 1.0. The two differ here only in the last line, as all
//! families are gauges and their helps hold nothing to escape.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use watchbell_adapter_api::{Cursor, HostReading, ScorePage, ScoreQuery, Scores};

use super::accept::Format;
use super::spool::{Block, Page};
use crate::naming::{
    Family, HOST_FAMILIES, HostLine, LIMITED, Naming, OutputLabels, REASON, Shown, host_lines, host_selected, shown,
};

/// What is asked for.
pub(super) struct Order {
    pub(super) query: Arc<ScoreQuery>,
    pub(super) naming: Naming,
    pub(super) families: Arc<[(Family, &'static str)]>,
    pub(super) format: Format,
    pub(super) now_ms: i64,
}

/// The page and how many series are in it; `None` if `cancelled` before it was done.
pub(super) fn render(
    runtime: &Handle,
    scores: &dyn Scores,
    order: &Order,
    cancelled: impl Fn() -> bool,
) -> io::Result<Option<(Page, u64)>> {
    let mut series = Writer::new(order);
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        if cancelled() {
            return Ok(None);
        }
        let page = runtime.block_on(scores.page(Arc::clone(&order.query), at));
        series.page(&page)?;
        cursor = page.next;
    }
    let hosts = hosts(&runtime.block_on(scores.hosts()), order);
    let count = series.count;
    Page::join(series.blocks.into_iter().chain([hosts])).map(|page| Some((page, count)))
}

struct Writer<'a> {
    order: &'a Order,
    blocks: Vec<Block>,
    labels: OutputLabels,
    text: Vec<u8>,
    count: u64,
}

impl<'a> Writer<'a> {
    fn new(order: &'a Order) -> Self {
        let head = |(family, name): &(Family, &str)| {
            let mut block = Block::new();
            head(block.text(), name, family.help());
            block
        };
        let blocks = order.families.iter().map(head).collect();
        Self { order, blocks, labels: OutputLabels::default(), text: Vec::new(), count: 0 }
    }

    fn page(&mut self, page: &ScorePage) -> io::Result<()> {
        for row in &page.rows {
            let shown = shown(&row.reading, self.order.now_ms);
            if shown == Shown::Gone {
                continue;
            }
            self.count += 1;
            self.labels.fill(self.order.naming, page.labels_of(row), &[]);
            self.text.clear();
            for (name, value) in self.labels.iter() {
                label(&mut self.text, name, value);
            }
            for ((family, name), block) in self.order.families.iter().zip(&mut self.blocks) {
                let Some(value) = family.value(&row.reading, shown) else { continue };
                let out = block.text();
                out.extend_from_slice(name.as_bytes());
                out.push(b'{');
                out.extend_from_slice(&self.text);
                if let Some(Some(reason)) = family.line(shown) {
                    label(out, REASON, reason);
                }
                close(out);
                match family {
                    // In single precision the text is as short as it can be.
                    Family::Score => number(out, row.reading.score),
                    _ => number(out, value),
                }
                block.settle()?;
            }
        }
        Ok(())
    }
}

/// What there is about hosts, the note on the limit, and the end of the page.
fn hosts(hosts: &[HostReading], order: &Order) -> Block {
    let mut block = Block::new();
    let out = block.text();
    let lines: Vec<(&str, Vec<HostLine>)> = hosts.iter().map(|host| (host.host.as_str(), host_lines(host))).collect();
    for (name, help) in HOST_FAMILIES {
        head(out, name, help);
        for (host, lines) in lines.iter().filter(|(host, _)| host_selected(host, name, &order.query.selectors)) {
            for line in lines.iter().filter(|line| line.name == name) {
                out.extend_from_slice(name.as_bytes());
                out.push(b'{');
                label(out, "host", host);
                if let Some((name, value)) = &line.label {
                    label(out, name, value);
                }
                close(out);
                number(out, line.value);
            }
        }
    }
    head(out, LIMITED.0, LIMITED.1);
    out.extend_from_slice(LIMITED.0.as_bytes());
    out.extend_from_slice(if order.query.anomalous_only { b" 1\n" } else { b" 0\n" });
    if order.format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
    block
}

fn head(out: &mut Vec<u8>, name: &str, help: &str) {
    for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// `name="value",` with the value escaped.
fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    let mut rest = value.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'"', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(if rest[at] == b'\n' { b'n' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\",");
}

/// Ends the labels: strict readers of OpenMetrics take no comma after the last one.
fn close(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"} ");
}

fn number<F: zmij::Float + Into<f64>>(out: &mut Vec<u8>, value: F) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if wide.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if wide > 0.0 { b"+Inf" } else { b"-Inf" });
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_labels() {
        let mut out = b"m{".to_vec();
        label(&mut out, "a", "x\\y\"z\nµ");
        label(&mut out, "b", "");
        close(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "m{a=\"x\\\\y\\\"z\\nµ\",b=\"\"} ");
    }

    #[test]
    fn helps_need_no_escapes() {
        let helps = Family::ALL.map(Family::help).into_iter().chain(HOST_FAMILIES.map(|(_, help)| help));
        assert!(helps.chain([LIMITED.1]).all(|help| !help.contains(['\\', '"', '\n'])));
    }

    #[test]
    fn a_cancelled_page_stops() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let order = Order {
            query: Arc::default(),
            naming: Naming::Watchbell,
            families: Arc::default(),
            format: Format::Text,
            now_ms: 0,
        };
        let scores = crate::fake_scores::FakeScores::fleet(10, 0);
        let page = |cancelled| render(runtime.handle(), &scores, &order, || cancelled).expect("memory takes all");
        assert!(page(true).is_none());
        assert_eq!(page(false).map(|(_, series)| series), Some(10));
    }

    #[test]
    fn numbers_read_back() {
        for value in [0.0, -0.0, 1.0, 0.1, 1e-9, 123_456_789.123, 1e300, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
            let mut out = Vec::new();
            number(&mut out, value);
            let text = String::from_utf8(out).expect("ASCII");
            assert_eq!(text.trim_end().parse::<f64>(), Ok(value), "{text}");
        }
        let mut out = Vec::new();
        number(&mut out, 1.1f32);
        assert_eq!(out, b"1.1\n");
    }
}
