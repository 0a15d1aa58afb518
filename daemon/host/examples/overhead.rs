//! Prints what a plugin call costs: issues through the port, each in a fresh instance, beside plain
//! calls on one kept instance.
//!
//! `cargo run --release -p credsmith-host --example overhead -- COMPONENT.wasm [CALLS]`. The
//! component is a service plugin that needs no settings. One line for each row: name, p50 and p99
//! in microseconds.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::caller::{Identity, Subject};
use credsmith_core::ids::{LeaseId, ProviderId, ServiceId};
use credsmith_core::ports::plugins::{CallUser, IssueCall, ServicePlugins};
use credsmith_core::secret::Secret;
use credsmith_host::{ComponentSource, Host, HostOptions, ServiceSetup};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: overhead COMPONENT.wasm [CALLS]")?;
    let calls = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let host = Host::new(HostOptions::new(Secret::new("only for this run")))?;
    let id = ServiceId::parse("measured")?;
    let component =
        ComponentSource { bytes: Cow::Owned(std::fs::read(&path)?), origin: path, sha256: None };
    let loaded = host.load(ServiceSetup::new(id.clone(), component)).await?;
    println!("{} {}, {calls} calls", loaded.plugin.name, loaded.plugin.version);

    let mut through_the_port = Vec::with_capacity(calls);
    for at in 0..calls {
        let call = issue(&id, u128::try_from(at)?)?;
        let begun = Instant::now();
        let report = host.issue(call).await;
        through_the_port.push(begun.elapsed());
        report.outcome.map_err(|failure| failure.to_string())?;
    }
    row("issue through the port", through_the_port);
    row("issue on a kept instance", host.time_kept_instance(issue(&id, 0)?, calls).await?);
    Ok(())
}

fn issue(service: &ServiceId, at: u128) -> Result<IssueCall, Box<dyn Error>> {
    let identity = Identity::vouched_by(
        ProviderId::parse("dev")?,
        Subject { issuer: "https://op.example".to_owned(), subject: "alice".to_owned() },
        serde_json::json!({ "sub": "alice", "groups": ["users", "admins"] })
            .as_object()
            .cloned()
            .unwrap_or_default(),
    );
    Ok(IssueCall {
        service: service.clone(),
        lease: LeaseId::from_random(at.to_be_bytes()),
        user: CallUser { identity: Arc::new(identity), access_token: None },
        additional_logins: Vec::new(),
        parameters: Vec::new(),
        not_after: None,
    })
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times
            .get(index.min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
            * 1e6
    };
    println!("{name:<28} p50 {:>8.1} us   p99 {:>8.1} us", at(0.5), at(0.99));
}
