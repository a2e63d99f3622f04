//! A normalizer from the outside: batches in, samples and counters out.

mod garbage;
mod histograms;
mod identity;
mod lifetime;
mod memory;
mod samples;
mod saved;
mod support;
