//! A daemon for tests of the vault that do not need one of their own. Each test takes users and
//! types of its own.

use std::process::Output;
use std::sync::Arc;

use credsmith_dev_provider::Account;
use credsmith_tests::{
    Answer, CLIENT_ID, Daemon, Provider, Session, Shared, SignIn, Site, credsmith, eventually,
    fixture,
};
use serde_json::{Value, json};

pub(crate) const TYPES: &str = "/v1/credential-type/credential-types";
pub(crate) const CREDENTIALS: &str = "/v1/credential/credentials";
pub(crate) const COMPANIES: &str = "/v1/company/companies";

/// The section with its companies.
pub(crate) const LIST: &str = "list = [\n\
    { id = 1, identifier = \"acme\", name = \"Acme Corp\" },\n\
    { id = 2, identifier = \"globex\", name = \"Globex\" },\n\
    { id = 3, identifier = \"initech\", name = \"Initech\" },\n]";

static WORLD: Shared<World> = Shared::new();

/// The daemon, and who vouches for its users: those of the provider, and `keeper`, who may do
/// everything with credentials, types and companies but holds no scope, and `acme-staff`, who may
/// do the same with those of Acme alone. Every user in the group users may use the service
/// `unique`.
pub(crate) struct World {
    pub(crate) op: Provider,
    pub(crate) daemon: Daemon,
    /// An administrator with every permission.
    pub(crate) admin: Session,
    _site: Site,
}

impl World {
    pub(crate) fn get() -> Arc<Self> {
        WORLD.get(Self::start)
    }

    fn start() -> Self {
        let op = Provider::with(vec![
            account("keeper", &["keepers"]),
            account("acme-staff", &["acme-staff", "secret-keepers"]),
        ]);
        let site = site(&op);
        let daemon = site.serve();
        let admin = Session::begin(daemon.address(), "alice");
        Self { op, daemon, admin, _site: site }
    }

    pub(crate) fn begin(&self) -> SignIn {
        SignIn::begin(self.daemon.address())
    }

    pub(crate) fn sign_in(&self, user: &str) -> Session {
        Session::begin(self.daemon.address(), user)
    }
}

/// The configuration of that daemon.
fn site(op: &Provider) -> Site {
    let everything = ["company.*", "credential.*", "credential_type.*"];
    let site = signing_in(Site::new(), op)
        .service("unique", "unique", "")
        // Without a grace, so that no test of a spent token has to wait.
        .vault("refresh_grace = \"0s\"")
        .role("admin", &["*"], Some("admins"), "")
        .role("keeper", &everything, Some("keepers"), "")
        .role("acme-staff", &everything, Some("acme-staff"), "companies = [\"acme\"]")
        .role("secret-keeper", &["secret.*"], Some("secret-keepers"), "")
        .role("reader", &["credential_type.fetch.many"], None, "")
        .section("companies", LIST);
    with_login(site)
}

/// `site` with the test plugin that counts the letters of a password.
pub(crate) fn with_login(site: Site) -> Site {
    type_of_fixture(site, "type-login", "computed_plain = [\"passwordLength\"]")
}

/// `site` with a provider that says everything about its users.
pub(crate) fn signing_in(site: Site, op: &Provider) -> Site {
    let lines =
        format!("audience = [\"{CLIENT_ID}\"]\nscopes = [\"openid\", \"profile\", \"email\"]");
    site.provider_at("op", &op.issuer(), &lines)
}

/// `site` with a test plugin for a type of credentials, with lines of its configuration.
fn type_of_fixture(site: Site, name: &str, lines: &str) -> Site {
    let plugin = fixture(name, site.path());
    let lines = format!("plugin = \"{}\"\n{lines}", plugin.display());
    site.section(&format!("vault.types.{name}"), &lines)
}

/// An account in these groups.
pub(crate) fn account(name: &str, groups: &[&str]) -> Account {
    let claims =
        [("preferred_username", json!(name)), ("name", json!(name)), ("groups", json!(groups))];
    Account::new(name, claims)
}

/// A command of an operator to the daemon.
pub(crate) fn operate(daemon: &Daemon, arguments: &[&str]) -> Output {
    let socket = daemon.data().unwrap().join("admin.sock");
    credsmith().args(arguments).arg("--socket").arg(socket).output().unwrap()
}

/// What an operator's command says, each line of it JSON.
pub(crate) fn operated(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let output = operate(daemon, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A type with this scope and these fields, each plain and optional unless its name begins with
/// `secret`, which makes it secure.
pub(crate) fn type_with(name: &str, scope: &str, fields: &[&str]) -> Value {
    let fields: Vec<_> = fields.iter().map(|id| field(id, id.starts_with("secret"))).collect();
    json!({ "name": name, "permissionScope": scope, "icon": null, "fields": fields })
}

/// An optional field.
pub(crate) fn field(id: &str, secure: bool) -> Value {
    json!({ "id": id, "name": id, "required": false, "secure": secure, "valueType": "plain_text" })
}

/// What a request says of the values of a credential.
pub(crate) fn values(values: &[(&str, &str)]) -> Value {
    values.iter().map(|(field, value)| json!({ "fieldId": field, "value": value })).collect()
}

/// A credential with these values.
pub(crate) fn credential(name: &str, of: &str, company: &str, with: &[(&str, &str)]) -> Value {
    json!({ "name": name, "typeId": of, "companyId": company, "fields": values(with) })
}

/// Where a credential is, or something of it.
pub(crate) fn at(id: &str, part: &str) -> String {
    format!("{CREDENTIALS}/{id}{part}")
}

/// The data of an answer.
pub(crate) fn data(answer: &Answer) -> Value {
    answer.json()["data"].clone()
}

/// The names in a list.
pub(crate) fn names(answer: &Answer) -> Vec<String> {
    let listed = data(answer);
    let listed = listed.as_array().unwrap_or_else(|| panic!("no list: {answer:?}"));
    listed.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// A failure of that status, whose form is checked: what it says of the request, as `path:
/// message`.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16) -> Vec<String> {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(
        (&body["status"], &body["successful"]),
        (&json!(status), &json!(false)),
        "{answer:?}"
    );
    assert!(body.get("data").is_none(), "{answer:?}");
    assert_eq!(
        body.get("errors").is_some(),
        status == 400 || body["errors"].is_array(),
        "{answer:?}"
    );
    let faults = body["errors"].as_array().into_iter().flatten();
    faults
        .map(|fault| {
            let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
            let path: Vec<_> = fault["path"].as_array().unwrap().iter().map(step).collect();
            format!("{}: {}", path.join("."), fault["message"].as_str().unwrap())
        })
        .collect()
}

/// Waits until a session is over.
pub(crate) fn is_over(session: &Session) {
    eventually("the end of a session", || session.get("/v1/user/@me").status == 401);
}
