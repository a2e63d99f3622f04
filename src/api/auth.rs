//! Basic authentication of the service's own server.

use std::sync::Arc;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::settings::Credentials;

/// The header that lets in. Its text is never shown.
#[derive(Clone)]
pub struct Expected(Arc<[u8]>);

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl Expected {
    /// Of these credentials.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Self {
        let pair = format!("{}:{}", credentials.username, credentials.password.reveal());
        Self(format!("Basic {}", STANDARD.encode(pair)).into_bytes().into())
    }

    /// Whether `given` is it. Takes the same time wherever the first difference stands.
    #[must_use]
    pub fn is(&self, given: Option<&HeaderValue>) -> bool {
        let given = given.map_or(&[][..], HeaderValue::as_bytes);
        let differences = self.0.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        given.len() == self.0.len() && differences == 0
    }
}

#[cfg(test)]
mod tests {
    use watchbell_adapter_api::Secret;

    use super::*;

    #[test]
    fn only_the_right_header() {
        // The example of RFC 7617, section 2.
        let password = Secret::new("open sesame");
        let expected = Expected::of(&Credentials { username: "Aladdin".into(), password });
        let header = |text: &str| HeaderValue::from_str(text).expect("valid");
        assert!(expected.is(Some(&header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))));
        assert!(!expected.is(Some(&header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ="))));
        assert!(!expected.is(Some(&header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZR=="))));
        assert!(!expected.is(None));
    }
}
