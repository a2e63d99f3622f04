//! The query API of Prometheus and those that speak like it.

use serde_json::Value;

use super::http;

/// One series of an instant query: its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    labels: Value,
    pub(crate) value: f64,
}

impl Point {
    /// A label, empty where there is none.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

/// The answer to an instant query at the server `base`.
pub(crate) fn query(base: &str, expression: &str) -> Result<Vec<Point>, String> {
    let mut url = format!("{base}/api/v1/query").parse::<reqwest::Url>().expect("an address");
    url.query_pairs_mut().append_pair("query", expression);
    let text = http::get(url.as_str())?.ok()?;
    let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let point = |item: &Value| {
        let value = item["value"][1].as_str()?.parse().ok()?;
        Some(Point { labels: item["metric"].clone(), value })
    };
    let items = answer["data"]["result"].as_array().ok_or_else(|| text.clone())?;
    items.iter().map(|item| point(item).ok_or_else(|| item.to_string())).collect()
}

/// The first series that `expression` gives, or why there is none yet.
pub(crate) fn first(base: &str, expression: &str) -> Result<Point, String> {
    let points = query(base, expression)?;
    points.into_iter().next().ok_or_else(|| format!("`{expression}` gives nothing"))
}
