//! A store that has lost something, from an operator's view: the start is refused and changes
//! nothing, and a command accepts the loss.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use credsmith_tests::{Provider, Request, Site, credsmith, eventually};
use serde_json::json;

use crate::world::{User, ready};

/// Exit code and standard error of a command about the site. Nothing is on its standard input.
fn command(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = credsmith();
    command.args(arguments).arg("--config").arg(site.configuration()).stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Puts `from` in the place of `to`.
fn exchange(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

#[track_caller]
fn refused(site: &Site, says: &str) {
    let ended = site.try_serve().expect_err("it should not start");
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "{says} is not in: {}", ended.stderr);
    assert!(ended.stderr.contains("store accept"), "{}", ended.stderr);
}

/// A user is suspended and a credential revoked after the copy; the copy is put back.
#[test]
fn an_older_store_is_refused_and_accepted_with_suspensions_and_revocations() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    ready(&daemon);
    let (kept, revoked) = {
        let user = User { daemon: &daemon, token: op.token("alice") };
        let id = || user.fetch(&user.issue("unique", json!({}))).0;
        (id(), id())
    };
    assert_eq!(daemon.stop().status.code(), Some(0));
    let older = site.path().join("older");
    copy(&site.data(), &older);

    let daemon = site.serve();
    ready(&daemon);
    User { daemon: &daemon, token: op.token("alice") }.revoke(&revoked).expect(200);
    let (code, said) = command(&site, &["user", "suspend", "--unseen", &op.issuer(), "bob"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(daemon.stop().status.code(), Some(0));
    let newest = site.path().join("newest");
    copy(&site.data(), &newest);

    // The store alone is older: its tip tells. Then all of the data but for the audit log: that
    // tells.
    for whole in [false, true] {
        exchange(&newest, &site.data());
        exchange(&older.join("store"), &site.data().join("store"));
        if whole {
            exchange(&older.join("store.guard"), &site.data().join("store.guard"));
        }
        let says = if whole { "is behind the audit log" } else { "commits are missing" };
        for _ in 0..2 {
            refused(&site, says);
        }
        // Not accepted: nothing on standard input says so.
        let (code, said) = command(&site, &["store", "accept"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("1 suspensions or their ends and 1 revocations"), "{said}");
        assert!(said.contains("Nothing was accepted"), "{said}");
        refused(&site, says);
        let (code, said) = command(&site, &["store", "accept", "--yes"]);
        assert_eq!(code, Some(0), "{said}");

        let daemon = site.serve();
        ready(&daemon);
        let alice = User { daemon: &daemon, token: op.token("alice") };
        let list = Request::get("/api/v2/op/credential").bearer(&alice.token);
        let listed = daemon.ask(&list).expect(200).text();
        assert!(listed.contains(&kept) && !listed.contains(&revoked), "{listed}");
        let bob = Request::get("/api/v2/op/credential").bearer(&op.token("bob"));
        daemon.ask(&bob).refusal(401);
        let log = site.data().join("audit.jsonl");
        eventually("the event of it", || {
            fs::read_to_string(&log).unwrap().contains(r#""action":"accept-store""#)
        });
        assert_eq!(daemon.stop().status.code(), Some(0));
        let log = log.to_str().unwrap().to_owned();
        let (code, said) = command(&site, &["audit", "verify", &log]);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = command(&site, &["store", "accept"]);
        assert_eq!((code, said.contains("Nothing is missing")), (Some(0), true), "{said}");
    }
}

/// The store is gone, and an audit log is there: no new header, no new keyring.
#[test]
fn nothing_new_is_made_in_the_place_of_a_store_that_is_gone() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: op.token("alice") };
    user.issue("unique", json!({}));
    assert_eq!(daemon.stop().status.code(), Some(0));
    let newest = site.path().join("newest");
    copy(&site.data(), &newest);
    for guard in [true, false] {
        for gone in ["store", "store.guard"].iter().take(if guard { 1 } else { 2 }) {
            fs::remove_dir_all(site.data().join(gone)).unwrap();
        }
        let ended = site.try_serve().expect_err("it should not start");
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("nothing new is made"), "{}", ended.stderr);
        assert!(!site.data().join("store/db").exists());
        exchange(&newest, &site.data());
    }
    let daemon = site.serve();
    assert_eq!(daemon.stop().status.code(), Some(0));
}

/// A start, or a command, that is refused after the store was opened leaves nothing that a later
/// start would put back over a store which was restored meanwhile.
#[test]
fn a_start_that_ends_early_leaves_no_opening_to_undo() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    assert_eq!(daemon.stop().status.code(), Some(0));
    let key = fs::read_to_string(site.path().join("kek")).unwrap();
    let before = site.data().join("store.guard/before.list");
    let stood = fs::read(site.data().join("store/db")).unwrap();

    let other = Site::new();
    site.secret("kek", &fs::read_to_string(other.path().join("kek")).unwrap());
    let ended = site.try_serve().expect_err("it should not start");
    assert!(ended.stderr.contains("cannot be opened with"), "{}", ended.stderr);
    assert!(!before.exists(), "the start");
    let log = site.data().join("audit.jsonl").to_str().unwrap().to_owned();
    let (code, said) = command(&site, &["audit", "verify", &log]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be opened with"), "{said}");
    assert!(!before.exists(), "the command");
    assert_eq!(fs::read(site.data().join("store/db")).unwrap(), stood);

    site.secret("kek", &key);
    assert_eq!(site.serve().stop().status.code(), Some(0));
    assert!(!site.data().join("store.guard/displaced-1").exists());
}
