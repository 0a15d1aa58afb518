//! The rights of every route. [`ROWS`] is written after the specification, independently of the
//! routes. Each row is called without a token, with a bad token, without rights, with each single
//! right, with all rights but that one, with rights of similar names, with rights bound to the
//! company of the call and to another one, without the scope of the type, and by an administrator.

use std::collections::BTreeSet;

use super::super::test_vault::{Answer, World};
use super::super::{Access, routes};
use super::*;

/// A route, and the rights that it demands.
pub(super) struct Row {
    pub(super) call: (&'static str, &'static str),
    needs: Needs,
    about: About,
    /// The status of a caller with the rights.
    pub(super) status: u16,
    pub(super) body: fn(&Things) -> Value,
}

#[derive(Clone, Copy)]
enum Needs {
    /// Not even a token.
    Nothing,
    /// A token.
    Token,
    /// A token of this scope.
    Scope(&'static str),
    /// All of these permissions.
    Permissions(&'static [&'static str]),
}

/// A further restriction of a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Nothing: neither companies nor the scope of the type.
    Anything,
    /// One company.
    Company,
    /// A list of companies.
    Companies,
    /// One credential: of a company, and of a type with a scope.
    Credential,
    /// A list of credentials of one company.
    CredentialsOfCompany,
    /// A list of credentials of all companies.
    Credentials,
    /// A type, whose view counts the credentials that the caller may see.
    Counted,
    /// A type, and what its scope protects.
    ScopeOfType,
    /// A type that does not exist yet.
    NewType,
}

/// The records that a call is about: made anew for each, since some calls delete them.
pub(super) struct Things {
    user: String,
    of: String,
    company: String,
    credential: String,
}

const SCOPE: &str = "aws.credentials";
/// Well-formed, and no record's id.
const UNKNOWN: &str = "c000000000000000000000000";

const ONE: &str = "/v1/credential/credentials/{id}";
const FIELDS: &str = "/v1/credential/credentials/{id}/fields";
const TYPES: &str = "/v1/credential-type/credential-types";
const TYPE: &str = "/v1/credential-type/credential-types/{id}";

/// The rights of every route.
pub(super) const ROWS: &[Row] = &[
    row("GET", "/.well-known/jwks.json", Needs::Nothing),
    row("GET", "/v1/teapot", Needs::Nothing).answers(418),
    row("GET", "/v1/auth/uri", Needs::Nothing),
    row("GET", "/v1/auth/redirect", Needs::Nothing).answers(400),
    row("GET", "/v1/auth/redirect/{provider}", Needs::Nothing).answers(400),
    // No page of ours sends it.
    row("POST", "/v1/auth/confirm", Needs::Nothing).answers(403),
    row("GET", "/v1/auth/socket", Needs::Nothing).answers(404),
    // 401 because the refresh token is missing, not because of rights.
    row("POST", "/v1/auth/refresh", Needs::Nothing).answers(401),
    row("POST", "/v1/auth/logout", Needs::Token),
    row("GET", "/v1/user/@me", Needs::Scope("user.read")),
    row("PATCH", "/v1/user/@me", Needs::Scope("user.write")).sends(|_| json!({ "name": "Bob" })),
    row("GET", "/v1/user/@me/permissions", Needs::Scope("user.read")),
    row("GET", "/v1/user/users", Needs::Permissions(&["user.fetch.many"])),
    row("PATCH", "/v1/user/users/{id}", Needs::Permissions(&["user.update"]))
        .sends(|_| json!({ "suspended": true })),
    row("PUT", "/v1/user/users/{id}/roles", Needs::Permissions(&["user.roles.update"]))
        .sends(|_| json!({ "roles": ["helper"] })),
    row("GET", "/v1/company/companies", Needs::Permissions(&["company.fetch.many"])).about(About::Companies),
    row("GET", "/v1/company/companies/{identifier}", Needs::Permissions(&["company.fetch"]))
        .about(About::Company),
    row(
        "GET",
        "/v1/company/companies/{identifier}/configurations",
        Needs::Permissions(&["company.fetch", "company.fetch.configurations"]),
    )
    .about(About::Company),
    row("GET", ONE, Needs::Permissions(&["credential.fetch"])).about(About::Credential),
    row(
        "GET",
        "/v1/credential/credentials/company/{companyId}",
        Needs::Permissions(&["credential.fetch.many"]),
    )
    .about(About::CredentialsOfCompany),
    row("POST", "/v1/credential/credentials", Needs::Permissions(&["credential.create"]))
        .about(About::Credential)
        .answers(201)
        .sends(|things| credential(&things.of, &things.company)),
    row("PATCH", ONE, Needs::Permissions(&["credential.update"]))
        .about(About::Credential)
        .sends(|_| json!({ "name": "Other" })),
    row("PUT", FIELDS, Needs::Permissions(&["credential.update", "credential.fields.update"]))
        .about(About::Credential)
        .sends(|_| json!({ "fields": [{ "fieldId": "user", "value": "other" }] })),
    row("GET", FIELDS, Needs::Permissions(&["credential.fetch", "credential.fields.fetch"]))
        .about(About::Credential),
    row(
        "GET",
        "/v1/credential/credentials/{id}/secure-values",
        Needs::Permissions(&["credential.fetch", "credential.secure_values.read"]),
    )
    .about(About::Credential),
    row("DELETE", ONE, Needs::Permissions(&["credential.delete"])).about(About::Credential),
    row("GET", TYPES, Needs::Permissions(&["credential_type.fetch.many"])).about(About::Counted),
    row(
        "GET",
        "/v1/credential-type/credential-types/{identifier}",
        Needs::Permissions(&["credential_type.fetch"]),
    )
    .about(About::Counted),
    row("POST", TYPES, Needs::Permissions(&["credential_type.create"]))
        .about(About::NewType)
        .answers(201)
        .sends(|things| of_type(&format!("Another {}", things.of))),
    row("PATCH", TYPE, Needs::Permissions(&["credential_type.update"]))
        .about(About::ScopeOfType)
        .sends(|_| json!({ "fields": [field("user", false), field("password", true), field("url", false)] })),
    row("DELETE", TYPE, Needs::Permissions(&["credential_type.delete"])).about(About::ScopeOfType),
    row(
        "GET",
        "/v1/credential-type/credential-types/{id}/credentials",
        Needs::Permissions(&["credential_type.fetch", "credential.fetch.many"]),
    )
    .about(About::Credentials),
];

