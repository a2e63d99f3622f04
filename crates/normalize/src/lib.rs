//! Foreign words to common words.
//!
//! A [`Normalizer`] holds the raw series of one shard. Sources hand it [`RawBatch`](watchbell_series::RawBatch)es;
//! out come [`Sample`](watchbell_series::Sample)s of dense slots in common words: counters as rates, histograms
//! as rate, mean and quantiles, everything else as it is, with the cadence of the series. What is wrong with
//! the data (order, duplicates, clocks, resets, gaps) is counted in [`Stats`], never judged.
//!
//! Nothing here reads a clock, a file or a socket: the same batches give the same samples, to the bit.

pub mod cadence;
mod entities;
mod family;
mod group;
pub mod hosts;
mod keymap;
mod limits;
mod meaning;
mod native;
mod normalizer;
mod output;
mod pages;
mod pairs;
mod record;
mod rules;
mod sources;
mod spans;
mod stats;
mod wire;

pub use cadence::Cadence;
pub use limits::{Limits, Shard};
pub use normalizer::{Census, Normalizer, Restored, SeriesInfo, StateError};
pub use output::{Admission, Normalized, ReceiptPart};
pub use rules::{
    At, BUILT_IN, BUILT_IN_DETECT, GivenHost, Provenance, RuleProblem, Rules, SetAside, Word, detect_schema,
    mapping_schema,
};
pub use sources::{SourceCount, SourceLimit};
pub use stats::Stats;
