//! The work of the test plugin `unique` as a process of its own, the way plugins ran before there
//! were components: the request comes as base64 of JSON in the first argument, the answer goes to
//! standard output as JSON. Beside it stands the same in Python, `unique.py`.
#![expect(clippy::print_stdout, reason = "standard output is where the answer goes")]

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).ok_or("a request is needed")?;
    let request: Value = serde_json::from_slice(&STANDARD.decode(argument)?)?;
    let answer = match request.get("action").and_then(Value::as_str) {
        Some("request") => json!({
            "result": "ok",
            "state": random()?,
            "credential": [{ "name": "Password", "type": "text", "value": random()? }],
        }),
        Some("revoke") => json!({ "result": "ok" }),
        _ => return Err("the action is unknown".into()),
    };
    println!("{answer}");
    Ok(())
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
