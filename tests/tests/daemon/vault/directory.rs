//! A ConnectWise Manage with companies that never change.

use std::collections::BTreeMap;

use credsmith_tests::{Received, Site, Target};
use serde_json::{Value, json};

/// The answers of the directory to an authorised caller.
pub(crate) const PRIVATE_KEY: &str = "canary-connectwise-8c1d";

/// A company: its id, its identifier, its name.
pub(crate) type Company = (u64, &'static str, &'static str);

/// The first companies of a directory that is filled up to `count` with others, whose names come
/// behind.
pub(crate) fn companies(first: &[Company], count: usize) -> Vec<Value> {
    let others = (1..).map(|n| row(20_000 + n, &format!("Client{n}"), &format!("Client {n:03}")));
    let first = first.iter().map(|(id, identifier, name)| row(*id, identifier, name));
    let mut all: Vec<_> = first.chain(others).take(count).collect();
    all.sort_by_key(|company| company["id"].as_u64());
    all
}

fn row(id: u64, identifier: &str, name: &str) -> Value {
    json!({ "id": id, "identifier": identifier, "name": name })
}

/// A server with these companies. Each has the configurations that `of` says.
pub(crate) fn serve(companies: Vec<Value>, of: fn(u64) -> Value) -> Target {
    Target::start(move |request| answer(request, &companies, of))
}

fn answer(request: &Received, companies: &[Value], of: fn(u64) -> Value) -> (u16, String) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let query: BTreeMap<_, _> = query.split('&').filter_map(|part| part.split_once('=')).collect();
    let number = |key: &str| query[key].parse::<u64>().unwrap();
    let page = |rows: &[Value]| {
        let rest = rows.iter().filter(|row| row["id"].as_u64() > Some(number("pageId")));
        let rows: Vec<_> = rest.take(usize::try_from(number("pageSize")).unwrap()).collect();
        (200, json!(rows).to_string())
    };
    match path {
        "/v4_6_release/apis/3.0/company/companies" => page(companies),
        "/v4_6_release/apis/3.0/company/configurations" => {
            let company = query["conditions"].strip_prefix("company%2Fid%3D").unwrap();
            page(of(company.parse().unwrap()).as_array().unwrap())
        }
        other => panic!("no test asks for {other}"),
    }
}

/// `site` with `directory` for its companies.
pub(crate) fn asked_by(site: Site, directory: &Target) -> Site {
    site.secret("connectwise.secret", PRIVATE_KEY);
    let url = directory.url();
    let lines = format!(
        "plugin = \"bundled:connectwise\"\n\
         [[companies.http]]\ndestination = \"{url}\"\naddresses = [\"127.0.0.0/8\"]\n\
         [companies.settings]\nsite = \"{url}\"\ncompany = \"acme\"\npublic_key = \"Pub1ic\"\n\
         client_id = \"6e5e1b0c-0000-4000-8000-000000000000\"\n\
         private_key = {{ file = \"connectwise.secret\", destinations = [\"{url}\"] }}"
    );
    site.section("companies", &lines)
}
