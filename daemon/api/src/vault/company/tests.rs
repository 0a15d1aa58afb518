use credsmith_core::access::operator;
use credsmith_core::caller::{Client, Member, Subject};
use credsmith_core::company::Source;
use credsmith_core::doubles::{self, FakeDirectory, People, companies, session_options, vault};
use credsmith_core::ids::UserId;
use credsmith_core::rights::permission::Pattern;
use credsmith_core::rights::{Rights, Role};
use credsmith_core::secret::Secret;
use credsmith_http::{Body, Surface as _};
use futures_util::future::BoxFuture;
use serde_json::json;

use super::super::{Authenticator, Core, Options, Vault};
use super::*;
use crate::openapi::conformance::assert_documented;

/// Authenticates every caller, with one role.
struct OneRole(Arc<Role>);

impl Authenticator for OneRole {
    fn authenticate<'a>(
        &'a self,
        _: &'a Secret,
        _: Client,
    ) -> BoxFuture<'a, Result<Member, Error>> {
        let subject = Subject { issuer: "https://op.example".into(), subject: "bob".into() };
        let rights = Rights::new(vec![Arc::clone(&self.0)]);
        let member = doubles::member(UserId::from_random([1; 16]), subject, &[], rights);
        async { Ok(member) }.boxed()
    }

    fn public_keys(&self) -> Value {
        json!({ "keys": [] })
    }
}

struct World {
    vault: Vault,
    directory: Arc<FakeDirectory>,
}

