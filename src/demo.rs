//! The demo: a small made-up fleet, replayed quickly through the real pipeline, with incidents in it.
//!
//! Three days of samples at 15 s are submitted as fast as they are judged, under a clock that follows them;
//! then the fleet goes on in real time. Nothing here knows a detector: what is shown is what `run` would
//! have shown. Everything it serves is labelled as a demo.

pub mod fleet;
pub mod incidents;
pub mod replay;
