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

/// Somebody who sends batches, step by step: what the next step says follows from the answers to the last.
pub(crate) trait BatchClient: Client {
    /// Makes the commands of the next step: the work of the client's own machine, outside the measured time.
    fn prepare(&mut self) -> anyhow::Result<()>;
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

/// Lets all clients send what they have prepared, each command as soon as the last is answered, and prepare again. The
/// time is that of sending alone. The first `warm_up` steps are not counted.
pub(crate) async fn drive_steps<C: BatchClient>(
    mut clients: Vec<C>,
    commands: usize,
    steps: usize,
    warm_up: usize,
) -> anyhow::Result<Run> {
    let mut run = Run::default();
    for step in 0..steps {
        clients.iter_mut().try_for_each(C::prepare)?;
        let begun = Instant::now();
        let mut working = JoinSet::new();
        for client in clients.drain(..) {
            working.spawn(send(client, commands));
        }
        let mut latencies = Samples::default();
        while let Some(done) = working.join_next().await {
            let (client, answered) = done??;
            clients.push(client);
            latencies.extend(&answered);
        }
        if step >= warm_up {
            run.took += begun.elapsed();
            run.latencies.extend(&latencies);
        }
    }
    Ok(run)
}

async fn send<C: Client>(mut client: C, commands: usize) -> anyhow::Result<(C, Samples)> {
    let mut latencies = Samples::default();
    for _ in 0..commands {
        let begun = Instant::now();
        client.command().await?;
        latencies.push(begun.elapsed());
    }
    Ok((client, latencies))
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
