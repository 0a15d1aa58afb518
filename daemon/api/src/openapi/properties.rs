//! What the keys of answers and bodies mean, and an example of each, for the document: one row for
//! a key, whichever schemas have it, and one more where a schema means something else by it.
//!
//! A key whose type documents it keeps that text; here are those whose names say it to a reader of
//! the code. A test holds that no key is without either.

use serde_json::{Map, Value, json};

/// A key: the schema that it is a key of (empty: any), its name, its meaning, an example as JSON
/// (empty: made of its schema).
type Row = (&'static str, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    // WaTTS
    ("", "id", "Its id.", ""),
    ("ProviderV1", "id", "The id of the provider.", "\"dev\""),
    ("ProviderV2", "id", "The id of the provider.", "\"dev\""),
    ("", "issuer", "The issuer, as its documents spell it.", "\"https://login.example.org\""),
    ("", "desc", "What users call it.", "\"Our login\""),
    ("", "ready", "Whether users can sign in there now.", "true"),
    (
        "",
        "priority",
        "Clients show the highest first; the last one of the configuration has 0.",
        "0",
    ),
    ("Info", "version", "The version of the daemon.", "\"0.1.0\""),
    ("Info", "redirect_path", "The path of the sign-in page.", "\"/oidc\""),
    ("Info", "error", "The error of a web session; empty without one.", "\"\""),
    ("Info", "logged_in", "Whether a web session is signed in.", "false"),
    ("Info", "display_name", "The name of the user of a web session; empty without one.", "\"\""),
    ("Info", "issuer_id", "The provider of a web session; empty without one.", "\"\""),
    ("Info", "user_documentation", "Whether the daemon serves a guide for users.", "false"),
    ("Info", "code_documentation", "Whether the daemon serves a guide for developers.", "false"),
    ("ServiceV1", "id", "The id of the service.", "\"ssh\""),
    ("ServiceV1", "type", "Always `none`.", ""),
    ("ServiceV1", "host", "Always `localhost`.", ""),
    ("ServiceV1", "port", "Always `1234`.", ""),
    ("ServiceV2", "id", "The id of the service.", "\"ssh\""),
    ("ServiceV2", "description", "What users get.", "\"An SSH certificate\""),
    ("ServiceV2", "enabled", "Whether its plugin is loaded.", "true"),
    ("ServiceV2", "authorized", "Whether the caller may use it.", "true"),
    ("ServiceV2", "authz_tooltip", "Why the caller may not use it.", "\"\""),
    ("ServiceV2", "cred_count", "How many credentials the caller has of it.", "1"),
    ("ServiceV2", "limit_reached", "Whether the caller can have no more of them.", "false"),
    (
        "ServiceV2",
        "pass_access_token",
        "Whether its plugin gets the caller's access token.",
        "false",
    ),
    ("ParameterEntry", "key", "The key in `params`.", "\"pub_key\""),
    ("ParameterEntry", "name", "What users call it.", "\"Public key\""),
    ("ParameterEntry", "description", "What it is for.", "\"The line of a .pub file\""),
    ("ParameterEntry", "type", "How to ask for it.", "\"textarea\""),
    ("ParameterEntry", "mandatory", "Whether it has to be given.", "true"),
    ("", "service_id", "A service of the list.", "\"ssh\""),
    ("", "cred_id", "The id of the credential.", "\"6f1c9a52-0a38-4c3e-9f0d-0d8c0b1d2a11\""),
    ("", "cred_state", "What the plugin calls what it made.", "\"serial 17\""),
    ("", "ctime", "When it was issued.", "\"2026-12-01 10:00:00 UTC\""),
    ("LeaseEntry", "interface", "By which interface it was requested.", "\"REST interface\""),
    ("", "params", "The parameters of one of the service's sets.", "{}"),
    ("", "entries", "What was issued.", ""),
    ("DataEntry", "name", "What users call it.", "\"Certificate\""),
    ("DataEntry", "type", "How to show it.", "\"text\""),
    (
        "DataEntry",
        "value",
        "The value. It may be secret.",
        "\"ssh-ed25519-cert-v01@openssh.com AAAA\"",
    ),
    ("DataEntry", "rows", "How many rows to show it in.", "null"),
    ("DataEntry", "cols", "How many columns to show it in.", "null"),
    ("DataEntry", "save_as", "The name of a file to save it as.", "null"),
    ("LoginAt", "msg", "What to say to the user.", "\"Please sign in at the other login, too.\""),
    ("LoginAt", "provider", "The provider to sign in at first.", "\"other\""),
    ("LoginAt", "url", "Where to sign in.", "\"https://credsmith.example.org/oidc\""),
    ("", "result", "How the request ended.", ""),
    ("", "user_msg", "What to say to the user.", "\"The service does not exist.\""),
    ("ServiceV2", "params", "The sets of parameters that it takes.", "[]"),
    (
        "Company",
        "missingSince",
        "Since when the directory no longer has it; only there when it does not.",
        "\"2026-12-01T10:00:00.000Z\"",
    ),
    // The vault
    ("", "uri", "Where to send the browser.", "\"https://login.example.org/auth?state=Vq3\""),
    ("", "callbackKey", "The key to wait with.", "\"Vq3\""),
    ("", "accessToken", "Valid for minutes.", "\"eyJhbGciOiJFZERTQSJ9.e30.c2ln\""),
    ("", "refreshToken", "Good for the next pair, once.", "\"eyJhbGciOiJFZERTQSJ9.e30.cmVm\""),
    ("", "name", "Its name.", "\"Acme router\""),
    ("Company", "name", "The name of the company.", "\"Acme Corp\""),
    ("CompanyOf", "name", "The name of the company.", "\"Acme Corp\""),
    ("Company", "cw_CompanyId", "Its id in the directory, where that is a number.", "17"),
    ("Company", "cw_Identifier", "Its short name in the directory.", "\"acme\""),
    ("User", "name", "The name of the user.", "\"Alice\""),
    ("ListedUser", "name", "The name of the user.", "\"Alice\""),
    ("Profile", "name", "The name of the user.", "\"Alice\""),
    ("ProfileSent", "name", "The name of the user.", "\"Alice\""),
    ("", "email", "The mail address that the provider gave.", "\"alice@example.org\""),
    ("", "login", "The name by which the provider knows the user.", "\"alice\""),
    ("", "image", "A picture, as a URL.", "null"),
    ("", "suspended", "Whether the user can do nothing here.", "false"),
    ("", "roles", "Names of roles.", "[\"technician\"]"),
    ("", "permissions", "Names of permissions.", "[\"credential.fetch\"]"),
    ("Pagination", "currentPage", "The page that this is, from 1.", "1"),
    ("Pagination", "previousPage", "`null` on the first page.", "null"),
    ("Pagination", "nextPage", "`null` on the last page and beyond.", "null"),
    ("Pagination", "totalPages", "How many pages there are.", "1"),
    ("Pagination", "totalRecords", "How many records all pages have.", "1"),
    ("Pagination", "listedRecords", "How many records this page has.", "1"),
    ("CredentialType", "name", "The name of the type.", "\"Router login\""),
    ("ListedCredentialType", "name", "The name of the type.", "\"Router login\""),
    ("CreatedCredentialType", "name", "The name of the type.", "\"Router login\""),
    ("ChangedCredentialType", "name", "The name of the type.", "\"Router login\""),
    ("TypeOfCredential", "name", "The name of the type.", "\"Router login\""),
    ("TypeSent", "name", "The name of the type.", "\"Router login\""),
    ("TypeChangeSent", "name", "The name of the type.", "\"Router login\""),
    ("CredentialTypeField", "id", "The id of the field within its type.", "\"password\""),
    ("CredentialTypeField", "name", "What users call the field.", "\"Password\""),
    ("FieldSent", "id", "The id of the field within its type.", "\"password\""),
    ("FieldSent", "name", "What users call the field.", "\"Password\""),
    ("", "required", "Whether every credential has a value of it.", "true"),
    (
        "",
        "secure",
        "Whether its values are sealed, and shown by `revealSecureValues` alone.",
        "true",
    ),
    ("", "computed", "Whether the plugin fills it in.", "false"),
    ("", "choices", "The values of a `choice`.", "[]"),
    ("FieldSent", "choices", "The values of a `choice`.", "[]"),
    ("", "plugin", "The plugin that checks the values.", "\"generic\""),
    (
        "",
        "permissionScope",
        "What a user needs, beside the permissions of the route, to see the type's credentials.",
        "\"router.logins\"",
    ),
    ("", "icon", "A picture, as a name that clients know.", "null"),
    ("", "typeId", "The id of the type.", "\"c0000000000000000000000ab\""),
    ("", "companyId", "The id of the company.", "\"c0000000000000000000000ab\""),
    ("", "fieldId", "The id of the field within the type.", "\"password\""),
    ("", "fields", "The fields.", ""),
    (
        "Credential",
        "fields",
        "The plain values, by the id of their field.",
        "{\"username\": \"admin\"}",
    ),
    (
        "ListedCredential",
        "fields",
        "The plain values, by the id of their field.",
        "{\"username\": \"admin\"}",
    ),
    (
        "CredentialOfType",
        "fields",
        "The plain values, by the id of their field.",
        "{\"username\": \"admin\"}",
    ),
    (
        "ChangedCredential",
        "fields",
        "The plain values, by the id of their field.",
        "{\"username\": \"admin\"}",
    ),
    ("", "value", "The value.", "\"correct horse\""),
    ("", "values", "The values, by the id of their field.", ""),
    ("Problem", "path", "Where in the body or the query it is.", "[\"fields\", 0, \"value\"]"),
    ("", "message", "What was expected.", "\"This is required.\""),
];

