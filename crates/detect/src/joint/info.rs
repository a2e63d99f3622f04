//! What the reference documents say of joint detection.

use super::{
    EDGE, HOLD, HOLD_LEVEL, LEVEL_EDGE, UNIT_DECADES, alarm, change, correlation, forest, kmeans, level, parts, pca,
    reservoir, singles, tail,
};
use crate::table::DetectorInfo;

/// The row of this detector in the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "joint",
    summary: "shared changes, single verdicts, levels, broken correlations and more of all series of a host together",
    hot_bytes: 0,
    lazy_bytes: 0,
    constants: &[
        ("lags", change::LAGS as f32, "changes in a row that are looked at together"),
        ("width_ticks", change::WIDTH as f32, "ticks over which a change is taken"),
        ("directions", change::DIRECTIONS as f32, "shared directions that are kept at most"),
        ("change_seconds", change::MEMORY_S, "memory of the change head"),
        ("span_short", level::SPANS[0], "ticks over which levels are smoothed, first span"),
        ("span_long", level::SPANS[1], "ticks over which levels are smoothed, second span"),
        ("level_seconds", level::MEMORY_S, "memory of the level head"),
        ("level_edge", LEVEL_EDGE, "times as far out as usual at which the level is 1.0"),
        ("odd", level::ODD, "times as far out as usual from which a tick is kept out of the level's memory"),
        ("quarantine_seconds", level::QUARANTINE_S, "odd time after which a new level is learned"),
        ("top", singles::TOP as f32, "loudest channels whose powers of ten are added up"),
        ("counted_from", singles::COUNTED.0, "score of a channel that is subtracted before"),
        ("counted_to", singles::COUNTED.1, "score of a channel that counts at most"),
        ("tail_ticks", tail::MEMORY, "memory of the tails of both heads"),
        ("change_weight", parts::CHANGE_WEIGHT, "weight of the change head beside the single verdicts"),
        ("pair_weight", parts::PAIR_WEIGHT, "weight of these two among all that decide"),
        ("level_weight", parts::LEVEL_WEIGHT, "what the level adds to what decides"),
        ("ranked_level", parts::RANKED_LEVEL, "what the level counts for in the rank of a tick"),
        ("recent", parts::RECENT, "part of what a head said a tick ago that it still says"),
        (
            "tested",
            correlation::TESTED,
            "moves, usual rests, from which on unbroken correlations count in full against an alarm",
        ),
        ("unit_decades", UNIT_DECADES, "powers of ten that heads are measured in at one tick a minute"),
        ("edge", EDGE, "part of the unit that makes 1.0"),
        ("most_named", parts::MOST_NAMED, "what a model known by name counts for at most"),
        ("row_span", reservoir::SPAN, "ticks over which values are smoothed for models known by name"),
        ("rows", reservoir::ROWS as f32, "rows of the past that models known by name are fitted to"),
        ("row_seconds", reservoir::MEMORY_S, "mean age of these rows"),
        ("trees", forest::TREES as f32, "trees of the isolation forest"),
        ("subsample", forest::SUBSAMPLE as f32, "rows that a tree is grown on"),
        ("components", pca::HELD as f32, "share of the variance that robust principal components hold"),
        ("trimmed", 1.0 - pca::KEPT, "share of the rows that they set aside"),
        ("centres", kmeans::CENTRES as f32, "centres of k-means"),
        ("correlation", correlation::LEAST, "least correlation of a pair that can break"),
        ("pairs", correlation::PAIRS as f32, "most such pairs of a channel"),
        ("hold", HOLD, "part of the last published score that the next one has at least"),
        ("hold_level", HOLD_LEVEL, "the same of the level"),
        ("raise", alarm::RAISE, "what an alarm adds to the edge, forgotten quickly"),
        ("raise_long", alarm::RAISE_LONG, "what alarms add to the edge, forgotten slowly, times ln(1 + alarms / 3)"),
    ],
};
