//! A plot of one series, or of the series of one machine, as inline SVG. Colours come from the page.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::page::escape;
use super::trace::Trace;
use super::words;

/// The left edge of the drawing, after the numbers.
const LEFT: f64 = 52.0;
/// Its width.
const WIDTH: f64 = 800.0;
/// Height of the values of one series,
const TALL: f64 = 120.0;
/// of the score,
const SHORT: f64 = 48.0;
/// of one of many series,
const THIN: f64 = 9.0;
/// and between two of these.
const GAP: f64 = 8.0;
/// Where the score is cut off.
const SCORE_TOP: f32 = 4.0;
/// A line is not drawn over more empty columns than this.
const BRIDGED: usize = 4;

/// What is drawn, from top to bottom: values, score. Times are milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Plot {
    /// First and last time.
    pub span: (i64, i64),
    /// Values of each series. One alone is drawn large.
    pub values: Vec<Trace>,
    /// Lower and upper end of the band in which values are expected.
    pub band: Option<(Trace, Trace)>,
    /// The score.
    pub score: Option<Trace>,
    /// Stretches that stand out behind everything: what is labelled.
    pub events: Vec<(i64, i64)>,
    /// Alarms: when, until when, and whether they are right as far as is known.
    pub alarms: Vec<(i64, i64, Option<bool>)>,
    /// Until when nothing counts: what was learned from.
    pub learning_until: Option<i64>,
}

impl Plot {
    /// The SVG; `title` is what it is called for those who do not see it.
    #[must_use]
    pub fn svg(&self, title: &str) -> String {
        let values = if self.values.len() == 1 { TALL } else { THIN * self.values.len().max(1) as f64 };
        let score = if self.score.is_some() { GAP + SHORT } else { 0.0 };
        let (top, bottom) = (10.0, 10.0 + values + score);
        let mut out = String::with_capacity(32 << 10);
        let _ = write!(
            out,
            "<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>",
            LEFT + WIDTH + 8.0,
            bottom + 16.0,
            escape(title)
        );
        self.background(top, bottom, &mut out);
        match self.values.as_slice() {
            [] => {}
            [one] => self.large(one, top, &mut out),
            many => {
                for (i, trace) in many.iter().enumerate() {
                    let at = top + THIN * i as f64;
                    let range = trace.range().unwrap_or((0.0, 1.0));
                    self.line(trace, range, (at + 1.0, at + THIN - 1.0), "v", &mut out);
                }
            }
        }
        if let Some(score) = &self.score {
            self.score(score, bottom - SHORT, &mut out);
        }
        self.marks(top, bottom, &mut out);
        out += "</svg>";
        out
    }

    fn x(&self, ts_ms: i64) -> f64 {
        let (from, to) = self.span;
        let share = (ts_ms - from) as f64 / (to - from).max(1) as f64;
        LEFT + WIDTH * share.clamp(0.0, 1.0)
    }

    fn background(&self, top: f64, bottom: f64, out: &mut String) {
        let height = bottom - top;
        let mut rect = |class: &str, from: f64, to: f64| {
            let width = (to - from).max(1.5);
            let _ = write!(out, "<rect class='{class}' x='{from:.1}' y='{top}' width='{width:.1}' height='{height}'/>");
        };
        rect("bg", LEFT, LEFT + WIDTH);
        if let Some(until) = self.learning_until {
            rect("learn", LEFT, self.x(until));
        }
        for (from, to) in &self.events {
            rect("event", self.x(*from), self.x(*to));
        }
        let (from, to) = self.span;
        let format = if to - from > 3 * 86_400_000 { "%Y-%m-%d" } else { "%m-%d %H:%M" };
        for (i, anchor) in ["start", "middle", "middle", "middle", "end"].iter().enumerate() {
            let ts_ms = from + (to - from) / 4 * i as i64;
            let (x, y, text) = (self.x(ts_ms), bottom + 12.0, words::at(ts_ms, &TimeZone::UTC, format));
            let _ = write!(out, "<text x='{x:.0}' y='{y}' text-anchor='{anchor}'>{text}</text>");
        }
    }

    fn large(&self, trace: &Trace, top: f64, out: &mut String) {
        let (min, max) = trace.range().unwrap_or((0.0, 1.0));
        let pad = if max > min { 0.06 * (max - min) } else { max.abs().max(1.0) * 0.1 };
        let (range, rows) = ((min - pad, max + pad), (top, top + TALL));
        if let Some((lower, upper)) = &self.band {
            self.area(lower, upper, range, rows, out);
        }
        self.line(trace, range, rows, "v", out);
        self.scale(rows, (min, max), range, out);
    }

    fn score(&self, trace: &Trace, top: f64, out: &mut String) {
        let rows = (top, top + SHORT);
        let edge = y(1.0, (0.0, SCORE_TOP), rows);
        let right = LEFT + WIDTH;
        let _ = write!(out, "<line class='edge' x1='{LEFT}' x2='{right}' y1='{edge:.1}' y2='{edge:.1}'/>");
        self.line(trace, (0.0, SCORE_TOP), rows, "s", out);
        let left = LEFT - 4.0;
        let _ = write!(out, "<text x='{left}' y='{:.0}' text-anchor='end'>1</text>", edge + 3.0);
        let _ = write!(out, "<text x='{left}' y='{:.0}' text-anchor='end'>score</text>", top + 8.0);
    }

