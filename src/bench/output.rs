//! What was measured, in tables, files and a page.

use std::path::Path;

use anyhow::Context;

use super::judged::Judged;
use super::measure::nab::PROFILES;
use super::set::Set;
use super::summary::{Nab, Summary, halves};
use crate::report::words::{number, percent, span};
use crate::report::{Cell, Page, Table};

/// A set with its results.
#[derive(Debug)]
pub struct Measured {
    /// The set.
    pub set: Set,
    /// Its series.
    pub series: Vec<Judged>,
}

impl Measured {
    fn summary(&self) -> Summary {
        Summary::of(&self.series)
    }
}

/// One row for each set: what it decided by itself, and what its score is worth.
#[must_use]
pub fn table(all: &[Measured]) -> Table {
    let mut table = Table::new(HEAD);
    for measured in all {
        table.row(row(&measured.set.name, &measured.summary()));
    }
    table
}

const HEAD: &[&str] = &[
    "set",
    "#series",
    "#events",
    "#precision",
    "#recall",
    "#F1",
    "#false alarms/series/day",
    "#delay p50",
    "#delay p90",
    "#VUS-PR",
];

fn row(name: &str, sum: &Summary) -> Vec<Cell> {
    let prf = sum.prf();
    let cells = [
        name.to_owned(),
        sum.series.to_string(),
        sum.events.events.to_string(),
        number(prf.precision, 3),
        number(prf.recall, 3),
        number(prf.f1, 3),
        number(sum.false_alarms_per_day(), 3),
        span(sum.delay_s(0.5)),
        span(sum.delay_s(0.9)),
        number(sum.ranking.vus_pr, 3),
    ];
    cells.into_iter().map(Cell::from).collect()
}

/// What else is measured of each set: scores at other thresholds, rows, and the cost.
#[must_use]
pub fn further_table(all: &[Measured]) -> Table {
    let head = [
        "set",
        "#average precision",
        "#best row F1 in hindsight",
        "#best event F1 in hindsight",
        "#normal rows that raise an alarm",
        "#normal rows in an alarm",
        "#ns/sample",
    ];
    let mut table = Table::new(&head);
    for measured in all {
        let sum = measured.summary();
        table.row([
            measured.set.name.clone(),
            number(sum.ranking.auc_pr, 3),
            number(sum.ranking.best_f1, 3),
            number(sum.ranking.best_event_f1, 3),
            percent(sum.raised.false_positive_rate()),
            percent(sum.open.false_positive_rate()),
            number(sum.ns_per_sample, 0),
        ]);
    }
    table
}

/// The odd and the even series of each set apart.
#[must_use]
pub fn halves_table(all: &[Measured]) -> Table {
    let mut table = Table::new(HEAD);
    for measured in all.iter().filter(|measured| measured.series.len() > 1) {
        for (half, sum) in ["odd", "even"].iter().zip(halves(&measured.series)) {
            table.row(row(&format!("{}, {half}", measured.set.name), &sum));
        }
    }
    table
}

/// NAB's scores, where a set has its windows.
#[must_use]
pub fn nab_table(all: &[Measured]) -> Table {
    let head = ["set", "profile", "#own decisions", "#one threshold", "#threshold", "#one edge", "#edge"];
    let mut table = Table::new(&head);
    for measured in all {
        for (profile, nab) in PROFILES.iter().zip(measured.summary().nab.into_iter().flatten()) {
            let Nab { own, searched, edge } = nab;
            let numbers = [own.score, searched.score, searched.threshold, edge.score, edge.threshold];
            let numbers = numbers.map(|value| number(value, 2));
            table.row([measured.set.name.clone(), profile.name.to_owned()].into_iter().chain(numbers));
        }
    }
    table
}

/// What is in [`nab_table`].
pub const NAB_WORDS: &str = "Only the row that raises an alarm is a detection, one row an alarm. Own decisions are \
    what the service would have said. NAB itself takes the one threshold for all files that is best in hindsight: here \
    once over a rank of onsets, and once as the edge from which alarms are raised.";

