//! The audit log as an operator has it: what is in it, what verifying it says, and what a kill
//! leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use credsmith_tests::{Provider, Request, Site, credsmith, eventually};
use serde_json::{Value, json};

use crate::world::{User, ready};

fn log(site: &Site) -> PathBuf {
    site.data().join("audit.jsonl")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect()
}

/// Exit code, standard output, standard error.
fn verify(files: &[&Path], site: Option<&Site>) -> (Option<i32>, String, String) {
    let mut command = credsmith();
    command.args(["audit", "verify"]).args(files);
    if let Some(site) = site {
        command.arg("--config").arg(site.configuration());
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[track_caller]
fn assert_sound(files: &[&Path], site: &Site) {
    let (code, faults, said) = verify(files, Some(site));
    assert_eq!((code, faults.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("are as the daemon wrote them"), "{said}");
}

#[test]
fn it_outlives_a_kill_and_shows_what_was_done_to_it() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    ready(&daemon);
    let path = log(&site);
    {
        let user = User { daemon: &daemon, token: op.token("alice") };
        let (id, _) = user.fetch(&user.issue("unique", json!({})));
        user.revoke(&id).expect(200);
        daemon.ask(&Request::get("/api/v2/op/credential").bearer("nonsense")).refusal(401);
    }
    eventually("all of it to be in the log", || lines(&path).len() >= 4);
    let mut logged = actions(&path);
    logged.sort();
    assert_eq!(logged, ["collect", "issue", "revoke", "sign-in"]);
    assert!(!fs::read_to_string(&path).unwrap().contains("nonsense"));
    assert_sound(&[&path], &site);

    // It writes while it is killed.
    daemon.kill();
    assert_sound(&[&path], &site);
    let whole = fs::read(&path).unwrap();
    let next = lines(&path).len() + 1;
    let last = lines(&path).pop().unwrap();
    let mac = &last["mac"].as_str().unwrap()[..20];
    let ending_with = |rest: &str| [&whole[..], rest.as_bytes()].concat();
    fs::write(
        &path,
        ending_with(&format!("{{\"number\":{next},\"previous\":\"AAAA\",\"action\":\"reveal\"")),
    )
    .unwrap();
    let (code, faults, _) = verify(&[&path], Some(&site));
    assert_eq!(code, Some(1));
    assert!(faults.contains("has no end"), "an event that another writer began: {faults}");
    fs::write(&path, ending_with(&format!("{{\"number\":{next},\"previous\":\"{mac}"))).unwrap();
    assert_sound(&[&path], &site);
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: op.token("bob") };
    user.issue("unique", json!({}));
    eventually("it to go on", || lines(&path).len() >= next);
    assert!(fs::read(&path).unwrap().starts_with(&whole), "what was written is there");
    assert_sound(&[&path], &site);

    // Moved away while it runs.
    let older = site.path().join("audit.jsonl.1");
    fs::rename(&path, &older).unwrap();
    user.issue("unique", json!({}));
    eventually("a new file", || !lines(&path).is_empty());
    assert_sound(&[&older, &path], &site);
    assert_eq!(verify(&[&path], Some(&site)).0, Some(1), "the beginning is in another file");
    assert_eq!(daemon.stop().status.code(), Some(0));
    assert_sound(&[&older, &path], &site);

    let good = fs::read_to_string(&older).unwrap();
    let (_, last) = good.trim_end().rsplit_once('\n').unwrap();
    for (bad, fault) in [
        (good.replace("alice", "carol"), "was changed"),
        (good.replace(&format!("{last}\n"), ""), "lines before it are missing"),
        (good.replacen('{', "{ ", 1), "was changed"),
        (String::new(), "lines before it are missing"),
    ] {
        fs::write(&older, &bad).unwrap();
        let (code, faults, said) = verify(&[&older, &path], Some(&site));
        assert_eq!(code, Some(1), "{said}");
        assert!(faults.contains(fault) && said.contains("The audit log has "), "{faults}{said}");
    }
    fs::write(&older, &good).unwrap();
    let (code, _, said) = verify(&[&older, &path], None);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("takes --config FILE"),
        "it does not promise what it cannot know: {said}"
    );
    let (code, _, said) = verify(&[&older], Some(&site));
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_is_an_operators_matter() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let path = log(&site);
    fs::create_dir_all(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(site.data(), mode).unwrap();
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: op.token("alice") };
    user.issue("unique", json!({}));
    let readiness = || String::from_utf8(daemon.admin("/readyz").body).unwrap();
    eventually("readiness to report it", || {
        readiness().contains("the audit log cannot be written")
    });
    assert_eq!(daemon.admin("/readyz").status, 200, "it works on");
    fs::remove_dir(&path).unwrap();
    eventually("the log to be written", || actions(&path).contains(&"issue".to_owned()));
    eventually("readiness to recover", || !readiness().contains("audit log"));
    assert_sound(&[&path], &site);
}
