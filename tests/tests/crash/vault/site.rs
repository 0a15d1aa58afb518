//! The daemon of these tests: a vault with some companies.

use credsmith_tests::{Daemon, Provider, Site, credsmith};
use serde_json::{Value, json};

pub(super) const CREDENTIALS: &str = "/v1/credential/credentials";
pub(super) const TYPES: &str = "/v1/credential-type/credential-types";
/// Identifiers of the companies.
pub(super) const COMPANIES: [&str; 3] = ["acme", "globex", "initech"];

/// A vault whose roles are still to be told.
pub(super) fn vault(provider: &Provider) -> Site {
    let companies = COMPANIES.iter().zip(1..);
    let list: Vec<_> = companies
        .map(|(identifier, id)| {
            format!("{{ id = {id}, identifier = \"{identifier}\", name = \"{identifier}\" }}")
        })
        .collect();
    Site::new()
        .provider("op", provider)
        // Without a grace a spent token is spent at once, and a lost answer ends the session.
        .vault("refresh_grace = \"0s\"")
        .section("companies", &format!("list = [{}]", list.join(", ")))
        .section("log", "level = \"warn\"")
}

/// A field of a type.
pub(super) fn field(id: &str, name: &str, secure: bool) -> Value {
    json!({ "id": id, "name": name, "required": false, "secure": secure, "valueType": "plain_text" })
}

/// Values as a request names them.
pub(super) fn values<const N: usize>(given: [(&str, &str); N]) -> Value {
    given.iter().map(|(field, value)| json!({ "fieldId": field, "value": value })).collect()
}

/// The ledger agrees with itself, and nothing is out of order.
pub(super) fn assert_in_order(daemon: &Daemon) {
    let found = daemon.admin("/ledger").expect(200).json();
    assert_eq!(found["faults"], json!([]), "contradictions in the ledger");
    let ready = daemon.admin("/readyz").expect(200).json();
    assert_eq!(ready["reasons"], json!([]));
}

/// The audit log is as it was written, whether the daemon that wrote it runs or was killed.
pub(super) fn assert_log_holds(site: &Site) {
    let mut verify = credsmith();
    verify.args(["audit", "verify"]).arg(site.data().join("audit.jsonl"));
    let verified = verify.arg("--config").arg(site.configuration()).output().unwrap();
    let said = [verified.stdout, verified.stderr].concat();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What operators can bring back.
pub(super) fn deleted(daemon: &Daemon) -> Vec<Value> {
    let listed = daemon.admin("/vault/deleted").expect(200).json();
    listed.as_array().unwrap().clone()
}
