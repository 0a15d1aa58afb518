//! A vault with two companies, two users and scripted plugins, asked as clients ask it. The bearer
//! token names the caller's permissions.

use std::sync::{Arc, Mutex};

use credsmith_core::audit::AuditLog;
use credsmith_core::caller::{Client, Member};
use credsmith_core::company::Source;
use credsmith_core::doubles::{
    self, FakeDirectory, MemoryFile, People, RecordingAudit, ScriptedTypePlugins, companies,
    role_of, session_options, vault,
};
use credsmith_core::ground::Ground;
use credsmith_core::rights::permission::Pattern;
use credsmith_core::rights::{Rights, Role};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind, session};
use credsmith_http::{Body, Surface as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Authenticator, Core, Options, Vault};
use crate::openapi::conformance::assert_documented;

/// Authenticates callers whose token lists their rights: `scopes|permissions@company`, each list
/// with commas. Without scopes in front the caller has both; without a company behind, the
/// permissions are bound to none. All callers are the same user.
pub(super) struct ByToken {
    member: Member,
    /// The token for which every other token is taken from now on.
    now: Mutex<Option<&'static str>>,
    /// How often a token was looked at.
    pub(super) asked: watch::Sender<usize>,
}

impl ByToken {
    fn new(member: Member) -> Self {
        Self { member, now: Mutex::default(), asked: watch::Sender::new(0) }
    }

    /// Takes every token for `token`; `None`: for itself again.
    pub(super) fn take_all_for(&self, token: Option<&'static str>) {
        *self.now.lock().unwrap() = token;
    }
}

impl Authenticator for ByToken {
    fn authenticate<'a>(
        &'a self,
        token: &'a Secret,
        _: Client,
    ) -> BoxFuture<'a, Result<Member, Error>> {
        self.asked.send_modify(|asked| *asked += 1);
        let now = *self.now.lock().unwrap();
        let text = now.unwrap_or_else(|| token.expose_str().unwrap());
        let (scopes, text) = text.split_once('|').unwrap_or(("user.read,user.write", text));
        let (permissions, company) =
            text.split_once('@').map_or((text, None), |(all, one)| (all, Some(one)));
        let named =
            |list| -> Vec<&str> { str::split(list, ',').filter(|name| !name.is_empty()).collect() };
        let permissions: Result<Vec<_>, _> =
            named(permissions).iter().map(|permission| Pattern::parse(permission)).collect();
        let member = permissions.map(|permissions| {
            let companies = company.map(|one| [one.to_owned()].into());
            let role = Role { name: "role".into(), permissions, companies };
            let rights = Rights::new(vec![Arc::new(role)]);
            let member = doubles::member_with_rights(&self.member, rights);
            doubles::member_with_scopes(&member, &named(scopes))
        });
        async { member.map_err(|_| Error::new(Kind::Unauthenticated, "no token of ours")) }.boxed()
    }

    fn public_keys(&self) -> Value {
        json!({ "keys": [] })
    }
}

pub(super) struct World {
    pub(super) surface: Arc<Vault>,
    pub(super) authenticator: Arc<ByToken>,
    ground: Arc<Ground>,
    pub(super) plugins: Arc<ScriptedTypePlugins>,
    /// Ids of two companies: Acme Corp and Globex.
    pub(super) acme: String,
    pub(super) globex: String,
    /// Id of a user who sends no requests.
    pub(super) friend: String,
}

/// An answer, decoded.
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

async fn signed_in(people: &People, name: &str) -> Member {
    people
        .sessions
        .authenticate(&people.sign_in(name).await.access, Client::default())
        .await
        .unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        let listed = [("12345", "AcmeCorp", "Acme Corp"), ("777", "globex", "Globex")];
        let listed =
            listed.map(|(id, identifier, name)| FakeDirectory::company(id, identifier, name));
        let companies = companies(Source::Listed(listed.to_vec())).await;
        let view = companies.view().await.unwrap();
        let id = |name: &str| view.resolve(name).unwrap().id.to_string();
        let plugins = Arc::new(ScriptedTypePlugins::new());
        let vault = vault(Arc::clone(&companies), Arc::clone(&plugins)).await;
        let options =
            Options { public_url: "https://vault.example".into(), cors_origins: Vec::new() };
        let (acme, globex) = (id("acmecorp"), id("globex"));
        let helper = role_of("unassigned", "helper", &["user.roles.update"]);
        // A test may begin any number of sign-ins.
        let sessions = session::Options { sign_ins_per_minute: None, ..session_options() };
        let people = People::new(vec![helper], sessions).await;
        let (bob, friend) = (
            signed_in(&people, "bob").await,
            signed_in(&people, "friend").await.user().to_string(),
        );
        let People { sessions, users, ground, .. } = people;
        let authenticator = Arc::new(ByToken::new(bob));
        let parts =
            Core { authenticator: authenticator.clone(), sessions, users, companies, vault };
        let surface = Arc::new(Vault::new(parts, options).unwrap());
        Self { surface, authenticator, ground, plugins, acme, globex, friend }
    }

    pub(super) async fn ask_with(
        &self,
        (method, path): (&str, &str),
        token: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let token = format!("Bearer {token}");
        let headers = [headers, &[("authorization", &token)]].concat();
        self.send((method, &format!("/v1/{path}")), &headers, body).await
    }

    pub(super) async fn send(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = self.surface.call(request.body(Body::from(body.to_string())).unwrap()).await;
        let (parts, body) = reply.into_parts();
        assert_documented(method, path, &parts, body.bytes());
        let body: Value = serde_json::from_slice(body.bytes()).unwrap_or_default();
        assert!(body.get("status").is_none_or(|status| *status == parts.status.as_u16()));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The targets of the refusals in the audit log, in their order.
    pub(super) async fn refused(&self) -> Vec<Value> {
        let file = MemoryFile::default();
        let (ground, echo) = (Arc::clone(&self.ground), Arc::new(RecordingAudit::new()));
        AuditLog::new(ground, Arc::new(file.clone()), echo).finish().await.unwrap();
        let events =
            file.lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let refused = events.filter(|event| event["action"] == "refuse");
        refused.map(|event| event["target"].clone()).collect()
    }

    /// Asks as a caller with all permissions.
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
