//! A vault with two companies and scripted plugins, asked as clients ask it. The bearer token names the caller's permissions.

use std::sync::Arc;

use credsmith_core::Error;
use credsmith_core::access::permission::Pattern;
use credsmith_core::access::rights::{Rights, Role};
use credsmith_core::caller::{Member, Subject};
use credsmith_core::company::Source;
use credsmith_core::doubles::{
    FakeDirectory, People, ScriptedTypePlugins, companies, session_options, vault,
};
use credsmith_core::ids::{SessionId, UserId};
use credsmith_core::secret::Secret;
use credsmith_http::{Body, Surface as _, TrustedProxies};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Doors, Options, Parts, Vault};

/// Lets everybody in: the token is their permissions, with commas between them; behind `@`, the company that they are bound to.
struct ByToken;

impl Doors for ByToken {
    fn authenticate<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<Member, Error>> {
        let text = token.expose_str().unwrap();
        let (permissions, company) = text.split_once('@').map_or((text, None), |(all, one)| (all, Some(one)));
        let role = Role {
            name: "role".into(),
            permissions: permissions.split(',').map(|text| Pattern::parse(text).unwrap()).collect(),
            companies: company.map(|one| [one.to_owned()].into()),
        };
        let member = Member {
            user: UserId::from_random([1; 16]),
            subject: Subject { issuer: "https://op.example".into(), subject: "bob".into() },
            session: SessionId::from_random([2; 16]),
            scopes: Vec::new(),
            rights: Rights::new(vec![Arc::new(role)]),
        };
        async { Ok(member) }.boxed()
    }

    fn public_keys(&self) -> Value {
        json!({ "keys": [] })
    }
}

pub(super) struct World {
    surface: Vault,
    pub(super) plugins: Arc<ScriptedTypePlugins>,
    /// Ids of two companies: Acme Corp and Globex.
    pub(super) acme: String,
    pub(super) globex: String,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn id(&self) -> String {
        self.body["data"]["id"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }

    /// The paths of its problems.
    pub(super) fn paths(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["path"].to_string()).collect()
    }
}

/// The envelope of an answer that went well.
pub(super) fn success(status: u16, message: &str, data: &Value) -> Value {
    json!({ "status": status, "message": message, "data": data, "successful": true })
}

/// The keys of an object, sorted.
pub(super) fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

impl World {
    pub(super) async fn new() -> Self {
        let listed = [("12345", "AcmeCorp", "Acme Corp"), ("777", "globex", "Globex")];
        let listed = listed.map(|(id, identifier, name)| FakeDirectory::company(id, identifier, name));
        let companies = companies(Source::Listed(listed.to_vec())).await;
        let view = companies.view().await.unwrap();
        let id = |name: &str| view.resolve(name).unwrap().id.to_string();
        let plugins = Arc::new(ScriptedTypePlugins::new());
        let vault = vault(Arc::clone(&companies), Arc::clone(&plugins)).await;
        let options = Options {
            public_url: "https://vault.example".into(),
            cors_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
        };
        let (acme, globex) = (id("acmecorp"), id("globex"));
        let People { sessions, users, .. } = People::new(Vec::new(), session_options()).await;
        let parts = Parts { doors: Arc::new(ByToken), sessions, users, companies, vault };
        Self { surface: Vault::new(parts, options).unwrap(), plugins, acme, globex }
    }

    pub(super) async fn ask_with(
        &self,
        (method, path): (&str, &str),
        token: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = self.surface.call(request.body(Body::from(body.to_string())).unwrap()).await;
        let (parts, body) = reply.into_parts();
        let body: Value = serde_json::from_slice(body.bytes()).unwrap_or_default();
        assert!(body.is_null() || body["status"] == parts.status.as_u16());
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// As somebody who may do everything.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with((method, path), "*", &[], &body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    /// The type of the route list's examples; gives its id.
    pub(super) async fn aws(&self) -> String {
        let body = json!({
            "name": "AWS",
            "permissionScope": "aws.credentials",
            "icon": "https://aws.amazon.com/favicon.ico",
            "fields": [
                { "id": "accessKeyId", "name": "Access Key ID", "required": true, "secure": false, "valueType": "plain_text" },
                { "id": "secretAccessKey", "name": "Secret Access Key", "required": true, "secure": true, "valueType": "password" }
            ]
        });
        self.ask("POST", "credential-type/credential-types", body).await.id()
    }

    /// The credential of the route list's examples; gives its id.
    pub(super) async fn production(&self, of: &str) -> String {
        let body = json!({
            "name": "Production AWS Credentials",
            "typeId": of,
            "companyId": self.acme,
            "fields": [
                { "id": "ckx1...", "fieldId": "accessKeyId", "value": "AKIAIOSFODNN7EXAMPLE" },
                { "id": "ckx2...", "fieldId": "secretAccessKey", "value": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }
            ]
        });
        self.ask("POST", "credential/credentials", body).await.id()
    }
}
