//! A daemon that has what the route list shows, and for each example the request that plays it.

use std::collections::BTreeSet;

use credsmith_dev_provider::Account;
use credsmith_tests::{Answer, Daemon, Provider, Request, Session, Site, Target, eventually};
use serde_json::{Value, json};

use super::document::{Document, Example};
use crate::vault::directory::{self, Company};
use crate::vault::world::{self, account};

/// The company of the examples.
pub(crate) const ACME: Company = (12345, "AcmeCorp", "Acme Corp");
/// How many companies the list has, by its example of pagination.
const COMPANIES: usize = 300;

/// Groups of users: each permission and scope of the list gives a role to those whose group is
/// called like it.
const SCOPES: [&str; 3] = ["aws.credentials", "azure.credentials", "github.credentials"];
const PERMISSIONS: [&str; 16] = [
    "company.fetch",
    "company.fetch.many",
    "company.fetch.configurations",
    "credential.fetch",
    "credential.fetch.many",
    "credential.create",
    "credential.update",
    "credential.fields.update",
    "credential.fields.fetch",
    "credential.secure_values.read",
    "credential.delete",
    "credential_type.fetch",
    "credential_type.fetch.many",
    "credential_type.create",
    "credential_type.update",
    "credential_type.delete",
];

/// The daemon, a user with every permission, and the objects that exist from the start.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) admin: Session,
    company: String,
    aws: String,
    azure: String,
    _op: Provider,
    _directory: Target,
    _site: Site,
}

/// What plays an example.
pub(crate) struct Play {
    pub(crate) request: Request,
    /// The sender; `None`: an anonymous client.
    pub(crate) player: Option<Session>,
}

/// What the directory knows of a company.
pub(crate) fn configurations(of: u64) -> Value {
    json!([{
        "id": 7,
        "name": "Firewall",
        "company": { "id": of },
        "price": 1.50,
        "questions": [{ "question": "Password", "answer": "hunter2" }],
    }])
}

impl Stage {
    pub(crate) fn build() -> Self {
        let op = Provider::with(accounts());
        let directory = directory::serve(directory::companies(&[ACME], COMPANIES), configurations);
        let site = world::signing_in(Site::new(), &op).vault("");
        let site = world::with_login(site).role("admin", &["*"], Some("admins"), "");
        let rights = PERMISSIONS.iter().chain(&SCOPES);
        let site = rights.fold(site, |site, right| {
            site.role(&right.replace('.', "-"), &[right], Some(right), "")
        });
        let site = directory::asked_by(site, &directory);
        let daemon = site.serve();
        let admin = Session::begin(daemon.address(), "alice");
        eventually("the companies", || {
            let page = admin.get("/v1/company/companies").expect(200).json();
            page["pagination"]["totalRecords"] == COMPANIES
        });
        let company = admin.company(ACME.1);
        let aws = admin.make_type(&json!({
            "name": "AWS",
            "permissionScope": "aws.credentials",
            "icon": "https://aws.amazon.com/favicon.ico",
            "fields": [
                field("accountId", "Account ID", false),
                field("accessKeyId", "Access Key ID", false),
                field("secretAccessKey", "Secret Access Key", true),
                field("apiKey", "API key", true),
            ],
        }));
        let azure = admin.make_type(&json!({
            "name": "Azure",
            "permissionScope": "azure.credentials",
            "icon": "https://azure.microsoft.com/favicon.ico",
            "fields": [field("tenant", "Tenant", false)],
        }));
        Self { daemon, admin, company, aws, azure, _op: op, _directory: directory, _site: site }
    }

