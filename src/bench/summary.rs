//! Many series together: counts are summed, what a score is worth is averaged over the series that have labels.

use super::judged::{EDGES, Judged, NabFile, Ranking};
use super::measure::nab::{Corpus, NabScore, PROFILES};
use super::measure::{EventCounts, PointCounts, Prf, quantile};

/// Flags of own decisions are 0 and 1.
const FLAGGED: f64 = 0.5;

/// The measures of a set, or of a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Series or machines.
    pub series: usize,
    /// Rows that are scored.
    pub rows: usize,
    /// Days that they cover, summed over series.
    pub days: f64,
    /// Share of the rows that have a score.
    pub answered: f64,
    /// By event, at all rows while an alarm is open.
    pub events: EventCounts,
    /// By row, at the rows that raise an alarm,
    pub raised: PointCounts,
    /// and at all rows while an alarm is open.
    pub open: PointCounts,
    /// What scores are worth, means over the series with labels; NaN without one.
    pub ranking: Ranking,
    /// NAB's scores, by profile in the order of [`PROFILES`].
    pub nab: Option<[Nab; 3]>,
    /// Samples judged.
    pub samples: u64,
    /// Nanoseconds for each.
    pub ns_per_sample: f64,
}

/// NAB's score in one profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nab {
    /// At the detector's own decisions.
    pub own: NabScore,
    /// At the one threshold over the scores of alarms that is best for all files.
    pub searched: NabScore,
    /// At the one edge that is best for all files; the threshold is the edge.
    pub edge: NabScore,
}

impl Summary {
    /// Of these series.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Judged>) -> Self {
        let all: Vec<&Judged> = all.into_iter().collect();
        let mut events = EventCounts::default();
        all.iter().for_each(|series| events.add(&series.events));
        let sum = |of: fn(&Judged) -> f64| all.iter().map(|series| of(series)).sum::<f64>();
        let points = |of: fn(&Judged) -> PointCounts| all.iter().fold(PointCounts::default(), |sum, s| sum.plus(of(s)));
        let rows: usize = all.iter().map(|series| series.rows).sum();
        let samples: u64 = all.iter().map(|series| series.samples).sum();
        Self {
            series: all.len(),
            rows,
            days: sum(|series| series.days),
            answered: sum(|series| series.answered * series.rows as f64) / rows as f64,
            events,
            raised: points(|series| series.raised),
            open: points(|series| series.open),
            ranking: mean(&all),
            nab: nab(&all),
            samples,
            ns_per_sample: sum(|series| series.seconds) * 1e9 / samples as f64,
        }
    }

    /// False alarms for each series and day.
    #[must_use]
    pub fn false_alarms_per_day(&self) -> f64 {
        self.events.wrong() as f64 / self.days
    }

    /// Precision, recall and F1 of events.
    #[must_use]
    pub fn prf(&self) -> Prf {
        self.events.prf()
    }

    /// Seconds from the first row of an event to its alarm, at the quantile `q` of the events found.
    #[must_use]
    pub fn delay_s(&self, q: f64) -> f64 {
        sorted_quantile(&self.events.delays_s, q)
    }

    /// The same in rows.
    #[must_use]
    pub fn delay_rows(&self, q: f64) -> f64 {
        sorted_quantile(&self.events.delay_rows, q)
    }
}

fn sorted_quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, q)
}

fn mean(all: &[&Judged]) -> Ranking {
    let ranked: Vec<Ranking> = all.iter().filter_map(|series| series.ranking).collect();
    let mean = |of: fn(&Ranking) -> f64| ranked.iter().map(of).sum::<f64>() / ranked.len() as f64;
    Ranking {
        vus_pr: mean(|r| r.vus_pr),
        auc_pr: mean(|r| r.auc_pr),
        best_f1: mean(|r| r.best_f1),
        best_event_f1: mean(|r| r.best_event_f1),
    }
}

