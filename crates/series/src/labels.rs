//! Label sets and the identity of a series.
//!
//! A series is its full, sorted label set, `__name__` included. Its [`SeriesId`] is the 64-bit xxh3 of
//! that set in one canonical encoding: the label messages of Prometheus remote write 1.0, in order.
//! A well-behaved sender therefore ships the hashed bytes as they are, and a known series is looked up
//! without decoding a single label.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

/// Identity of a series: xxh3-64 of its canonical label bytes. The same after a restart and on every host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);

impl fmt::Debug for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Hash of canonical label bytes; see [`Labels::write_canonical`].
#[must_use]
pub fn hash_canonical(bytes: &[u8]) -> SeriesId {
    SeriesId(xxh3_64(bytes))
}

/// Why a label set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// No label at all.
    #[error("empty label set")]
    Empty,
    /// A label has no name.
    #[error("label with an empty name and value `{0}`")]
    EmptyName(String),
    /// One name stands twice.
    #[error("label `{0}` stands twice")]
    Duplicate(String),
    /// The set has no `__name__`.
    #[error("no metric name (`__name__`)")]
    NoName,
    /// A name or value is not UTF-8.
    #[error("label bytes are not UTF-8")]
    NotUtf8,
    /// A name or value is longer than [`Labels::MAX_VALUE_BYTES`].
    #[error("label `{name}` is {bytes} bytes long, more than {max}")]
    TooLong {
        /// Name of the label, cut to 64 bytes.
        name: String,
        /// Its length.
        bytes: usize,
        /// The most that is taken.
        max: usize,
    },
    /// More labels than [`Labels::MAX_LABELS`].
    #[error("{0} labels, more than {max}", max = Labels::MAX_LABELS)]
    TooMany(usize),
    /// The undecoded bytes are not what their format says.
    #[error("labels can not be decoded: {0}")]
    Malformed(&'static str),
}

/// A sorted label set with unique, non-empty names and non-empty values.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Vec<(Box<str>, Box<str>)>);

impl Labels {
    /// The longest label name or value that is taken, in bytes.
    pub const MAX_VALUE_BYTES: usize = 16 * 1024;
    /// The most labels of one series.
    pub const MAX_LABELS: usize = 128;

    /// Sorts and checks `pairs`. Labels with an empty value are dropped: in Prometheus they mean "absent".
    ///
    /// # Errors
    /// Empty set, empty or duplicate name, oversized value, too many labels. A missing `__name__` is no
    /// error here; see [`Labels::series`].
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut all: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(12);
        for (name, value) in pairs {
            let (name, value): (Box<str>, Box<str>) = (name.into(), value.into());
            if name.is_empty() {
                return Err(LabelError::EmptyName(cut(&value).to_owned()));
            }
            let bytes = name.len().max(value.len());
            if bytes > Self::MAX_VALUE_BYTES {
                return Err(LabelError::TooLong { name: cut(&name).to_owned(), bytes, max: Self::MAX_VALUE_BYTES });
            }
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        if all.is_empty() {
            return Err(LabelError::Empty);
        }
        if all.len() > Self::MAX_LABELS {
            return Err(LabelError::TooMany(all.len()));
        }
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = all.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(LabelError::Duplicate(pair[0].0.to_string()));
        }
        Ok(Self(all))
    }

    /// Like [`Labels::new`], and the set must name a metric.
    ///
    /// # Errors
    /// As [`Labels::new`], and [`LabelError::NoName`].
    pub fn series<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let labels = Self::new(pairs)?;
        if labels.get(NAME).is_none() { Err(LabelError::NoName) } else { Ok(labels) }
    }

    /// The value of label `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|i| &*self.0[i].1)
    }

    /// The metric name, or `""` where there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(NAME).unwrap_or("")
    }

    /// All labels in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This set with `name` set to `value`, or without `name` where `value` is empty.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut all = self.0.clone();
        match all.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(i) if value.is_empty() => drop(all.remove(i)),
            Ok(i) => all[i].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(i) => all.insert(i, (name.into(), value.into())),
        }
        Self(all)
    }

    /// Identity of the series with these labels.
    #[must_use]
    pub fn id(&self) -> SeriesId {
        let mut bytes = Vec::with_capacity(256);
        self.write_canonical(&mut bytes);
        hash_canonical(&bytes)
    }

    /// Appends the canonical encoding: for each label in order of names the protobuf message
    /// `0x0a len { 0x0a len name 0x12 len value }`, as in a remote-write 1.0 `TimeSeries`.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            write_canonical_label(name.as_bytes(), value.as_bytes(), out);
        }
    }
}

/// Appends one label in the canonical encoding; see [`Labels::write_canonical`].
pub fn write_canonical_label(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let inner = 2 + varint_len(name.len()) + varint_len(value.len()) + name.len() + value.len();
    out.push(0x0a);
    write_varint(inner, out);
    out.push(0x0a);
    write_varint(name.len(), out);
    out.extend_from_slice(name);
    out.push(0x12);
    write_varint(value.len(), out);
    out.extend_from_slice(value);
}

fn varint_len(n: usize) -> usize {
    (1 + (usize::BITS - n.leading_zeros()).saturating_sub(1) / 7) as usize
}

