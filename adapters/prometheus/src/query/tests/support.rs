//! A server that answers as Prometheus does, a clock set by hand, and what records batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use watchbell_adapter_api::{BoxFuture, Clock, Ingest, IngestError, Receipt};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Mode, RawBatch};

pub(super) const NOW: i64 = 1_700_000_000_000;

#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<RawBatch>>);

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        self.0.lock().expect("unpoisoned").push(batch);
        Box::pin(async { Ok(Receipt::default()) })
    }
}

impl Recorder {
    /// All batches, as they came.
    pub(super) fn batches(&self) -> Vec<RawBatch> {
        self.0.lock().expect("unpoisoned").clone()
    }

    /// Times in seconds after [`NOW`] and mode of all samples of all series, as they came.
    pub(super) fn samples(&self) -> Vec<(String, f64, Mode)> {
        let mut all = Vec::new();
        for batch in self.batches() {
            for series in &batch.series {
                let labels = read_canonical(batch.label_bytes(series)).expect("labels").to_string();
                for sample in batch.samples_of(series) {
                    all.push((labels.clone(), (sample.ts_ms - NOW) as f64 / 1000.0, batch.mode));
                }
            }
        }
        all
    }
}

pub(super) struct Hand(pub(super) AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) type Form = HashMap<String, String>;
pub(super) type Reply = (u16, String);

/// A server on loopback that logs the forms it gets and answers by a function of path and form.
pub(super) struct Server {
    pub(super) url: String,
    forms: Arc<Mutex<Vec<Form>>>,
}

impl Server {
    pub(super) async fn start(reply: impl Fn(&str, &Form) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let forms: Arc<Mutex<Vec<Form>>> = Arc::default();
        let log = forms.clone();
        let answer = move |uri: axum::http::Uri, body: String| {
            let parsed = reqwest::Url::parse(&format!("http://x/?{body}&{}", uri.query().unwrap_or("")));
            let mut form = Form::new();
            for (key, value) in parsed.expect("a form").query_pairs().into_owned() {
                let all: &mut String = form.entry(key).or_default();
                // Only `match[]` may stand more than once.
                *all = if all.is_empty() { value } else { format!("{all}\n{value}") };
            }
            let (status, text) = reply(uri.path(), &form);
            log.lock().expect("unpoisoned").push(form);
            async move { (StatusCode::from_u16(status).expect("a status"), text) }
        };
        let router = Router::new().route("/prefix/api/v1/{*path}", any(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/prefix/", listener.local_addr().expect("an address"));
        // Ends with the runtime of the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, forms }
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        std::mem::take(&mut *self.forms.lock().expect("unpoisoned"))
    }
}

pub(super) fn ms(form: &Form, key: &str) -> i64 {
    (form[key].parse::<f64>().expect("seconds") * 1000.0).round() as i64
}

pub(super) fn rows(metric: &str, times: impl Iterator<Item = i64>) -> Reply {
    let values: Vec<String> = times.map(|ts| format!("[{},\"1\"]", ts as f64 / 1000.0)).collect();
    let row = format!(r#"{{"metric":{metric},"values":[{}]}}"#, values.join(","));
    (200, format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{row}]}}}}"#))
}

pub(super) fn error(status: u16, message: &str) -> Reply {
    (status, format!(r#"{{"status":"error","errorType":"execution","error":"{message}"}}"#))
}

/// Without a provider of TLS no client can be made; a second installation is refused and changes nothing.
pub(super) fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether times follow each other by 15 s without a gap or a repeat.
pub(super) fn is_whole(samples: &[(String, f64, Mode)]) -> bool {
    samples.windows(2).all(|pair| pair[1].1 - pair[0].1 == 15.0)
}
