//! The grammar of the dialect as a table, for the OpenAPI document: one row for each request that
//! it understands, in its plainest spelling. `path` and `decode` know the other spellings.

use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::path::Version;
use super::present::{
    self, DataEntry, Done, Info, Issued, LeaseEntry, LeaseV1, LoginFirst, ProviderV1, ProviderV2,
    ServiceV1, ServiceV2,
};
use crate::docs::{Answer, Content, Docs, Parameter, Place, SchemaOf, schema_of};

/// One request that the dialect understands.
pub(crate) struct Row {
    pub(crate) method: Method,
    /// As in OpenAPI.
    pub(crate) path: &'static str,
    /// Whether it needs a token.
    pub(crate) secured: bool,
    pub(crate) docs: Docs,
}

/// The body of a request for a credential. Other keys are ignored, as in the original.
#[derive(JsonSchema)]
#[schemars(rename = "WattsRequest", extend("additionalProperties" = true))]
#[expect(dead_code, reason = "it describes what `body` reads")]
struct Request {
    /// A service of the list.
    service_id: String,
    /// The parameters of one of the service's sets.
    #[serde(default)]
    params: Map<String, Value>,
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [Version::V1, Version::V2].into_iter().flat_map(rows_of).collect()
}

fn rows_of(version: Version) -> [Row; 9] {
    let v1 = version == Version::V1;
    let path = |v1_path, v2_path| if v1 { v1_path } else { v2_path };
    let say = |v1_schema: SchemaOf, v2_schema: SchemaOf| if v1 { v1_schema } else { v2_schema };
    let row = |method, name: (&'static str, &'static str), path| {
        Row::new(method, if v1 { name.0 } else { name.1 }, path)
    };
    let get = |name, path| row(Method::GET, name, path);
    let issued = say(issued_v1, issued_v2);
    [
        get(("listProvidersV1", "listProviders"), path("/api/v1/oidcp", "/api/v2/oidcp"))
            .says("Lists the providers at which users sign in.")
            .json("The providers.", say(providers::<ProviderV1>, providers::<ProviderV2>)),
        get(("getInfoV1", "getInfo"), path("/api/v1/info", "/api/v2/info"))
            .says("Describes the daemon.")
            .json("The description.", schema_of::<Info>),
        get(("logOutV1", "logOut"), path("/api/v1/logout", "/api/v2/logout"))
            .says("Ends a web session. A token has none to end.")
            .json("Done.", schema_of::<Done>),
        get(
            ("getAccessTokenV1", "getAccessToken"),
            path("/api/v1/access_token", "/api/v2/access_token"),
        )
        .says("Needs a web session; a token is refused.")
        .secured(),
        get(
            ("listServicesV1", "listServices"),
            path("/api/v1/service", "/api/v2/{issuer}/service"),
        )
        .says("Lists the services.")
        .of_issuer(version)
        .json("The services.", say(services::<ServiceV1>, services::<ServiceV2>)),
        get(
            ("listIssuedCredentialsV1", "listIssuedCredentials"),
            path("/api/v1/credential", "/api/v2/{issuer}/credential"),
        )
        .says("Lists the caller's credentials.")
        .of_issuer(version)
        .json("The credentials.", say(credentials::<LeaseV1>, credentials::<LeaseEntry>)),
        row(
            Method::POST,
            ("requestCredentialV1", "requestCredential"),
            path("/api/v1/credential", "/api/v2/{issuer}/credential"),
        )
        .says(
            "Requests a credential. The answer is a 303 whose `location` has it, to be read once by the same user \
             within ten seconds. A client that follows redirects gets it with 200 at once.",
        )
        .of_issuer(version)
        .reads::<Request>()
        .answers(StatusCode::SEE_OTHER, Content::Nothing { about: "The credential waits there." })
        .json("The issued credential, for a client that followed the 303.", issued),
        get(
            ("fetchIssuedCredentialV1", "fetchIssuedCredential"),
            path("/api/v1/credential_data/{id}", "/api/v2/{issuer}/credential_data/{id}"),
        )
        .says("Hands out an issued credential, once. A second read is 404.")
        .of_issuer(version)
        .json("The issued credential, or where to sign in first.", issued),
        row(
            Method::DELETE,
            ("revokeCredentialV1", "revokeCredential"),
            path("/api/v1/credential/{id}", "/api/v2/{issuer}/credential/{id}"),
        )
        .says("Revokes a credential.")
        .of_issuer(version)
        .json("Done.", schema_of::<Done>),
    ]
}

