//! Labelled sets through the engine of `run`: what it finds, what it makes up, and what that costs.
//!
//! | module | holds |
//! | --- | --- |
//! | [`set`] | a labelled set in a folder |
//! | [`judged`] | one series, judged and measured |
//! | [`measure`] | the measures, each with its definition |
//! | [`summary`] | many series together |
//! | [`output`] | tables, files and a page |

pub mod judged;
pub mod measure;
pub mod output;
pub mod set;
pub mod summary;
