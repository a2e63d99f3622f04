//! Which series are read together: chunks whose past fits into memory.
//!
//! A chunk is named by matchers that no other chunk of the read shares. Whole families (a histogram with all its
//! parts) go together as long as they fit; a family that does not is taken apart by `instance`, and what is still
//! too large by the label that tells most of its series apart.

use std::collections::BTreeMap;

use watchbell_series::Labels;
use watchbell_series::labels::NAME;

use crate::query::gather::{PART_LABELS, family, whole_of};
use crate::query::selector::{OneOf, is_word};

/// Series that are read together.
#[derive(Debug)]
pub(super) struct Chunk {
    /// What selects them, on top of what the whole read selects.
    pub(super) scope: Vec<OneOf>,
    pub(super) series: Vec<Labels>,
}

impl Chunk {
    /// Whether it is a single series or histogram, which can not be taken apart.
    pub(super) fn is_one(&self) -> bool {
        let mut all = self.series.iter().map(whole_of);
        let first = all.next();
        all.all(|whole| Some(whole) == first)
    }

    /// Takes it apart into chunks of at most `most` series, but for single histograms of more.
    pub(super) fn split(self, most: usize) -> Vec<Self> {
        let mut out = Vec::new();
        self.split_into(most, &mut out);
        out
    }

    fn split_into(self, most: usize, out: &mut Vec<Self>) {
        let label = if self.series.len() > most { self.telling_label() } else { None };
        let Some(label) = label else {
            out.push(self);
            return;
        };
        let Self { scope, series } = self;
        let mut by_value: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
        for labels in series {
            by_value.entry(value_of(&labels, &label).to_owned()).or_default().push(labels);
        }
        let mut bin = Bin { label, scope, values: Vec::new(), series: Vec::new() };
        for (value, series) in by_value {
            let values = if bin.label == NAME { names(&series) } else { vec![value] };
            if series.len() > most {
                bin.narrowed(values, series).split_into(most, out);
                continue;
            }
            let all = || bin.values.iter().chain(&values);
            if bin.series.len() + series.len() > most || !OneOf::fits(all().count(), all().map(String::len).sum()) {
                bin.empty(out);
            }
            bin.values.extend(values);
            bin.series.extend(series);
        }
        bin.empty(out);
    }

    /// The label by which to take it apart: `__name__`, `instance`, or the one with most values.
    fn telling_label(&self) -> Option<String> {
        let differ = |label: &str| {
            let first = self.series.first().map(|labels| value_of(labels, label));
            self.series.iter().any(|labels| Some(value_of(labels, label)) != first)
        };
        if let Some(label) = [NAME, "instance"].into_iter().find(|label| differ(label)) {
            return Some(label.to_owned());
        }
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for labels in &self.series {
            for (name, value) in labels.iter().filter(|(name, _)| !PART_LABELS.contains(name)) {
                values.entry(name).or_default().push(value);
            }
        }
        let counts = values.into_iter().filter(|(name, _)| differ(name)).map(|(name, mut values)| {
            values.sort_unstable();
            values.dedup();
            (name, values.len())
        });
        counts.max_by_key(|(name, count)| (is_word(name), *count)).map(|(name, _)| name.to_owned())
    }
}

/// A chunk that is being filled.
struct Bin {
    label: String,
    scope: Vec<OneOf>,
    values: Vec<String>,
    series: Vec<Labels>,
}

impl Bin {
    fn narrowed(&self, values: Vec<String>, series: Vec<Labels>) -> Chunk {
        // What is known of the label already is wider.
        let mut scope: Vec<OneOf> = self.scope.iter().filter(|outer| outer.label != self.label).cloned().collect();
        scope.push(OneOf { label: self.label.clone(), values });
        Chunk { scope, series }
    }

    fn empty(&mut self, out: &mut Vec<Chunk>) {
        if !self.series.is_empty() {
            let (values, series) = (std::mem::take(&mut self.values), std::mem::take(&mut self.series));
            out.push(self.narrowed(values, series));
        }
    }
}

/// The value by which series are put together: of names that of the family.
fn value_of<'a>(labels: &'a Labels, label: &str) -> &'a str {
    let value = labels.get(label).unwrap_or("");
    if label == NAME { family(value) } else { value }
}

