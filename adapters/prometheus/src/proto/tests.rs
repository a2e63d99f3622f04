//! Decoding of whole bodies: recordings of real senders, and bodies that no good sender writes.

use proptest::prelude::*;
use watchbell_series::labels::read_canonical;
use watchbell_series::{Labels, is_stale};

use super::compression::{Encoding, decompress};
use super::encode::*;
use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn v1(message: &Message) -> Decoded {
    decode(Version::V1, message.0.clone(), &limits()).expect("decodes")
}

fn v2(message: &Message) -> Decoded {
    decode(Version::V2, message.0.clone(), &limits()).expect("decodes")
}

fn labels_of(decoded: &Decoded, i: usize) -> Labels {
    read_canonical(decoded.batch.label_bytes(&decoded.batch.series[i])).expect("valid labels")
}

#[test]
fn recordings_hold_what_another_decoder_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/remote_write");
    let index = std::fs::read_to_string(folder.join("index.tsv")).expect("the index");
    let mut files = 0;
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let counts: Vec<usize> = columns[1..].iter().map(|text| text.parse().expect("a number")).collect();
        let body = std::fs::read(folder.join(columns[0])).expect("a body");
        let body = decompress(Encoding::Snappy, &body, 1 << 20).expect("snappy");
        assert_eq!(body.len(), counts[0], "{line}");
        let decoded = decode(Version::V1, body, &limits()).expect("decodes");
        let batch = &decoded.batch;
        let stale = batch.samples.iter().filter(|sample| is_stale(sample.value)).count();
        let mut names: Vec<String> = Vec::new();
        for (i, series) in batch.series.iter().enumerate() {
            let labels = labels_of(&decoded, i);
            assert_eq!(series.key, labels.id().0, "a sender's labels are canonical: {labels}");
            names.push(labels.name().to_owned());
        }
        names.sort_unstable();
        names.dedup();
        let found = [batch.series.len(), batch.samples.len(), stale, batch.metadata.len(), names.len()];
        assert_eq!(found, counts[1..], "{line}");
        assert!(batch.samples.iter().all(|sample| sample.ts_ms > 1_795_000_000_000));
        assert_eq!((decoded.problem, decoded.exemplars), (None, 0));
        files += 1;
    }
    assert_eq!(files, 5);
}

/// Written by the client library of Prometheus's Go client, `client_golang/exp/api/remote`.
#[test]
fn a_recording_of_version_2() {
    let body = include_bytes!("../../testdata/remote_write/client-golang-v2.body");
    let body = decompress(Encoding::Snappy, body, 1 << 20).expect("snappy");
    let decoded = decode(Version::V2, body, &limits()).expect("decodes");
    assert_eq!((decoded.exemplars, decoded.invalid_series, decoded.invalid_histograms), (3, 0, 0));
    let user = r#"node_cpu_seconds_total{cpu="0",instance="127.0.0.1:9100",mode="user"}"#;
    assert_eq!(labels_of(&decoded, 2).to_string(), user);
    let series = decoded.batch.series[2];
    assert_eq!((series.kind, series.key), (MetricKind::Counter, labels_of(&decoded, 2).id().0));
    let at = |ts_ms, value| RawSample { ts_ms, value };
    assert_eq!(decoded.batch.samples_of(&series), [at(1_795_190_881_000, 3.0), at(1_795_190_896_000, 5.0)]);
    let [integer, float] = decoded.batch.histograms_of(&decoded.batch.series[3]) else { panic!("two histograms") };
    assert_eq!((integer.count, integer.zero_count, integer.schema, integer.gauge), (13.0, 2.0, 1, false));
    assert_eq!((&integer.positive[..], &integer.negative[..]), (&[1.0, 2.0, 1.0, 4.0][..], &[3.0][..]));
    assert_eq!((float.count, float.schema, float.gauge, &float.positive[..]), (3.5, -4, true, &[1.0, 2.0][..]));
}

