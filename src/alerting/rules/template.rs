//! Texts of annotations with placeholders: `{{metric}} of {{host}}`.
//!
//! Placeholders are checked when the rules are loaded; filling one in can not fail. What is not known for
//! an alert is empty.

/// Placeholders, besides `labels.<name>`.
pub const PLACEHOLDERS: [&str; 22] = [
    "alertname",
    "severity",
    "host",
    "metric",
    "which",
    "value",
    "expected",
    "lower",
    "upper",
    "score",
    "kind",
    "unit",
    "rarity",
    "since",
    "last_seen",
    "limit",
    "compared_with",
    "explanation",
    "top_contributors",
    "dashboard",
    "anomalous",
    "series",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

/// A text with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// An unknown placeholder or one that is not closed: the message and what to do.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(("`{{` is not closed".to_owned(), "write `{{name}}`".to_owned()));
            };
            let name = name.trim();
            let known = PLACEHOLDERS.contains(&name) || name.strip_prefix("labels.").is_some_and(|n| !n.is_empty());
            if !known {
                let all = PLACEHOLDERS.join(", ");
                return Err((format!("unknown placeholder `{name}`"), format!("known: {all}, labels.<name>")));
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Place(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text with each placeholder replaced by what `fill` gives for its name.
    pub fn render(&self, fill: impl Fn(&str) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Place(name) => fill(name),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fills_in() {
        let template = Template::parse("{{metric}} of {{ labels.job }}: {a}}").expect("template");
        assert_eq!(template.render(|name| format!("<{name}>")), "<metric> of <labels.job>: {a}}");
        assert_eq!(Template::parse("").expect("empty").render(|_| "x".to_owned()), "");
    }

    #[test]
    fn says_what_is_wrong() {
        let (message, hint) = Template::parse("{{vaule}}").expect_err("unknown");
        assert!(message.contains("`vaule`") && hint.contains("value, expected"), "{message} {hint}");
        assert!(Template::parse("a {{value").expect_err("open").0.contains("not closed"));
        assert!(Template::parse("{{labels.}}").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[a-z{} .]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                template.render(str::to_owned);
            }
        }
    }
}