fn nab(all: &[&Judged]) -> Option<[Nab; 3]> {
    let files: Vec<&NabFile> = all.iter().filter_map(|series| series.nab.as_ref()).collect();
    let corpus = |score: &dyn Fn(&NabFile) -> Vec<f64>| {
        let mut corpus = Corpus::default();
        files.iter().for_each(|file| corpus.add(&score(file), &file.windows));
        corpus
    };
    let at_edge = |at: usize| {
        corpus(&|file| {
            let mut flags = vec![0.0; file.raised.len()];
            file.raised_at[at].iter().for_each(|row| flags[*row as usize] = 1.0);
            flags
        })
    };
    let any = files.iter().any(|file| !file.windows.is_empty());
    any.then(|| {
        let (own, scores) = (corpus(&|file| file.raised.clone()), corpus(&|file| file.score.clone()));
        let edges: Vec<Corpus> = (0..EDGES.len()).map(at_edge).collect();
        PROFILES.map(|profile| {
            let at = |(edge, corpus): (&f32, &Corpus)| NabScore {
                threshold: f64::from(*edge),
                ..corpus.at(&profile, FLAGGED)
            };
            let own = own.at(&profile, FLAGGED);
            let best = EDGES.iter().zip(&edges).map(at).max_by(|a, b| a.score.total_cmp(&b.score));
            Nab { own, searched: scores.best(&profile), edge: best.unwrap_or(own) }
        })
    })
}

/// The odd and the even ones in the order of names: two halves that were chosen by nobody.
#[must_use]
pub fn halves(all: &[Judged]) -> [Summary; 2] {
    [0, 1].map(|first| Summary::of(all.iter().skip(first).step_by(2)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A made-up result: events found of two, false alarms, in a day of minutes.
    pub(in crate::bench) fn judged(name: &str, found: u64, false_alarms: u64) -> Judged {
        let delays_s: Vec<f64> = (0..found).map(|i| 60.0 * i as f64).collect();
        let mut score = vec![0.0; 1_440];
        score[900] = found as f64;
        Judged {
            name: name.to_owned(),
            columns: 1,
            rows: 1_440,
            days: 1.0,
            label_points: 20,
            answered: 1.0,
            events: EventCounts {
                events: 2,
                found,
                false_alarms,
                alarms: found + false_alarms,
                delay_rows: delays_s.iter().map(|s| s / 60.0).collect(),
                delays_s,
                ..EventCounts::default()
            },
            raised: PointCounts { tp: found, fp: false_alarms, r#fn: 20 - found, tn: 1_420 - false_alarms },
            open: PointCounts { tp: 3 * found, fp: 5 * false_alarms, r#fn: 0, tn: 1_420 },
            ranking: (found > 0).then_some(Ranking {
                vus_pr: 0.5 * found as f64,
                auc_pr: 0.5,
                best_f1: 0.5,
                best_event_f1: 0.5,
            }),
            nab: Some(NabFile {
                raised: score.clone(),
                score,
                raised_at: vec![if found > 0 { vec![900] } else { Vec::new() }; EDGES.len()],
                windows: vec![(900, 910)],
            }),
            samples: 2_000,
            seconds: 4e-4,
            svg: String::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn counts_are_summed_and_ranks_averaged_over_what_has_them() {
        let all = [judged("a", 2, 1), judged("b", 0, 3), judged("c", 1, 0)];
        let sum = Summary::of(&all);
        assert_eq!((sum.series, sum.rows, sum.days, sum.samples), (3, 4_320, 3.0, 6_000));
        let prf = sum.prf();
        assert!((prf.precision - 3.0 / 7.0).abs() < 1e-12 && (prf.recall - 0.5).abs() < 1e-12);
        assert!((sum.false_alarms_per_day() - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!((sum.delay_s(0.5), sum.delay_rows(1.0)), (0.0, 1.0));
        assert!((sum.ranking.vus_pr - 0.75).abs() < 1e-12);
        assert!((sum.ns_per_sample - 200.0).abs() < 1e-9);
        // Two of three windows are found, the rest is quiet.
        let nab = sum.nab.expect("windows");
        assert!((nab[0].own.score - 200.0 / 3.0).abs() < 1.0 && nab[0].searched.score >= nab[0].own.score, "{nab:?}");
        assert_eq!(nab[0].edge.score, nab[0].own.score, "all edges find the same");
    }

    #[test]
    fn halves_are_odd_and_even() {
        let all = [judged("a", 2, 1), judged("b", 0, 3), judged("c", 1, 0)];
        let [odd, even] = halves(&all);
        assert_eq!((odd.series, odd.events.found, even.series, even.events.found), (2, 3, 1, 0));
        assert!(even.ranking.vus_pr.is_nan() && even.delay_s(0.5).is_nan());
    }
}
