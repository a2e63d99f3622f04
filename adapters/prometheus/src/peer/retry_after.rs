//! The `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date.
//!
//! A date is measured against the answer's own `Date`, so that the clocks need not agree.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

/// The longest wait that a peer may ask for; more is cut, for a wrong date must not silence a sink.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// When the peer asked to be tried again; `None` if it did not say, or said nonsense.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let wait = match text(RETRY_AFTER)?.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let (until, now) = (date(text(RETRY_AFTER)?)?, date(text(DATE)?)?);
            Duration::from_millis(u64::try_from(until.as_millisecond() - now.as_millisecond()).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Duration> {
        let value = |text| HeaderValue::from_str(text).expect("a header value");
        let now = (DATE, value("Sun, 06 Nov 1994 08:49:37 GMT"));
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value(text)), now]))
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed(" 0 "), Some(Duration::ZERO));
        assert_eq!(parsed("99999999"), Some(LONGEST));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.clone()), (DATE, value)]));
            }
        }
    }
}
