//! One series through the engine of `run`, and how well it did.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, ensure};
use indicatif::ProgressBar;

use super::measure::{EventCounts, PointCounts, event_counts, ranking, runs, vus};
use super::set::SeriesFile;
use crate::clock::Timer;
use crate::offline::onset::Onsets;
use crate::offline::{Entity, Outcome, Rows, files};
use crate::report::{Plot, Trace};

/// Edges among which the best for NAB is searched: one for all files, as NAB searches its threshold.
pub const EDGES: [f32; 15] = [0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0];
/// A gap counts as so many intervals of watched time at most.
const GAP_INTERVALS: f64 = 5.0;
const DAY_S: f64 = 86_400.0;

/// How well one series did.
#[derive(Debug)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// Columns of values: more than one are the series of a machine.
    pub columns: usize,
    /// Rows that are scored.
    pub rows: usize,
    /// Days that these cover.
    pub days: f64,
    /// Labelled rows among them.
    pub label_points: u64,
    /// The share of them that have a score.
    pub answered: f64,
    /// By event, at all rows while an alarm is open.
    pub events: EventCounts,
    /// By row, at the rows that raise an alarm,
    pub raised: PointCounts,
    /// and at all rows while an alarm is open.
    pub open: PointCounts,
    /// What the score is worth; none without a label or an answer.
    pub ranking: Option<Ranking>,
    /// What NAB scores, where the set has its windows.
    pub nab: Option<NabFile>,
    /// Samples judged, those that are not scored too.
    pub samples: u64,
    /// Seconds that judging them took.
    pub seconds: f64,
    /// The plot, if it was asked for.
    pub svg: String,
    /// Faults of the file.
    pub faults: Vec<String>,
}

/// Measures of the score alone, at no threshold or at the best one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Volume under the precision-recall surface.
    pub vus_pr: f64,
    /// Average precision.
    pub auc_pr: f64,
    /// Best F1 of rows.
    pub best_f1: f64,
    /// Best F1 of events.
    pub best_event_f1: f64,
}

/// A file as NAB scores it.
#[derive(Debug, Clone, PartialEq)]
pub struct NabFile {
    /// What its threshold search sees: the rank of onsets, see [`onset`](crate::offline::onset); NaN where there is
    /// no score.
    pub score: Vec<f64>,
    /// 1 at the rows that raise an alarm, else 0.
    pub raised: Vec<f64>,
    /// The rows that would raise an alarm at each edge of [`EDGES`].
    pub raised_at: Vec<Vec<u32>>,
    /// Windows as first and last row.
    pub windows: Vec<(usize, usize)>,
}

/// The rows of a file as they are read.
#[derive(Debug, Default)]
struct Data {
    ts_ms: Vec<i64>,
    label: Vec<bool>,
    /// Row after row.
    values: Vec<f64>,
    columns: usize,
    faults: Vec<String>,
}

impl Data {
    fn read(name: &str, from: impl Read, windows: Option<&[(f64, f64)]>) -> anyhow::Result<Self> {
        let mut rows = Rows::open(name, from)?;
        ensure!(rows.has_labels() || windows.is_some(), "{name}:1: there is no column `label`");
        let mut data = Self { columns: rows.columns().len(), ..Self::default() };
        while let Some(row) = rows.next_row()? {
            // NAB's own files have windows in place of labels.
            let second = row.ts_ms as f64 / 1000.0;
            let within = || windows.is_some_and(|all| all.iter().any(|(from, to)| (*from..=*to).contains(&second)));
            data.label.push(row.label()?.unwrap_or_else(within));
            data.ts_ms.push(row.ts_ms);
            data.values.extend_from_slice(row.values);
        }
        data.faults = rows.faults().told(name);
        Ok(data)
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.columns..(at + 1) * self.columns]
    }

    /// The rows that raise an alarm at another edge.
    fn raised_at(&self, edge: f32) -> Vec<u32> {
        let mut entity = Entity::with_edge(self.columns, edge);
        let rows = 0..self.ts_ms.len();
        rows.filter(|row| entity.judge_row(self.ts_ms[*row], self.row(*row)).onset).map(|row| row as u32).collect()
    }

    /// Seconds between two rows: what the manifest says, or the median.
    fn interval_s(&self, said: Option<f64>) -> f64 {
        let mut gaps: Vec<i64> = self.ts_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        let middle = gaps.get(gaps.len() / 2).map_or(1.0, |gap| *gap as f64 / 1000.0);
        said.unwrap_or(middle).max(1.0).floor()
    }
}

