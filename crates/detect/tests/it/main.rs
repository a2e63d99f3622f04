//! Tests of the judge through its public face.

mod calibrate;
mod cycles;
mod explain;
mod incident;
mod judge;
mod properties;
mod quiet;
mod seed;
mod support;
mod trend;
