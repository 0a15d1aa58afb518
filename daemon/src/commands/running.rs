//! Commands for a daemon that runs on this machine, over its admin socket.

use credsmith_http::{Bytes, Method, local};
use serde_json::{Value, json};

use crate::cli::{LeaseCommand, RunningDaemon, UserCommand, VaultCommand};
use crate::failure::Failure;
use crate::sentence::as_sentence;
use crate::{console, run, wire_up};

pub(crate) async fn lease(command: LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Parked { daemon } => {
            list(ask(&daemon, Method::GET, "/leases/parked", None).await?)
        }
        LeaseCommand::Retry { id, daemon } => {
            done(ask(&daemon, Method::POST, &format!("/leases/{id}/retry"), None).await?)
        }
        LeaseCommand::Drop { id, reason, daemon } => {
            let body = json!({ "reason": reason });
            done(ask(&daemon, Method::POST, &format!("/leases/{id}/drop"), Some(body)).await?)
        }
        LeaseCommand::Examine { daemon } => {
            examined(&ask(&daemon, Method::GET, "/ledger", None).await?)
        }
    }
}

pub(crate) async fn user(command: UserCommand) -> Result<(), Failure> {
    const PATH: &str = "/suspensions";
    match command {
        UserCommand::Suspend { issuer, subject, unseen, daemon } => {
            let body = json!({ "issuer": issuer, "subject": subject, "unseen": unseen });
            done(ask(&daemon, Method::POST, PATH, Some(body)).await?)
        }
        UserCommand::Resume { issuer, subject, daemon } => {
            let body = json!({ "issuer": issuer, "subject": subject });
            done(ask(&daemon, Method::DELETE, PATH, Some(body)).await?)
        }
        UserCommand::Suspended { daemon } => list(ask(&daemon, Method::GET, PATH, None).await?),
    }
}

pub(crate) async fn vault(command: VaultCommand) -> Result<(), Failure> {
    match command {
        VaultCommand::Sync { accept, daemon } => done(
            ask(&daemon, Method::POST, "/vault/sync", Some(json!({ "accept": accept }))).await?,
        ),
        VaultCommand::Deleted { daemon } => {
            list(ask(&daemon, Method::GET, "/vault/deleted", None).await?)
        }
        VaultCommand::Restore { id, daemon } => {
            done(ask(&daemon, Method::POST, &format!("/vault/deleted/{id}/restore"), None).await?)
        }
        VaultCommand::Purge { id, daemon } => {
            done(ask(&daemon, Method::DELETE, &format!("/vault/deleted/{id}"), None).await?)
        }
    }
}

pub(crate) async fn trust_clock(daemon: RunningDaemon) -> Result<(), Failure> {
    done(ask(&daemon, Method::POST, "/clock/trust", None).await?)
}

/// Sends a request to the daemon. A refusal is a failure.
async fn ask(
    daemon: &RunningDaemon,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, Failure> {
    let socket = match (&daemon.socket, &daemon.config) {
        (Some(socket), _) => socket.clone(),
        (None, Some(config)) => {
            let config = run::load(config)?.config;
            config.admin.socket_path(&config.data)
        }
        (None, None) => return Err(Failure::run("Give --config or --socket to name the daemon.")),
    };
    let json = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let answer = local::call(&socket, method, path, json, wire_up::LONGEST_COMMAND).await;
    let (status, answer) = answer.map_err(|error| {
        Failure::run(format!("No daemon answers at {}: {error}.", socket.display()))
    })?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| {
        Failure::run(format!(
            "The process that answers at {} is not a Credsmith daemon.",
            socket.display()
        ))
    })?;
    if status.is_success() { Ok(answer) } else { Err(Failure::run(refusal(&answer))) }
}

fn refusal(answer: &Value) -> String {
    let word = |key| answer.get(key).and_then(Value::as_str);
    let error = as_sentence(&word("error").unwrap_or("the daemon refused"));
    word("cause").map_or_else(|| error.clone(), |cause| format!("{error} ({cause})"))
}

/// Prints one JSON object per line.
fn list(answer: Value) -> Result<(), Failure> {
    let Value::Array(items) = answer else { return done(answer) };
    for item in items {
        console::print(item);
    }
    Ok(())
}

fn done(answer: Value) -> Result<(), Failure> {
    console::print(answer);
    Ok(())
}

fn examined(answer: &Value) -> Result<(), Failure> {
    let faults: Vec<_> =
        answer.get("faults").and_then(Value::as_array).into_iter().flatten().collect();
    for fault in &faults {
        console::print(fault.as_str().unwrap_or_default());
    }
    if faults.is_empty() {
        console::say("The ledger agrees with itself.");
        return Ok(());
    }
    let more = answer.get("more_faults").and_then(Value::as_u64).unwrap_or(0);
    let places = more.saturating_add(u64::try_from(faults.len()).unwrap_or(u64::MAX));
    Err(Failure::run(format!("The ledger contradicts itself in {places} places.")))
}