/// Examples of the schemas that name a form.
const FORMS: &[(&str, &str)] = &[
    ("RecordId", "\"c0000000000000000000000ab\""),
    ("Moment", "\"2026-12-01T10:00:00.000Z\""),
    ("ValueType", "\"password\""),
];

fn row(of: &str, key: &str) -> Option<&'static Row> {
    let rows = || ROWS.iter().filter(|(_, name, ..)| *name == key);
    rows()
        .find(|(schema, ..)| *schema == of)
        .or_else(|| rows().find(|(schema, ..)| schema.is_empty()))
}

/// Says what the keys of the schema `name` mean, where it does not say so itself.
pub(super) fn describe(name: &str, schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    let properties = members.get_mut("properties").and_then(Value::as_object_mut);
    for (key, property) in properties.into_iter().flatten() {
        let Some(property) = property.as_object_mut() else { continue };
        if property.contains_key("description") || property.contains_key("$ref") {
            continue;
        }
        if let Some((_, _, about, _)) = row(name, key) {
            property.insert("description".to_owned(), json!(about));
        }
    }
}

/// An example of `schema`, which may refer to those that are `named`.
pub(super) fn example(schema: &Value, named: &Map<String, Value>) -> Value {
    Examples { named }.of(schema, "", "")
}

