//! How far a long run is: on a terminal always, in a log now and then.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often a log gets a line.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Tells on standard error how far a run is.
#[derive(Debug)]
pub struct Progress {
    seeds: u64,
    done: u64,
    violations: usize,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Nothing is done of so many seeds.
    pub fn new(seeds: u64) -> Progress {
        let now = Instant::now();
        Progress { seeds, done: 0, violations: 0, started: now, last_line: now }
    }

    /// A seed is done, with so many violations.
    pub fn done(&mut self, violations: usize) {
        self.done += 1;
        self.violations += violations;
        let mut stderr = std::io::stderr();
        let is_last = self.done == self.seeds;
        // A terminal that is gone is no reason to stop.
        let _ = if stderr.is_terminal() {
            write!(stderr, "\r{}  {}", self.line(), if is_last { "\n" } else { "" })
        } else if is_last || self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            writeln!(stderr, "{}", self.line())
        } else {
            Ok(())
        };
    }

    fn line(&self) -> String {
        let Progress { seeds, done, violations, .. } = self;
        let took = self.started.elapsed();
        let left = took.mul_f64((seeds - done) as f64 / (*done).max(1) as f64);
        format!("{done} of {seeds} seeds, {violations} violations, {}, {} left", clock(took), clock(left))
    }

    /// How long it took so far, in words.
    pub fn took(&self) -> String {
        clock(self.started.elapsed())
    }
}

fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}