#[test]
fn metadata_is_read() {
    let entry = Message::new().varint(1, 2).bytes(2, "node_load1").bytes(4, "1m load average.").bytes(5, "load");
    let nameless = Message::new().varint(1, 1);
    let decoded = v1(&Message::new().message(3, &entry).message(3, &nameless));
    let expected =
        watchbell_series::RawMetadata { family: "node_load1".into(), kind: MetricKind::Gauge, unit: "load".into() };
    assert_eq!(decoded.batch.metadata, [expected]);
}

#[test]
fn units_of_version_2_are_told_once_a_name() {
    let symbols = v2_symbols(&["", "__name__", "queue_wait", "seconds", "job", "a", "b"]);
    let series = |job, unit| {
        let meta = Message::new().varint(1, 2).varint(4, unit);
        Message::new().packed_varint(1, &[1, 2, 4, job]).message(2, &sample(1, 1.0)).message(5, &meta)
    };
    let decoded = v2(&symbols.message(5, &series(5, 3)).message(5, &series(6, 3)).message(5, &series(2, 99)));
    let expected =
        watchbell_series::RawMetadata { family: "queue_wait".into(), kind: MetricKind::Gauge, unit: "seconds".into() };
    assert_eq!((&decoded.batch.metadata[..], decoded.batch.series.len()), (&[expected][..], 3));
}

#[test]
fn values_keep_their_bits_and_times_their_sign() {
    let stale = f64::from_bits(watchbell_series::STALE_NAN_BITS);
    let series = v1_series(&[("__name__", "up")], &[(-5, stale), (-4, f64::NEG_INFINITY), (0, 0.0)]);
    // Zero is left out on the wire.
    let series = series.message(2, &Message::new().varint(2, 7));
    let decoded = v1(&v1_request(&[series]));
    let found: Vec<(i64, u64)> = decoded.batch.samples.iter().map(|s| (s.ts_ms, s.value.to_bits())).collect();
    assert_eq!(found[0], (-5, watchbell_series::STALE_NAN_BITS));
    assert_eq!(found[1..], [(-4, f64::NEG_INFINITY.to_bits()), (0, 0), (7, 0)]);
}

#[test]
fn scattered_labels_and_unknown_fields_are_put_right() {
    let series = Message::new()
        .message(1, &label("__name__", "up"))
        .message(2, &sample(2, 2.0))
        .varint(99, 1)
        .message(1, &label("job", "node"))
        .message(3, &Message::new().double(1, 9.0))
        .message(2, &sample(1, 1.0));
    let decoded = v1(&Message::new().double(50, 1.0).message(1, &series));
    assert_eq!(labels_of(&decoded, 0).to_string(), "up{job=\"node\"}");
    assert_eq!(decoded.batch.series[0].key, labels_of(&decoded, 0).id().0);
    let times: Vec<i64> = decoded.batch.samples.iter().map(|sample| sample.ts_ms).collect();
    assert_eq!(times, [1, 2], "in order of time");
    assert_eq!(decoded.exemplars, 1);
}

#[test]
fn a_series_that_means_nothing_is_left_out_alone() {
    let good = v1_series(&[("__name__", "up")], &[(1, 1.0)]);
    let long = "x".repeat(70_000);
    let huge = v1_series(&[("__name__", "huge"), ("x", &long)], &[(1, 1.0), (2, 1.0)]);
    let decoded = v1(&v1_request(&[v1_series(&[], &[(1, 1.0)]), huge, v1_series(&[("a", "b")], &[]), good]));
    assert_eq!((decoded.batch.series.len(), decoded.batch.samples.len()), (1, 1));
    assert_eq!(decoded.batch.samples_of(&decoded.batch.series[0]), [RawSample { ts_ms: 1, value: 1.0 }]);
    assert_eq!(decoded.invalid_series, 2);
    assert_eq!(decoded.problem.as_deref(), Some("series ``: no labels"));
}

