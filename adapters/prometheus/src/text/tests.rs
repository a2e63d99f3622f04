//! What the reader must get right, line by line, and what it must survive.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default)]
struct Seen {
    samples: Vec<(String, f64, Option<i64>, MetricKind)>,
    units: Vec<(String, MetricKind, String)>,
    bad: Vec<(usize, BadLine)>,
}

impl<'a> Visitor<'a> for Seen {
    fn sample(&mut self, sample: Sample<'a>) -> Result<(), BadLine> {
        let mut labels = LabelSet::default();
        decode_series(sample.series, sample.float_label, &mut labels)?;
        let labels = watchbell_series::Labels::series(labels.iter()).expect("decoded labels are valid");
        self.samples.push((labels.to_string(), sample.value, sample.timestamp_ms, sample.kind));
        Ok(())
    }

    fn unit(&mut self, unit: Unit<'a>) {
        self.units.push((unit.family.to_owned(), unit.kind, unit.unit.to_owned()));
    }

    fn bad_line(&mut self, line: usize, reason: BadLine) {
        self.bad.push((line, reason));
    }
}

fn read(body: &str, format: Format) -> (Seen, Result<(), PageError>) {
    let mut seen = Seen::default();
    let result = parse(body.as_bytes(), format, &mut seen);
    (seen, result)
}

fn one(line: &str) -> (String, f64, Option<i64>) {
    let (mut seen, _) = read(line, Format::Text);
    assert_eq!(seen.bad, vec![], "{line}");
    assert_eq!(seen.samples.len(), 1, "{line}");
    let (labels, value, ts, _) = seen.samples.remove(0);
    (labels, value, ts)
}

