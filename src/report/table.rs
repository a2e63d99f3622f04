//! A table once, for the terminal, for Markdown and for a page.

use std::fmt::Write as _;

/// A table; all rows have as many cells as the head.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Names of the columns, and whether they hold numbers.
    pub(super) head: Vec<(String, bool)>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// The section or figure of the page that it leads to.
    pub link: Option<String>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, link: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// Words that lead to the section or figure of the page that is called `to`.
    #[must_use]
    pub fn link(text: &str, to: &str) -> Self {
        Self { text: text.to_owned(), link: Some(to.to_owned()) }
    }
}

impl Table {
    /// A table with these columns; one whose name begins with `#` holds numbers.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('#') {
            Some(name) => (name.to_owned(), true),
            None => ((*name).to_owned(), false),
        };
        Self { head: head.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lines in columns, for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.text.chars().count());
            cells.chain([self.head[i].0.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |texts: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((text, (_, number)), width) in texts.zip(&self.head).zip(&widths) {
                let _ = if *number { write!(line, "{text:>width$}  ") } else { write!(line, "{text:<width$}  ") };
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut out = line(&mut self.head.iter().map(|(name, _)| name.as_str()));
        for row in &self.rows {
            out += &line(&mut row.iter().map(|cell| cell.text.as_str()));
        }
        out
    }

    /// The same for a Markdown document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.head.iter().map(|(name, _)| name.clone()).collect());
        out += &line(self.head.iter().map(|(_, number)| if *number { "---:" } else { "---" }.to_owned()).collect());
        for row in &self.rows {
            out += &line(row.iter().map(|cell| cell.text.replace('|', "\\|")).collect());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_in_two_forms() {
        let mut table = Table::new(&["name", "#n"]);
        assert!(table.is_empty());
        table.row(["a|b", "1"]);
        table.row([Cell::link("ä", "x"), "100".into()]);
        assert_eq!(table.text(), "name    n\na|b     1\nä     100\n");
        assert_eq!(table.markdown(), "| name | n |\n| --- | ---: |\n| a\\|b | 1 |\n| ä | 100 |\n");
    }
}
