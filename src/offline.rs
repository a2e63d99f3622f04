//! Files of samples, read and judged by the engine of `run` without its service.
//!
//! | module | holds |
//! | --- | --- |
//! | [`files`] | which files, plain or gzipped |
//! | [`rows`] | their rows, and what is wrong with them |
//! | [`entity`] | the series of one file and their judge |
//! | [`host`] | several columns as one machine |
//! | [`onset`] | a rank of onsets, for measures that count every row over a threshold |

pub mod entity;
pub mod files;
pub mod host;
pub mod onset;
pub mod rows;

pub use entity::{Entity, Outcome};
pub use rows::Rows;