#[test]
fn reads_every_spelling_of_a_sample() {
    for (line, series, value, ts) in [
        ("m 1", "m", 1.0, None),
        ("  m\t1  \n", "m", 1.0, None),
        ("m 1\r\n", "m", 1.0, None),
        ("m{} 3", "m", 3.0, None),
        ("m{}3", "m", 3.0, None),
        ("m { a = \"b\" , } 3", "m{a=\"b\"}", 3.0, None),
        (r#"m{a="x\"y\\z\n\t"} 1"#, "m{a=\"x\\\"y\\\\z\\n\\\\t\"}", 1.0, None),
        (r#"m{a="x,y=z}{",b="}"} 1"#, "m{a=\"x,y=z}{\",b=\"}\"}", 1.0, None),
        ("job:foo:rate5m 2", "job:foo:rate5m", 2.0, None),
        (r#"{"http.requests",a="b"} 1"#, "http.requests{a=\"b\"}", 1.0, None),
        (r#"{a="b","http.requests"} 1"#, "http.requests{a=\"b\"}", 1.0, None),
        (r#"m{"a.b"="c"} 1"#, "m{a.b=\"c\"}", 1.0, None),
        (r#"m{a=""} 1"#, "m", 1.0, None),
        (r#"m{a="ünï"} 1"#, "m{a=\"ünï\"}", 1.0, None),
        ("m -Inf", "m", f64::NEG_INFINITY, None),
        ("m 1.5e3 1795191526802", "m", 1500.0, Some(1_795_191_526_802)),
        ("m 1 -5", "m", 1.0, Some(-5)),
    ] {
        assert_eq!(one(line), (series.to_owned(), value, ts), "{line}");
    }
    assert_eq!(one("m NaN").1.to_bits(), watchbell_series::NORMAL_NAN_BITS);
}

#[test]
fn skips_bad_lines_and_keeps_their_neighbours() {
    for (line, reason) in [
        ("m", BadLine::Value),
        ("m{a=\"b\"}", BadLine::Value),
        ("m one", BadLine::Value),
        ("m 1 soon", BadLine::Timestamp),
        ("m 1 2 3", BadLine::Trailing),
        ("m 1 # {} 1", BadLine::Trailing),
        ("1m 1", BadLine::Name),
        ("a-b 1", BadLine::Name),
        ("{} 1", BadLine::Name),
        ("{a=\"b\"} 1", BadLine::Name),
        ("m{a=\"b} 1", BadLine::Labels),
        ("m{a=b} 1", BadLine::Labels),
        ("m{a} 1", BadLine::Labels),
        ("m{=\"b\"} 1", BadLine::Labels),
        ("m{,} 1", BadLine::Labels),
        ("m{a=\"b\" c=\"d\"} 1", BadLine::Labels),
        ("m{a=\"b\",a=\"c\"} 1", BadLine::DuplicateLabel),
        ("m{\"n\"} 1", BadLine::DuplicateLabel),
        ("<html> 1", BadLine::Name),
        ("# TYPE", BadLine::Metadata),
        ("# TYPE m furlong", BadLine::Metadata),
    ] {
        let (seen, result) = read(&format!("before 1\n{line}\nafter 2"), Format::Text);
        assert_eq!(result, Ok(()));
        assert_eq!(seen.bad, vec![(2, reason)], "{line}");
        assert_eq!(seen.samples.len(), 2, "{line}");
    }
    let mut seen = Seen::default();
    parse(b"m{a=\"\xff\"} 1\nm 1\n", Format::Text, &mut seen).expect("text needs no end");
    assert_eq!((seen.bad, seen.samples.len()), (vec![(1, BadLine::NotUtf8)], 1));
    let many: String = (0..200).map(|i| format!("l{i}=\"x\",")).collect();
    assert_eq!(read(&format!("m{{{many}}} 1"), Format::Text).0.bad, vec![(1, BadLine::TooManyLabels)]);
}

#[test]
fn takes_kinds_from_type_lines() {
    use MetricKind::{Counter, Gauge, Histogram, Summary, Unknown};
    let page = "# HELP h text with { and \"\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 1\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 1\n# TYPE c counter\nc 1\nc_created 5\ncd 1\n# plain comment\n\
        # TYPE \"g.x\" gauge\n{\"g.x\"} 1\n# TYPE u untyped\nu 1\n";
    let (seen, _) = read(page, Format::Text);
    let kinds: Vec<MetricKind> = seen.samples.iter().map(|s| s.3).collect();
    assert_eq!(kinds, [Histogram, Histogram, Histogram, Summary, Summary, Counter, Gauge, Unknown, Gauge, Unknown]);
    assert_eq!(seen.bad, vec![]);
    assert_eq!(seen.samples[0].0, "h_bucket{le=\"1.0\"}");
    assert_eq!(one("free{le=\"1\"} 1").0, "free{le=\"1\"}");
}

#[test]
fn reads_openmetrics() {
    let page = "# TYPE foo_seconds counter\n# UNIT foo_seconds seconds\n# HELP foo_seconds help\n\
        foo_seconds_total{a=\"b\"} 17.0 1520879607.789 # {trace_id=\"x y\"} 0.5 1520879607.1\n\
        foo_seconds_total{a=\"c\"} 18.0 # {} 1\nfoo_seconds_created{a=\"b\"} 1520430000.123\n\
        # TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
    let (seen, result) = read(page, Format::OpenMetrics);
    assert_eq!(result, Ok(()));
    assert_eq!(seen.bad, vec![]);
    assert_eq!(
        seen.samples[0],
        ("foo_seconds_total{a=\"b\"}".into(), 17.0, Some(1_520_879_607_789), MetricKind::Counter)
    );
    assert_eq!(seen.samples[1].2, None);
    assert_eq!(seen.samples[2].3, MetricKind::Gauge);
    assert_eq!(seen.samples[3].3, MetricKind::Info);
    assert_eq!(seen.units, vec![("foo_seconds".into(), MetricKind::Counter, "seconds".into())]);
}

#[test]
fn insists_on_the_end_mark() {
    assert_eq!(read("m 1\n", Format::OpenMetrics).1, Err(PageError::NoEnd));
    assert_eq!(read("m 1\n# EO", Format::OpenMetrics).1, Err(PageError::NoEnd));
    assert_eq!(read("m 1\n# EOF", Format::OpenMetrics).1, Ok(()));
    let (seen, result) = read("m 1\n# EOF\nlate 1\nlater 1\n", Format::OpenMetrics);
    assert_eq!((result, seen.samples.len()), (Ok(()), 1));
    assert_eq!(seen.bad, vec![(3, BadLine::AfterEnd)]);
    assert_eq!(read("# EOF\nm 1\n", Format::Text).0.samples.len(), 1);
}

#[test]
fn reads_a_recorded_page_whole() {
    let (seen, _) = read(include_str!("../../testdata/node_exporter.txt"), Format::Text);
    assert_eq!(seen.bad, vec![]);
    assert_eq!(seen.samples.len(), 507);
    let load = seen.samples.iter().find(|s| s.0 == "node_load1").expect("is on the page");
    assert_eq!(load.3, MetricKind::Gauge);
    let unknown = seen.samples.iter().filter(|s| s.3 == MetricKind::Unknown).count();
    assert_eq!(unknown, include_str!("../../testdata/node_exporter.txt").matches(" untyped").count());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body: Vec<u8>, openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        let _ = parse(&body, format, &mut Seen::default());
    }

    #[test]
    fn any_mess_of_its_own_characters_is_survived(body in "[a{}=\"\\\\, \t\n#1.+eNTYPE_]{0,200}") {
        let _ = parse(body.as_bytes(), Format::OpenMetrics, &mut Seen::default());
    }

    #[test]
    fn what_is_written_is_read_back(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,9}",
        pairs in proptest::collection::btree_map("[a-z][a-z0-9_]{0,6}", "\\PC{1,20}|[\\\\\"\n,={} ]{1,6}", 0..6),
        value: f64,
        ts in proptest::option::of(any::<i64>()),
    ) {
        let all = pairs.into_iter().chain([("__name__".to_owned(), name)]);
        let labels = watchbell_series::Labels::series(all).expect("valid");
        let stamp = ts.map(|ts| format!(" {ts}")).unwrap_or_default();
        let (seen, _) = read(&format!("{labels} {value:e}{stamp}\n"), Format::Text);
        prop_assert_eq!(seen.bad, vec![]);
        prop_assert_eq!(&seen.samples[0].0, &labels.to_string());
        prop_assert_eq!(seen.samples[0].2, ts);
        prop_assert!(seen.samples[0].1 == value || value.is_nan());
    }
}