/// Judges one series from its first row, and measures the rows after those that are learned from. `with_plot` asks
/// for the plot, too.
///
/// # Errors
/// The file can not be read or does not fit what the manifest says of it.
pub fn judge(file: &SeriesFile, progress: &ProgressBar, with_plot: bool) -> anyhow::Result<Judged> {
    let shown = file.path.display().to_string();
    let data = Data::read(&shown, files::open(&file.path, progress)?, file.windows.as_deref())?;
    let rows = data.ts_ms.len();
    let train = file.history.of(rows);
    ensure!(rows > 0, "{shown}: no rows");
    ensure!(train < rows, "{shown}: all `{rows}` rows are to be learned from (`train_rows` is `{train}`)");
    let mut entity = Entity::new(data.columns);
    let mut outcomes = Vec::with_capacity(rows);
    let timer = Timer::start();
    for row in 0..rows {
        outcomes.push(entity.judge_row(data.ts_ms[row], data.row(row)));
    }
    let seconds = timer.seconds();

    let interval_s = data.interval_s(file.interval_s);
    let (ts_ms, label, judged) = (&data.ts_ms[train..], &data.label[train..], &outcomes[train..]);
    let raised: Vec<bool> = judged.iter().map(|row| row.onset).collect();
    let open: Vec<bool> = judged.iter().map(|row| row.alarm).collect();
    let answered = judged.iter().filter(|row| row.score.is_some()).count();
    let events = event_counts(label, &open, ts_ms);
    let svg = if with_plot { plot(&data, &outcomes, train).svg(&file.name) } else { String::new() };
    Ok(Judged {
        name: file.name.clone(),
        columns: data.columns,
        rows: judged.len(),
        days: watched_s(ts_ms, interval_s) / DAY_S,
        label_points: label.iter().filter(|label| **label).count() as u64,
        answered: answered as f64 / judged.len() as f64,
        raised: PointCounts::of(label, &raised),
        open: PointCounts::of(label, &open),
        ranking: (answered > 0 && label.contains(&true)).then(|| rank(&data, train, judged)),
        nab: file.windows.as_ref().map(|windows| nab_file(&shown, &data, &outcomes, windows)).transpose()?,
        samples: data.values.iter().filter(|value| !value.is_nan()).count() as u64,
        seconds,
        svg,
        events,
        faults: data.faults,
    })
}

/// Seconds that rows cover; a gap counts as [`GAP_INTERVALS`].
fn watched_s(ts_ms: &[i64], interval_s: f64) -> f64 {
    let gaps = ts_ms.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1000.0);
    gaps.map(|gap| gap.clamp(0.0, GAP_INTERVALS * interval_s)).sum::<f64>() + interval_s
}

fn rank(data: &Data, train: usize, judged: &[Outcome]) -> Ranking {
    let (label, ts_ms) = (&data.label[train..], &data.ts_ms[train..]);
    let known = judged.iter().filter_map(|row| row.score).map(f64::from);
    // A row without a score is stranger than none.
    let lowest = known.fold(f64::INFINITY, f64::min) - 1.0;
    let score: Vec<f64> = judged.iter().map(|row| row.score.map_or(lowest, f64::from)).collect();
    let first: Vec<f64> = data.values.iter().step_by(data.columns).copied().collect();
    Ranking {
        vus_pr: vus::vus_pr(label, &score, vus::window(&first)),
        auc_pr: ranking::average_precision(label, &score),
        best_f1: ranking::best_f1(label, &score),
        best_event_f1: ranking::best_event_f1(label, &score, ts_ms),
    }
}

