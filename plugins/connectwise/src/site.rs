//! The API server and the API member: settings, and the requests made from them.

use credsmith_plugin_sdk::{Description, Field, Noted, Refusal, Secret, Settings, http};

use crate::answer;

/// Most records that ConnectWise gives in one page.
pub(crate) const MAX_PAGE_SIZE: u32 = 1000;

/// An API server of ConnectWise, and the API member that sends the requests.
pub(crate) struct Site {
    /// Up to and with `/apis/3.0`.
    base: String,
    /// The company that signs in and its public key.
    user: String,
    private_key: Secret,
    client_id: String,
    accept: String,
}

/// One page of something.
pub(crate) struct Query<'a> {
    /// Below the base.
    pub(crate) path: &'a str,
    pub(crate) conditions: &'a str,
    pub(crate) child_conditions: Option<&'a str>,
    pub(crate) fields: Option<&'a str>,
    /// The last id of the page before.
    pub(crate) after: u64,
    pub(crate) page_size: u32,
}

impl Site {
    /// `description` with the settings that are read here.
    pub(crate) fn settings(description: Description) -> Description {
        let text = |key: &str, label: &str, help: &str| Field::text(key).label(label).help(help);
        description
            .setting(
                Field::url("site")
                    .label("Site")
                    .help("The API server, such as https://api-na.myconnectwise.net.")
                    .required(),
            )
            .setting(
                text("codebase", "Codebase", "As the site names it, such as v2025_1.")
                    .default("v4_6_release"),
            )
            .setting(
                text("company", "Company", "The company id with which one signs in.").required(),
            )
            .setting(text("public_key", "Public key", "Of an API member.").required())
            .setting(
                Field::secret("private_key")
                    .label("Private key")
                    .help("Of the API member. Bind it to the site.")
                    .required(),
            )
            .setting(
                text(
                    "client_id",
                    "Client id",
                    "Of the integration, as registered with ConnectWise.",
                )
                .required(),
            )
            .setting(text(
                "api_version",
                "API version",
                "Such as 2025.1; the site's newest unless set.",
            ))
    }

    /// Reads them.
    ///
    /// # Errors
    /// The faults were noted.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Noted> {
        let site = settings.parse("site", site);
        let codebase = settings.parse("codebase", codebase);
        let company = settings.parse("company", user_part);
        let public_key = settings.parse("public_key", user_part);
        let private_key = settings.get("private_key");
        let client_id = settings.parse("client_id", client_id);
        let accept = settings.parse("api_version", accept);
        Ok(Self {
            base: format!("{}/{}/apis/3.0", site?, codebase?),
            user: format!("{}+{}", company?, public_key?),
            private_key: private_key?,
            client_id: client_id?,
            accept: accept?,
        })
    }

    /// The body of a good answer.
    ///
    /// # Errors
    /// A refusal, when there is none.
    pub(crate) fn ask(&self, query: &Query<'_>) -> Result<Vec<u8>, Refusal> {
        let sent = http::get(format!("{}/{}", self.base, query.spelled()))
            .header("accept", &self.accept)
            .header("clientId", &self.client_id)
            .header("pagination-type", "forward-only")
            .basic_auth(&self.user, &self.private_key)
            .send();
        match sent {
            Ok(response) => answer::body(&response),
            Err(failure) => Err(answer::unreachable(&failure)),
        }
    }
}

impl Query<'_> {
    /// Path and query, every value escaped.
    fn spelled(&self) -> String {
        let mut parameters = vec![
            ("conditions", self.conditions.to_owned()),
            ("orderBy", "id".to_owned()),
            ("pageSize", self.page_size.to_string()),
            ("pageId", self.after.to_string()),
        ];
        let optional = [("childConditions", self.child_conditions), ("fields", self.fields)];
        parameters.extend(
            optional.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))),
        );
        let spelled: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", http::segment(value)))
            .collect();
        format!("{}?{}", self.path, spelled.join("&"))
    }
}

/// Scheme, host and port, and nothing that would change where requests go.
fn site(text: String) -> Result<String, String> {
    let origin = text.trim_end_matches('/');
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_host = |host: &str| {
        let part =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        !host.is_empty() && host.bytes().all(part)
    };
    match host {
        Some(host) if is_host(host) => Ok(origin.to_owned()),
        _ => Err("is not like https://api-na.myconnectwise.net: scheme, host and port only".into()),
    }
}

fn codebase(text: String) -> Result<String, String> {
    let name = text.trim_matches('/');
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(word) {
        return Ok(name.to_owned());
    }
    Err("is not like v4_6_release: letters, digits, `_` and `-`".into())
}

/// Part of the user name: a colon would end it early (RFC 7617), a plus would move the border
/// between its parts.
fn user_part(text: String) -> Result<String, String> {
    let fine =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'+'));
    if fine { Ok(text) } else { Err("is empty or has a colon, a plus, a space or no ASCII".into()) }
}

fn client_id(text: String) -> Result<String, String> {
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if fine { Ok(text) } else { Err("is empty or has a space or no ASCII".into()) }
}

/// The media type of the answers that are asked for.
fn accept(version: Option<String>) -> Result<String, String> {
    let Some(version) = version else { return Ok("application/json".into()) };
    if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok(format!("application/vnd.connectwise.com+json; version={version}"));
    }
    Err("is not like 2025.1: digits and dots".into())
}