    fn scale(&self, rows: (f64, f64), ends: (f32, f32), range: (f32, f32), out: &mut String) {
        for value in [ends.0, ends.1] {
            let (x, y) = (LEFT - 4.0, y(value, range, rows) + 3.0);
            let text = words::short(f64::from(value));
            let _ = write!(out, "<text x='{x}' y='{y:.0}' text-anchor='end'>{text}</text>");
            if ends.0 == ends.1 {
                return;
            }
        }
    }

    /// The least and greatest of each column as one line, broken where there are no samples.
    fn line(&self, trace: &Trace, range: (f32, f32), rows: (f64, f64), class: &str, out: &mut String) {
        let mut pen = Pen::default();
        let mut last: Option<usize> = None;
        for (i, column) in trace.columns() {
            let (x, low, high) = (self.x(column.ts_ms), y(column.min, range, rows), y(column.max, range, rows));
            let broken = last.is_none_or(|last| i - last > BRIDGED);
            pen.to(x, high, broken);
            if (low - high).abs() >= 0.1 || broken {
                pen.to(x, low + if broken && low == high { 0.4 } else { 0.0 }, false);
            }
            last = Some(i);
        }
        if !pen.path.is_empty() {
            let _ = write!(out, "<path class='{class}' d='{}'/>", pen.path);
        }
    }

    fn area(&self, lower: &Trace, upper: &Trace, range: (f32, f32), rows: (f64, f64), out: &mut String) {
        let mut pen = Pen::default();
        let points = |trace: &Trace| -> Vec<(f64, f64)> {
            trace.columns().map(|(_, column)| (self.x(column.ts_ms), y(column.middle(), range, rows))).collect()
        };
        for (i, (x, y)) in points(upper).into_iter().chain(points(lower).into_iter().rev()).enumerate() {
            pen.to(x, y, i == 0);
        }
        if !pen.path.is_empty() {
            let _ = write!(out, "<path class='band' d='{}z'/>", pen.path);
        }
    }

    /// Alarms as bars on top, each with a line through everything where it begins.
    fn marks(&self, top: f64, bottom: f64, out: &mut String) {
        for (from, to, right) in &self.alarms {
            let class = match right {
                Some(true) => "hit",
                Some(false) => "wrong",
                None => "alarm",
            };
            let (x, width) = (self.x(*from), (self.x(*to) - self.x(*from)).max(3.0));
            let _ = write!(
                out,
                "<g class='{class}'><rect x='{x:.1}' y='{:.0}' width='{width:.1}' height='5'/>\
                 <line x1='{x:.1}' x2='{x:.1}' y1='{top}' y2='{bottom}'/></g>",
                top - 7.0
            );
        }
    }
}

fn y(value: f32, (min, max): (f32, f32), (top, bottom): (f64, f64)) -> f64 {
    let share = f64::from((value - min) / (max - min).max(f32::MIN_POSITIVE));
    bottom - (bottom - top) * share.clamp(0.0, 1.0)
}

/// Writes a path in steps of a tenth of a unit, relative to the point before, which is short.
#[derive(Default)]
struct Pen {
    path: String,
    at: (i64, i64),
}

impl Pen {
    fn to(&mut self, x: f64, y: f64, lifted: bool) {
        let to = ((x * 10.0).round() as i64, (y * 10.0).round() as i64);
        if lifted {
            let _ = write!(self.path, "M{} {}", tenths(to.0), tenths(to.1));
        } else {
            let _ = write!(self.path, "l{} {}", tenths(to.0 - self.at.0), tenths(to.1 - self.at.1));
        }
        self.at = to;
    }
}

fn tenths(value: i64) -> String {
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.abs());
    match (size / 10, size % 10) {
        (whole, 0) => format!("{sign}{whole}"),
        (0, part) => format!("{sign}.{part}"),
        (whole, part) => format!("{sign}{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(values: impl IntoIterator<Item = (i64, f64)>) -> Trace {
        let mut trace = Trace::default();
        values.into_iter().for_each(|(ts_ms, value)| trace.push(ts_ms, value));
        trace
    }

    #[test]
    fn steps_are_short() {
        assert_eq!([0, 5, -5, 10, -123].map(tenths), ["0", ".5", "-.5", "1", "-12.3"]);
    }

    #[test]
    fn a_line_breaks_where_samples_are_missing_and_text_is_escaped() {
        let samples = (0..100).chain(300..400).map(|i| (i * 1_000, (i % 5) as f64));
        let plot = Plot {
            span: (0, 400_000),
            values: vec![trace(samples)],
            band: Some((trace([(0, -1.0), (400_000, -1.0)]), trace([(0, 6.0), (400_000, 6.0)]))),
            score: Some(trace([(0, 0.0), (399_000, 9.0)])),
            events: vec![(100_000, 120_000)],
            alarms: vec![(110_000, 110_000, Some(true)), (350_000, 360_000, Some(false))],
            learning_until: Some(50_000),
        };
        let svg = plot.svg("a<b & 'c'");
        let values = svg.split("class='v'").nth(1).and_then(|rest| rest.split('>').next()).expect("a line");
        assert_eq!(values.matches('M').count(), 2);
        for class in ["'event'", "'learn'", "'band'", "'s'", "'hit'", "'wrong'", "'edge'"] {
            assert!(svg.contains(class), "{class}");
        }
        assert!(svg.contains("a&lt;b &amp; &#39;c&#39;") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_draw_is_an_empty_plot() {
        let svg = Plot::default().svg("none");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        let flat = Plot { span: (0, 10_000), values: vec![trace([(0, 3.0), (10_000, 3.0)])], ..Plot::default() };
        assert!(!flat.svg("flat").contains("NaN"));
    }
}
