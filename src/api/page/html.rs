//! Sections, tables and words of the page.

use crate::words;

/// A part of the page with a heading.
pub(super) struct Section {
    pub(super) id: &'static str,
    title: &'static str,
    json: String,
    /// Rows that there are, in words; empty for none.
    pub(super) count: String,
    content: String,
}

/// A row of a table; cells are HTML.
pub(super) struct Row {
    /// Whether somebody should look.
    pub(super) loud: bool,
    pub(super) cells: Vec<String>,
}

impl Row {
    pub(super) fn quiet<const N: usize>(cells: [String; N]) -> Self {
        Self { loud: false, cells: cells.into() }
    }
}

impl Section {
    /// One that says `empty` while it has no rows. `json` is where the same is to be had for programs.
    pub(super) fn new(id: &'static str, title: &'static str, empty: &'static str, json: String) -> Self {
        let content = format!("<p class=quiet>{empty}</p>\n");
        Self { id, title, json, count: String::new(), content }
    }

    /// With these rows, of which `most` are shown.
    pub(super) fn table(mut self, head: &[&str], rows: impl ExactSizeIterator<Item = Row>, most: usize) -> Self {
        let count = rows.len();
        if count > 0 {
            self.content = table(head, rows.take(most));
            self.count = if count > most { format!("more than {most}") } else { count.to_string() };
        }
        if count > most {
            self.content +=
                &format!("<p class=quiet>The first {most}; <a href=\"{}\">more of them</a>.</p>\n", self.json);
        }
        self
    }

    /// One whose rows can not be had.
    pub(super) fn broken(mut self, why: &str) -> Self {
        self.content = format!("<p class=banner>It can not be said: {}</p>\n", escape(why));
        self
    }

    pub(super) fn html(&self) -> String {
        let Self { id, title, json, content, .. } = self;
        format!("<section id={id}>\n<h2>{title} <a href=\"{json}\">data</a></h2>\n{content}</section>\n")
    }

    /// A link to it with its count.
    pub(super) fn link(&self) -> String {
        format!("<a href=\"#{}\">{}: {}</a>", self.id, self.title, self.count)
    }
}

/// A table. Columns whose name begins with `#` hold numbers, those that begin with `~` long words that may be broken. On
/// a narrow screen each row is a card, and each cell carries the word of its column.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Row>) -> String {
    let class = |name: &str| match name.as_bytes().first() {
        Some(b'#') => " class=n",
        Some(b'~') => " class=l",
        _ => "",
    };
    let word = |name: &&str| name.trim_start_matches(['#', '~']).to_owned();
    let heads: String = head.iter().map(|name| format!("<th{}>{}</th>", class(name), word(name))).collect();
    let mut out = format!("<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n");
    for Row { loud, cells } in rows {
        out.push_str(if loud { "<tr class=anomalous>" } else { "<tr>" });
        for (name, cell) in head.iter().zip(cells) {
            out.push_str(&format!("<td{} data-l=\"{}\">{cell}</td>", class(name), word(name)));
        }
        out.push_str("</tr>\n");
    }
    out + "</tbody>\n</table>\n"
}

/// A moment as far from now, and when it is.
pub(super) fn moment(at_ms: i64, now_ms: i64) -> String {
    let away = words::duration((now_ms - at_ms).unsigned_abs() as f64 / 1_000.0);
    let text = if at_ms > now_ms { format!("in {away}") } else { format!("{away} ago") };
    format!("{text}<small>{}</small>", words::time(at_ms).replace('T', " ").replace('Z', " UTC"))
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_quiet_line_or_a_table() {
        let section = || Section::new("alerts", "Alerts", "No alert fires.", "api".to_owned());
        assert!(section().html().contains("<p class=quiet>No alert fires.</p>"));
        let rows = |n: usize| (0..n).map(|i| Row { loud: i == 0, cells: vec![format!("m{i}"), "1.20".to_owned()] });
        let full = section().table(&["alert", "#score"], rows(3), 2);
        assert_eq!(full.link(), "<a href=\"#alerts\">Alerts: more than 2</a>");
        let html = full.html();
        assert!(
            html.contains("<tr class=anomalous><td data-l=\"alert\">m0</td><td class=n data-l=\"score\">1.20</td>")
        );
        assert!(html.contains("The first 2; ") && !html.contains("m2") && !html.contains("No alert"), "{html}");
        assert!(section().broken("<disk>").html().contains("&lt;disk&gt;"));
    }

    #[test]
    fn moments_are_told_both_ways() {
        let now_ms = 1_767_225_600_000;
        assert_eq!(moment(now_ms - 720_000, now_ms), "12 min ago<small>2025-12-31 23:48:00 UTC</small>");
        assert_eq!(moment(now_ms + 10_800_000, now_ms), "in 3 h<small>2026-01-01 03:00:00 UTC</small>");
    }
}
