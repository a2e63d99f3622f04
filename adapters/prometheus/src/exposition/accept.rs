//! What a client of `/scores` accepts: the text format and the encoding, from its `Accept` and
//! `Accept-Encoding` headers (RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3).
//!
//! Nothing here fails: a header that makes no sense counts as absent, for a scrape with an odd header
//! is better answered in the plain format than refused.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type` of this format.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// OpenMetrics if the client likes it better than the text format, else text.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let (mut text, mut open) = (Best::default(), Best::default());
    for item in items(headers, ACCEPT) {
        let version = item.parameter("version");
        match item.name.as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => open.offer(3, item.q),
            // 1.0.0 is 0.0.4 with quoted names, which are never used here.
            "text/plain" if matches!(version, None | Some("0.0.4" | "1.0.0")) => text.offer(3, item.q),
            "application/*" => open.offer(2, item.q),
            "text/*" => text.offer(2, item.q),
            "*/*" => {
                open.offer(1, item.q);
                text.offer(1, item.q);
            }
            _ => {}
        }
    }
    if open.q > text.q { Format::OpenMetrics } else { Format::Text }
}

/// Whether the client takes gzip.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let mut best = Best::default();
    for item in items(headers, ACCEPT_ENCODING) {
        match item.name.as_str() {
            "gzip" | "x-gzip" => best.offer(2, item.q),
            "*" => best.offer(1, item.q),
            _ => {}
        }
    }
    best.q > 0
}

/// The quality (in thousandths) of the most specific range that names a format.
#[derive(Default)]
struct Best {
    specific: u8,
    q: u16,
}

impl Best {
    fn offer(&mut self, specific: u8, q: u16) {
        if (specific, q) > (self.specific, self.q) {
            *self = Self { specific, q };
        }
    }
}

struct Item<'a> {
    name: String,
    parameters: Vec<(&'a str, &'a str)>,
    q: u16,
}

impl Item<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

fn items(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = Item<'_>> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).map(item)
}

fn item(text: &str) -> Item<'_> {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    let parameters: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(n, value)| (n.trim(), value.trim().trim_matches('"')))
        .collect();
    let q = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case("q")).map_or(1_000, |(_, value)| quality(value));
    Item { name, parameters, q }
}

fn quality(text: &str) -> u16 {
    text.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(1_000, |q| (q * 1_000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(name: http::HeaderName, text: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(text).expect("a header value"))])
    }

    #[test]
    fn prefers_by_quality() {
        for (accept, want) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            ("text/plain;q=0.9, application/openmetrics-text; version=\"1.0.0\"; q=0.3", Format::Text),
            ("Application/OpenMetrics-Text; q=0, */*", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
        ] {
            assert_eq!(format(&headers(ACCEPT, accept)), want, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn gzip_unless_refused() {
        for (accept, want) in
            [("gzip", true), ("deflate, GZIP;q=0.1", true), ("*", true), ("gzip;q=0, *", false), ("br", false)]
        {
            assert_eq!(gzip(&headers(ACCEPT_ENCODING, accept)), want, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_header_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(ACCEPT, value.clone()), (ACCEPT_ENCODING, value)]);
                let _ = (format(&headers), gzip(&headers));
            }
        }
    }
}
