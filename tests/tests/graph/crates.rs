//! The crate graph is the architecture: which of our crates may know which, and which library lives
//! in which crate alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate with those of ours that it may depend on, and those that its tests may. `contract` is
/// what the daemon and the SDK both state about plugins: limits, and how a duration is written.
const ALLOWED: [(&str, &[&str], &[&str]); 13] = [
    ("credsmith-core", &[], &[]),
    ("credsmith-http", &[], &[]),
    ("credsmith-bundle", &[], &[]),
    ("credsmith-contract", &[], &[]),
    ("credsmith-plugin-sdk", &["contract"], &[]),
    ("credsmith-store", &["core"], &["core"]),
    ("credsmith-oidc", &["core", "http"], &["core", "http"]),
    ("credsmith-host", &["contract", "core", "http"], &["core", "http"]),
    ("credsmith-api", &["core", "http"], &["core", "http"]),
    ("credsmith-dev-provider", &["http", "oidc"], &["http", "oidc", "core"]),
    (
        "credsmith",
        &["api", "bundle", "contract", "core", "dev-provider", "host", "http", "oidc", "store"],
        &["api", "bundle", "core", "dev-provider", "host", "http", "oidc", "store"],
    ),
    (
        "credsmith-tests",
        &["api", "bundle", "core", "dev-provider", "host", "http", "oidc", "store", "plugin-sdk"],
        &["api", "bundle", "core", "dev-provider", "host", "http", "oidc", "store", "plugin-sdk"],
    ),
    ("credsmith-bench", &["bundle", "tests"], &[]),
];

/// Libraries that one crate alone may name, tests included, and that crate.
const ALONE: [(&str, &str); 9] = [
    ("wasmtime", "credsmith-host"),
    ("wasmtime-wasi", "credsmith-host"),
    ("sled", "credsmith-store"),
    ("redb", "credsmith-store"),
    ("hyper", "credsmith-http"),
    ("hyper-util", "credsmith-http"),
    ("rustls", "credsmith-http"),
    ("tokio-rustls", "credsmith-http"),
    ("jsonwebtoken", "credsmith-oidc"),
];

struct Edge {
    from: String,
    to: String,
    dev: bool,
}

fn metadata() -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            manifest,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().clone();
        let from = text(&package["name"]);
        dependencies.into_iter().map(move |dependency| Edge {
            from: from.clone(),
            to: text(&dependency["name"]),
            dev: dependency["kind"] == "dev",
        })
    };
    packages.iter().flat_map(of).collect()
}

fn is_plugin(metadata: &Value) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap().iter();
    let below = |package: &&Value| {
        let path = text(&package["manifest_path"]);
        let bundled = path.contains("/plugins/") && !path.ends_with("/bundle/Cargo.toml");
        bundled || path.contains("/fixtures/plugins/")
    };
    packages.filter(below).map(|package| text(&package["name"])).collect()
}

#[test]
fn no_crate_knows_more_of_ours_than_it_may() {
    let metadata = metadata();
    let plugins = is_plugin(&metadata);
    let rules: BTreeMap<_, _> =
        ALLOWED.iter().map(|(name, normal, dev)| (*name, (*normal, *dev))).collect();
    let ours: BTreeSet<String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| text(&package["name"]))
        .collect();
    for name in &ours {
        assert!(
            rules.contains_key(name.as_str()) || plugins.contains(name),
            "{name} has no rule here"
        );
    }
    let mut faults = Vec::new();
    for Edge { from, to, dev } in
        edges(&metadata).into_iter().filter(|edge| ours.contains(&edge.to))
    {
        let short = to.strip_prefix("credsmith-").unwrap_or(&to).to_owned();
        let allowed = match rules.get(from.as_str()) {
            // A crate's own test doubles are a feature of it.
            _ if from == to => dev,
            Some((normal, in_tests)) => {
                (if dev { in_tests } else { normal }).contains(&short.as_str())
            }
            None => to == "credsmith-plugin-sdk",
        };
        if !allowed {
            faults.push(format!("{from} -> {to}{}", if dev { " (dev)" } else { "" }));
        }
    }
    assert!(faults.is_empty(), "edges that the architecture does not have: {faults:#?}");
}

#[test]
fn every_edge_of_the_architecture_is_used() {
    let edges = edges(&metadata());
    for (from, normal, _) in
        ALLOWED.iter().filter(|(from, ..)| !["credsmith-bench", "credsmith-tests"].contains(from))
    {
        for to in *normal {
            let used = edges.iter().any(|edge| {
                edge.from == *from && edge.to == format!("credsmith-{to}") && !edge.dev
            });
            assert!(used, "{from} does not use credsmith-{to}: the rule can go");
        }
    }
}

#[test]
fn heavy_libraries_live_in_one_crate_each() {
    let edges = edges(&metadata());
    for (library, home) in ALONE {
        let users: BTreeSet<_> =
            edges.iter().filter(|edge| edge.to == library).map(|edge| edge.from.as_str()).collect();
        assert_eq!(users, BTreeSet::from([home]), "{library}");
    }
}
