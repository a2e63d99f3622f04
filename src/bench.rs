//! Labelled sets through the path of `run`: what it finds, what it makes up, and what that costs.
//!
//! | module | holds |
//! | --- | --- |
//! | [`measure`] | the measures, each with its definition |

pub mod measure;
