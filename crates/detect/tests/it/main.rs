//! Tests of the judge through its public face.

mod judge;
mod properties;
mod seed;
mod support;
