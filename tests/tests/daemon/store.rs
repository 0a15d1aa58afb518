//! The engines of the store: each serves, and a copy changes from one to the other.

use std::fs;

use credsmith_tests::{Provider, Site, credsmith};
use serde_json::json;

use crate::world::{User, ready};

#[test]
fn a_copy_in_another_engine_is_used_at_once() {
    let op = Provider::start();
    let engine = |engine: &str| format!("store = \"{engine}\"");
    let site = Site::new().provider("op", &op).service_of("info", "bundled:info", "");
    let site = site.data_lines(&engine("redb"));
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token: op.token("alice") };
    let (id, _) = user.fetch(&user.issue("info", json!({})));
    assert_eq!(user.credentials(), std::slice::from_ref(&id));
    let token = user.token.clone();
    assert_eq!(daemon.stop().status.code(), Some(0));

    let site = site.data_lines(&engine("sled"));
    let refused = site.try_serve().expect_err("sled serves the data of redb");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("has a store of redb"), "{}", refused.stderr);

    let site = site.data_lines(&engine("redb"));
    let copy = site.path().join("copy");
    let mut command = credsmith();
    command.args(["store", "copy", "--engine", "sled", "--config"]).arg(site.configuration());
    command.arg("--to").arg(&copy);
    let made = command.output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && said.contains("SHA-256"), "{said}");
    assert_eq!(command.output().unwrap().status.code(), Some(1), "a copy replaces nothing");

    fs::rename(site.data(), site.path().join("old")).unwrap();
    fs::rename(&copy, site.data()).unwrap();
    let site = site.data_lines(&engine("sled"));
    let daemon = site.serve();
    ready(&daemon);
    let user = User { daemon: &daemon, token };
    assert_eq!(user.credentials(), std::slice::from_ref(&id));
    user.fetch(&user.issue("info", json!({})));
    let admin = daemon.admin("/ledger");
    admin.expect(200);
    let log = site.data().join("audit.jsonl");
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let mut verify = credsmith();
    verify.args(["audit", "verify"]).arg(&log).arg("--config").arg(site.configuration());
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
