//! The bodies of the dialect's answers (`daemon/dialects/watts.md` section 1.6). The surface
//! decides statuses and headers.

use credsmith_core::caller::Interface;
use credsmith_core::ids::LeaseId;
use credsmith_core::leases::{LeaseView, ServiceView};
use credsmith_core::ports::plugins::{Entry, EntryKind, Parameter};
use credsmith_core::ports::providers::ProviderView;
use schemars::JsonSchema;
use serde::Serialize;

use super::path::Version;

/// The tooltip of a service that has none of its own. Clients show it as it is.
const DEFAULT_TOOLTIP: &str = "You are not allowed to use this service. You may have to be in another group, or to sign in with a higher level of assurance. The administrators of the service can tell you more.";

/// The answer of `info`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Info<'a> {
    code_documentation: bool,
    display_name: &'static str,
    error: &'static str,
    issuer_id: &'static str,
    logged_in: bool,
    redirect_path: &'a str,
    user_documentation: bool,
    version: &'a str,
}

/// `info` without a session: tokens have none.
pub(super) fn info<'a>(version: &'a str, redirect_path: &'a str) -> Info<'a> {
    Info {
        code_documentation: false,
        display_name: "",
        error: "",
        issuer_id: "",
        logged_in: false,
        redirect_path,
        user_documentation: false,
        version,
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ProviderEntry<'a> {
    V1(ProviderV1<'a>),
    V2(ProviderV2<'a>),
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ProviderV1<'a> {
    id: &'a str,
    issuer: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ProviderV2<'a> {
    id: &'a str,
    desc: &'a str,
    issuer: &'a str,
    ready: bool,
    priority: u32,
}

/// The provider list. Version 1 knows only those that are ready.
pub(super) fn providers(version: Version, providers: &[ProviderView]) -> impl Serialize + '_ {
    let entries: Vec<_> = providers
        .iter()
        .filter(|provider| !provider.login_disabled)
        .filter_map(|provider| match version {
            Version::V1 => provider.ready.then(|| {
                ProviderEntry::V1(ProviderV1 { id: provider.id.as_str(), issuer: &provider.issuer })
            }),
            Version::V2 => Some(ProviderEntry::V2(ProviderV2 {
                id: provider.id.as_str(),
                desc: &provider.description,
                issuer: &provider.issuer,
                ready: provider.ready,
                priority: provider.priority,
            })),
        })
        .collect();
    List { name: PROVIDERS, entries }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ServiceEntry<'a> {
    V1(ServiceV1<'a>),
    V2(ServiceV2<'a>),
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ServiceV1<'a> {
    id: &'a str,
    r#type: &'static str,
    host: &'static str,
    port: &'static str,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ServiceV2<'a> {
    id: &'a str,
    description: &'a str,
    enabled: bool,
    authorized: bool,
    authz_tooltip: &'a str,
    cred_count: u64,
    /// -1: no limit.
    cred_limit: i64,
    limit_reached: bool,
    pass_access_token: bool,
    /// Sets of parameters: a request names the parameters of one set.
    params: Vec<Vec<ParameterEntry<'a>>>,
}

#[derive(Serialize, JsonSchema)]
struct ParameterEntry<'a> {
    key: &'a str,
    name: &'a str,
    description: &'a str,
    r#type: &'static str,
    mandatory: bool,
}

/// The service list. In version 1 type, host and port are constants that old clients decode.
pub(super) fn services(version: Version, services: &[ServiceView]) -> impl Serialize + '_ {
    let entries: Vec<_> = services
        .iter()
        .map(|service| match version {
            Version::V1 => ServiceEntry::V1(ServiceV1 {
                id: service.id.as_str(),
                r#type: "none",
                host: "localhost",
                port: "1234",
            }),
            Version::V2 => ServiceEntry::V2(ServiceV2 {
                id: service.id.as_str(),
                description: &service.description,
                enabled: service.enabled,
                authorized: service.authorized,
                authz_tooltip: service.tooltip.as_deref().unwrap_or(DEFAULT_TOOLTIP),
                cred_count: service.count,
                cred_limit: service.limit.map_or(-1, i64::from),
                limit_reached: service.limit_reached,
                pass_access_token: service.pass_access_token,
                params: service.parameter_sets.iter().map(|set| parameters(set)).collect(),
            }),
        })
        .collect();
    List { name: SERVICES, entries }
}

/// The only type of parameter that clients of the dialect know is the text area.
fn parameters(set: &[Parameter]) -> Vec<ParameterEntry<'_>> {
    set.iter()
        .map(|parameter| ParameterEntry {
            key: &parameter.key,
            name: &parameter.label,
            description: &parameter.help,
            r#type: "textarea",
            mandatory: parameter.required,
        })
        .collect()
}

/// An entry of the list of credentials.
#[derive(Serialize, JsonSchema)]
pub(super) struct LeaseEntry<'a> {
    #[schemars(with = "String")]
    cred_id: LeaseIdText,
    #[serde(skip_serializing_if = "Option::is_none")]
    cred_state: Option<&'static str>,
    ctime: String,
    interface: &'static str,
    service_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LeaseItem<'a> {
    V1(LeaseV1<'a>),
    V2(LeaseEntry<'a>),
}

/// The wrapper of an entry in version 1.
#[derive(Serialize, JsonSchema)]
pub(super) struct LeaseV1<'a> {
    id: LeaseEntry<'a>,
}

/// A lease id as JSON text.
struct LeaseIdText(LeaseId);

impl Serialize for LeaseIdText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The list of a user's credentials.
pub(super) fn credentials(version: Version, leases: &[LeaseView]) -> impl Serialize + '_ {
    let entries: Vec<_> = leases
        .iter()
        .map(|lease| {
            let entry = LeaseEntry {
                cred_id: LeaseIdText(lease.id),
                cred_state: (version == Version::V1).then_some("hidden"),
                ctime: httpdate::fmt_http_date(lease.created.into()),
                interface: interface(lease.interface),
                service_id: lease.service.as_str(),
            };
            match version {
                Version::V1 => LeaseItem::V1(LeaseV1 { id: entry }),
                Version::V2 => LeaseItem::V2(entry),
            }
        })
        .collect();
    List { name: CREDENTIALS, entries }
}

fn interface(interface: Interface) -> &'static str {
    match interface {
        Interface::Rest => "REST interface",
        Interface::Web => "Web App",
        Interface::Rsp => "RSP interface",
        // A session of the vault opens no service: no lease is made through it.
        Interface::Vault => "vault",
    }
}

