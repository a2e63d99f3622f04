//! One HTTP request for a page: who answers what, and no more of it than allowed.

use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::failure::Failure;
use super::job::Job;
use super::target::Target;
use crate::discovery::body;
use crate::text::{self, Format};

/// A page as it came.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Its bytes, decompressed.
    pub(crate) body: Vec<u8>,
    /// Its format.
    pub(crate) format: Format,
}

/// Asks `target` for its page. The timeout spans everything up to the last byte; compression is undone as
/// the bytes stream in, and the reading stops at the limit. `expected` is the size to make room for.
pub(crate) async fn fetch(job: &Job, target: &Target, expected: usize) -> Result<Fetched, Failure> {
    let request = job.client.request(reqwest::Method::GET, &target.url).map_err(Failure::Http)?;
    let response = request
        .timeout(target.timeout)
        .header(ACCEPT, text::ACCEPT)
        .header("X-Prometheus-Scrape-Timeout-Seconds", target.timeout.as_secs_f64().to_string())
        .send()
        .await?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let format = Format::of_content_type(content_type)
        .or(job.fallback)
        .ok_or_else(|| Failure::ContentType(content_type.chars().take(100).collect()))?;
    Ok(Fetched { body: body::read(response, job.body_limit, expected).await?, format })
}