fn nab_file(shown: &str, data: &Data, outcomes: &[Outcome], windows: &[(f64, f64)]) -> anyhow::Result<NabFile> {
    let mut row_at = HashMap::new();
    for (row, ts_ms) in data.ts_ms.iter().enumerate() {
        row_at.entry(*ts_ms).or_insert(row);
    }
    let row = |second: f64| {
        let found = row_at.get(&((second * 1000.0).round() as i64)).copied();
        found.with_context(|| format!("{shown}: no row at `{second}`, where a window of NAB begins or ends"))
    };
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (first, last) in windows {
        let window = (row(*first)?, row(*last)?);
        let after = found.last().is_none_or(|before| before.1 < window.0);
        ensure!(window.0 <= window.1 && after, "{shown}: windows of NAB overlap or are not in order of time");
        found.push(window);
    }
    Ok(NabFile {
        score: ranks(outcomes),
        raised: outcomes.iter().map(|row| f64::from(u8::from(row.onset))).collect(),
        raised_at: EDGES.iter().map(|edge| data.raised_at(*edge)).collect(),
        windows: found,
    })
}

/// What NAB's search of a threshold goes over: it counts every row over it, which a held score is not made for.
fn ranks(outcomes: &[Outcome]) -> Vec<f64> {
    let mut onsets = Onsets::default();
    let mut rank = |row: &Outcome| row.score.map_or(f64::NAN, |held| f64::from(onsets.rank(row.own, held)));
    outcomes.iter().map(&mut rank).collect()
}

