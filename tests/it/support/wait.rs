//! Waiting for something to become true: asked again and again, with a deadline.

use std::time::Duration;

use watchbell::clock::Timer;

/// How long anything may take. Far more than it does, for machines that are busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Asks `probe` until it gives a value; `what` and its last refusal are told if it never does.
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, probe)
}

/// As [`until`], with another deadline.
pub(crate) fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let timer = Timer::start();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) if timer.elapsed() > limit => panic!("waited {limit:?} for {what}; last: {last}"),
            Err(_) => pause(Duration::from_millis(100)),
        }
    }
}

/// `Ok` if `holds`, else what was found instead.
pub(crate) fn when(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}

/// The pause between two looks, or two steps of a load: nothing relies on its length.
#[expect(clippy::disallowed_methods, reason = "test threads are no threads of a runtime")]
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}
