//! Answers of the Prometheus HTTP API: the matrix of a range, lists of series and of values, or an error.
//!
//! Text is borrowed from the body where it can be. Values come as text, `NaN` and `+Inf` included;
//! times as seconds with a fraction, exact to the millisecond. Native histograms are counted and skipped.
//! Format: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use watchbell_series::{LabelError, Labels, NORMAL_NAN_BITS, RawSample};

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Label names and values as they came.
    pub(super) labels: Vec<(Box<str>, Box<str>)>,
    /// Samples in the order in which they came, which is that of time.
    pub(super) samples: Vec<RawSample>,
    /// Native histograms, which are skipped.
    pub(super) histograms: usize,
}

/// What an answer says that is no success.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) message: String,
}

/// A list of series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// The series.
    pub(super) series: Vec<Labels>,
    /// How many more have labels that are no series.
    pub(super) invalid: usize,
}

/// Reads the body of a successful answer to a query.
///
/// # Errors
/// A body that is not such an answer.
pub(super) fn matrix(body: &[u8]) -> Result<Vec<Row>, String> {
    let envelope: Envelope<Data<'_>> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    Ok(envelope.data()?.result.into_iter().map(RowJson::into_row).collect())
}

/// Reads a list of series.
///
/// # Errors
/// A body that is no such list.
pub(super) fn series(body: &[u8]) -> Result<Listed, String> {
    let envelope: Envelope<Vec<Metric<'_>>> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let mut listed = Listed::default();
    for Metric(pairs) in envelope.data()? {
        match Labels::series(pairs.into_iter().map(|(n, v)| (n.0, v.0))) {
            Ok(labels) => listed.series.push(labels),
            Err(_) => listed.invalid += 1,
        }
    }
    Ok(listed)
}

/// Reads a list of label values.
///
/// # Errors
/// A body that is no such list.
pub(super) fn values(body: &[u8]) -> Result<Vec<String>, String> {
    let envelope: Envelope<Vec<String>> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    envelope.data()
}

/// Reads the body of an answer that is an error; empty texts where it is none.
pub(super) fn failure(body: &[u8]) -> Failure {
    let parsed: Result<ErrorJson<'_>, _> = serde_json::from_slice(body);
    parsed.map_or_else(
        |_| Failure::default(),
        |e| Failure { kind: e.kind.0.into_owned(), message: e.message.0.into_owned() },
    )
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

impl<T> Envelope<T> {
    fn data(self) -> Result<T, String> {
        self.data.ok_or_else(|| "an answer without `data`".to_owned())
    }
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    result: Vec<RowJson<'a>>,
}

#[derive(Deserialize)]
struct RowJson<'a> {
    #[serde(borrow)]
    metric: Metric<'a>,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct ErrorJson<'a> {
    #[serde(borrow, default, rename = "errorType")]
    kind: Text<'a>,
    #[serde(borrow, default, rename = "error")]
    message: Text<'a>,
}

#[derive(Deserialize, Default)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl RowJson<'_> {
    fn into_row(self) -> Row {
        Row {
            labels: self.metric.0.into_iter().map(|(n, v)| (n.0.into(), v.0.into())).collect(),
            samples: self.values.into_iter().map(|point| point.0).collect(),
            histograms: self.histograms.len(),
        }
    }
}

/// A map of labels, kept as a list: a label that stands twice is to be seen.
struct Metric<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Metric<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Metric<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(10);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Metric(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

struct Point(RawSample);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (seconds, text): (f64, Text<'_>) = Deserialize::deserialize(deserializer)?;
        let value: f64 = text.0.parse().map_err(|_| D::Error::custom(format!("`{}` is no value", text.0)))?;
        let value = if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value };
        Ok(Self(RawSample { ts_ms: (seconds * 1000.0).round() as i64, value }))
    }
}

impl Row {
    /// The labels of the series with `more` added where the name is free.
    ///
    /// # Errors
    /// Labels that are no series.
    pub(super) fn series(&self, more: &[(String, String)]) -> Result<Labels, LabelError> {
        let own = self.labels.iter().map(|(n, v)| (n.clone(), v.clone()));
        let free = more.iter().filter(|(name, _)| self.labels.iter().all(|(own, _)| **own != **name));
        let added = free.map(|(n, v)| (Box::from(n.as_str()), Box::from(v.as_str())));
        Labels::series(own.chain(added))
    }

    /// Whether the answer names the metric: it selected a series rather than computed one.
    pub(super) fn is_named(&self) -> bool {
        self.labels.iter().any(|(name, _)| &**name == watchbell_series::labels::NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn recorded_answers() {
        let rows = matrix(include_bytes!("../../testdata/query/matrix.json")).expect("a matrix");
        assert_eq!(rows[0].samples.len(), 12);
        assert_eq!(rows[0].samples[0], RawSample { ts_ms: 1_795_191_471_792, value: 7.59 });
        let labels = rows[0].series(&[("job".into(), "mine".into()), ("site".into(), "a".into())]).expect("labels");
        assert_eq!(labels.to_string(), r#"node_load1{instance="127.0.0.1:19100",job="node",site="a"}"#);
        let error = failure(include_bytes!("../../testdata/query/error.json"));
        assert_eq!(error.kind, "bad_data");
        assert!(error.message.starts_with("invalid parameter \"query\""));
    }

    #[test]
    fn values_that_are_no_plain_numbers() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"\"\u00e9"},
            "values":[[1,"NaN"],[1.001,"+Inf"],[2,"-Inf"],[3,"1e-7"]],"histograms":[[1,{"count":"1"}],[2,{}]]}]}}"#;
        let rows = matrix(body).expect("a matrix");
        let bits: Vec<u64> = rows[0].samples.iter().map(|sample| sample.value.to_bits()).collect();
        assert_eq!(bits, [NORMAL_NAN_BITS, f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits(), 1e-7f64.to_bits()]);
        assert_eq!(rows[0].samples[1].ts_ms, 1001);
        assert_eq!((rows[0].histograms, rows[0].is_named()), (2, false));
        assert_eq!(&*rows[0].labels[0].1, "\"é");
    }

    #[test]
    fn lists() {
        let body = br#"{"status":"success","data":[{"__name__":"up","job":"a\\b"},{"job":"x"}]}"#;
        let listed = series(body).expect("a list");
        assert_eq!((listed.series[0].to_string().as_str(), listed.invalid), (r#"up{job="a\\b"}"#, 1));
        assert_eq!(values(br#"{"status":"success","data":["a","\u00e9"]}"#), Ok(vec!["a".into(), "\u{e9}".into()]));
        assert_eq!(values(b"{}"), Err("an answer without `data`".to_owned()));
    }

    #[test]
    fn other_bodies_are_named() {
        assert!(matrix(b"<html>").is_err());
        assert_eq!(matrix(b"{}"), Err("an answer without `data`".to_owned()));
        assert!(matrix(br#"{"data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}"#).expect_err("x").contains("`x`"));
        assert_eq!(failure(b"<html>"), Failure::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = matrix(&bytes);
            let _ = series(&bytes);
            let _ = values(&bytes);
            let _ = failure(&bytes);
        }
    }
}