/// Alarms with an event near are right. For the picture it is enough to ask for a label in the rows around.
fn plot(data: &Data, outcomes: &[Outcome], train: usize) -> Plot {
    let (ts_ms, last) = (&data.ts_ms, data.ts_ms.len() - 1);
    let mut values = vec![Trace::default(); data.columns];
    let (mut lower, mut upper, mut score) = (Trace::default(), Trace::default(), Trace::default());
    for (row, outcome) in outcomes.iter().enumerate() {
        for (trace, value) in values.iter_mut().zip(data.row(row)) {
            trace.push(ts_ms[row], *value);
        }
        lower.push(ts_ms[row], outcome.lower);
        upper.push(ts_ms[row], outcome.upper);
        score.push(ts_ms[row], outcome.score.map_or(f64::NAN, f64::from));
    }
    let mut alarms: Vec<(i64, i64, Option<bool>)> = Vec::new();
    for row in train..=last {
        if outcomes[row].onset {
            let near = row.saturating_sub(super::measure::events::TOLERANCE)
                ..=(row + super::measure::events::TOLERANCE).min(last);
            alarms.push((ts_ms[row], ts_ms[row], Some(data.label[near].contains(&true))));
        } else if let Some(open) = alarms.last_mut().filter(|_| outcomes[row].alarm) {
            open.1 = ts_ms[row];
        }
    }
    Plot {
        span: (ts_ms[0], ts_ms[last]),
        band: (data.columns == 1).then_some((lower, upper)),
        values,
        score: Some(score),
        events: runs(&data.label).into_iter().map(|(from, to)| (ts_ms[from], ts_ms[to])).collect(),
        alarms,
        learning_until: (train > 0).then(|| ts_ms[train]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::set::History;

    /// Minutes of a gauge that jumps in the labelled rows 300 to 304 and, without a label, at row 350.
    fn csv(columns: usize) -> String {
        let mut text = format!("timestamp{},label\n", ",value".repeat(columns));
        for i in 0..400i64 {
            let value = if (300..305).contains(&i) || i == 350 { 900 } else { 100 + (i * 7919) % 13 };
            let label = i32::from((300..305).contains(&i) || i == 50);
            text += &format!("{}{},{label}\n", 1_600_000_020 + 60 * i, format!(",{value}").repeat(columns));
        }
        text
    }

    fn file(folder: &std::path::Path, text: &str, train_rows: usize) -> SeriesFile {
        let path = folder.join("s.csv");
        std::fs::write(&path, text).expect("written");
        let history = History::Rows(train_rows);
        SeriesFile { name: "s".to_owned(), path, history, interval_s: Some(60.0), windows: None }
    }

    #[test]
    fn rows_after_the_learned_ones_are_measured() {
        let temp = tempfile::tempdir().expect("a folder");
        let mut series = file(temp.path(), &csv(1), 200);
        let start = 1_600_000_020.0;
        series.windows = Some(vec![(start + 60.0 * 290.0, start + 60.0 * 310.0)]);
        let got = judge(&series, &ProgressBar::hidden(), true).expect("judged");
        assert_eq!((got.rows, got.events.events, got.label_points, got.samples), (200, 1, 5, 400));
        assert_eq!((got.events.found, got.events.false_alarms), (1, 1), "{:?}", got.events);
        assert_eq!(got.events.delays_s, [0.0]);
        assert!((got.days - 200.0 * 60.0 / 86_400.0).abs() < 1e-12 && got.answered == 1.0);
        assert!(got.open.fp >= got.raised.fp && got.raised.tp >= 1);
        assert!(got.ranking.is_some_and(|ranking| ranking.vus_pr > 0.3), "{:?}", got.ranking);
        let nab = got.nab.expect("windows");
        assert_eq!((&nab.windows, nab.raised_at.len()), (&vec![(290, 310)], EDGES.len()));
        assert!(nab.raised_at[0].len() >= nab.raised_at[EDGES.len() - 1].len(), "{:?}", nab.raised_at);
        let raised: Vec<u32> = (0..400).filter(|row| nab.raised[*row as usize] > 0.0).collect();
        let own = EDGES.iter().position(|edge| *edge == 1.0).expect("the own edge");
        assert_eq!(nab.raised_at[own], raised);
        assert!(
            got.svg.contains("class='hit'") && got.svg.contains("class='wrong'") && got.svg.contains("class='band'")
        );
    }

    #[test]
    fn a_machine_has_no_band_and_a_gap_is_not_watched() {
        let temp = tempfile::tempdir().expect("a folder");
        let got = judge(&file(temp.path(), &csv(3), 0), &ProgressBar::hidden(), true).expect("judged");
        assert_eq!((got.columns, got.samples, got.events.events), (3, 1_200, 2));
        assert!(!got.svg.contains("class='band'") && got.nab.is_none());
        let gaps = [0, 60_000, 120_000, 86_400_000];
        assert_eq!(watched_s(&gaps, 60.0), 60.0 + 60.0 + 300.0 + 60.0);
    }

    #[test]
    fn files_that_do_not_fit_are_told() {
        let temp = tempfile::tempdir().expect("a folder");
        let short = "timestamp,value,label\n60,1,0\n120,2,0\n";
        let windows = |windows: Vec<(f64, f64)>| SeriesFile { windows: Some(windows), ..file(temp.path(), short, 0) };
        for (file, want) in [
            (file(temp.path(), short, 2), "`train_rows` is `2`"),
            (windows(vec![(60.0, 90.0)]), "no row at `90`"),
            (windows(vec![(60.0, 120.0), (120.0, 120.0)]), "overlap"),
        ] {
            let error = format!("{:#}", judge(&file, &ProgressBar::hidden(), false).expect_err(want));
            assert!(error.contains(want), "{want}: {error}");
        }
        let unlabelled = SeriesFile {
            windows: Some(vec![(120.0, 180.0)]),
            ..file(temp.path(), "timestamp,value\n60,1\n120,2\n180,1\n240,1\n", 0)
        };
        let judged = judge(&unlabelled, &ProgressBar::hidden(), false).expect("windows are labels");
        assert_eq!(judged.label_points, 2);
        for (text, want) in [("timestamp,value\n1,2\n", "no column `label`"), ("timestamp,value,label\n", "no rows")] {
            let error = judge(&file(temp.path(), text, 0), &ProgressBar::hidden(), false).expect_err(want);
            assert!(format!("{error:#}").contains(want), "{error:#}");
        }
    }
}
