//! The nearest known word to a misspelt one, for hints.
//!
//! Used for keys, kinds and enum words of the config. Never guesses far: a suggestion that is not
//! what was meant costs more than none.

/// The word of `known` that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // Keys from a file may be of any length; none of ours is near to one this long.
    let chars: Vec<char> = word.to_lowercase().chars().take(65).collect();
    if chars.len() > 64 {
        return None;
    }
    let allowed = (chars.len() / 3).max(1);
    let near = known
        .clone()
        .into_iter()
        .map(|candidate| (distance(&chars, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    // `job` for `job_name`: short, but not misspelt.
    near.or_else(|| known.into_iter().find(|candidate| chars.len() > 2 && candidate.starts_with(word)))
}

/// A hint that offers the nearest of `known`, or lists all of them.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it; there is nothing to set here".to_owned(),
        None => format!("known here: {}", list(known)),
    }
}

/// Words in backticks with commas between.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Edits (insert, delete, replace, swap of neighbours) that lead from one word to the other:
/// the optimal string alignment distance.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["interval", "timeout", "url", "urls"];
        for (word, want) in [
            ("intervall", Some("interval")),
            ("itnerval", Some("interval")),
            ("Timeout", Some("timeout")),
            ("time", Some("timeout")),
            ("ti", None),
            ("ulr", Some("url")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
        assert_eq!(suggest("colour", &["a", "b"]), "known here: `a`, `b`");
    }
}
