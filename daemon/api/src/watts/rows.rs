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
use crate::docs::{Answer, Content, Docs, SchemaOf, schema_of};

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
    let get = |path, summary| Row::new(Method::GET, path, summary);
    [
        get(path("/api/v1/oidcp", "/api/v2/oidcp"), "Lists the providers at which users sign in.")
            .json("The providers.", say(providers::<ProviderV1>, providers::<ProviderV2>)),
        get(path("/api/v1/info", "/api/v2/info"), "Describes the daemon.")
            .json("The description.", schema_of::<Info>),
        get(
            path("/api/v1/logout", "/api/v2/logout"),
            "Ends a web session. A token has none to end.",
        )
        .json("Done.", schema_of::<Done>),
        get(
            path("/api/v1/access_token", "/api/v2/access_token"),
            "Needs a web session; a token is refused.",
        )
        .secured(),
        get(path("/api/v1/{issuer}/service", "/api/v2/{issuer}/service"), "Lists the services.")
            .secured()
            .json("The services.", say(services::<ServiceV1>, services::<ServiceV2>)),
        get(
            path("/api/v1/{issuer}/credential", "/api/v2/{issuer}/credential"),
            "Lists the caller's credentials.",
        )
        .secured()
        .json("The credentials.", say(credentials::<LeaseV1>, credentials::<LeaseEntry>)),
        Row::new(
            Method::POST,
            path("/api/v1/{issuer}/credential", "/api/v2/{issuer}/credential"),
            "Requests a credential; `location` of the answer is its address, to be read once.",
        )
        .secured()
        .reads::<Request>()
        .answers(StatusCode::SEE_OTHER, Content::Nothing { about: "The credential waits there." }),
        get(
            path("/api/v1/{issuer}/credential_data/{id}", "/api/v2/{issuer}/credential_data/{id}"),
            "Hands out an issued credential, once.",
        )
        .secured()
        .json("The issued credential, or where to sign in first.", say(issued_v1, issued_v2)),
        Row::new(
            Method::DELETE,
            path("/api/v1/{issuer}/credential/{id}", "/api/v2/{issuer}/credential/{id}"),
            "Revokes a credential.",
        )
        .secured()
        .json("Done.", schema_of::<Done>),
    ]
}

impl Row {
    fn new(method: Method, path: &'static str, summary: &'static str) -> Self {
        Self { method, path, secured: false, docs: Docs { summary, ..Docs::default() } }
    }

    fn secured(self) -> Self {
        Self { secured: true, ..self }
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
    let entries = generator.subschema_for::<Vec<T>>();
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
                let path = parse(row.path.strip_prefix("/api").unwrap(), None).unwrap();
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