impl World {
    /// Three companies, of which the role sees those that it is bound to.
    async fn new(permissions: &[&str], bound: Option<&[&str]>) -> Self {
        let directory = Arc::new(FakeDirectory::new());
        directory.set([
            FakeDirectory::company("12345", "AcmeCorp", "Acme Corp"),
            FakeDirectory::company("777", "", "Zürich & Söhne"),
            FakeDirectory::company("007", "12345", "Bond"),
        ]);
        let companies = companies(Source::Directory(directory.clone())).await;
        // The walk of the start may still run: only one runs at a time.
        while companies.sync(operator(), false).await.is_err() {
            tokio::task::yield_now().await;
        }
        let role = Role {
            name: "technician".into(),
            permissions: permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            companies: bound.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let options =
            Options { public_url: "https://vault.example".into(), cors_origins: Vec::new() };
        let People { sessions, users, .. } = People::new(Vec::new(), session_options()).await;
        let vault = vault(Arc::clone(&companies), Arc::default()).await;
        let parts = Core {
            authenticator: Arc::new(OneRole(Arc::new(role))),
            sessions,
            users,
            companies,
            vault,
        };
        Self { vault: Vault::new(parts, options).unwrap(), directory }
    }

    async fn get_raw(&self, path: &str) -> (u16, Option<String>, String) {
        let request = http::Request::get(format!("/v1/company/companies{path}"));
        let request = request
            .header("authorization", "Bearer token")
            .body(Body::from(String::new()))
            .unwrap();
        let (parts, body) = self.vault.call(request).await.into_parts();
        assert_documented("GET", &format!("/v1/company/companies{path}"), &parts, body.bytes());
        let cached =
            parts.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned());
        (parts.status.as_u16(), cached, String::from_utf8(body.bytes().to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.get_raw(path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], status);
        body
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let body = self.get(query).await;
        let companies = body["data"].as_array().unwrap().clone();
        assert_eq!(body["pagination"]["totalRecords"], companies.len());
        companies.iter().map(|company| company["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_list_is_that_of_the_route_list() {
    let world = World::new(&["company.*"], None).await;
    let body = world.get("?rpp=1&page=1").await;
    let id = body["data"][0]["id"].as_str().unwrap();
    assert!(credsmith_core::ids::CompanyId::parse(id).is_ok());
    let expected = json!({
        "status": 200,
        "message": "Companies Fetched Successfully!",
        "data": [{ "id": id, "name": "Acme Corp", "cw_CompanyId": 12345, "cw_Identifier": "AcmeCorp" }],
        "pagination": {
            "previousPage": null, "currentPage": 1, "nextPage": 2, "totalPages": 3, "totalRecords": 3, "listedRecords": 1
        },
        "successful": true
    });
    assert_eq!(body, expected);
    assert_eq!(world.names("").await, ["Acme Corp", "Bond", "Zürich & Söhne"]);
    assert_eq!(world.names("?search=%20Z%C3%9CRICH+").await, ["Zürich & Söhne"]);
    assert_eq!(world.names("?search=unknown").await, [""; 0]);
    assert_eq!(world.get("?page=0&rpp=1001").await["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn one_is_found_by_each_of_its_names() {
    let world = World::new(&["company.fetch"], None).await;
    let body = world.get("/acmecorp").await;
    assert_eq!(body["message"], "Company Fetched Successfully!");
    let id = body["data"]["id"].as_str().unwrap();
    assert_eq!(
        body["data"],
        json!({ "id": id, "name": "Acme Corp", "cw_CompanyId": 12345, "cw_Identifier": "AcmeCorp" })
    );
    for name in [id, "12345", "ACMECORP"] {
        assert_eq!(world.get(&format!("/{name}")).await["data"], body["data"], "{name}");
    }
    assert_eq!(world.get("/777").await["data"]["cw_Identifier"], Value::Null);
    assert_eq!(
        world.get("/007").await["data"]["cw_CompanyId"],
        Value::Null,
        "not a number's own spelling"
    );
    for unknown in ["/unknown", "/12346", "/Acme%20Corp", "/%00"] {
        assert_eq!(world.get(unknown).await["message"], "Resource not found", "{unknown}");
    }
}

/// Attack: a caller bound to one company asks for others: by list, search, count, name, and by the
/// twin whose identifier is the number of the caller's own company. The answer does not tell
/// whether there is one.
#[tokio::test]
async fn a_bound_role_sees_its_company_only() {
    let world = World::new(&["company.*"], Some(&["12345"])).await;
    world.directory.set_configurations("[1]");
    assert_eq!(world.names("").await, ["Acme Corp"]);
    assert_eq!(world.names("?search=o").await, ["Acme Corp"]);
    assert_eq!(world.get("/acmecorp").await["status"], 200);
    for foreign in ["/007", "/777", "/777/configurations", "/007/configurations"] {
        let body = world.get(foreign).await;
        assert_eq!(body, world.get("/888").await, "as for a company that does not exist");
        assert_eq!(body["status"], 404);
    }
    assert_eq!(world.directory.asked(), [""; 0], "the directory is not even asked");
}

#[tokio::test]
async fn each_route_wants_its_own_permission() {
    for (permission, list, one, configurations) in [
        ("company.fetch.many", 200, 403, 403),
        ("company.fetch", 403, 200, 403),
        ("company.fetch.configurations", 403, 403, 403),
        ("company.fetch.*", 200, 403, 403),
        ("company.*", 200, 200, 200),
        ("credential.*", 403, 403, 403),
    ] {
        let world = World::new(&[permission], None).await;
        world.directory.set_configurations("[]");
        let statuses = [
            world.get_raw("").await.0,
            world.get_raw("/12345").await.0,
            world.get_raw("/12345/configurations").await.0,
        ];
        assert_eq!(statuses, [list, one, configurations], "{permission}");
    }
}

#[tokio::test]
async fn configurations_pass_unchanged_and_are_kept_by_no_cache() {
    let world = World::new(&["company.*"], None).await;
    let answer = "[ {\"id\": 1.50, \"id\": 12345678901234567890123, \"password\": \"hunter2\"} ]";
    world.directory.set_configurations(answer);
    let (status, cached, body) = world.get_raw("/12345/configurations").await;
    assert_eq!((status, cached.as_deref()), (200, Some("no-store")));
    let expected = format!(
        "{{\"status\":200,\"message\":\"Company Configurations Fetched Successfully!\",\"data\":{answer},\"successful\":true}}"
    );
    assert_eq!(body, expected);
    assert_eq!(world.directory.asked(), ["12345"]);
}

/// Attack: a directory whose answer would break out of the envelope.
#[tokio::test]
async fn a_directory_that_fails_or_lies_is_a_bad_gateway() {
    let world = World::new(&["company.*"], None).await;
    for answer in [None, Some("[], \"successful\": true"), Some("<html>hunter2</html>")] {
        if let Some(answer) = answer {
            world.directory.set_configurations(answer);
        }
        let (status, cached, body) = world.get_raw("/12345/configurations").await;
        assert_eq!((status, cached.as_deref()), (502, Some("no-store")));
        let expected =
            json!({ "status": 502, "message": "Directory unavailable", "successful": false });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_company_lost_by_the_directory_says_since_when() {
    let world = World::new(&["company.*"], None).await;
    world.directory.set([FakeDirectory::company("12345", "AcmeCorp", "Acme Corp")]);
    let companies = &world.vault.app.core.companies;
    companies.sync(operator(), false).await.unwrap();
    assert_eq!(world.names("").await, ["Acme Corp", "Bond", "Zürich & Söhne"]);
    let gone = world.get("/777").await;
    let since = gone["data"]["missingSince"].as_str().unwrap();
    assert!(since.ends_with(".000Z"), "{since}");
    assert!(world.get("/12345").await["data"].as_object().unwrap().get("missingSince").is_none());
}
