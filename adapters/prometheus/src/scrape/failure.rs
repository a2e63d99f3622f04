//! Why a scrape failed.

use crate::discovery::body::BodyError;
use crate::text::{BadLine, PageError};

/// Why a scrape failed: everything of it is dropped, and `up` is 0.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No answer within the time.
    #[error("no whole answer within the scrape timeout")]
    Timeout,
    /// Connection refused, reset, TLS failed, too many redirects, broken compression.
    #[error("{0}")]
    Http(String),
    /// Another status than 200.
    #[error("answered status {0}")]
    Status(u16),
    /// No content type that is known, and no fallback.
    #[error("answered content type `{0}`, which is no metrics format; if it is one, set `fallback_scrape_protocol`")]
    ContentType(String),
    /// The page is larger than the limit.
    #[error("page is larger than `body_size_limit`, {0} bytes")]
    BodyLimit(usize),
    /// The page was cut off.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Not one line was a sample.
    #[error("no sample on the page; line {line}: {reason}")]
    Garbage {
        /// The first bad line.
        line: usize,
        /// What is wrong with it.
        reason: BadLine,
    },
    /// Relabelling took the name off a series.
    #[error("`metric_relabel_configs` left a series without `__name__`")]
    NoName,
    /// A limit of the config.
    #[error("`{name}` of {limit} is exceeded")]
    Limit {
        /// Which one.
        name: &'static str,
        /// Its value.
        limit: usize,
    },
    /// Reading the page was broken off by a fault of its own.
    #[error("reading the page was broken off: {0}")]
    Broken(String),
}

impl Failure {
    /// The reason as the value of a label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Http(_) => "http",
            Self::Status(_) => "status",
            Self::ContentType(_) => "content_type",
            Self::BodyLimit(_) => "body_size_limit",
            Self::Page(PageError::NoEnd) => "no_end",
            Self::Garbage { .. } => "garbage",
            Self::NoName => "no_name",
            Self::Limit { name, .. } => name,
            Self::Broken(_) => "broken",
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Http(crate::discovery::body::chain(&error)) }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(limit) => Self::BodyLimit(limit),
            BodyError::Http(error) => error.into(),
        }
    }
}