/// One displayed part of an issued credential.
#[derive(Serialize, JsonSchema)]
pub(super) struct DataEntry<'a> {
    name: &'a str,
    r#type: &'static str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cols: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    save_as: Option<&'a str>,
}

/// An issued credential: the one answer that carries secrets.
pub(super) fn credential(version: Version, id: LeaseId, entries: &[Entry]) -> impl Serialize + '_ {
    let id = id.to_string();
    let shown = entries.iter().map(|entry| DataEntry {
        name: &entry.name,
        r#type: match entry.kind {
            EntryKind::Text => "text",
            EntryKind::Textarea => "textarea",
            EntryKind::Textfile => "textfile",
        },
        value: entry.value.expose_str().unwrap_or_default(),
        rows: entry.rows,
        cols: entry.cols,
        save_as: entry.save_as.as_deref(),
    });
    CredentialData { version, id, entries: shown.collect() }
}

struct CredentialData<'a> {
    version: Version,
    id: String,
    entries: Vec<DataEntry<'a>>,
}

/// An issued credential in version 2.
#[derive(Serialize, JsonSchema)]
pub(super) struct Issued<'a> {
    result: OkResult,
    credential: Credential<'a>,
}

#[derive(Serialize, JsonSchema)]
struct Credential<'a> {
    id: &'a str,
    entries: &'a [DataEntry<'a>],
}

impl Serialize for CredentialData<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.version {
            Version::V1 => {
                let id = DataEntry {
                    name: "id",
                    r#type: "text",
                    value: &self.id,
                    rows: None,
                    cols: None,
                    save_as: None,
                };
                serializer.collect_seq(std::iter::once(&id).chain(&self.entries))
            }
            Version::V2 => Issued {
                result: OkResult::Ok,
                credential: Credential { id: &self.id, entries: &self.entries },
            }
            .serialize(serializer),
        }
    }
}

/// `ok`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum OkResult {
    Ok,
}

/// `oidc_login`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum OidcLogin {
    OidcLogin,
}

/// The plugin wants another sign-in first.
#[derive(Serialize, JsonSchema)]
pub(super) struct LoginFirst<'a> {
    oidc_login: LoginAt<'a>,
    result: OidcLogin,
}

#[derive(Serialize, JsonSchema)]
struct LoginAt<'a> {
    msg: &'a str,
    provider: &'a str,
    url: &'a str,
}

/// The answer of a request whose plugin wants another sign-in first.
pub(super) fn login<'a>(provider: &'a str, url: &'a str, message: &'a str) -> LoginFirst<'a> {
    LoginFirst { oidc_login: LoginAt { msg: message, provider, url }, result: OidcLogin::OidcLogin }
}

/// The call succeeded, and has no other result.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    result: OkResult,
}

/// `{"result":"ok"}`.
pub(super) fn done() -> Done {
    Done { result: OkResult::Ok }
}

/// The names of the lists.
pub(super) const PROVIDERS: &str = "openid_provider_list";
pub(super) const SERVICES: &str = "service_list";
pub(super) const CREDENTIALS: &str = "credential_list";

/// An object with one list in it.
struct List<E> {
    name: &'static str,
    entries: Vec<E>,
}

impl<E: Serialize> Serialize for List<E> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(std::iter::once((self.name, &self.entries)))
    }
}
