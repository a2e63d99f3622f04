//! Rows of one file of mappings that say two things of the same series: of these the second never holds. In another
//! file it is a correction, and what files are laid over each other for.

use std::collections::HashMap;

use super::Row;

/// What selects a row: `metric` or `pattern`, and `labels`.
pub(super) type Selects<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// The rows of one file so far.
#[derive(Default)]
pub(super) struct Said<'a>(HashMap<Selects<'a>, Vec<(usize, usize)>>);

impl<'a> Said<'a> {
    /// Notes the row `index` in `line`: the property that a row before gives the same series otherwise, and the line of
    /// that.
    pub(super) fn note(
        &mut self,
        selects: Selects<'a>,
        (line, index): (usize, usize),
        rows: &[Row],
    ) -> Option<(&'static str, usize)> {
        let before = self.0.entry(selects).or_default();
        let found = before.iter().find_map(|(line, other)| Some((differs(&rows[*other], &rows[index])?, *line)));
        before.push((line, index));
        found
    }
}

/// A property that both give, and not alike.
fn differs(a: &Row, b: &Row) -> Option<&'static str> {
    fn both<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
        a.is_some() && b.is_some() && a != b
    }
    let properties = [
        ("name", both(&a.name, &b.name)),
        ("unit", both(&a.unit, &b.unit)),
        ("common_unit", both(&a.common_unit, &b.common_unit)),
        ("factor", both(&a.factor, &b.factor)),
        ("kind", both(&a.kind, &b.kind)),
        ("watch", both(&a.watch, &b.watch)),
        ("bad", both(&a.direction, &b.direction)),
        ("sensitivity", both(&a.sensitivity, &b.sensitivity)),
        ("min_deviation", both(&a.min_deviation, &b.min_deviation)),
        ("min_relative_deviation", both(&a.min_relative_deviation, &b.min_relative_deviation)),
        ("legal_min", both(&a.legal_min, &b.legal_min)),
        ("legal_max", both(&a.legal_max, &b.legal_max)),
        ("flatline", both(&a.flatline, &b.flatline)),
        ("missing", both(&a.missing, &b.missing)),
    ];
    properties.iter().find(|(_, differ)| *differ).map(|(property, _)| *property)
}