fn write_varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads label bytes in the canonical encoding back, in any order of labels and with unknown fields skipped.
///
/// # Errors
/// Bytes that are not such messages, not UTF-8, or a set that [`Labels::series`] refuses.
pub fn read_canonical(bytes: &[u8]) -> Result<Labels, LabelError> {
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(12);
    let mut at = 0;
    while at < bytes.len() {
        let tag = read_varint(bytes, &mut at)?;
        if tag != 0x0a {
            return Err(LabelError::Malformed("not a label message"));
        }
        let message = read_slice(bytes, &mut at)?;
        pairs.push(read_label(message)?);
    }
    Labels::series(pairs)
}

/// The labels of canonical bytes in the order in which they stand there, without checks: for bytes that
/// Watchbell wrote itself. Stops at the first byte that is not canonical.
pub fn iter_canonical(bytes: &[u8]) -> impl Iterator<Item = (&str, &str)> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() || read_varint(bytes, &mut at).ok()? != 0x0a {
            return None;
        }
        read_label(read_slice(bytes, &mut at).ok()?).ok()
    })
}

fn read_label(message: &[u8]) -> Result<(&str, &str), LabelError> {
    let (mut name, mut value, mut at) = ("", "", 0);
    while at < message.len() {
        let tag = read_varint(message, &mut at)?;
        match tag {
            0x0a => name = text(read_slice(message, &mut at)?)?,
            0x12 => value = text(read_slice(message, &mut at)?)?,
            _ => match tag & 7 {
                0 => drop(read_varint(message, &mut at)?),
                1 => at += 8,
                2 => drop(read_slice(message, &mut at)?),
                5 => at += 4,
                _ => return Err(LabelError::Malformed("unknown wire type")),
            },
        }
    }
    Ok((name, value))
}

fn text(bytes: &[u8]) -> Result<&str, LabelError> {
    std::str::from_utf8(bytes).map_err(|_| LabelError::NotUtf8)
}

fn read_slice<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], LabelError> {
    let len = usize::try_from(read_varint(bytes, at)?).map_err(|_| LabelError::Malformed("length"))?;
    let end = at.checked_add(len).filter(|end| *end <= bytes.len());
    let end = end.ok_or(LabelError::Malformed("length beyond the end"))?;
    let slice = &bytes[*at..end];
    *at = end;
    Ok(slice)
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Result<u64, LabelError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(LabelError::Malformed("varint beyond the end"))?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(LabelError::Malformed("varint too long"))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(64);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl fmt::Display for Labels {
    /// The text form, `name{a="b"}`, with `\`, `"` and line feeds escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut open = false;
        for (name, value) in self.iter().filter(|(n, _)| *n != NAME) {
            f.write_str(if open { "," } else { "{" })?;
            open = true;
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
        }
        if open { f.write_str("}") } else { Ok(()) }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorts_and_finds() {
        let labels = Labels::series([("job", "node"), ("__name__", "up"), ("empty", "")]).expect("valid");
        assert_eq!(labels.to_string(), "up{job=\"node\"}");
        assert_eq!(labels.get("job"), Some("node"));
        assert_eq!(labels.get("empty"), None);
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn refuses_bad_sets() {
        assert_eq!(Labels::new([("a", "")]), Err(LabelError::Empty));
        assert_eq!(Labels::new([("", "x")]), Err(LabelError::EmptyName("x".into())));
        assert_eq!(Labels::new([("a", "x"), ("a", "y")]), Err(LabelError::Duplicate("a".into())));
        assert_eq!(Labels::series([("a", "x")]), Err(LabelError::NoName));
        let long = "x".repeat(Labels::MAX_VALUE_BYTES + 1);
        assert!(matches!(Labels::new([("a", long.as_str())]), Err(LabelError::TooLong { .. })));
    }

    #[test]
    fn with_sets_and_removes() {
        let labels = Labels::series([("__name__", "up"), ("job", "node")]).expect("valid");
        assert_eq!(labels.with("host", "a").to_string(), "up{host=\"a\",job=\"node\"}");
        assert_eq!(labels.with("job", "").to_string(), "up");
    }

    #[test]
    fn id_is_stable() {
        // Persisted in checkpoints: a change of this value breaks them.
        let labels = Labels::series([("__name__", "up"), ("job", "node")]).expect("valid");
        let mut bytes = Vec::new();
        labels.write_canonical(&mut bytes);
        assert_eq!(bytes, b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x0b\x0a\x03job\x12\x04node");
        assert_eq!(labels.id(), hash_canonical(&bytes));
    }

    proptest! {
        #[test]
        fn canonical_round_trip(pairs in proptest::collection::btree_map("[a-z_]{1,9}", ".{1,40}", 1..9)) {
            let labels = Labels::series(pairs.into_iter().chain([("__name__".to_owned(), "m".to_owned())]));
            let labels = labels.expect("valid");
            let mut bytes = Vec::new();
            labels.write_canonical(&mut bytes);
            prop_assert_eq!(read_canonical(&bytes), Ok(labels));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = read_canonical(&bytes);
        }
    }
}