const fn row(method: &'static str, path: &'static str, needs: Needs) -> Row {
    Row { call: (method, path), needs, about: About::Anything, status: 200, body: |_| Value::Null }
}

impl Row {
    const fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    const fn answers(self, status: u16) -> Self {
        Self { status, ..self }
    }

    const fn sends(self, body: fn(&Things) -> Value) -> Self {
        Self { body, ..self }
    }

    fn permissions(&self) -> &'static [&'static str] {
        match self.needs {
            Needs::Permissions(permissions) => permissions,
            Needs::Nothing | Needs::Token | Needs::Scope(_) => &[],
        }
    }

    /// The rights that a caller needs, the scope of the type included where it restricts the route.
    fn all(&self) -> Vec<&'static str> {
        let scoped = matches!(self.about, About::Credential | About::ScopeOfType);
        self.permissions().iter().copied().chain(scoped.then_some(SCOPE)).collect()
    }

    /// Whether a scope decides, and no permission.
    pub(super) fn is_by_scope(&self) -> bool {
        matches!(self.needs, Needs::Scope(_))
    }

    pub(super) fn path(&self, things: &Things) -> String {
        let id = match self.call.1.split('/').nth(2) {
            Some("user") => &things.user,
            Some("credential") => &things.credential,
            _ => &things.of,
        };
        let company = if self.call.1.starts_with("/v1/company") { &things.company } else { id };
        let path = self.call.1.replace("{id}", id).replace("{identifier}", company);
        path.replace("{companyId}", &things.company).replace("{provider}", "op")
    }
}

fn field(id: &str, secure: bool) -> Value {
    json!({ "id": id, "name": id, "required": false, "secure": secure, "valueType": "plain_text" })
}

fn of_type(name: &str) -> Value {
    json!({ "name": name, "permissionScope": SCOPE, "fields": [field("user", false), field("password", true)] })
}

fn credential(of: &str, company: &str) -> Value {
    let fields = json!([{ "fieldId": "user", "value": "bob" }, { "fieldId": "password", "value": "hunter2" }]);
    json!({ "name": "Login", "typeId": of, "companyId": company, "fields": fields })
}

