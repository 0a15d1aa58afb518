//! `credsmith audit verify`: checks that an audit log is as the daemon wrote it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use credsmith_core::audit::{Check, Verdict, check_of};
use credsmith_core::ports::store::Store;
use credsmith_http::{Bytes, Method, StatusCode, local};
use serde_json::{Value, json};

use crate::audit::read;
use crate::config::Config;
use crate::failure::Failure;
use crate::sentence::{as_sentence, sentence};
use crate::system::System;
use crate::wire_up::{self, Losses, open_keyring, open_store};
use crate::{console, run};

/// Verifies `files`, which follow each other and begin with line `from`. Without a configuration
/// there is no key to verify the MACs of lines.
pub(crate) async fn verify(
    files: Vec<PathBuf>,
    config: Option<&Path>,
    socket: Option<&Path>,
    from: u64,
) -> Result<(), Failure> {
    let files: Result<Vec<_>, _> = files.iter().map(std::path::absolute).collect();
    let files = files.map_err(Failure::error)?;
    let verdict = match (config, socket) {
        (Some(config), _) => by_configuration(&files, config, from).await?,
        (None, Some(socket)) => {
            let answer =
                ask(&files, socket, from).await.map_err(|error| unanswered(socket, &error))?;
            answered(answer.0, &answer.1)?
        }
        (None, None) => read::against(&files, Check { from, ..Check::default() }, || false)
            .map_err(Failure::Run)?,
    };
    print_verdict(&verdict, config.is_some() || socket.is_some())
}

async fn ask(files: &[PathBuf], socket: &Path, from: u64) -> io::Result<(StatusCode, Bytes)> {
    let body = json!({ "files": files, "from": from }).to_string();
    local::call(socket, Method::POST, "/audit/verify", Bytes::from(body), wire_up::LONGEST_COMMAND)
        .await
}

fn unanswered(socket: &Path, error: &io::Error) -> Failure {
    Failure::run(format!("The daemon at {} does not answer: {error}.", socket.display()))
}

fn print_verdict(verdict: &Verdict, has_key: bool) -> Result<(), Failure> {
    verdict.faults.iter().for_each(console::print);
    let Verdict { lines, last, unfinished, repeated, faults } = verdict;
    if *unfinished {
        console::say(
            "An unfinished line follows, which is not part of the log: the daemon is writing it, or was killed while writing it and will write it again.",
        );
    }
    if *repeated > 0 {
        console::say(format!(
            "{repeated} lines stand at the end of one file and once more at the beginning of the next: the file was moved away after the daemon had been killed amid a write. They are the same lines."
        ));
    }
    match faults.len() {
        0 if has_key => {
            console::say(format!(
                "All {lines} lines are as the daemon wrote them; the last one has number {last}."
            ));
        }
        0 => console::say(format!(
            "The {lines} lines are whole and follow each other. Detecting a log that was rewritten as a whole, or cut off at its end, takes --config FILE or --socket PATH."
        )),
        1 => return Err(Failure::run("The audit log has 1 fault.")),
        count => return Err(Failure::run(format!("The audit log has {count} faults."))),
    }
    Ok(())
}

/// Asks the running daemon, which has the key and locks its store; if none runs, opens the store.
async fn by_configuration(files: &[PathBuf], config: &Path, from: u64) -> Result<Verdict, Failure> {
    let config = run::load(config)?.config;
    let socket = config.admin.socket_path(&config.data);
    match ask(files, &socket, from).await {
        Ok((status, answer)) => answered(status, &answer),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            let check = check_of_stopped(&config, from).await?;
            read::against(files, check, || false).map_err(Failure::Run)
        }
        Err(error) => Err(unanswered(&socket, &error)),
    }
}

fn answered(status: StatusCode, answer: &[u8]) -> Result<Verdict, Failure> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let number = |key| answer.get(key).and_then(Value::as_u64);
    let (Some(lines), Some(last), Some(Value::Array(faults))) =
        (number("lines"), number("last"), answer.get("faults"))
    else {
        let error = answer.get("error").and_then(Value::as_str);
        let nothing = format!("the daemon answers {status} and no verdict");
        return Err(Failure::run(as_sentence(&error.unwrap_or(&nothing))));
    };
    let text = |fault: &Value| fault.as_str().unwrap_or_default().to_owned();
    let unfinished = answer.get("unfinished").and_then(Value::as_bool).unwrap_or_default();
    let repeated = number("repeated").unwrap_or_default();
    Ok(Verdict { lines, last, unfinished, repeated, faults: faults.iter().map(text).collect() })
}

/// The reference for the log, from the store of a daemon that does not run.
async fn check_of_stopped(config: &Config, from: u64) -> Result<Check, Failure> {
    let place = config.data.store();
    if !place.exists() {
        return Err(Failure::run(format!("There is no daemon's store at {}.", place.display())));
    }
    let system = System::new();
    let opened = Arc::new(open_store(config, Losses::Refused).await?);
    let check = async {
        let store = Arc::clone(&opened) as Arc<dyn Store>;
        let keyring = Arc::new(open_keyring(config, Arc::clone(&store), &system).await?);
        let (clock, entropy) = (Arc::clone(&system.clock), Arc::clone(&system.entropy));
        check_of(store, keyring, clock, entropy, from).await.map_err(Failure::error)
    };
    let check = check.await;
    // After a failure too: this puts the files back as they were.
    if let Err(error) = opened.inner().close().await {
        console::say(sentence(&error));
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_over_the_socket() {
        let good =
            br#"{"lines":3,"last":7,"unfinished":true,"repeated":2,"faults":["Line 1 is bad."]}"#;
        let verdict = answered(StatusCode::OK, good).unwrap();
        let faults = vec!["Line 1 is bad.".into()];
        assert_eq!(verdict, Verdict { lines: 3, last: 7, unfinished: true, repeated: 2, faults });
        let refused =
            answered(StatusCode::BAD_REQUEST, br#"{"error":"it cannot be read"}"#).unwrap_err();
        assert_eq!(refused.to_string(), "It cannot be read.");
        assert!(
            answered(StatusCode::NOT_FOUND, b"<html>")
                .unwrap_err()
                .to_string()
                .contains("no verdict")
        );
    }

    #[tokio::test]
    async fn without_a_key_numbers_and_chain_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "").unwrap();
        verify(vec![path.clone()], None, None, 1).await.unwrap();
        std::fs::write(&path, "garbage\n").unwrap();
        let failure = verify(vec![path], None, None, 1).await.unwrap_err();
        assert_eq!(failure.to_string(), "The audit log has 1 fault.");
    }
}
