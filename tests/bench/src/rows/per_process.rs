//! The work of the plugin by a process for each call: one call to issue, one to revoke.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::load::{Failure, at};
use crate::process::beside;
use crate::table::time;

/// Pairs of an issue and a revoke.
pub(super) struct Pairs {
    rate: f64,
    p50: Duration,
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (p50 {})", super::rate(self.rate), time(self.p50))
    }
}

pub(super) fn native(clients: usize, length: Duration) -> Result<Pairs, Failure> {
    pairs(clients, length, &[beside("unique-native")?])
}

pub(super) fn python(clients: usize, length: Duration) -> Result<Pairs, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("unique.py");
    pairs(clients, length, &[PathBuf::from("python3"), script])
}

fn pairs(clients: usize, length: Duration, program: &[PathBuf]) -> Result<Pairs, Failure> {
    let begun = Instant::now();
    let end = begun + length;
    let mut times = std::thread::scope(|scope| {
        let run = || repeat(program, end);
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok::<_, Failure>(all)
    })?;
    // Until the last has finished: with many clients, one pair may take longer than the whole time.
    let took = begun.elapsed();
    times.sort_unstable();
    Ok(Pairs { rate: times.len() as f64 / took.as_secs_f64(), p50: at(&times, 0.5) })
}

fn repeat(program: &[PathBuf], end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        let issued = call(program, &json!({ "action": "request", "watts_userid": "user" }))?;
        let state =
            issued.get("state").and_then(Value::as_str).ok_or("a plugin process gave no state")?;
        call(program, &json!({ "action": "revoke", "watts_userid": "user", "cred_state": state }))?;
        let ended = Instant::now();
        times.push(ended - begun);
        if ended >= end {
            return Ok(times);
        }
    }
}

fn call(program: &[PathBuf], request: &Value) -> Result<Value, Failure> {
    let (program, script) = program.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    let output = command
        .args(script)
        .arg(STANDARD.encode(request.to_string()))
        .stdin(Stdio::null())
        .output()?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    if answer.get("result").and_then(Value::as_str) == Some("ok") {
        Ok(answer)
    } else {
        Err("a plugin process refused".into())
    }
}