#[test]
fn both_versions_name_a_series_alike() {
    let one = v1(&v1_request(&[v1_series(&[("__name__", "up"), ("job", "node")], &[(1, 1.0)])]));
    let symbols = v2_symbols(&["", "job", "node", "__name__", "up", "empty"]);
    // Unsorted, with an empty value, unpacked and packed, and a start timestamp.
    let series = Message::new()
        .packed_varint(1, &[1, 2, 5, 0])
        .varint(1, 3)
        .varint(1, 4)
        .message(2, &sample(1, 1.0).varint(3, 77))
        .message(4, &Message::new().double(1, 1.0))
        .message(5, &Message::new().varint(1, 1).varint(3, 2));
    let two = v2(&symbols.message(5, &series));
    assert_eq!(two.batch.series[0].key, one.batch.series[0].key);
    assert_eq!(labels_of(&two, 0), labels_of(&one, 0));
    assert_eq!(two.batch.samples, one.batch.samples);
    assert_eq!(two.batch.series[0].kind, MetricKind::Counter);
    assert_eq!((two.exemplars, two.problem), (1, None));
}

#[test]
fn wrong_references_cost_their_series_only() {
    let series = |refs: &[u64]| Message::new().packed_varint(1, refs).message(2, &sample(1, 1.0));
    let only_exemplar = Message::new().packed_varint(1, &[1, 2]).message(4, &Message::new());
    let decoded = v2(&v2_symbols(&["", "__name__", "up"])
        .message(5, &series(&[1, 9]))
        .message(5, &series(&[1]))
        .message(5, &series(&[1, u64::MAX]))
        .message(5, &only_exemplar)
        .message(5, &series(&[1, 2])));
    assert_eq!((decoded.batch.series.len(), decoded.invalid_series), (1, 4));
    assert!(decoded.problem.expect("a problem").contains("beyond the table of symbols"));
    let wrong_table = v2_symbols(&["__name__", "up"]);
    let error = decode(Version::V2, wrong_table.0, &limits()).expect_err("refused");
    assert_eq!(error.to_string(), "protobuf: the first symbol is not the empty text, at byte 0");
}

#[test]
fn limits_hold() {
    let request = v1_request(&[v1_series(&[("__name__", "up")], &[(1, 1.0), (2, 1.0), (3, 1.0)])]);
    let few = Limits { samples: 2, ..limits() };
    let error = decode(Version::V1, request.0.clone(), &few).expect_err("refused");
    assert_eq!(error.to_string(), "more than 2 samples in one request; send smaller ones");
    let small = Limits { body_bytes: 10, ..limits() };
    assert!(matches!(decode(Version::V1, request.0, &small), Err(DecodeError::TooMuch { what: "bytes", .. })));
    // A long symbol that every series names.
    let long = "v".repeat(1000);
    let series = Message::new().packed_varint(1, &[1, 2]).message(2, &sample(1, 1.0));
    let many = (0..100).fold(v2_symbols(&["", "__name__", &long]), |m, _| m.message(5, &series));
    let narrow = Limits { body_bytes: 50_000, ..limits() };
    assert!(matches!(decode(Version::V2, many.0, &narrow), Err(DecodeError::TooMuch { max: 50_000, .. })));
}

#[test]
fn native_histograms_become_counts() {
    let series = Message::new().message(1, &label("__name__", "h")).message(4, &integer_histogram(5));
    let decoded = v1(&v1_request(&[series]));
    let series = decoded.batch.series[0];
    let [histogram] = decoded.batch.histograms_of(&series) else { panic!("one histogram") };
    assert_eq!((series.samples_len, histogram.ts_ms, histogram.schema), (0, 5, 3));
    assert_eq!((histogram.count, histogram.zero_count, histogram.sum), (11.0, 1.0, 42.5));
    assert_eq!(histogram.positive, [3.0, 5.0, 2.0]);
    assert_eq!(histogram.positive_spans, [watchbell_series::Span { offset: -2, length: 3 }]);
}