    /// A user with these permissions, no others, and every scope.
    pub(crate) fn with_rights<'r>(&self, rights: impl IntoIterator<Item = &'r String>) -> Session {
        let rights: Vec<_> = rights.into_iter().map(String::as_str).collect();
        Session::begin(self.daemon.address(), &who_may(&rights))
    }

    /// Sets the stage for an example.
    pub(crate) fn set(&self, example: &Example) -> Play {
        let path = |path: String| (format!("/v1{path}"), example.body.clone());
        let (path, body) = match example.name().as_str() {
            "GET /auth/uri" | "GET /teapot" => path(example.path.clone()),
            "POST /auth/refresh" => return self.refresh(),
            "GET /user/@me" => return self.profile(example, "john.doe"),
            "PATCH /user/@me" => return self.profile(example, "jane.doe"),
            "GET /company/companies" => path(example.path.clone()),
            "GET /company/companies/:identifier"
            | "GET /company/companies/:identifier/configurations" => {
                path(example.path.replace(":identifier", &self.company))
            }
            "POST /credential/credentials" => {
                let mut body = example.body.clone().unwrap();
                (body["typeId"], body["companyId"]) = (json!(self.aws), json!(self.company));
                ("/v1/credential/credentials".to_owned(), Some(body))
            }
            "GET /credential/credentials/company/:companyId" => {
                path(example.path.replace(":companyId", &self.company))
            }
            name if name.contains("/credential/credentials/:id") => {
                path(example.path.replace(":id", &self.credential_for(name)))
            }
            "GET /credential-type/credential-types" => path(example.path.clone()),
            "GET /credential-type/credential-types/:identifier" => {
                self.define_as_documented(example);
                path(example.path.replace(":identifier", &self.aws))
            }
            "POST /credential-type/credential-types" => path(example.path.clone()),
            "PATCH /credential-type/credential-types/:id" => {
                path(example.path.replace(":id", &self.type_called("GitLab")))
            }
            "DELETE /credential-type/credential-types/:id" => {
                path(example.path.replace(":id", &self.type_called("Short-lived")))
            }
            "GET /credential-type/credential-types/:id/credentials" => {
                for name in ["Production AWS", "Staging AWS"] {
                    self.credential(name, &self.azure, &[("tenant", "acme")]);
                }
                path(example.path.replace(":id", &self.azure))
            }
            other => panic!("there is no stage for {other}"),
        };
        let request = match &body {
            Some(body) => Request::json(&example.method, path, body),
            None => Request::new(example.method.as_str(), path),
        };
        Play { request, player: example.signed_in.then(|| self.with_rights(&example.permissions)) }
    }

    fn refresh(&self) -> Play {
        let session = Session::begin(self.daemon.address(), "alice");
        let request = Request::new("POST", "/v1/auth/refresh")
            .header("x-refresh-token", session.refresh_token());
        Play { request, player: None }
    }

    fn profile(&self, example: &Example, of: &str) -> Play {
        let path = format!("/v1{}", example.path);
        let request = match &example.body {
            Some(body) => Request::json(&example.method, path, body),
            None => Request::get(path),
        };
        Play { request, player: Some(Session::begin(self.daemon.address(), of)) }
    }

    /// A credential as the example shows it.
    fn credential_for(&self, example: &str) -> String {
        let secret = ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let production =
            |values: &[_]| self.credential("Production AWS Credentials", &self.aws, values);
        match example {
            "GET /credential/credentials/:id" => {
                self.credential("AWS Credentials", &self.aws, &[("accountId", "123456789")])
            }
            "GET /credential/credentials/:id/secure-values" => {
                production(&[secret, ("apiKey", "sk_live_123456789abcdef")])
            }
            _ => production(&[("accessKeyId", "AKIAIOSFODNN7EXAMPLE"), secret]),
        }
    }

    fn credential(&self, name: &str, of: &str, values: &[(&str, &str)]) -> String {
        let fields: Vec<_> = values
            .iter()
            .map(|(field, value)| json!({ "fieldId": field, "value": value }))
            .collect();
        self.admin.make_credential(
            &json!({ "name": name, "typeId": of, "companyId": self.company, "fields": fields }),
        )
    }

    /// Gives the type AWS the fields that the list shows of it. Others were there for its
    /// credentials.
    fn define_as_documented(&self, example: &Example) {
        let fields = &example.answer.as_ref().unwrap()["data"]["fields"];
        let path = format!("/v1/credential-type/credential-types/{}", self.aws);
        self.admin.send("PATCH", &path, &json!({ "fields": fields })).expect(200);
    }

    fn type_called(&self, name: &str) -> String {
        self.admin.make_type(&json!({
            "name": name,
            "permissionScope": "github.credentials",
            "icon": null,
            "fields": [field("username", "Username", false)],
        }))
    }

    /// Has a plugin abort in the middle of its work.
    pub(crate) fn break_a_plugin(&self) -> Answer {
        let of = self.admin.get("/v1/credential-type/credential-types/Login").expect(200).json();
        let fields = [("userName", "trap"), ("password", "correct horse")];
        let fields = fields.map(|(field, value)| json!({ "fieldId": field, "value": value }));
        let body = json!({
            "name": "Broken",
            "typeId": of["data"]["id"],
            "companyId": self.company,
            "fields": fields,
        });
        self.admin.send("POST", "/v1/credential/credentials", &body)
    }
}

fn field(id: &str, name: &str, secure: bool) -> Value {
    let value_type = if secure { "password" } else { "plain_text" };
    json!({ "id": id, "name": name, "required": false, "secure": secure, "valueType": value_type })
}

/// The name of the account that has these permissions.
fn who_may(rights: &[&str]) -> String {
    format!("may-{}", rights.join("-and-"))
}

/// Those of the examples, and one for every set of permissions that a route of the list names, and
/// for what is left when one of them is missing.
fn accounts() -> Vec<Account> {
    let person = |first: &str, groups: &[&str]| {
        let login = format!("{}.doe", first.to_lowercase());
        Account::new(
            login.clone(),
            [
                ("name", json!(format!("{first} Doe"))),
                ("preferred_username", json!(login)),
                ("email", json!(format!("{login}@example.com"))),
                ("email_verified", json!(true)),
                ("picture", json!("https://example.com/picture.png")),
                ("groups", json!(groups)),
            ],
        )
    };
    let sets: BTreeSet<_> = Document::read()
        .examples
        .iter()
        .flat_map(|example| sets_of(&example.permissions))
        .collect();
    let sets = sets.into_iter().map(|rights| {
        let groups: Vec<_> = rights.iter().chain(&SCOPES).copied().collect();
        account(&who_may(&rights), &groups)
    });
    [person("John", &["admins"]), person("Jane", &[])].into_iter().chain(sets).collect()
}

/// These permissions, and what is left of them without one.
fn sets_of(permissions: &[String]) -> Vec<Vec<&'static str>> {
    let known = |name: &String| PERMISSIONS.into_iter().find(|known| known == name);
    let whole: Vec<_> = permissions
        .iter()
        .map(|name| known(name).unwrap_or_else(|| panic!("no role for {name}")))
        .collect();
    let without = |missing: &&str| {
        whole.iter().filter(|permission| *permission != missing).copied().collect()
    };
    whole.iter().map(without).chain([whole.clone()]).collect()
}
