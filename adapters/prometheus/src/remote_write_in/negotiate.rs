//! Which message and which encoding a request says it carries.
//!
//! Only `Content-Type` and `Content-Encoding` decide; the version header of the protocol does not. A
//! sender that says nothing sends remote write 1.0 in snappy. Source: remote-write specifications 1.0
//! and 2.0, and what Prometheus's own receiver takes.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::proto::Version;
use crate::proto::compression::Encoding;

const MEDIA_TYPE: &str = "application/x-protobuf";
const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// The message that `Content-Type` names.
pub(super) fn version(headers: &HeaderMap) -> Result<Version, String> {
    let Some(value) = headers.get(CONTENT_TYPE).filter(|value| !value.is_empty()) else { return Ok(Version::V1) };
    let refused = |what: &str| format!("content type {what}; send `{MEDIA_TYPE}`, with `;proto={V2}` for 2.0");
    let text = value.to_str().map_err(|_| refused("is not ASCII text"))?;
    let mut parts = split_parameters(text).into_iter();
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(refused(&format!("`{}` is not supported", cut(media_type))));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("proto") {
            return match unquote(value.trim()).as_str() {
                V1 => Ok(Version::V1),
                V2 => Ok(Version::V2),
                other => Err(refused(&format!("names the unknown message `{}`", cut(other)))),
            };
        }
    }
    Ok(Version::V1)
}

/// The encoding that `Content-Encoding` names.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, String> {
    let Some(value) = headers.get(CONTENT_ENCODING).filter(|value| !value.is_empty()) else {
        return Ok(Encoding::Snappy);
    };
    match value.to_str().unwrap_or_default().trim() {
        text if text.eq_ignore_ascii_case("snappy") => Ok(Encoding::Snappy),
        text if text.eq_ignore_ascii_case("zstd") => Ok(Encoding::Zstd),
        text => Err(format!("content encoding `{}` is not supported; send `snappy` or `zstd`", cut(text))),
    }
}

/// Splits at semicolons outside of quoted text, and trims.
fn split_parameters(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut out, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    out
}

/// The beginning of a foreign text, for a message.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn version_of(content_type: &str) -> Result<Version, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a header"));
        version(&headers)
    }

    #[test]
    fn content_types() {
        assert_eq!(version(&HeaderMap::new()), Ok(Version::V1));
        for text in [
            "application/x-protobuf",
            "Application/X-Protobuf ; charset=utf-8",
            "application/x-protobuf;proto=prometheus.WriteRequest",
            "application/x-protobuf; version=\"a;proto=b\"",
        ] {
            assert_eq!(version_of(text), Ok(Version::V1), "{text}");
        }
        for text in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf ; PROTO = \"io.prometheus.write.v2.Request\"",
            "application/x-protobuf;a=b;proto=\"io.prometheus.write\\.v2.Request\";",
        ] {
            assert_eq!(version_of(text), Ok(Version::V2), "{text}");
        }
        for text in ["application/json", "application/x-protobuf;proto=io.prometheus.write.v3.Request", "x"] {
            assert!(version_of(text).expect_err(text).contains("send `application/x-protobuf`"), "{text}");
        }
    }

    #[test]
    fn encodings() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(text));
            encoding(&headers)
        };
        assert_eq!(encoding(&HeaderMap::new()), Ok(Encoding::Snappy));
        assert_eq!(of("Snappy"), Ok(Encoding::Snappy));
        assert_eq!(of("zstd"), Ok(Encoding::Zstd));
        assert!(of("gzip").expect_err("gzip").contains("`gzip` is not supported"));
    }
}
