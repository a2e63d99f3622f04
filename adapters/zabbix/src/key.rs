//! Keys of items: `net.if.in["eth0",bytes]`, read and written in one shortest form.
//!
//! Grammar: a name of letters, digits, `_`, `-` and `.`; then perhaps parameters in brackets, which are quoted, plain,
//! or a list in brackets of their own. Two keys that differ in quotes and blanks only are one item to Zabbix's agent.
//! Source: <https://www.zabbix.com/documentation/6.0/en/manual/config/items/item/key>.

use std::fmt::{self, Write};

/// A key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// What stands before the bracket.
    pub name: String,
    /// The parameters; none where there is no bracket.
    pub params: Option<Vec<Param>>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Param {
    /// Text, without quotes.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Key {
    /// Reads a key; what is none becomes a name as it stands, so that every item has some key.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match Self::read_from(text) {
            Some((key, "")) => key,
            _ => Self { name: text.to_owned(), params: None },
        }
    }

    /// Reads the key at the beginning of `text` and gives what stands behind it.
    #[must_use]
    pub fn read_from(text: &str) -> Option<(Self, &str)> {
        let end =
            text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return None;
        }
        let name = name.to_owned();
        let Some(mut rest) = rest.strip_prefix('[') else { return Some((Self { name, params: None }, rest)) };
        let mut params = Vec::new();
        loop {
            let param;
            rest = rest.trim_start_matches(' ');
            (param, rest) = match rest.strip_prefix('[') {
                Some(inner) => {
                    let (list, rest) = texts(inner)?;
                    (Param::List(list), rest.trim_start_matches(' '))
                }
                None => {
                    let (text, rest) = one(rest)?;
                    (Param::Text(text), rest)
                }
            };
            params.push(param);
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return rest.strip_prefix(']').map(|rest| (Self { name, params: Some(params) }, rest)),
            }
        }
    }

    /// The parameters as text; a list as `[a,b]`.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.params.iter().flatten().map(|param| match param {
            Param::Text(text) => text.clone(),
            Param::List(_) => param.to_string(),
        })
    }

    /// Whether Watchbell itself writes this item; it is never read back.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name.starts_with("anomaly.") || self.name.starts_with("watchbell.")
    }
}

/// The texts of a list, up to its bracket.
fn texts(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut list = Vec::new();
    loop {
        let text;
        (text, rest) = one(rest.trim_start_matches(' '))?;
        list.push(text);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.strip_prefix(']').map(|rest| (list, rest)),
        }
    }
}

/// One text, quoted or not; what follows begins with `,` or `]`.
fn one(rest: &str) -> Option<(String, &str)> {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ']'])?;
        return Some((rest[..end].to_owned(), &rest[end..]));
    };
    let (mut text, mut chars) = (String::new(), quoted.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                text.push('"');
                chars.next();
            }
            '"' => {
                let rest = quoted[at + 1..].trim_start_matches(' ');
                return rest.starts_with([',', ']']).then_some((text, rest));
            }
            c => text.push(c),
        }
    }
    None
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some(params) = &self.params else { return Ok(()) };
        for (i, param) in params.iter().enumerate() {
            f.write_char(if i == 0 { '[' } else { ',' })?;
            write!(f, "{param}")?;
        }
        f.write_char(']')
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quote(text, f),
            Self::List(list) => {
                for (i, text) in list.iter().enumerate() {
                    f.write_char(if i == 0 { '[' } else { ',' })?;
                    quote(text, f)?;
                }
                f.write_char(']')
            }
        }
    }
}

/// Writes `text`, in quotes where it would be read as something else without.
fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !text.starts_with(['"', ' ', '[']) && !text.contains([',', ']']) {
        return f.write_str(text);
    }
    write!(f, "\"{}\"", text.replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_form_for_all_ways_to_write_a_key() {
        for (written, form) in [
            ("agent.ping", "agent.ping"),
            ("net.if.in[\"eth0\"]", "net.if.in[eth0]"),
            ("net.if.in[ eth0 , \"bytes\" ]", "net.if.in[eth0 ,bytes]"),
            ("system.cpu.util[,idle]", "system.cpu.util[,idle]"),
            ("a[]", "a[]"),
            ("k[\"a,b\",[x, \"y]\"],\" z\"]", "k[\"a,b\",[x,\"y]\"],\" z\"]"),
            ("perf_counter_en[\"\\Processor(_Total)\\% Time\"]", "perf_counter_en[\\Processor(_Total)\\% Time]"),
            ("k[\"say \\\"a\\\"\"]", "k[say \"a\"]"),
            ("broken[a", "broken[a"),
            ("k[a]b", "k[a]b"),
            ("", ""),
        ] {
            assert_eq!(Key::read(written).to_string(), form, "{written}");
        }
        let key = Key::read("vfs.fs.dependent.size[/,[a,b],pused]");
        assert_eq!(
            (key.name.as_str(), key.texts().collect::<Vec<_>>()),
            ("vfs.fs.dependent.size", vec!["/".to_owned(), "[a,b]".to_owned(), "pused".to_owned()])
        );
        assert!(Key::read("anomaly.system.cpu.load[all,avg1]").is_own() && !Key::read("anomaly").is_own());
    }

    proptest! {
        #[test]
        fn the_form_reads_as_the_same_key(text in "[a-z.]{1,4}(\\[[ab ,\"\\\\\\[\\]]{0,12}\\])?") {
            let key = Key::read(&text);
            prop_assert_eq!(Key::read(&key.to_string()), key);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = Key::read(&text).to_string();
        }
    }
}
