//! Tests of the judge through its public face.

mod explain;
mod judge;
mod properties;
mod support;