fn names(series: &[Labels]) -> Vec<String> {
    let mut names: Vec<&str> = series.iter().map(Labels::name).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::selector::promql;
    use proptest::prelude::*;
    use watchbell_series::Selector;

    fn series(texts: &[&str]) -> Vec<Labels> {
        let read = |text: &&str| {
            let selector: Selector = text.parse().expect("valid");
            Labels::series(selector.matchers().iter().map(|m| (m.name().to_owned(), m.value().to_owned())))
        };
        texts.iter().map(|text| read(text).expect("labels")).collect()
    }

    fn scopes(chunks: &[Chunk]) -> Vec<String> {
        chunks.iter().map(|chunk| promql(&Selector::new(Vec::new()), &[], &chunk.scope)).collect()
    }

    #[test]
    fn by_family_then_by_host_then_by_what_tells_apart() {
        let all = series(&[
            r#"h_bucket{instance="a",le="1"}"#,
            r#"h_bucket{instance="a",le="+Inf"}"#,
            r#"h_count{instance="a"}"#,
            r#"h_sum{instance="a"}"#,
            r#"cpu{instance="a:1",core="0"}"#,
            r#"cpu{instance="a:1",core="1"}"#,
            r#"cpu{instance="a:1",core="2"}"#,
            r#"cpu{instance="b.x",core="0"}"#,
            r#"cpu{instance="c"}"#,
            r#"load{instance="a"}"#,
            r#"up{instance="a"}"#,
        ]);
        let expected = [
            r#"{__name__="cpu",instance="a:1",core=~"0|1"}"#,
            r#"{__name__="cpu",instance="a:1",core="2"}"#,
            r#"{__name__="cpu",instance=~"b\\.x|c"}"#,
            r#"{__name__=~"h_bucket|h_count|h_sum"}"#,
            r#"{__name__=~"load|up"}"#,
        ];
        let whole = Chunk { scope: Vec::new(), series: all };
        assert!(!whole.is_one());
        let chunks = whole.split(2);
        assert_eq!(scopes(&chunks), expected);
        assert!(chunks[3].is_one(), "the parts of a histogram stay together");
    }

    #[test]
    fn matchers_stay_short() {
        let texts: Vec<String> = (0..250).map(|i| format!(r#"up{{instance="host-{i}"}}"#)).collect();
        let all = series(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let chunks = Chunk { scope: Vec::new(), series: all }.split(249);
        assert_eq!(chunks.iter().map(|chunk| chunk.series.len()).collect::<Vec<_>>(), [100, 100, 50]);
    }

    proptest! {
        /// Each series is in the one chunk whose matchers select it, with all parts of its histogram.
        #[test]
        fn chunks_are_disjoint_and_complete(
            rows in proptest::collection::btree_set((0..4usize, "[ab.]?", "[0-3]?", "[xy]?"), 1..60),
            most in 1..9usize,
        ) {
            let names = ["h_bucket", "h_count", "g", "x_sum"];
            let all: Vec<Labels> = rows.iter().map(|(name, instance, le, other)| {
                let pairs = [("__name__", names[*name]), ("instance", instance), ("le", le), ("other", other)];
                Labels::series(pairs).expect("valid")
            }).collect();
            let chunks = Chunk { scope: Vec::new(), series: all.clone() }.split(most);
            prop_assert_eq!(chunks.iter().map(|chunk| chunk.series.len()).sum::<usize>(), all.len());
            let selectors: Vec<Selector> = scopes(&chunks).iter().map(|scope| scope.parse().expect("valid")).collect();
            for (chunk, selector) in chunks.iter().zip(&selectors) {
                prop_assert!(chunk.series.len() <= most || chunk.is_one());
                for labels in &all {
                    prop_assert_eq!(selector.matches(labels), chunk.series.contains(labels));
                }
            }
            for chunk in &chunks {
                for labels in &chunk.series {
                    let parts = all.iter().filter(|other| whole_of(other) == whole_of(labels));
                    prop_assert!(parts.clone().all(|part| chunk.series.contains(part)));
                }
            }
        }
    }
}