/// One route, and a vault to call it in.
pub(super) struct Probe {
    row: &'static Row,
    pub(super) world: World,
    made: u32,
    /// The records that a refused call has left unchanged.
    left: Option<[Things; 2]>,
}

impl Probe {
    pub(super) async fn new(row: &'static Row) -> Self {
        Self { row, world: World::new().await, made: 0, left: None }
    }

    /// A type, and a credential of it for each company: the call is about that of Acme Corp, which
    /// comes first, or that of Globex.
    pub(super) async fn things(&mut self) -> [Things; 2] {
        self.made += 1;
        let name = format!("Type {}", self.made);
        let of =
            self.world.ask("POST", "credential-type/credential-types", of_type(&name)).await.id();
        let mut both = Vec::new();
        for company in [&self.world.acme, &self.world.globex] {
            let made =
                self.world.ask("POST", "credential/credentials", credential(&of, company)).await;
            let (user, of, company) = (self.world.friend.clone(), of.clone(), company.clone());
            both.push(Things { user, of, company, credential: made.id() });
        }
        both.try_into().ok().unwrap()
    }

    async fn call(&self, things: &Things, headers: Headers<'_>) -> Answer {
        let body = (self.row.body)(things);
        self.world.send((self.row.call.0, &self.row.path(things)), headers, &body).await
    }

    /// About the first company.
    async fn call_as(&mut self, token: &str) -> Answer {
        let things = match self.left.take() {
            Some(things) => things,
            None => self.things().await,
        };
        let answer = self.call(&things[0], &[("authorization", &format!("Bearer {token}"))]).await;
        self.left = Some(things).filter(|_| answer.status == 403);
        answer
    }

    async fn admits(&mut self, token: &str) {
        let (answer, row) = (self.call_as(token).await, self.row);
        assert_eq!(answer.status, row.status, "{:?} as {token}: {}", row.call, answer.body);
    }

    async fn refuses(&mut self, token: &str) {
        let answer = self.call_as(token).await;
        check_refused(&answer, self.row, token);
    }

    /// Exactly the rights that the route demands decide.
    async fn judges(&mut self, held: &[&str]) {
        let token = if held.is_empty() { "nothing".to_owned() } else { held.join(",") };
        if self.row.all().iter().all(|needed| held.contains(needed)) {
            self.admits(&token).await;
        } else {
            self.refuses(&token).await;
        }
    }
}

/// A refusal says what is missing: a permission or a scope of the route, for this company or at
/// all, or the scope of the type.
fn check_refused(answer: &Answer, row: &Row, token: &str) {
    let mut body = answer.body.clone();
    let errors = body.as_object_mut().unwrap().remove("errors");
    let expected =
        json!({ "status": 403, "message": "Insufficient permissions", "successful": false });
    assert_eq!(body, expected, "{:?} as {token}", row.call);
    let Some(errors) = errors else {
        let hidden = matches!(row.about, About::Credential | About::ScopeOfType);
        assert!(hidden && !token.contains("credential_type.fetch"), "{:?} as {token}", row.call);
        return;
    };
    let is_named = |right: &&str| {
        let said = [
            format!("The permission {right} is missing."),
            format!("The permission {right} is missing for this company."),
            format!("The token lacks the scope {right}."),
        ];
        said.iter().any(|said| errors == json!([{ "path": [], "message": said }]))
    };
    let scope = match row.needs {
        Needs::Scope(scope) => Some(scope),
        _ => None,
    };
    assert!(
        row.all().iter().chain(scope.as_ref()).any(is_named),
        "{:?} as {token}: {errors}",
        row.call
    );
}

/// All permissions that any route needs, and the scope of the type.
fn universe() -> BTreeSet<&'static str> {
    ROWS.iter().flat_map(Row::permissions).copied().chain([SCOPE]).collect()
}