/// Writes `sets.csv`, `series.csv` and `index.html` into `folder`, which is there.
///
/// # Errors
/// A file can not be written.
pub fn write(all: &[Measured], folder: &Path) -> anyhow::Result<()> {
    let sets = all.iter().flat_map(|measured| {
        let [odd, even] = halves(&measured.series);
        [("all", measured.summary()), ("odd", odd), ("even", even)]
            .map(|(part, sum)| csv_row([&measured.set.name, part], &sum))
    });
    write_csv(&folder.join("sets.csv"), ["set", "part"], sets)?;
    let series = all.iter().flat_map(|measured| {
        measured.series.iter().map(|one| csv_row([&measured.set.name, &one.name], &Summary::of([one])))
    });
    write_csv(&folder.join("series.csv"), ["set", "series"], series)?;
    let path = folder.join("index.html");
    std::fs::write(&path, page(all)).with_context(|| format!("cannot write `{}`", path.display()))
}

/// A column of both CSV files: its name, and its number.
type Column = (&'static str, fn(&Summary) -> f64);

/// Columns after the two that name a row.
const COLUMNS: &[Column] = &[
    ("count", |s| s.series as f64),
    ("rows", |s| s.rows as f64),
    ("days", |s| s.days),
    ("answered", |s| s.answered),
    ("events", |s| s.events.events as f64),
    ("found", |s| s.events.found as f64),
    ("alarms", |s| s.events.alarms as f64),
    ("false_alarms", |s| s.events.false_alarms as f64),
    ("overrun", |s| s.events.overrun as f64),
    ("event_precision", |s| s.prf().precision),
    ("event_recall", |s| s.prf().recall),
    ("event_f1", |s| s.prf().f1),
    ("false_alarms_per_series_day", Summary::false_alarms_per_day),
    ("delay_s_p50", |s| s.delay_s(0.5)),
    ("delay_s_p90", |s| s.delay_s(0.9)),
    ("delay_rows_p50", |s| s.delay_rows(0.5)),
    ("delay_rows_p90", |s| s.delay_rows(0.9)),
    ("vus_pr", |s| s.ranking.vus_pr),
    ("auc_pr", |s| s.ranking.auc_pr),
    ("best_f1", |s| s.ranking.best_f1),
    ("best_event_f1", |s| s.ranking.best_event_f1),
    ("point_precision", |s| s.raised.prf().precision),
    ("point_recall", |s| s.raised.prf().recall),
    ("point_f1", |s| s.raised.prf().f1),
    ("point_fpr", |s| s.raised.false_positive_rate()),
    ("open_point_precision", |s| s.open.prf().precision),
    ("open_point_recall", |s| s.open.prf().recall),
    ("open_point_f1", |s| s.open.prf().f1),
    ("open_point_fpr", |s| s.open.false_positive_rate()),
    ("nab_own_standard", |s| s.nab.map_or(f64::NAN, |nab| nab[0].own.score)),
    ("nab_own_low_fp", |s| s.nab.map_or(f64::NAN, |nab| nab[1].own.score)),
    ("nab_own_low_fn", |s| s.nab.map_or(f64::NAN, |nab| nab[2].own.score)),
    ("nab_threshold_standard", |s| s.nab.map_or(f64::NAN, |nab| nab[0].searched.score)),
    ("nab_threshold_low_fp", |s| s.nab.map_or(f64::NAN, |nab| nab[1].searched.score)),
    ("nab_threshold_low_fn", |s| s.nab.map_or(f64::NAN, |nab| nab[2].searched.score)),
    ("nab_edge_standard", |s| s.nab.map_or(f64::NAN, |nab| nab[0].edge.score)),
    ("nab_edge_low_fp", |s| s.nab.map_or(f64::NAN, |nab| nab[1].edge.score)),
    ("nab_edge_low_fn", |s| s.nab.map_or(f64::NAN, |nab| nab[2].edge.score)),
    ("samples", |s| s.samples as f64),
    ("ns_per_sample", |s| s.ns_per_sample),
];

fn csv_row(names: [&str; 2], sum: &Summary) -> Vec<String> {
    let numbers = COLUMNS.iter().map(|(_, of)| of(sum));
    // What is not known is an empty cell.
    let numbers = numbers.map(|value| if value.is_nan() { String::new() } else { value.to_string() });
    names.into_iter().map(str::to_owned).chain(numbers).collect()
}

fn write_csv(path: &Path, names: [&str; 2], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    let mut out = csv::Writer::from_path(path).with_context(cannot)?;
    out.write_record(names.into_iter().chain(COLUMNS.iter().map(|(name, _)| *name))).with_context(cannot)?;
    for row in rows {
        out.write_record(row).with_context(cannot)?;
    }
    out.flush().with_context(cannot)
}

/// What each colour means.
const LEGEND: &[(&str, &str)] = &[
    ("value", "value"),
    ("band", "expected band"),
    ("score", "score; the dashed line is 1, the edge"),
    ("event", "labelled event"),
    ("hit", "alarm at an event"),
    ("wrong", "false alarm"),
    ("learn", "learned from, not scored"),
];

fn page(all: &[Measured]) -> String {
    let mut page = Page::new("Accuracy on labelled sets");
    page.text("Every series went through the engine of the service, sample by sample, with one configuration for all.");
    page.table(&table(all));
    page.table(&further_table(all));
    let nab = nab_table(all);
    if !nab.is_empty() {
        page.heading("NAB");
        page.text(NAB_WORDS);
        page.table(&nab);
    }
    let halves = halves_table(all);
    if !halves.is_empty() {
        page.heading("Odd and even series");
        page.table(&halves);
    }
    for measured in all {
        page.heading(&measured.set.name);
        page.text(&measured.set.title);
        page.legend(LEGEND);
        let mut table =
            Table::new(&["series", "#events", "#found", "#false alarms", "#per day", "#VUS-PR", "#delay p50"]);
        for one in &measured.series {
            let name = Cell::link(&one.name, &format!("{} {}", measured.set.name, one.name));
            let sum = Summary::of([one]);
            let counts = [one.events.events, one.events.found, one.events.wrong()].map(|n| n.to_string().into());
            let rest = [number(sum.false_alarms_per_day(), 3), number(sum.ranking.vus_pr, 3), span(sum.delay_s(0.5))];
            table.row([name].into_iter().chain(counts).chain(rest.map(Cell::from)));
        }
        page.table(&table);
        for one in &measured.series {
            page.figure(&format!("{} {}", measured.set.name, one.name), &words(one), &one.svg);
        }
    }
    page.finish()
}

/// What is said beside a plot.
fn words(one: &Judged) -> String {
    let (events, watched) = (&one.events, span(one.days * 86_400.0));
    let (found, of, wrong) = (events.found, events.events, events.wrong());
    format!("{found} of {of} events found, {wrong} false alarms in {watched}")
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::judged;
    use super::*;

    fn measured() -> Vec<Measured> {
        let set = Set {
            name: "kpi".into(),
            title: "A set <x>".into(),
            series: Vec::new(),
            remarks: Vec::new(),
            broken: Vec::new(),
        };
        vec![Measured { set, series: vec![judged("a", 2, 1), judged("b", 0, 3)] }]
    }

    #[test]
    fn tables_have_a_row_for_each_set_and_half() {
        let text = table(&measured()).text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("0.333") && text.contains("0.500") && text.contains("2.000"), "{text}");
        let further = further_table(&measured()).text();
        assert!(further.contains("200") && further.contains("0.500"), "{further}");
        let halves = halves_table(&measured()).markdown();
        assert!(halves.contains("| kpi, odd | 1 |") && halves.contains("| kpi, even | 1 |"), "{halves}");
        assert_eq!(nab_table(&measured()).text().lines().count(), 4);
    }

    #[test]
    fn files_hold_every_series_and_part() {
        let temp = tempfile::tempdir().expect("a folder");
        write(&measured(), temp.path()).expect("written");
        let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).expect("a file");
        let (sets, series, page) = (read("sets.csv"), read("series.csv"), read("index.html"));
        assert_eq!((sets.lines().count(), series.lines().count()), (4, 3));
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (head, all) = (cells(sets.lines().next().expect("a head")), cells(sets.lines().nth(1).expect("a row")));
        let of = |name: &str| &all[head.iter().position(|cell| cell == name).expect("a column")];
        assert_eq!(
            (of("set"), of("part"), of("false_alarms"), of("delay_rows_p50")),
            (&"kpi".into(), &"all".into(), &"4".into(), &"0.5".into())
        );
        assert!(page.contains("A set &lt;x&gt;") && page.contains("id='kpi-a'") && page.contains("href='#kpi-a'"));
        assert!(write(&measured(), &temp.path().join("none")).is_err());
    }
}
