//! The servers that a plugin may send requests to, with roots of trust and identity; how much it
//! may send; and the requests that a secret may be part of.

use std::time::Duration;

use credsmith_core::secret::Secret;
use credsmith_host::{BadBinding, Binding, Endpoint, HttpLimits};
use ipnet::IpNet;

use super::keys::Key;
use super::origin::{self, Origin};
use super::read::{Table, Value};
use super::report::did_you_mean;
use super::source::Kind;
use super::{networks, pem, secrets};

/// A server that a plugin may send requests to.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) origin: Origin,
    /// Addresses that are not public and to which connections are allowed.
    pub(crate) addresses: Vec<IpNet>,
    /// Further roots of trust, PEM.
    pub(crate) roots: Option<Vec<u8>>,
    /// The client identity of the daemon: certificates (PEM) and key (PEM).
    pub(crate) identity: Option<(Vec<u8>, Secret)>,
}

/// How much HTTP one call of a plugin may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpOptions {
    /// Requests in one call.
    pub(crate) requests: usize,
    /// Body of a request, in bytes.
    pub(crate) request_size: u64,
    /// Body of an answer, in bytes.
    pub(crate) response_size: u64,
    /// One request from dialling to the last byte of its answer.
    pub(crate) timeout: Duration,
}

impl From<HttpLimits> for HttpOptions {
    fn from(limits: HttpLimits) -> Self {
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            requests: usize::try_from(limits.requests).unwrap_or(usize::MAX),
            request_size: size(limits.request_bytes),
            response_size: size(limits.response_bytes),
            timeout: limits.timeout,
        }
    }
}

impl From<HttpOptions> for HttpLimits {
    fn from(options: HttpOptions) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            requests: u32::try_from(options.requests).unwrap_or(u32::MAX),
            request_bytes: size(options.request_size),
            response_bytes: size(options.response_size),
            timeout: options.timeout,
        }
    }
}

/// The keys of [`HttpOptions`], in every section that has a plugin which sends requests.
pub(super) const KEYS: &[Key<HttpOptions>] = &[
    Key::count(
        "http_requests",
        |options| &mut options.requests,
        0..=100_000,
        "Requests that one call of the plugin may send.",
    ),
    Key::size(
        "http_request_size",
        |options| &mut options.request_size,
        0..=1 << 30,
        "Largest body of a request that the plugin sends.",
    ),
    Key::size(
        "http_response_size",
        |options| &mut options.response_size,
        0..=1 << 30,
        "Largest body of an answer that the plugin gets. Answers count as its memory, too.",
    ),
    Key::duration(
        "http_timeout",
        |options| &mut options.timeout,
        Duration::from_millis(10)..=Duration::from_secs(3600),
        "How long one request may take, from dialling to the last byte of its answer.",
    ),
];

/// Reads `http`, a list of servers.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<Destination>> {
    let destinations = value.list(|item| item.table(destination).flatten())?;
    for (place, destination) in destinations.iter().enumerate() {
        if destinations.iter().take(place).any(|earlier| earlier.origin == destination.origin) {
            value.fault(format!("has {} twice, expected each server once", destination.origin));
        }
    }
    Some(destinations)
}

fn destination(table: &Table<'_>) -> Option<Destination> {
    let origin = table.required("destination", "\"https://api.example.org\"", |value| {
        value.parsed(origin::EXPECTED)
    });
    let roots = table.get("roots").map(|value| pem::roots(&value));
    let certificate = table.get("certificate").map(|value| pem::certificates(&value));
    let private_key = table.get("private_key").map(|value| secrets::secret(&value));
    let addresses = table.or("addresses", Vec::new(), networks::read);
    let origin: Origin = origin?;
    let identity = match (certificate, private_key) {
        (None, None) => None,
        (Some(certificate), Some(private_key)) => {
            let identity = (certificate?, private_key?);
            pem::check_identity(table.value(), &identity.0, &identity.1)?;
            Some(identity)
        }
        _ => {
            table.value().fault(
                "has a certificate without a private_key or the reverse, expected both or none",
            );
            return None;
        }
    };
    if !origin.https && (roots.is_some() || identity.is_some()) {
        table.value().fault("is an http:// server with roots or a certificate, expected https://");
    }
    Some(Destination {
        origin,
        addresses,
        roots: roots.map_or(Some(None), |read| read.map(Some))?,
        identity,
    })
}

/// Reads `destinations` of a secret: servers that `http` grants, or requests to them. Absent: none.
pub(crate) fn secret_destinations(table: &Table<'_>, http: &[Destination]) -> Vec<Binding> {
    table.or("destinations", Vec::new(), |value| value.list(|item| binding(item, http)))
}

/// A server, or a table of a server, methods and a path.
fn binding(item: &Value<'_>, http: &[Destination]) -> Option<Binding> {
    if !matches!(item.kind(), Kind::Table(_)) {
        return granted(item, http).map(Binding::from);
    }
    item.table(|table| {
        let server = table.required("server", "\"https://api.example.org\"", |value| {
            granted(value, http).map(Binding::from)
        });
        let methods =
            table.get("methods").map(|value| value.list(|item| Some((item.text()?, item.clone()))));
        let path = table.get("path").map(|value| (value.text(), value));
        let mut binding = server?;
        if let Some(methods) = methods {
            let methods = methods?;
            if methods.is_empty() {
                table
                    .value()
                    .fault("has an empty list of methods, expected one or more, or no such key");
                return None;
            }
            for (method, item) in &methods {
                let alone = binding.clone().by_methods([method.as_str()]);
                fitting(item, alone)?;
            }
            binding = binding.by_methods(methods.iter().map(|(method, _)| method.as_str())).ok()?;
        }
        match path {
            Some((path, value)) => fitting(&value, binding.below(&path?)),
            None => Some(binding),
        }
    })
    .flatten()
}

fn fitting(value: &Value<'_>, binding: Result<Binding, BadBinding>) -> Option<Binding> {
    binding.map_err(|why| value.fault(why.to_string())).ok()
}

fn granted(item: &Value<'_>, http: &[Destination]) -> Option<Endpoint> {
    let origin: Origin = item.parsed(origin::EXPECTED)?;
    if http.iter().any(|destination| destination.origin == origin) {
        return Some(Endpoint::new(&origin.host, origin.port));
    }
    let granted: Vec<String> =
        http.iter().map(|destination| destination.origin.to_string()).collect();
    let hint = did_you_mean(&origin.to_string(), granted.iter().map(String::as_str));
    item.fault(format!(
        "is {origin}, which the service's http list does not grant; expected one of its servers{hint}"
    ));
    None
}