impl Row {
    fn new(method: Method, name: &'static str, path: &'static str) -> Self {
        Self { method, path, secured: false, docs: Docs { name, ..Docs::default() } }
    }

    fn says(mut self, summary: &'static str) -> Self {
        self.docs.summary = summary;
        self
    }

    fn secured(self) -> Self {
        Self { secured: true, ..self }
    }

    /// It needs a token of the provider that the request names: version 2 in the path, version 1 in
    /// a header, since its clients send the issuer's address.
    fn of_issuer(mut self, version: Version) -> Self {
        if version == Version::V1 {
            self.docs.parameters.push(Parameter {
                place: Place::Header,
                name: "X-OpenId-Connect-Issuer",
                about: "The issuer of the token, or the id of its provider.",
                required: true,
                schema: schema_of::<String>,
            });
        }
        self.secured()
    }

    fn reads<T: JsonSchema>(mut self) -> Self {
        self.docs.body = Some(schema_of::<T>);
        self
    }

    fn json(self, about: &'static str, schema: SchemaOf) -> Self {
        self.answers(StatusCode::OK, Content::Json { about, schema })
    }

    fn answers(mut self, status: StatusCode, content: Content) -> Self {
        self.docs.answers.push(Answer { status, content });
        self
    }
}

fn providers<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list::<T>(generator, present::PROVIDERS)
}

fn services<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list::<T>(generator, present::SERVICES)
}

fn credentials<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list::<T>(generator, present::CREDENTIALS)
}

fn list<T: JsonSchema>(generator: &mut SchemaGenerator, name: &str) -> Schema {
    let mut entries = generator.subschema_for::<Vec<T>>();
    entries.insert("description".to_owned(), "All of them.".into());
    json_schema!({ "type": "object", "properties": { name: entries }, "required": [name] })
}

fn issued_v1(generator: &mut SchemaGenerator) -> Schema {
    let (entries, login) =
        (generator.subschema_for::<Vec<DataEntry>>(), generator.subschema_for::<LoginFirst>());
    json_schema!({ "anyOf": [entries, login] })
}

fn issued_v2(generator: &mut SchemaGenerator) -> Schema {
    let (issued, login) =
        (generator.subschema_for::<Issued>(), generator.subschema_for::<LoginFirst>());
    json_schema!({ "anyOf": [issued, login] })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::path::{Resource, parse};
    use super::*;

    const RESOURCES: [Resource; 7] = [
        Resource::Providers,
        Resource::Info,
        Resource::Logout,
        Resource::Services,
        Resource::Credential,
        Resource::CredentialData,
        Resource::AccessToken,
    ];

    /// Version, method, resource, whether there is an id.
    fn understood() -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for version in [Version::V1, Version::V2] {
            for resource in RESOURCES {
                let requests: &[(&str, bool)] = match resource {
                    Resource::Providers
                    | Resource::Info
                    | Resource::Logout
                    | Resource::AccessToken
                    | Resource::Services => &[("GET", false)],
                    Resource::Credential => &[("GET", false), ("POST", false), ("DELETE", true)],
                    Resource::CredentialData => &[("GET", true)],
                };
                all.extend(
                    requests
                        .iter()
                        .map(|(method, id)| format!("{version:?} {method} {resource:?} {id}")),
                );
            }
        }
        all
    }

    #[test]
    fn the_table_is_the_grammar() {
        let written: BTreeSet<_> = rows()
            .iter()
            .map(|row| {
                let needs_header = !row.docs.parameters.is_empty();
                let header = needs_header.then_some("https://op.example");
                let path = parse(row.path.strip_prefix("/api").unwrap(), header).unwrap();
                format!(
                    "{:?} {} {:?} {}",
                    path.version,
                    row.method,
                    path.resource,
                    path.id.is_some()
                )
            })
            .collect();
        assert_eq!(written, understood());
    }
}