#[test]
fn every_route_has_its_row_and_demands_the_same_rights() {
    let said: BTreeSet<_> = routes()
        .iter()
        .map(|route| {
            let (scopes, permissions): (&[&str], &[&str]) = match route.access() {
                Access::Public => (&["public"], &[]),
                Access::Caller => (&[], &[]),
                Access::Needs { scopes, permissions } => (scopes, permissions),
            };
            (
                route.method().as_str().to_owned(),
                route.path(),
                scopes.to_vec(),
                permissions.to_vec(),
            )
        })
        .collect();
    let expected: BTreeSet<_> = ROWS
        .iter()
        .map(|row| {
            let scopes = match row.needs {
                Needs::Nothing => vec!["public"],
                Needs::Scope(scope) => vec![scope],
                Needs::Token | Needs::Permissions(_) => vec![],
            };
            (row.call.0.to_owned(), row.call.1, scopes, row.permissions().to_vec())
        })
        .collect();
    assert_eq!(said, expected);
    assert_eq!(routes().len(), ROWS.len(), "no row stands twice");
}

#[tokio::test]
async fn without_a_good_token_only_public_routes_answer() {
    for row in ROWS {
        let mut probe = Probe::new(row).await;
        let [things, _] = probe.things().await;
        for (token, challenge) in [
            (None, "Bearer realm=\"credsmith\""),
            (Some("Bearer ?"), "Bearer realm=\"credsmith\", error=\"invalid_token\""),
            (Some("Basic Og=="), "Bearer realm=\"credsmith\", error=\"invalid_token\""),
        ] {
            let headers: Vec<_> = token.into_iter().map(|token| ("authorization", token)).collect();
            let answer = probe.call(&things, &headers).await;
            if let Needs::Nothing = row.needs {
                assert_eq!(answer.status, row.status, "{:?} {token:?}", row.call);
                continue;
            }
            let expected = json!({ "status": 401, "message": "Unauthorized", "successful": false });
            assert_eq!(answer.body, expected, "{:?} {token:?}", row.call);
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{:?}", row.call);
        }
    }
}

#[tokio::test]
async fn each_single_right_opens_what_needs_it_and_nothing_else() {
    let universe = universe();
    for row in ROWS {
        let mut probe = Probe::new(row).await;
        probe.judges(&[]).await;
        for right in &universe {
            probe.judges(&[right]).await;
            // With the type's scope, so that the permission alone decides.
            probe.judges(&[right, SCOPE]).await;
            let others: Vec<_> = universe.iter().filter(|other| *other != right).copied().collect();
            probe.judges(&others).await;
        }
        probe.judges(&row.all()).await;
        probe.admits("*").await;
    }
}

/// `a.*` covers what is below `a`, and neither `a` itself nor what begins alike.
#[tokio::test]
async fn patterns_open_what_is_below_them() {
    for row in ROWS.iter().filter(|row| !row.permissions().is_empty()) {
        let mut probe = Probe::new(row).await;
        let all = row.all();
        let above = |name: &&str| format!("{}.*", name.split_once('.').unwrap().0);
        probe.admits(&all.iter().map(above).collect::<Vec<_>>().join(",")).await;
        for needed in &all {
            let rest = all.iter().filter(|other| *other != needed).map(|other| (*other).to_owned());
            let nearly = [format!("{needed}.*"), format!("{needed}.more"), format!("{needed}s")];
            probe.refuses(&rest.chain(nearly).collect::<Vec<_>>().join(",")).await;
        }
    }
}

/// Scopes belong to the token: no permission replaces one, and none is needed beside it.
#[tokio::test]
async fn scopes_are_asked_of_the_token() {
    for row in ROWS {
        let mut probe = Probe::new(row).await;
        for scopes in ["", "user.read", "user.write"] {
            let token = format!("{scopes}|*");
            match row.needs {
                Needs::Scope(scope) if scope != scopes => {
                    let answer = probe.call_as(&token).await;
                    check_refused(&answer, row, &token);
                    let challenge = answer.header("www-authenticate").unwrap();
                    let expected = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
                    assert!(challenge.ends_with(&expected), "{challenge}");
                }
                _ => probe.admits(&token).await,
            }
        }
    }
}

