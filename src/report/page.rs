//! One self-contained HTML page: style, sections, tables. Nothing is loaded from elsewhere.

use std::fmt::Write as _;

use super::table::Table;

/// Colours and sizes, for light and dark alike.
const STYLE: &str = include_str!("style.css");

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page that begins with this title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: format!("<h1>{}</h1>\n", escape(title)) }
    }

    /// A heading to which a cell may lead.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2 id='{}'>{}</h2>", anchor(text), escape(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// What the colours of plots mean: class and words.
    pub fn legend(&mut self, entries: &[(&str, &str)]) {
        self.body += "<p class='legend'>";
        for (class, words) in entries {
            let _ = write!(self.body, "<span><i class='{class}'></i>{}</span>", escape(words));
        }
        self.body += "</p>\n";
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let class = |number: bool| if number { " class='n'" } else { "" };
        self.body += "<div class='scroll'><table><thead><tr>";
        for (name, number) in &table.head {
            let _ = write!(self.body, "<th{}>{}</th>", class(*number), escape(name));
        }
        self.body += "</tr></thead><tbody>\n";
        for row in &table.rows {
            self.body += "<tr>";
            for (cell, (_, number)) in row.iter().zip(&table.head) {
                let text = escape(&cell.text);
                let inner = match &cell.link {
                    Some(to) => format!("<a href='#{}'>{text}</a>", anchor(to)),
                    None => text,
                };
                let _ = write!(self.body, "<td{}>{inner}</td>", class(*number));
            }
            self.body += "</tr>\n";
        }
        self.body += "</tbody></table></div>\n";
    }

    /// A picture with a name, and words beside it.
    pub fn figure(&mut self, name: &str, words: &str, svg: &str) {
        let _ = writeln!(
            self.body,
            "<figure id='{}'><figcaption><b>{}</b> {}</figcaption>{svg}</figure>",
            anchor(name),
            escape(name),
            escape(words)
        );
    }

    /// The page as text.
    #[must_use]
    pub fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\
             <meta name='viewport' content='width=device-width, initial-scale=1'>\
             <meta name='color-scheme' content='light dark'><title>{}</title><style>{STYLE}</style></head>\n\
             <body>{}<footer>Written by Watchbell {}.</footer></body></html>\n",
            escape(&self.title),
            self.body,
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// Text inside of HTML or of a quoted attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&#39;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}

/// The name of a place in the page.
fn anchor(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::Cell;

    #[test]
    fn what_comes_from_data_is_escaped() {
        let mut page = Page::new("a <b>");
        page.heading("web-1 \"x\"");
        let mut table = Table::new(&["name", "#n"]);
        table.row([Cell::link("<i>", "web-1 \"x\""), "1".into()]);
        page.table(&table);
        page.figure("f'", "<words>", "<svg></svg>");
        let text = page.finish();
        assert!(text.contains("<h1>a &lt;b&gt;</h1>") && text.contains("id='web-1--x-'"), "{text}");
        assert!(text.contains("<a href='#web-1--x-'>&lt;i&gt;</a>") && text.contains("<th class='n'>n</th>"));
        assert!(text.contains("id='f-'") && text.contains("&lt;words&gt;") && !text.contains("<words>"));
        assert!(!text.contains("http"), "nothing is loaded from elsewhere");
    }
}
