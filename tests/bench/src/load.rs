//! Many clients at once, and what they saw.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::process::CpuWatch;

/// What went wrong, for people.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Something that a client does again and again.
pub(crate) trait Client: Send + 'static {
    /// Once. A wrong answer is an error, and ends the measurement.
    fn once(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How long clients warm up, and how long they are watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) watched: Duration,
}

/// What was seen while clients were watched.
pub(crate) struct Seen {
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// What one turn cost the server, and whoever drove the clients.
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
}

/// Lets the clients run as fast as they get answers. All run in the calling thread. `server` is a
/// process id.
pub(crate) async fn run<C: Client>(
    clients: Vec<C>,
    span: Span,
    server: u32,
) -> Result<Seen, Failure> {
    let begin = Instant::now() + span.warm_up;
    let end = begin + span.watched;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(repeat(client, begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let (ours, theirs) = (CpuWatch::own()?, CpuWatch::of(server)?);
    tokio::time::sleep_until(end.into()).await;
    let (client_cpu, server_cpu) = (ours.spent()?, theirs.spent()?);
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let turns = u32::try_from(times.len().max(1))?;
    times.sort_unstable();
    Ok(Seen {
        rate: times.len() as f64 / span.watched.as_secs_f64(),
        p50: at(&times, 0.5),
        p99: at(&times, 0.99),
        server_cpu: server_cpu / turns,
        client_cpu: client_cpu / turns,
    })
}

/// Lets the clients run for as long as `during` takes. Gives how long each turn took, in order, and
/// what came of `during`.
pub(crate) async fn run_during<C: Client, T>(
    clients: Vec<C>,
    during: impl Future<Output = Result<T, Failure>>,
) -> Result<(Vec<Duration>, T), Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let over = Arc::clone(&over);
        tasks.spawn(async move {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.once().await?;
                times.push(begun.elapsed());
            }
            Ok::<_, Failure>(times)
        });
    }
    let came = during.await;
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    // What the clients saw says more than what came of it.
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    times.sort_unstable();
    Ok((times, came?))
}

/// Lets each client do its thing so many times.
pub(crate) async fn run_times<C: Client>(
    clients: Vec<C>,
    times: usize,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            for _ in 0..times {
                client.once().await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

/// How long each turn took that ended while it was watched.
async fn repeat<C: Client>(
    mut client: C,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        client.once().await?;
        let ended = Instant::now();
        if ended >= end {
            return Ok(times);
        }
        if ended >= begin {
            times.push(ended - begun);
        }
    }
}

/// The time at `share` of `times`, which are in order.
pub(crate) fn at(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    let index = ((times.len() as f64 * share) as usize).min(last);
    times.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(at(&times, 0.5), Duration::from_millis(51));
        assert_eq!(at(&times, 0.99), Duration::from_millis(100));
        assert_eq!(at(&times, 1.0), Duration::from_millis(100));
        assert_eq!(at(&[], 0.5), Duration::ZERO);
    }
}
