//! What the dialect's answers look like (`spec/watts.md` section 1.6). Bodies only; statuses and headers are the surface's.

use credsmith_core::caller::Interface;
use credsmith_core::ids::LeaseId;
use credsmith_core::ports::plugins::{Entry, EntryKind, Parameter};
use credsmith_core::ports::providers::ProviderView;
use credsmith_core::service::{LeaseView, ServiceView};
use serde::Serialize;
use serde_json::{Value, json};

use super::path::Version;

/// `info` without a session: tokens have none.
pub(super) fn info(version: &str, redirect_path: &str) -> Value {
    json!({
        "version": version,
        "redirect_path": redirect_path,
        "error": "",
        "logged_in": false,
        "display_name": "",
        "issuer_id": "",
        "user_documentation": false,
        "code_documentation": false,
    })
}

#[derive(Serialize)]
#[serde(untagged)]
enum ProviderEntry<'a> {
    V1 { id: &'a str, issuer: &'a str },
    V2 { id: &'a str, desc: &'a str, issuer: &'a str, ready: bool, priority: u32 },
}

/// The provider list. Version 1 knows only those that are ready.
pub(super) fn providers(version: Version, providers: &[ProviderView]) -> impl Serialize + '_ {
    let entries: Vec<_> = providers
        .iter()
        .filter(|provider| !provider.login_disabled)
        .filter_map(|provider| match version {
            Version::V1 => provider
                .ready
                .then(|| ProviderEntry::V1 { id: provider.id.as_str(), issuer: &provider.issuer }),
            Version::V2 => Some(ProviderEntry::V2 {
                id: provider.id.as_str(),
                desc: &provider.description,
                issuer: &provider.issuer,
                ready: provider.ready,
                priority: provider.priority,
            }),
        })
        .collect();
    List { name: "openid_provider_list", entries }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ServiceEntry<'a> {
    V1 {
        id: &'a str,
        r#type: &'static str,
        host: &'static str,
        port: &'static str,
    },
    V2 {
        id: &'a str,
        description: &'a str,
        enabled: bool,
        authorized: bool,
        authz_tooltip: &'a str,
        cred_count: u64,
        cred_limit: i64,
        limit_reached: bool,
        pass_access_token: bool,
        params: Vec<Vec<ParameterEntry<'a>>>,
    },
}

#[derive(Serialize)]
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
            Version::V1 => {
                ServiceEntry::V1 { id: service.id.as_str(), r#type: "none", host: "localhost", port: "1234" }
            }
            Version::V2 => ServiceEntry::V2 {
                id: service.id.as_str(),
                description: &service.description,
                enabled: service.enabled,
                authorized: service.authorized,
                authz_tooltip: &service.tooltip,
                cred_count: service.count,
                cred_limit: service.limit.map_or(-1, i64::from),
                limit_reached: service.limit_reached,
                pass_access_token: service.pass_access_token,
                params: service.parameter_sets.iter().map(|set| parameters(set)).collect(),
            },
        })
        .collect();
    List { name: "service_list", entries }
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

#[derive(Serialize)]
struct LeaseEntry<'a> {
    cred_id: LeaseText,
    #[serde(skip_serializing_if = "Option::is_none")]
    cred_state: Option<&'static str>,
    ctime: String,
    interface: &'static str,
    service_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LeaseItem<'a> {
    V1 { id: LeaseEntry<'a> },
    V2(LeaseEntry<'a>),
}

/// A lease id as JSON text.
struct LeaseText(LeaseId);

impl Serialize for LeaseText {
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
                cred_id: LeaseText(lease.id),
                cred_state: (version == Version::V1).then_some("hidden"),
                ctime: httpdate::fmt_http_date(lease.created.into()),
                interface: interface(lease.interface),
                service_id: lease.service.as_str(),
            };
            match version {
                Version::V1 => LeaseItem::V1 { id: entry },
                Version::V2 => LeaseItem::V2(entry),
            }
        })
        .collect();
    List { name: "credential_list", entries }
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

#[derive(Serialize)]
struct DataEntry<'a> {
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

impl Serialize for CredentialData<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Credential<'a> {
            id: &'a str,
            entries: &'a [DataEntry<'a>],
        }
        #[derive(Serialize)]
        struct Answer<'a> {
            result: &'static str,
            credential: Credential<'a>,
        }
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
            Version::V2 => {
                Answer { result: "ok", credential: Credential { id: &self.id, entries: &self.entries } }
                    .serialize(serializer)
            }
        }
    }
}

/// The answer of a request whose plugin wants another sign-in first.
pub(super) fn login(provider: &str, url: &str, message: &str) -> Value {
    json!({ "result": "oidc_login", "oidc_login": { "provider": provider, "url": url, "msg": message } })
}

/// `{"result":"ok"}`.
pub(super) fn done() -> Value {
    json!({ "result": "ok" })
}

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
