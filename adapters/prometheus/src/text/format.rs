//! Which format a page is in: content negotiation between scraper and target.

/// Format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text format 0.0.4 (and 1.0.0, which only adds quoted names).
    #[default]
    Text,
    /// OpenMetrics 1.0 (and 0.0.1).
    OpenMetrics,
}

/// The `Accept` header of a scrape: OpenMetrics first, then text, then whatever there is.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

impl Format {
    /// The format of a `Content-Type` header; `None` where it is none of these. Charset and version are
    /// not looked at: every version of a format is read alike, and names and values are checked for UTF-8.
    #[must_use]
    pub fn of_content_type(header: &str) -> Option<Self> {
        let media = header.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else if media.eq_ignore_ascii_case("text/plain") {
            Some(Self::Text)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_content_types() {
        for (header, format) in [
            ("text/plain; version=0.0.4; charset=utf-8", Some(Format::Text)),
            ("TEXT/Plain", Some(Format::Text)),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Some(Format::OpenMetrics)),
            ("application/openmetrics-text;version=\"1.0.0\"", Some(Format::OpenMetrics)),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(Format::of_content_type(header), format, "{header}");
        }
    }
}
