//! Who may push to a source: basic or bearer credentials, checked before a body is read.
//!
//! A credentials file is read when the config is loaded.

use std::path::PathBuf;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Authorization, BasicAuth};
use crate::problem::Problems;
use crate::secret::Secret;

/// Checks the `Authorization` header.
#[derive(Debug)]
pub struct Guard {
    expected: Option<Expected>,
}

#[derive(Debug)]
struct Expected {
    /// Compared without regard to case, as the scheme of a header is.
    scheme: String,
    credentials: Secret,
}

impl Guard {
    /// The guard of a config; notes what is wrong with it.
    #[must_use]
    pub fn new(basic: Option<&BasicAuth>, authorization: Option<&Authorization>, problems: &mut Problems) -> Self {
        if basic.is_some() && authorization.is_some() {
            problems.hint("authorization", "both `basic_auth` and `authorization` are set", "keep one of them");
        }
        let basic = basic.and_then(|auth| {
            let password =
                secret("basic_auth", "password", auth.password.as_ref(), auth.password_file.as_ref(), problems)?;
            let pair = format!("{}:{}", auth.username, password.reveal());
            Some(Expected { scheme: "Basic".to_owned(), credentials: Secret::new(STANDARD.encode(pair)) })
        });
        let header = authorization.and_then(|auth| {
            let (text, file) = (auth.credentials.as_ref(), auth.credentials_file.as_ref());
            let credentials = secret("authorization", "credentials", text, file, problems)?;
            Some(Expected { scheme: auth.scheme.clone(), credentials })
        });
        Self { expected: basic.or(header) }
    }

    /// Whether credentials are asked for at all.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.expected.is_some()
    }

    /// Whether the sender may write.
    ///
    /// # Errors
    /// The challenge for the header `WWW-Authenticate` of the answer 401.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, credentials) = given.split_once(' ').unwrap_or_default();
        let same_scheme = scheme.eq_ignore_ascii_case(&expected.scheme);
        if same_scheme & same(credentials.trim_start().as_bytes(), expected.credentials.reveal().as_bytes()) {
            Ok(())
        } else {
            Err(format!("{} realm=\"watchbell\"", expected.scheme))
        }
    }
}

fn secret(
    path: &str,
    name: &str,
    text: Option<&Secret>,
    file: Option<&PathBuf>,
    problems: &mut Problems,
) -> Option<Secret> {
    match (text, file) {
        (Some(_), Some(_)) => {
            let message = format!("both `{name}` and `{name}_file` are set");
            problems.hint(format!("{path}.{name}"), message, "keep one of them");
            None
        }
        (Some(text), None) => Some(text.clone()),
        (None, Some(file)) => problems.take(format!("{path}.{name}_file"), Secret::from_file(file)),
        (None, None) => {
            problems.add(path, format!("neither `{name}` nor `{name}_file` is set"));
            None
        }
    }
}

/// Compares in a time that tells nothing of where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn basic() {
        let mut problems = Problems::default();
        let auth =
            BasicAuth { username: "prom".into(), password: Some(Secret::new("open sesame")), password_file: None };
        let guard = Guard::new(Some(&auth), None, &mut problems);
        assert!(problems.is_empty() && guard.asks() && !Guard::new(None, None, &mut problems).asks());
        assert_eq!(guard.check(&headers("basic cHJvbTpvcGVuIHNlc2FtZQ==")), Ok(()));
        for wrong in ["", "Basic", "Basic cHJvbTpvcGVuIHNlc2FtZA==", "Bearer cHJvbTpvcGVuIHNlc2FtZQ=="] {
            assert_eq!(guard.check(&headers(wrong)), Err("Basic realm=\"watchbell\"".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn bearer_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "t0ken\n").expect("written");
        let auth = |file| Authorization { scheme: "Bearer".into(), credentials: None, credentials_file: file };
        let mut problems = Problems::default();
        let guard = Guard::new(None, Some(&auth(Some(file))), &mut problems);
        assert!(problems.is_empty());
        assert_eq!(guard.check(&headers("Bearer t0ken")), Ok(()));
        assert!(guard.check(&HeaderMap::new()).is_err());
        let _ = Guard::new(None, Some(&auth(None)), &mut problems);
        let _ = Guard::new(None, Some(&auth(Some("/nonexistent/token".into()))), &mut problems);
        assert_eq!(problems.len(), 2);
    }
}
