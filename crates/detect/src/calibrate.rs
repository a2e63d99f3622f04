//! From a stated number of accepted alerts to the score from which an anomaly becomes one.
//!
//! The score of a sample is a pure function of its series' past: 1.0 is as improbable as one alarm of a series in
//! about four weeks. Nobody thinks in such terms about a fleet. A user states a *budget* instead: so many alerts
//! a week for each host. Two layers turn it into an edge for alerts, and neither touches a score:
//!
//! * nominally: so many series at so improbable an edge ring so often; [`nominal_shift`] says by how many powers
//!   of ten the edge has to move to fit the budget. It is where a fleet begins, before anything was seen of it;
//! * by what happens: [`Ledger`] keeps the peaks of the anomalies of the last weeks, by unit of the budget and
//!   over all units, and gives the edge that would have kept the alerts within the budget. [`Discoveries`] keeps
//!   them for the whole fleet over a day, and gives the edge that bounds the share of false ones among them.
//!
//! All of it is deterministic, bounded in memory and monotone: a smaller budget never lowers an edge.

mod discovery;
mod ledger;
mod peaks;
mod state;

pub use discovery::Discoveries;
pub use ledger::Ledger;
pub use state::LedgerError;

use crate::math::{LN_10, exp, log10};
use crate::single::EDGE_DECADES;

/// No edge is higher: an anomaly with this score always passes, whatever a budget says.
pub const MAX_EDGE: f32 = peaks::EDGES[peaks::BINS - 1];

/// Milliseconds of a week.
pub const WEEK_MS: f64 = 604_800_000.0;

/// Alarms a week that a score of 1.0 stands for on one series: the rows of a week at one a minute, times the
/// improbability of each. It is the same at every cadence, as the edge moves with it.
pub const NOMINAL_PER_WEEK: f64 = 0.253_2;

/// Powers of ten by which the edge has to move so that `series` series ring `per_week` times a week by their own
/// improbabilities: the `t_shift` of a judge of such series. Negative where the budget accepts more than 1.0 gives.
#[must_use]
pub fn nominal_shift(per_week: f64, series: f64) -> f32 {
    let wished = per_week.max(1e-9);
    log10(((series.max(0.0) * NOMINAL_PER_WEEK) / wished).clamp(1e-9, 1e18) as f32)
}

/// [`nominal_shift`] as an edge of scores: a score is the improbability in powers of ten over those that make 1.0,
/// so asking for more of them is asking for a higher score. Within 1.0 and [`MAX_EDGE`].
#[must_use]
pub fn nominal_edge(per_week: f64, series: f64) -> f32 {
    (1.0 + nominal_shift(per_week, series) / EDGE_DECADES).clamp(1.0, MAX_EDGE)
}

/// The share of alarms at 1.0 that reach `edge` where improbabilities mean what they say.
fn nominal_share(edge: f32) -> f64 {
    f64::from(exp(-(edge - 1.0) * EDGE_DECADES * LN_10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nominal_rate_is_that_of_the_edge() {
        let rows = 7.0 * 1_440.0;
        assert!((rows * 10f64.powf(-f64::from(EDGE_DECADES)) - NOMINAL_PER_WEEK).abs() < 1e-4);
    }

    #[test]
    fn ten_times_the_series_are_one_power_of_ten() {
        let shift = |series| nominal_shift(1.0, series);
        assert!((shift(400.0) - shift(40.0) - 1.0).abs() < 1e-5);
        assert!((nominal_shift(1.0, 1.0 / NOMINAL_PER_WEEK)).abs() < 1e-5);
        assert!(nominal_shift(7.0, 40.0) < shift(40.0));
    }

    #[test]
    fn an_edge_stays_within_bounds() {
        for (budget, series) in [(0.0, 1e12), (1e12, 1.0), (f64::MIN_POSITIVE, 0.0), (1.0, f64::INFINITY)] {
            let edge = nominal_edge(budget, series);
            assert!((1.0..=MAX_EDGE).contains(&edge), "{budget} {series} {edge}");
        }
        assert!((nominal_edge(1.0, 40.0) - 1.22).abs() < 0.01);
    }
}