struct Examples<'a> {
    named: &'a Map<String, Value>,
}

impl Examples<'_> {
    /// `of` is the name of the schema, and `key` the key at which a value of `schema` stands.
    fn of(&self, schema: &Value, of: &str, key: &str) -> Value {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or_default();
            let form = FORMS.iter().find(|(form, _)| *form == name);
            return match (form, self.named.get(name)) {
                (Some((_, text)), _) => parsed(text),
                (None, Some(schema)) => self.of(schema, name, ""),
                (None, None) => Value::Null,
            };
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(first) =
            schema.get("enum").and_then(Value::as_array).and_then(|all| all.first())
        {
            return first.clone();
        }
        if let Some((_, _, _, text)) = row(of, key).filter(|(.., text)| !text.is_empty()) {
            return parsed(text);
        }
        let choices = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
        if let Some(first) = choices.and_then(|choices| choices.first()) {
            return self.of(first, of, key);
        }
        self.of_type(schema, of, key)
    }

    fn of_type(&self, schema: &Value, of: &str, key: &str) -> Value {
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) if schema.get("maxProperties").is_none() => {
                kinds.first().and_then(Value::as_str).unwrap_or("null")
            }
            Some(_) => "null",
            None => "object",
        };
        match kind {
            "object" => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let members = properties.into_iter().flatten();
                members.map(|(key, schema)| (key.clone(), self.of(schema, of, key))).collect()
            }
            "array" => {
                json!([schema.get("items").map_or(Value::Null, |items| self.of(items, of, key))])
            }
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => json!(true),
            "string" => json!("text"),
            _ => Value::Null,
        }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_json() {
        let rows = ROWS.iter().map(|(.., text)| *text).filter(|text| !text.is_empty());
        for text in rows.chain(FORMS.iter().map(|(_, text)| *text)) {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn every_row_is_there_once() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(ROWS.iter().all(|(of, key, ..)| seen.insert((of, key))));
    }
}