#[test]
fn native_histograms_that_contradict_themselves_are_left_out() {
    let span = |offset, length| Message::new().zigzag(1, offset).varint(2, length);
    let float = || Message::new().double(2, 4.0).double(3, 1.0).varint(15, 1);
    let custom = |bounds: &[f64]| {
        float().zigzag(4, -53).message(11, &span(0, 2)).packed_double(13, &[1.0, 3.0]).packed_double(16, bounds)
    };
    let stale = Message::new().double(3, f64::from_bits(watchbell_series::STALE_NAN_BITS)).varint(15, 1);
    let cases = [
        (integer_histogram(1), ""),
        (float().message(11, &span(0, 1)).packed_double(13, &[4.0]), ""),
        (custom(&[1.0, 2.0]), ""),
        (stale, ""),
        (integer_histogram(1).varint(1, 12), "do not add up"),
        (integer_histogram(1).zigzag(4, 20), "unknown schema"),
        (integer_histogram(1).packed_zigzag(12, &[-9]), "negative bucket"),
        (integer_histogram(1).message(11, &span(0, 1)), "spans do not fit"),
        (integer_histogram(1).message(11, &span(-3, 0)), "overlapping"),
        (integer_histogram(1).packed_double(16, &[1.0]), "bounds that its schema does not have"),
        (float().message(11, &span(0, 1)).packed_double(13, &[f64::NAN]), "not finite"),
        (float().message(11, &span(i64::from(i32::MAX), 1)).packed_double(13, &[4.0]), "out of range"),
        (custom(&[2.0, 1.0]), "do not ascend"),
        (custom(&[1.0, f64::INFINITY]), "+Inf"),
        (custom(&[]), "beyond its bounds"),
        (custom(&[1.0, 2.0]).double(7, 1.0), "zero bucket"),
    ];
    for (histogram, expected) in cases {
        let series = Message::new().message(1, &label("__name__", "h")).message(4, &histogram);
        let decoded = v1(&v1_request(&[series]));
        let valid = u64::from(expected.is_empty());
        assert_eq!((decoded.batch.series.len() as u64, decoded.invalid_histograms), (valid, 1 - valid), "{expected}");
        let problem = decoded.problem.unwrap_or_default();
        assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{problem} / {expected}");
    }
}

#[test]
fn a_cut_body_names_the_byte() {
    let body = v1_request(&[v1_series(&[("__name__", "up"), ("job", "node")], &[(1_700_000_000_000, 1.5)])]).0;
    for end in 1..body.len() {
        let error = decode(Version::V1, body[..end].to_vec(), &limits()).expect_err("cut");
        let DecodeError::Malformed { at, .. } = error else { panic!("{error}") };
        assert!(at <= end);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        for version in [Version::V1, Version::V2] {
            check(decode(version, bytes.clone(), &limits()));
        }
    }

    /// Real bodies with some bytes changed get deeper than noise does.
    #[test]
    fn damaged_bodies_are_survived(hits in proptest::collection::vec((0usize..4096, any::<u8>()), 1..8)) {
        let refs = Message::new().packed_varint(1, &[1, 2, 3, 4]).message(2, &sample(1, 1.0));
        let bodies = [
            (Version::V1, v1_request(&[
                v1_series(&[("__name__", "up"), ("job", "node")], &[(1, 1.0), (2, 2.0)]),
                Message::new().message(1, &label("__name__", "h")).message(4, &integer_histogram(1)),
            ])),
            (Version::V2, v2_symbols(&["", "__name__", "up", "job", "node"]).message(5, &refs)
                .message(5, &refs.clone().message(3, &integer_histogram(1)))),
        ];
        for (version, body) in bodies {
            let mut bytes = body.0;
            for (at, byte) in &hits {
                let at = at % bytes.len();
                bytes[at] = *byte;
            }
            check(decode(version, bytes, &limits()));
        }
    }
}

/// What is decoded must hang together, whatever came in.
fn check(outcome: Result<Decoded, DecodeError>) {
    let Ok(decoded) = outcome else { return };
    let batch = &decoded.batch;
    for series in &batch.series {
        assert!(!batch.label_bytes(series).is_empty());
        assert_eq!(xxh3_64(batch.label_bytes(series)), series.key);
        assert!(batch.samples_of(series).is_sorted_by_key(|sample| sample.ts_ms));
        assert!(batch.samples_of(series).len() + batch.histograms_of(series).len() > 0);
    }
}
