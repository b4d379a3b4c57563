//! Time on a core.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long this thread has been running on a core. What others do on the machine does not count, apart from the caches
/// that they take.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
