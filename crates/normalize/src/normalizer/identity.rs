//! Who a series is: its id, its labels in order, and the shard where it is at home.

use watchbell_series::labels::{NAME, hash_canonical, iter_canonical, read_canonical, write_canonical_label};
use watchbell_series::{LabelError, Labels};

use crate::meaning::{Suffix, split};

/// Labels as they lie in the bytes they were read from.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Key of the histogram or summary a series may be part of: the id of its family with its labels, `le` left
/// out. Told by the name alone, so that every shard agrees on it. A native histogram has its own id as key.
pub(super) fn group_key(pairs: &[(&str, &str)], name: &str) -> Option<u64> {
    let (family, suffix) = split(name);
    let bucket = match suffix {
        Suffix::Bucket => pairs.iter().any(|(n, _)| *n == "le"),
        Suffix::Sum | Suffix::Count => false,
        _ => return None,
    };
    if suffix == Suffix::Bucket && !bucket {
        return None;
    }
    let mut bytes = Vec::with_capacity(512);
    for (name, value) in pairs {
        if *name == NAME {
            write_canonical_label(name.as_bytes(), family.as_bytes(), &mut bytes);
        } else if !(bucket && *name == "le") {
            write_canonical_label(name.as_bytes(), value.as_bytes(), &mut bytes);
        }
    }
    Some(hash_canonical(&bytes).0)
}

/// The key under which shard `home` of `count` knows the series `id`: the id itself where it leads there,
/// else the one next to it that does.
pub(super) fn route(id: u64, home: u64, count: u64) -> u64 {
    let base = id - id % count;
    base.checked_add(home).unwrap_or(base - count + home)
}

/// Id and labels of label bytes. `text` is scratch; it holds the canonical bytes afterwards.
pub(super) fn read<'a>(bytes: &'a [u8], text: &'a mut Vec<u8>) -> Result<(u64, Pairs<'a>), LabelError> {
    text.clear();
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    pairs.extend(iter_canonical(bytes).take(Labels::MAX_LABELS));
    let whole = |(name, value): &(&str, &str)| !name.is_empty() && !value.is_empty();
    if pairs.iter().all(whole) && pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().any(|p| p.0 == NAME) {
        for (name, value) in &pairs {
            write_canonical_label(name.as_bytes(), value.as_bytes(), text);
        }
        if text == bytes {
            return Ok((hash_canonical(text).0, pairs));
        }
        text.clear();
    }
    read_canonical(bytes)?.write_canonical(text);
    Ok((hash_canonical(text).0, iter_canonical(text).collect()))
}
