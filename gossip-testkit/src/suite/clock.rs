//! The real clock: conformance is shown on real sockets, and nothing else of this crate may know what time it is.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "sockets and the drivers behind a harness live in real time, so the suite has to wait in it"
)]

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time between two looks at a condition. The blocking face of a harness has no better way to wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets the nodes run until it is worth looking again.
pub(super) fn pause() {
    thread::sleep(LOOK_INTERVAL);
}

/// Returns the time that nodes are told: microseconds since 1970.
pub(super) fn now() -> gossip_core::Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gossip_core::Instant::from_micros(since.as_micros() as u64)
}
