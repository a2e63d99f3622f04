//! Why a series is not judged, in words, with the place of the rule that says so.

use watchbell_series::{Labels, MetricKind, Selector};

use super::{Placed, Rules};
use crate::meaning::{Suffix, kind_of_name, own_output, split};

/// Why rules set a series aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What sets it aside: a sentence without its end.
    pub text: String,
    /// The rule, as `file:line`; `None` where it is no rule.
    pub rule: Option<String>,
}

impl Rules {
    /// Why a series with these labels would not be judged; `None` if it would be. Goes by the name where the
    /// kind is not known from rules; what a source tells of its kind may say otherwise.
    #[must_use]
    pub fn set_aside(&self, labels: &Labels) -> Option<SetAside> {
        let get = |name: &str| labels.get(name).unwrap_or("");
        let name = labels.name();
        let aside = |text: String, rule| Some(SetAside { text, rule });
        if own_output(name, get) {
            return aside("it is Watchbell's own output, which is never judged".to_owned(), None);
        }
        let facts = self.facts(name);
        let mut rows = Vec::new();
        self.rows(&facts, get, &mut rows);
        let passes = |placed: &&Placed| placed.selector.matches_by(get);
        if !self.watch.iter().any(|placed| passes(&placed)) {
            let place = self.watch.first().map(|placed| self.place(placed.place));
            return aside(format!("none of the {} selectors of `watch` selects it", self.watch.len()), place);
        }
        match rows.iter().map(|row| &self.rows[*row as usize]).find(|row| row.watch.is_some()) {
            Some(row) if row.watch == Some(false) => {
                return aside("a row says `watch: false` of it".to_owned(), Some(self.place(row.place)));
            }
            Some(_) => {}
            None => {
                let ignored = self.ignore.iter().find(passes);
                if let Some(placed) = ignored.filter(|_| !self.keep.iter().any(|placed| passes(&placed))) {
                    let text = format!("`ignore` names it: `{}`", shown(&placed.selector));
                    return aside(text, Some(self.place(placed.place)));
                }
            }
        }
        let kind = self.kind(&rows).unwrap_or_else(|| kind_of_name(name, labels.get("le").is_some()));
        if kind == MetricKind::Info || split(name).1 == Suffix::Created {
            return aside("its value says nothing: its labels are the information".to_owned(), None);
        }
        if kind == MetricKind::Histogram && split(name).1 == Suffix::Bucket {
            let family = split(name).0;
            let text = format!(
                "it is a bucket of the histogram `{family}`, which is judged as `{family}:rate`, `{family}:mean`, \
                 `{family}:p50`, `{family}:p90` and `{family}:p99`"
            );
            return aside(text, None);
        }
        None
    }
}

fn shown(selector: &Selector) -> String {
    let mut text = selector.to_string();
    if text.len() > 160 {
        text.truncate(text.floor_char_boundary(160));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use watchbell_series::labels::NAME;

    use super::*;

    fn why(text: &str, labels: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let rules = Rules::load(&[("mine.yaml", text)], &[]).expect("rules");
        let labels = Labels::series(labels.iter().copied()).expect("labels");
        rules.set_aside(&labels).map(|aside| (aside.text, aside.rule))
    }

    #[test]
    fn the_rule_is_named_with_its_place() {
        let up = [(NAME, "up"), ("job", "a")];
        assert_eq!(why("", &up), None);
        let (text, rule) = why("watch: ['{job=\"b\"}']", &up).expect("not watched");
        assert!(text.contains("`watch`") && rule.as_deref() == Some("mine.yaml:1"), "{text} {rule:?}");
        let (text, rule) = why("ignore:\n  - 'up'\n", &up).expect("ignored");
        assert!(text.contains("`ignore`") && rule.as_deref() == Some("mine.yaml:2"), "{text} {rule:?}");
        assert_eq!(why("ignore: [up]\nkeep: ['{job=\"a\"}']", &up), None);
        let (text, rule) = why("metrics:\n  - {metric: up, watch: false}", &up).expect("off");
        assert!(text.contains("watch: false") && rule.as_deref() == Some("mine.yaml:2"), "{text} {rule:?}");
        let (_, rule) = why("", &[(NAME, "node_boot_time_seconds")]).expect("built in");
        assert!(rule.is_some_and(|rule| rule.starts_with("rules/mappings/prometheus.yaml (built in):")));
    }

    #[test]
    fn what_is_no_series_of_its_own_says_so() {
        for (name, word) in [
            ("watchbell_value", "own output"),
            ("node_uname_info", "labels are"),
            ("x_seconds_bucket", "x_seconds:p99"),
        ] {
            let (text, rule) = why("", &[(NAME, name), ("le", "1")]).expect(name);
            assert!(text.contains(word) && rule.is_none(), "{name}: {text}");
        }
    }
}
