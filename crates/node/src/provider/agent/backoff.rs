//! When something that failed may be tried again.

use market::units::TimeMs;

/// The first wait, in milliseconds; each further failure doubles it.
const FIRST_MS: u64 = 200;
/// The longest wait, in milliseconds.
const LONGEST_MS: u64 = 30_000;

/// Doubling waits after failures in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: TimeMs,
}

impl Backoff {
    /// Another failure.
    pub(super) fn fail(&mut self, now: TimeMs) {
        let wait_ms = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        self.until = now.plus(wait_ms);
    }

    /// It worked: the next failure starts with the first wait.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Until when to wait, or `None` when nothing stands in the way.
    pub(super) fn wait(&self, now: TimeMs) -> Option<TimeMs> {
        (now < self.until).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_start_over() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(TimeMs(0)), None);
        let waits: Vec<u64> = (0..10)
            .map(|_| {
                backoff.fail(TimeMs(0));
                backoff.wait(TimeMs(0)).unwrap().0
            })
            .collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.wait(TimeMs(30_000)), None);
        backoff.reset();
        backoff.fail(TimeMs(0));
        assert_eq!(backoff.wait(TimeMs(0)), Some(TimeMs(200)));
    }
}