/// Roles that have what the route needs and are bound to one company: the call is about that, then
/// about another.
#[tokio::test]
async fn a_bound_role_reaches_its_own_company_and_no_foreign_one() {
    for row in ROWS {
        let mut probe = Probe::new(row).await;
        let counting = (row.about == About::Counted).then_some("credential.fetch.many");
        let rights =
            row.all().into_iter().chain([SCOPE]).chain(counting).collect::<Vec<_>>().join(",");
        for (bound_to, place) in [("acmecorp", 0), ("globex", 1)] {
            let token = format!("Bearer {rights}@{bound_to}");
            let bearer = [("authorization", token.as_str())];
            let things = probe.things().await;
            let own = probe.call(&things[place], &bearer).await;
            if matches!(row.about, About::ScopeOfType | About::NewType) {
                // Types are everybody's: a bound role does not change them.
                check_refused(&own, row, &token);
                continue;
            }
            assert_eq!(own.status, row.status, "{:?} {token}: {}", row.call, own.body);
            check_left_out(row, &own, &things[place], &things[1 - place]);

            let things = probe.things().await;
            let foreign = probe.call(&things[1 - place], &bearer).await;
            match row.about {
                About::Company | About::Credential | About::CredentialsOfCompany => {
                    check_refused(&foreign, row, &token);
                }
                _ => assert_eq!(
                    foreign.status, row.status,
                    "{:?} {token}: {}",
                    row.call, foreign.body
                ),
            }
        }
    }
}

/// Lists and counts contain their own company, and nothing else.
fn check_left_out(row: &Row, answer: &Answer, own: &Things, foreign: &Things) {
    let seen = answer.body["data"].to_string();
    match row.about {
        About::Companies => {
            assert!(seen.contains(&own.company) && !seen.contains(&foreign.company), "{seen}");
            assert_eq!(answer.body["pagination"]["totalRecords"], 1);
        }
        About::Credentials => {
            assert!(
                seen.contains(&own.credential) && !seen.contains(&foreign.credential),
                "{seen}"
            );
        }
        About::Counted => check_count(row, answer, 1),
        _ => {}
    }
}

/// Every type in the answer counts `expected` credentials.
fn check_count(row: &Row, answer: &Answer, expected: u64) {
    let types = match &answer.body["data"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    assert!(!types.is_empty());
    for of in types {
        assert_eq!(of["credentialCount"], expected, "{:?}: {of}", row.call);
    }
}

/// Without the permission that a type's scope names: single access is refused, lists leave out,
/// counts do not count.
#[tokio::test]
async fn the_scope_of_a_type_narrows_further() {
    for row in ROWS {
        let mut probe = Probe::new(row).await;
        let everything_else =
            "user.*,company.*,credential.*,credential_type.*,aws.other,aws.credentials.*";
        if matches!(row.about, About::Credential | About::ScopeOfType) {
            probe.refuses(everything_else).await;
            continue;
        }
        let answer = probe.call_as(everything_else).await;
        assert_eq!(answer.status, row.status, "{:?}: {}", row.call, answer.body);
        let whole = probe.call_as(&format!("{everything_else},{SCOPE}")).await;
        match row.about {
            About::CredentialsOfCompany | About::Credentials => {
                assert_eq!(answer.body["data"], json!([]));
                assert_ne!(whole.body["data"], json!([]));
            }
            About::Counted => {
                check_count(row, &answer, 0);
                check_count(row, &whole, 2);
            }
            _ => {}
        }
    }
}

/// A caller without the permission does not learn which records exist; a caller with it gets a 404.
#[tokio::test]
async fn only_callers_with_the_permission_get_a_404() {
    let of_callers = |row: &&Row| !matches!(row.needs, Needs::Nothing);
    for row in ROWS.iter().filter(of_callers).filter(|row| row.call.1.contains('{')) {
        let mut probe = Probe::new(row).await;
        let [user, of, company, credential] = [(); 4].map(|()| UNKNOWN.to_owned());
        let unknown = Things { user, of, company, credential };
        let expected =
            json!({ "status": 404, "message": "Resource not found", "successful": false });
        let bound = (row.about != About::ScopeOfType).then_some("Bearer *@acmecorp");
        for token in ["Bearer *"].into_iter().chain(bound) {
            let answer = probe.call(&unknown, &[("authorization", token)]).await;
            assert_eq!(answer.body, expected, "{:?} {token}", row.call);
        }
        check_refused(
            &probe.call(&unknown, &[("authorization", "Bearer nothing")]).await,
            row,
            "nothing",
        );
        // The same with what is there.
        probe.refuses("nothing").await;
    }
    let world = World::new().await;
    let gone = world.ask("POST", "credential/credentials", credential(UNKNOWN, UNKNOWN)).await;
    assert_eq!(
        (gone.status, gone.paths().len()),
        (400, 2),
        "in a body it is a fault like any other"
    );
}
