//! Clients that send one command after the other, as fast as they are answered or when each is due.

use report::samples::Samples;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};

/// Somebody who sends commands.
pub(crate) trait Client: Send + 'static {
    /// Sends the next command and waits until it is durable.
    fn command(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// When the next command is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// When the last one is answered.
    Closed,
    /// When it is due, or when the last one is answered, if that is later.
    Open {
        /// Between two commands of one client.
        interval: Duration,
    },
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// From when a command was due until it was durable.
    pub(crate) latencies: Samples,
    took: Duration,
}

impl Run {
    /// Commands a second; zero when nothing ran.
    pub(crate) fn rate(&self) -> f64 {
        if self.latencies.is_empty() { 0.0 } else { self.latencies.len() as f64 / self.took.as_secs_f64() }
    }
}

/// Lets all clients work for a while. The first tenth is not counted.
pub(crate) async fn drive<C: Client>(clients: Vec<C>, pace: Pace, length: Duration) -> anyhow::Result<Run> {
    let begun = Instant::now();
    let (counted_from, end) = (begun + length / 10, begun + length);
    let mut working = JoinSet::new();
    let count = clients.len() as u32;
    for (nth, client) in (0..count).zip(clients) {
        working.spawn(work(client, nth, count, pace, begun, counted_from, end));
    }
    let mut latencies = Samples::default();
    while let Some(done) = working.join_next().await {
        latencies.extend(&done??);
    }
    Ok(Run { latencies, took: end - counted_from })
}

async fn work<C: Client>(
    mut client: C,
    nth: u32,
    clients: u32,
    pace: Pace,
    begun: Instant,
    counted_from: Instant,
    end: Instant,
) -> anyhow::Result<Samples> {
    let mut latencies = Samples::default();
    let mut due = match pace {
        Pace::Closed => begun,
        // The clients are spread over the interval.
        Pace::Open { interval } => begun + interval * nth / clients,
    };
    while due < end {
        if let Pace::Open { .. } = pace {
            sleep_until(due.into()).await;
        }
        client.command().await?;
        let answered = Instant::now();
        if due >= counted_from && answered <= end {
            latencies.push(answered - due);
        }
        due = match pace {
            Pace::Closed => answered,
            Pace::Open { interval } => due + interval,
        };
    }
    Ok(latencies)
}
